/*
 * match.c - what happens to an order that is accepted: matching (docs/engine.md 4), resting, leaving. The commands are in orders.c.
 *
 * Nothing here fails. Work per command is bounded by max_fills.
 */
#include "event.h"

/* ---- leaving -------------------------------------------------------------------------------------------------------------------- */

/* The slot of an order that is not in a book any more becomes free; its id is never issued again. */
void order_free(core *c, u32 slot) {
    order *o = &c->orders[slot];
    account_at(c, o->account)->open_orders--;
    c->instruments[o->instrument].live_orders--;
    if (o->heap != NO_HEAP) heap_remove(c, slot);
    c->keys[slot] = 0;
    if (++o->generation < RETIRED_GENERATION) slot_give(&c->order_slots, slot);
    else c->order_slots.live--;
}

/* A resting order leaves with one event: its hold is released, its level reduced, its slot freed. */
void order_leave(core *c, const core_command *cmd, u32 slot, u16 type, u16 reason) {
    order *o = &c->orders[slot];
    instrument *in = &c->instruments[o->instrument];
    i64 removed = o->leaves;
    order_hold_change(c, in, o, o->price, removed, o->price, 0);
    book_remove(c, in, slot);
    o->leaves = 0;
    order_event(c, cmd, type, slot, (told){.price = o->price, .qty = removed, .reason = reason, .flags = EVF_BOOK | EVF_TERMINAL});
    order_free(c, slot);
}

/* ---- matching ---------------------------------------------------------------------------------------------------------------------- */

static inline u64 beyond(i64 x) { return (u64)(x + ((i64)1 << 60)) >> 61; } /* 0 when -2^60 <= x < 2^60; |x| <= 2^62 */

/* All amounts a match touches are below 2^60, so no sum can come near 2^62. */
static inline int match_is_small(const core *c, const instrument *in, u32 a, u32 b, i64 notional) {
    const core_balance *q1 = balance_at(c, a, in->quote_asset), *q2 = balance_at(c, b, in->quote_asset);
    u64 big = beyond(q1->available) | beyond(q1->held) | beyond(q2->available) | beyond(q2->held) | beyond(notional)
        | beyond(balance_at(c, 0, in->quote_asset)->available);
    if (UNLIKELY(is_margin(in))) {
        const margin_row *r1 = row_at(c, a, (u32)(in - c->instruments)), *r2 = row_at(c, b, (u32)(in - c->instruments));
        big |= beyond(r1->cost) | beyond(r2->cost) | beyond(r1->hold) | beyond(r2->hold) | beyond(c->assets[in->quote_asset].clearing);
        big |= beyond(r1->buy_notional) | beyond(r1->sell_notional) | beyond(r2->buy_notional) | beyond(r2->sell_notional);
    } else {
        const core_balance *b1 = balance_at(c, a, in->base_asset), *b2 = balance_at(c, b, in->base_asset);
        big |= beyond(b1->available) | beyond(b1->held) | beyond(b2->available) | beyond(b2->held);
    }
    return !big;
}

typedef struct { core_balance quote, base; margin_row row; u8 took_loss; order o; } side_copy;

static void side_save(const core *c, const instrument *in, const order *o, side_copy *s) {
    s->quote = *balance_at(c, o->account, in->quote_asset);
    if (is_margin(in)) s->row = *row_at(c, o->account, o->instrument);
    else s->base = *balance_at(c, o->account, in->base_asset);
    s->took_loss = account_at(c, o->account)->took_loss;
    s->o = *o;
}

static void side_restore(core *c, const instrument *in, order *o, const side_copy *s) {
    *balance_at(c, o->account, in->quote_asset) = s->quote;
    if (is_margin(in)) *row_at(c, o->account, o->instrument) = s->row;
    else *balance_at(c, o->account, in->base_asset) = s->base;
    account_at(c, o->account)->took_loss = s->took_loss;
    *o = s->o;
}

static int side_fits(const core *c, const instrument *in, u32 a) {
    if (!balance_fits(balance_at(c, a, in->quote_asset))) return 0;
    return is_margin(in) || balance_fits(balance_at(c, a, in->base_asset));
}

/* The rare path near 2^62: make the match, look whether every balance stays in range, put everything back. */
static int match_fits(core *c, instrument *in, order *o, order *m, i64 px, i64 lots, i64 notional, i64 money) {
    side_copy maker, taker;
    side_save(c, in, m, &maker);
    side_save(c, in, o, &taker);
    core_balance house = *balance_at(c, 0, in->quote_asset);
    i64 clearing = c->assets[in->quote_asset].clearing;
    u32 positions = in->positions;
    c->arithmetic_overflow = 0;
    settle(c, in, m, px, lots, notional, ppm_floor(notional, in->maker_ppm), m->leaves);
    settle(c, in, o, px, lots, notional, ppm_floor(notional, in->taker_ppm), money);
    int fits = !c->arithmetic_overflow && side_fits(c, in, m->account) && side_fits(c, in, o->account)
        && balance_fits(balance_at(c, 0, in->quote_asset)) && in_range(c->assets[in->quote_asset].clearing);
    c->arithmetic_overflow = 0;
    side_restore(c, in, o, &taker);
    side_restore(c, in, m, &maker);
    *balance_at(c, 0, in->quote_asset) = house;
    c->assets[in->quote_asset].clearing = clearing;
    in->positions = positions;
    return fits;
}

static void take_lots(core *c, instrument *in, u32 slot, level *lv, i64 lots) {
    order *m = &c->orders[slot];
    m->leaves -= lots;
    lv->qty -= lots;
    if (!m->leaves) book_remove(c, in, slot);
}

/* DECREMENT: both lose the smaller leaves. Returns 1 when the incoming order has to stop. */
static int self_decrement(core *c, const core_command *cmd, instrument *in, u32 slot, u32 maker, level *lv, i64 *money, i64 *order_qty) {
    order *o = &c->orders[slot], *m = &c->orders[maker];
    i64 lots = o->leaves < m->leaves ? o->leaves : m->leaves;
    if (lots == m->leaves) order_leave(c, cmd, maker, EV_ORDER_CANCELED, CXL_SELF_TRADE);
    else {
        order_hold_change(c, in, m, m->price, m->leaves, m->price, m->leaves - lots);
        m->leaves -= lots;
        lv->qty -= lots;
        order_event(c, cmd, EV_ORDER_CANCELED, maker, (told){.price = m->price, .qty = lots, .reason = CXL_SELF_TRADE, .flags = EVF_BOOK});
    }
    i64 covered = *money > lots ? *money - lots : 0;
    order_hold_change(c, in, o, o->price, *money, o->price, covered);
    *money = covered;
    o->leaves -= lots;
    *order_qty -= lots;
    order_event(c, cmd, EV_ORDER_CANCELED, slot, (told){.price = o->price, .qty = lots, .reason = CXL_SELF_TRADE, .flags = o->leaves ? 0 : EVF_TERMINAL});
    return o->type == ORD_MARKET;
}

/*
 * Match an order that is accepted but in no book, then rest it, cancel its remainder or free it. `money` = lots its hold covers.
 * `crossing`: it met the other side at entry (so resting is told by its own event).
 */
outcome match_incoming(core *c, const core_command *cmd, u32 slot, i64 money, int crossing) {
    order *o = &c->orders[slot];
    instrument *in = &c->instruments[o->instrument];
    u8 other = opposite(o->side);
    u32 steps = 0, group = account_at(c, o->account)->stp_group;
    u16 reason = 0;
    i64 order_qty = o->leaves + o->cum;
    while (o->leaves) {
        i64 px = book_best(&in->book, other);
        if (!reaches(o->side, o->price, px)) break;
        if (steps++ == c->max_fills) {
            reason = CXL_FILL_LIMIT;
            break;
        }
        level *lv = book_level(c, in, other, px);
        u32 maker = lv->head;
        order *m = &c->orders[maker];
        if (m->next) { /* the next maker's account, and the maker after that */
            const order *after = &c->orders[m->next];
            PREFETCH(account_at(c, after->account));
            PREFETCH(&c->orders[after->next]);
        }
        if (o->stp != STP_NONE && account_at(c, m->account)->stp_group == group) {
            if (o->stp == STP_DECREMENT) {
                if (self_decrement(c, cmd, in, slot, maker, lv, &money, &order_qty)) break;
                continue;
            }
            if (o->stp != STP_CANCEL_NEWEST) order_leave(c, cmd, maker, EV_ORDER_CANCELED, CXL_SELF_TRADE);
            if (o->stp == STP_CANCEL_OLDEST) continue;
            reason = CXL_SELF_TRADE;
            break;
        }
        i64 lots = o->leaves < m->leaves ? o->leaves : m->leaves;
        i64 notional = notional_fit(px, lots, in->tick_value);
        if (UNLIKELY(!match_is_small(c, in, m->account, o->account, notional)) && !match_fits(c, in, o, m, px, lots, notional, money)) {
            reason = CXL_FILL_LIMIT;
            break;
        }
        u64 taker_id = order_id_of(c, slot), maker_id = order_id_of(c, maker);
        i64 fee = ppm_floor(notional, in->maker_ppm);
        i64 pnl = settle(c, in, m, px, lots, notional, fee, m->leaves);
        m->cum += lots;
        take_lots(c, in, maker, lv, lots);
        in->ref_price = px;
        c->matches++;
        u16 done = m->leaves ? 0 : EVF_TERMINAL;
        order_event(c, cmd, EV_ORDER_FILLED, maker, (told){px, lots, fee, pnl, taker_id, 0, EVF_MAKER | EVF_BOOK | done});
        if (!m->leaves) order_free(c, maker);
        fee = ppm_floor(notional, in->taker_ppm);
        pnl = settle(c, in, o, px, lots, notional, fee, money);
        money -= lots;
        o->cum += lots;
        o->leaves -= lots;
        order_event(c, cmd, EV_ORDER_FILLED, slot, (told){px, lots, fee, pnl, maker_id, 0, o->leaves ? 0 : EVF_TERMINAL});
    }
    collar_keep(in);
    outcome result = {order_qty, o->leaves, o->cum};
    if (!o->leaves) {
        order_free(c, slot);
    } else if (reason || !may_rest(o)) {
        i64 removed = o->leaves;
        order_hold_change(c, in, o, o->price, money, o->price, 0);
        o->leaves = result.leaves = 0;
        if (!reason) reason = o->type == ORD_MARKET ? CXL_MARKET_REMAINDER : CXL_IOC_REMAINDER;
        order_event(c, cmd, EV_ORDER_CANCELED, slot, (told){.price = o->price, .qty = removed, .reason = reason, .flags = EVF_TERMINAL});
        order_free(c, slot);
    } else {
        book_append(c, in, slot);
        if (crossing) order_event(c, cmd, EV_ORDER_RESTED, slot, (told){.price = o->price, .qty = order_qty, .flags = EVF_BOOK});
    }
    return result;
}
