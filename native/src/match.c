/*
 * match.c - what happens to an order that is accepted: matching (docs/engine.md 4), resting, leaving. The commands are in orders.c.
 *
 * Nothing here fails. Work per command is bounded by max_fills.
 */
#include "event.h"

/* ---- leaving -------------------------------------------------------------------------------------------------------------------- */

/* A spot order that will hold nothing any more. */
static inline void spot_release(const instrument *in, account *a, order *o) {
    core_balance *pays = balance_in(a, (u32)pick(o->side == SIDE_BUY, in->quote_asset, in->base_asset));
    pays->available += o->held;
    pays->held -= o->held;
    o->held = 0;
}

/* The slot of an order that is not in a book any more becomes free; its id is never issued again. */
static inline void order_free(core *c, instrument *in, account *a, order *o, u32 slot) {
    a->open_orders--;
    in->live_orders--;
    c->keys[slot] = 0;
    if (UNLIKELY(o->heap != NO_HEAP)) heap_remove(c, slot);
    if (LIKELY(++o->generation < RETIRED_GENERATION)) slot_give(&c->order_slots, slot);
    else c->order_slots.live--;
}

/* A resting order leaves with one event: its hold is released, its level reduced, its slot freed. */
void order_leave(core *c, const core_command *cmd, u32 slot, u16 type, u16 reason) {
    order *o = &c->orders[slot];
    instrument *in = &c->instruments[o->instrument];
    account *a = account_at(c, o->account);
    i64 removed = o->leaves;
    if (UNLIKELY(is_margin(in))) order_hold_change(c, in, o, o->price, removed, o->price, 0);
    else spot_release(in, a, o);
    book_remove(c, in, slot);
    o->leaves = 0;
    event_about(c, cmd, type, slot, o, in, a, (told){.price = o->price, .qty = removed, .reason = reason, .flags = EVF_BOOK | EVF_TERMINAL});
    order_free(c, in, a, o, slot);
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

/* One of the two in a match: its order and its account, the fee it pays, the lots its hold covers. */
typedef struct { order *o; account *a; i64 fee, covered; } party;

/*
 * The usual match: a spot instrument, two accounts, every amount small and none negative, so that nothing can overflow. Settles both sides at once and
 * returns 1, or does nothing and returns 0. What settle() would do for either, in fewer steps.
 */
static inline int settle_usual(core *c, const instrument *in, party buyer, party seller, i64 lots, i64 notional) {
    core_balance *pays = balance_in(buyer.a, in->quote_asset), *gets = balance_in(buyer.a, in->base_asset);
    core_balance *paid = balance_in(seller.a, in->quote_asset), *gives = balance_in(seller.a, in->base_asset);
    core_balance *house = balance_at(c, 0, in->quote_asset);
    i64 all = pays->available | pays->held | gets->available | gets->held | paid->available | paid->held | gives->available | gives->held | house->available;
    if (UNLIKELY((u64)(all | notional) >> 60 || buyer.a == seller.a || is_margin(in))) return 0;
    i64 assets = lots * in->lot_minor, left = buyer.covered - lots;
    left &= ~(left >> 63);
    i64 hold = notional_fit(buyer.o->price, left, in->tick_value);
    hold += ppm_floor(hold, in->reserve_ppm);
    i64 freed = buyer.o->held - hold;
    buyer.o->held = hold;
    seller.o->held -= assets;
    pays->held -= freed;
    pays->available += freed - notional - buyer.fee;
    gets->available += assets;
    gives->held -= assets;
    paid->available += notional - seller.fee;
    house->available += buyer.fee + seller.fee;
    return 1;
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
    account *taker = account_at(c, o->account);
    u8 other = opposite(o->side);
    u32 steps = 0, group = taker->stp_group;
    u64 taker_id = order_id_of(c, slot);
    u16 reason = 0;
    i64 order_qty = o->leaves + o->cum;
    while (o->leaves) {
        i64 px = book_best(&in->book, other);
        if (!reaches(o->side, o->price, px)) break;
        if (UNLIKELY(steps++ == c->max_fills)) {
            reason = CXL_FILL_LIMIT;
            break;
        }
        level *lv = book_level(c, in, other, px);
        u32 resting = lv->head;
        order *m = &c->orders[resting];
        account *maker = account_at(c, m->account);
        const order *after = &c->orders[m->next]; /* the next maker's account, and the maker after that; order 0 when there is none */
        PREFETCH(account_at(c, after->account));
        PREFETCH(&c->orders[after->next]);
        if (UNLIKELY(o->stp != STP_NONE && maker->stp_group == group)) {
            if (o->stp == STP_DECREMENT) {
                if (self_decrement(c, cmd, in, slot, resting, lv, &money, &order_qty)) break;
                continue;
            }
            if (o->stp != STP_CANCEL_NEWEST) order_leave(c, cmd, resting, EV_ORDER_CANCELED, CXL_SELF_TRADE);
            if (o->stp == STP_CANCEL_OLDEST) continue;
            reason = CXL_SELF_TRADE;
            break;
        }
        i64 lots = o->leaves < m->leaves ? o->leaves : m->leaves, notional = notional_fit(px, lots, in->tick_value), pnl = 0;
        party mine = {o, taker, ppm_floor(notional, in->taker_ppm), money}, theirs = {m, maker, ppm_floor(notional, in->maker_ppm), m->leaves};
        int buys = o->side == SIDE_BUY, settled = settle_usual(c, in, buys ? mine : theirs, buys ? theirs : mine, lots, notional);
        if (UNLIKELY(!settled)) {
            if (!match_is_small(c, in, m->account, o->account, notional) && !match_fits(c, in, o, m, px, lots, notional, money)) {
                reason = CXL_FILL_LIMIT;
                break;
            }
            pnl = settle(c, in, m, px, lots, notional, theirs.fee, m->leaves);
        }
        u64 maker_id = order_id_of(c, resting);
        m->cum += lots;
        m->leaves -= lots;
        lv->qty -= lots;
        in->ref_price = px;
        c->matches++;
        if (m->leaves) event_about(c, cmd, EV_ORDER_FILLED, resting, m, in, maker, (told){px, lots, theirs.fee, pnl, taker_id, 0, EVF_MAKER | EVF_BOOK});
        else {
            book_remove(c, in, resting);
            event_about(c, cmd, EV_ORDER_FILLED, resting, m, in, maker, (told){px, lots, theirs.fee, pnl, taker_id, 0, EVF_MAKER | EVF_BOOK | EVF_TERMINAL});
            order_free(c, in, maker, m, resting);
        }
        if (UNLIKELY(!settled)) pnl = settle(c, in, o, px, lots, notional, mine.fee, money);
        money -= lots;
        o->cum += lots;
        o->leaves -= lots;
        event_about(c, cmd, EV_ORDER_FILLED, slot, o, in, taker, (told){px, lots, mine.fee, pnl, maker_id, 0, o->leaves ? 0 : EVF_TERMINAL});
    }
    collar_keep(in);
    outcome result = {order_qty, o->leaves, o->cum};
    if (!o->leaves) {
        order_free(c, in, taker, o, slot);
    } else if (reason || !may_rest(o)) {
        i64 removed = o->leaves;
        if (UNLIKELY(is_margin(in))) order_hold_change(c, in, o, o->price, money, o->price, 0);
        else spot_release(in, taker, o);
        o->leaves = result.leaves = 0;
        if (!reason) reason = o->type == ORD_MARKET ? CXL_MARKET_REMAINDER : CXL_IOC_REMAINDER;
        event_about(c, cmd, EV_ORDER_CANCELED, slot, o, in, taker, (told){.price = o->price, .qty = removed, .reason = reason, .flags = EVF_TERMINAL});
        order_free(c, in, taker, o, slot);
    } else {
        book_append(c, in, slot);
        if (crossing) order_event(c, cmd, EV_ORDER_RESTED, slot, (told){.price = o->price, .qty = order_qty, .flags = EVF_BOOK});
    }
    return result;
}
