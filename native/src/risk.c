/*
 * risk.c - what orders hold and what fills settle: spot reservations, margin rows, fees, realised profit and loss.
 *
 * A spot order holds a function of (limit, lots) only; margin orders are sums in their row and the row holds a function of its own fields.
 * All of it is documented in docs/engine.md 1 and 2.
 */
#include "internal.h"

/* The row's hold by the formula of docs/engine.md 2. All inputs are at most 2^62 together, so nothing overflows. */
i64 margin_hold(const instrument *in, const margin_row *row) {
    i64 most = row->cost < 0 ? -row->cost : row->cost;
    if (row->cost + row->buy_notional > most) most = row->cost + row->buy_notional;
    if (row->sell_notional - row->cost > most) most = row->sell_notional - row->cost;
    return (i64)((u64)ppm_ceil(most, in->margin_ppm) + (u64)row->fee_reserve);
}

/* Bring the row's hold to the formula, moving the difference between available and held of the quote. */
static void row_rehold(core *c, const instrument *in, margin_row *row, core_balance *quote) {
    i64 now = margin_hold(in, row), change = now - row->hold;
    if (!change) return;
    row->hold = now;
    add_checked(c, &quote->available, -change);
    add_checked(c, &quote->held, change);
}

/* Hold of a spot order over `lots` (the checks made sure that it fits). */
static inline i64 spot_hold(const instrument *in, u8 side, i64 price, i64 lots) {
    if (side == SIDE_SELL) return lots * in->lot_minor;
    i64 n = notional_fit(price, lots, in->tick_value);
    return n + ppm_floor(n, in->reserve_ppm);
}

/*
 * Could the account hold `lots` at `price`? `old` is the live order this replaces, else NULL. A margin sell counts at check_price (>= price), see
 * docs/engine.md 3.15. notional(price, lots) is known to fit. Changes nothing.
 */
funds funds_check(const core *c, const instrument *in, u32 a, u8 side, i64 price, i64 lots, i64 check_price, const order *old) {
    funds f = {REJ_OVERFLOW, 0, 0};
    i128 extra;
    const core_balance *pays;
    if (is_margin(in)) {
        pays = balance_at(c, a, in->quote_asset);
        margin_row row = *row_at(c, a, (u32)(in - c->instruments));
        i64 n, hold_before = row.hold;
        if (!notional_of(side == SIDE_SELL ? check_price : price, lots, in->tick_value, &n)) return f;
        if (old) {
            i64 o = notional_fit(old->price, old->leaves, in->tick_value);
            if (side == SIDE_BUY) row.buy_notional -= o;
            else row.sell_notional -= o;
            row.fee_reserve -= ppm_floor(o, in->reserve_ppm);
        }
        i128 all = (i128)(row.cost < 0 ? -row.cost : row.cost) + row.buy_notional + row.sell_notional + n;
        if (UNLIKELY(all > MAX_AMOUNT)) return f;
        if (side == SIDE_BUY) row.buy_notional += n;
        else row.sell_notional += n;
        row.fee_reserve += ppm_floor(n, in->reserve_ppm);
        extra = (i128)(u64)margin_hold(in, &row) - hold_before;
    } else { /* both sides are worked out and one is chosen, as a side cannot be guessed */
        int buys = side == SIDE_BUY;
        i64 n = notional_fit(price, lots, in->tick_value);
        i64 money = (i64)((u64)n + (u64)ppm_floor(n, in->reserve_ppm)), assets; /* at most 2^63, which is negative and refused below */
        int over = __builtin_mul_overflow(lots, in->lot_minor, &assets);
        i64 all = pick(buys, money, assets);
        pays = balance_at(c, a, (u32)pick(buys, in->quote_asset, in->base_asset));
        if (UNLIKELY(((buys == 0) & over) | ((u64)all > (u64)MAX_AMOUNT))) return f;
        extra = (i128)all - (old ? old->held : 0);
    }
    if (UNLIKELY(extra > MAX_AMOUNT || pays->held + extra > MAX_AMOUNT)) return f;
    f.needed = (i64)extra;
    f.available = pays->available;
    f.reason = extra > pays->available && (!old || extra > 0) ? REJ_INSUFFICIENT_FUNDS : REJ_NONE;
    return f;
}

/* Change what the order's hold covers, from (old_price, old_lots) to (new_price, new_lots); 0 lots = nothing held. Money moves between available and held. */
void order_hold_change(core *c, instrument *in, order *o, i64 old_price, i64 old_lots, i64 new_price, i64 new_lots) {
    core_balance *quote = balance_at(c, o->account, in->quote_asset);
    if (UNLIKELY(is_margin(in))) {
        margin_row *row = row_at(c, o->account, o->instrument);
        i64 before = notional_fit(old_price, old_lots, in->tick_value), after = notional_fit(new_price, new_lots, in->tick_value);
        if (o->side == SIDE_BUY) {
            row->buy_notional += after - before;
            row->buy_leaves += new_lots - old_lots;
        } else {
            row->sell_notional += after - before;
            row->sell_leaves += new_lots - old_lots;
        }
        row->fee_reserve += ppm_floor(after, in->reserve_ppm) - ppm_floor(before, in->reserve_ppm);
        row_rehold(c, in, row, quote);
        return;
    }
    core_balance *pays = balance_at(c, o->account, (u32)pick(o->side == SIDE_BUY, in->quote_asset, in->base_asset));
    i64 now = new_lots ? spot_hold(in, o->side, new_price, new_lots) : 0, change = now - o->held;
    o->held = now;
    add_checked(c, &pays->available, -change);
    add_checked(c, &pays->held, change);
}

/* floor(cost * part / whole) for 0 <= part <= whole, whole > 0. */
static i64 share(i64 cost, i64 part, i64 whole) {
    u128 product = (u128)(u64)cost * (u64)part;
    if (LIKELY(!(u64)(product >> 64))) return (i64)((u64)product / (u64)whole);
    return (i64)(product / (u64)whole);
}

/* Move the margin position by a fill; returns realised profit or loss. */
static i64 position_move(core *c, instrument *in, margin_row *row, u8 side, i64 px, i64 lots, i64 notional) {
    i64 sign = side == SIDE_BUY ? 1 : -1, pnl = 0, before = row->cost;
    int had = row->net != 0;
    if (row->net * sign >= 0) {
        row->cost += sign * notional;
        row->net += sign * lots;
    } else {
        i64 whole = row->net < 0 ? -row->net : row->net, open = row->cost < 0 ? -row->cost : row->cost;
        i64 part = lots < whole ? lots : whole, removed = part == whole ? open : share(open, part, whole);
        i64 paid = part == lots ? notional : notional_fit(px, part, in->tick_value);
        pnl = sign > 0 ? removed - paid : paid - removed;
        row->cost += sign * removed;
        row->net += sign * part;
        if (lots > part) {
            row->cost += sign * (notional - paid);
            row->net += sign * (lots - part);
        }
    }
    in->positions += (u32)((row->net != 0) - had);
    add_checked(c, &c->assets[in->quote_asset].clearing, before - row->cost);
    return pnl;
}

/*
 * Settle one side of a match of `lots` at `px`: its money, its assets or position, its fee (to the house) and what its order holds. `covered` is the
 * number of lots the order's hold covers now. The caller takes the lots off the order. Returns the realised profit or loss of a margin fill.
 */
i64 settle(core *c, instrument *in, order *o, i64 px, i64 lots, i64 notional, i64 fee, i64 covered) {
    core_balance *quote = balance_at(c, o->account, in->quote_asset);
    i64 pnl = 0;
    if (UNLIKELY(is_margin(in))) {
        margin_row *row = row_at(c, o->account, o->instrument);
        i64 before = notional_fit(o->price, covered, in->tick_value), after = notional_fit(o->price, covered - lots, in->tick_value);
        if (o->side == SIDE_BUY) {
            row->buy_notional += after - before;
            row->buy_leaves -= lots;
        } else {
            row->sell_notional += after - before;
            row->sell_leaves -= lots;
        }
        row->fee_reserve += ppm_floor(after, in->reserve_ppm) - ppm_floor(before, in->reserve_ppm);
        pnl = position_move(c, in, row, o->side, px, lots, notional);
        if (pnl < 0) account_at(c, o->account)->took_loss = 1;
        add_checked(c, &quote->available, pnl - fee);
        row_rehold(c, in, row, quote);
    } else { /* what a buy and what a sell would do; one of them is nothing. A side cannot be guessed, so nothing branches on it */
        int buys = o->side == SIDE_BUY;
        core_balance *base = balance_at(c, o->account, in->base_asset);
        i64 assets = lots * in->lot_minor, left = covered > lots ? covered - lots : 0;
        i64 freed = pick(buys, o->held - spot_hold(in, SIDE_BUY, o->price, left), assets);
        o->held -= freed;
        add_checked(c, &quote->held, pick(buys, -freed, 0));
        add_checked(c, &quote->available, pick(buys, freed - notional, notional) - fee);
        add_checked(c, &base->available, pick(buys, assets, 0));
        add_checked(c, &base->held, pick(buys, 0, -assets));
    }
    if (fee) add_checked(c, &balance_at(c, 0, in->quote_asset)->available, fee);
    return pnl;
}

/* Fill base_a..quote_b of an order event; account and instrument are registered. */
void show_known_balances(const core *c, core_event *e, u32 a, u32 i) {
    const instrument *in = &c->instruments[i];
    const core_balance *quote = balance_at(c, a, in->quote_asset);
    if (UNLIKELY(is_margin(in))) {
        const margin_row *row = row_at(c, a, i);
        e->flags |= EVF_MARGIN;
        e->base_a = row->net;
        e->base_b = row->cost;
    } else {
        const core_balance *base = balance_at(c, a, in->base_asset);
        e->base_a = base->available;
        e->base_b = base->held;
    }
    e->quote_a = quote->available;
    e->quote_b = quote->held;
}

/* The same where the command may name anything. */
void show_balances(const core *c, core_event *e, u32 a, u32 i) {
    if (instrument_known(c, i) && account_known(c, a)) show_known_balances(c, e, a, i);
}
