/*
 * match.c - orders: the checks of docs/engine.md 3 in their order, matching (4), the dry run (5), cancel, replace and preview.
 *
 * Nothing here fails: a refusal is an event. Work per command is bounded by max_fills.
 */
#include "internal.h"

/* ---- events and small steps ------------------------------------------------------------------------------------------------------ */

/* What an event about a live order says besides what is always set. */
typedef struct { i64 price, qty, amount, pnl; u64 ref_id; u16 reason, flags; } told;

/* An event about a live order. Every field is written once, in order: the same with emit() and changes afterwards would be twice the stores. */
static inline void order_event(core *c, const core_command *cmd, u16 type, u32 slot, told t) {
    core_event *e = &c->events[c->n_events++];
    const order *o = &c->orders[slot];
    const instrument *in = &c->instruments[o->instrument];
    const account *a = account_at(c, o->account);
    const core_balance *quote = balance_in(a, in->quote_asset);
    e->seq = ++c->event_seq;
    e->cmd_seq = cmd->seq;
    e->time_ns = cmd->time_ns;
    e->type = type;
    e->reason = t.reason;
    e->side = o->side;
    e->version = o->version;
    e->account = o->account;
    e->instrument = o->instrument;
    e->order_id = (u64)o->generation << 32 | slot;
    e->ref_id = t.ref_id;
    e->price = t.price;
    e->qty = t.qty;
    e->leaves = o->leaves;
    e->cum_qty = o->cum;
    e->amount = t.amount;
    e->pnl = t.pnl;
    if (UNLIKELY(is_margin(in))) {
        const margin_row *row = row_at(c, o->account, o->instrument);
        e->flags = t.flags | EVF_MARGIN;
        e->base_a = row->net;
        e->base_b = row->cost;
    } else {
        const core_balance *base = balance_in(a, in->base_asset);
        e->flags = t.flags;
        e->base_a = base->available;
        e->base_b = base->held;
    }
    e->quote_a = quote->available;
    e->quote_b = quote->held;
}

/* The live order of the account with this id, or 0 and why not. */
static u32 order_find(const core *c, u64 id, u32 a, u16 *reason) {
    u32 slot = (u32)id, generation = (u32)(id >> 32);
    *reason = REJ_UNKNOWN_ORDER;
    if (!slot || slot > c->order_slots.top || !generation || generation > c->orders[slot].generation) return 0;
    int live = c->keys[slot] != 0;
    if (generation == c->orders[slot].generation) return live && c->orders[slot].account == a ? slot : 0;
    *reason = REJ_TOO_LATE;
    return 0;
}

/* Refuse ORDER_NEW / CANCEL / REPLACE, the latter with side, version and instrument of the order they name when it is live and the account's. */
void order_reject(core *c, const core_command *cmd, u16 reason, i64 price, i64 qty, i64 leaves) {
    u16 type = cmd->type == CMD_ORDER_NEW ? EV_ORDER_REJECTED : cmd->type == CMD_ORDER_CANCEL ? EV_CANCEL_REJECTED : EV_REPLACE_REJECTED;
    core_event *e = emit(c, cmd, type);
    e->reason = reason;
    e->account = cmd->account;
    e->instrument = cmd->instrument;
    e->price = price;
    e->qty = qty;
    e->leaves = leaves;
    u16 unused;
    u32 target = 0;
    if (cmd->type == CMD_ORDER_NEW) e->side = cmd->side;
    else {
        e->order_id = cmd->order_id;
        target = order_find(c, cmd->order_id, cmd->account, &unused);
    }
    if (target) {
        e->side = c->orders[target].side;
        e->version = c->orders[target].version;
        e->instrument = c->orders[target].instrument;
    }
    show_balances(c, e, e->account, e->instrument);
}

static inline u8 opposite(u8 side) { return (u8)(SIDE_BUY + SIDE_SELL - side); }
static inline int may_rest(const order *o) { return (o->tif != TIF_IOC) & (o->tif != TIF_FOK); }

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

/* ---- dry run ----------------------------------------------------------------------------------------------------------------------- */

enum walk_end { WALK_FILLED, WALK_EXHAUSTED, WALK_LIMIT, WALK_SELF };

typedef struct {
    i64 fillable, worst;
    u128 notional, fee;   /* only when asked for */
    u32 fills;
    enum walk_end end;
} walk;

/* What an order would trade now; changes nothing. Cost: one queue entry per step, at most max_fills. */
static void dry_run(const core *c, const instrument *in, u8 side, i64 limit, i64 qty, u8 stp, u32 group, int amounts, walk *w) {
    const book *b = &in->book;
    u8 other = opposite(side);
    i64 price = book_best(b, other);
    u32 steps = 0, slot = 0;
    memset(w, 0, sizeof *w);
    for (;;) {
        if (w->fillable == qty) {
            w->end = WALK_FILLED;
            return;
        }
        if (!slot) {
            if (!reaches(side, limit, price) || price == book_none(other)) {
                w->end = WALK_EXHAUSTED;
                return;
            }
            slot = book_level_peek(c, in, other, price)->head;
        }
        if (steps++ == c->max_fills) {
            w->end = WALK_LIMIT;
            return;
        }
        const order *m = &c->orders[slot];
        if (stp != STP_NONE && account_at(c, m->account)->stp_group == group) {
            if (stp != STP_CANCEL_OLDEST) {
                w->end = WALK_SELF;
                return;
            }
        } else {
            i64 lots = qty - w->fillable < m->leaves ? qty - w->fillable : m->leaves;
            w->fillable += lots;
            w->worst = price;
            w->fills++;
            if (amounts) {
                i64 n = notional_fit(price, lots, in->tick_value);
                w->notional += (u64)n;
                w->fee += (u64)ppm_floor(n, in->taker_ppm);
            }
        }
        slot = m->next;
        if (!slot) price = book_next(c, b, other, price);
    }
}

/* ---- checks of a new order --------------------------------------------------------------------------------------------------------- */

typedef struct {
    i64 price, qty, leaves;  /* numbers of a refusal */
    i64 limit, money;        /* limit price; lots its hold covers at entry */
    i64 needed, available;
    walk walk;
    int walked, crossing;
} plan;

/* Step 8's bound; 0 = none. */
static inline i64 collar_bound(const instrument *in, u8 side) {
    if (!in->collar_ppm || !in->ref_price) return 0;
    if (LIKELY(in->bound_ref == in->ref_price)) return in->bound[side - 1];
    i64 band = ppm_floor(in->ref_price, in->collar_ppm);
    if (side == SIDE_BUY) return in->ref_price > MAX_AMOUNT - band ? MAX_AMOUNT : in->ref_price + band;
    return in->ref_price - band < 1 ? 1 : in->ref_price - band;
}

/* Keep the bounds of the present reference price, so that orders until the next price change need not work them out. */
static inline void collar_keep(instrument *in) {
    if (LIKELY(in->bound_ref == in->ref_price)) return;
    i64 buy = collar_bound(in, SIDE_BUY), sell = collar_bound(in, SIDE_SELL);
    in->bound[0] = buy;
    in->bound[1] = sell;
    in->bound_ref = in->ref_price;
}

/* A limit order of a usual form, asked in one go: only what it is not asks one by one. */
static inline int form_usual(const core_command *cmd) {
    int usual = ((u32)(cmd->side - SIDE_BUY) <= 1) & (cmd->ord_type == ORD_LIMIT) & (cmd->stp <= STP_DECREMENT) & !cmd->flags;
    usual &= (cmd->tif == TIF_DAY) | (cmd->tif == TIF_GTC) | (cmd->tif == TIF_IOC);
    return usual & !(cmd->order_id | (u64)cmd->aux | (u64)cmd->amount) & (cmd->qty > 0) & (cmd->price > 0);
}

static u16 form_refusal(const core_command *cmd, i64 now) {
    if (LIKELY(form_usual(cmd))) return REJ_NONE;
    if (cmd->side != SIDE_BUY && cmd->side != SIDE_SELL) return REJ_UNSUPPORTED;
    if (cmd->ord_type != ORD_MARKET && cmd->ord_type != ORD_LIMIT) return REJ_UNSUPPORTED;
    if (cmd->tif > TIF_GTD || !(1u << cmd->tif & (1u << TIF_DAY | 1u << TIF_GTC | 1u << TIF_IOC | 1u << TIF_FOK | 1u << TIF_GTD))) return REJ_UNSUPPORTED;
    if (cmd->stp > STP_DECREMENT || cmd->flags & ~(u32)(CF_POST_ONLY | CF_REDUCE_ONLY)) return REJ_UNSUPPORTED;
    int immediate = cmd->tif == TIF_IOC || cmd->tif == TIF_FOK;
    if (cmd->ord_type == ORD_MARKET && !immediate) return REJ_UNSUPPORTED;
    if (cmd->flags & CF_POST_ONLY && immediate) return REJ_UNSUPPORTED;
    if (cmd->order_id || cmd->aux) return REJ_UNSUPPORTED;
    if (cmd->qty <= 0) return REJ_BAD_QTY;
    if (cmd->ord_type == ORD_LIMIT ? cmd->price <= 0 : cmd->price != 0) return REJ_BAD_PRICE;
    if (cmd->tif == TIF_GTD ? cmd->amount <= now : cmd->amount != 0) return REJ_BAD_EXPIRE;
    return REJ_NONE;
}

/* Step 6, also of a replace. */
static u16 state_refusal(const core *c, const instrument *in, const account *a) {
    if (LIKELY(!(c->global_state | in->state | a->state))) return REJ_NONE; /* all active */
    if (c->global_state >= STATE_HALTED) return REJ_GLOBAL_HALT;
    if (in->state == STATE_CLOSED) return REJ_INSTRUMENT_CLOSED;
    if (in->state == STATE_HALTED) return REJ_INSTRUMENT_HALTED;
    if (a->state >= STATE_HALTED) return REJ_ACCOUNT_HALTED;
    return REJ_NONE;
}

/* Which code a reduce-only rule answers with; REJ_NONE when no such rule applies. */
static u16 reduce_code(const core *c, const instrument *in, const account *a, u32 flags) {
    if (LIKELY(!((flags & CF_REDUCE_ONLY) | a->state | in->state | c->global_state))) return REJ_NONE;
    if (flags & CF_REDUCE_ONLY) return REJ_REDUCE_ONLY;
    if (a->state == STATE_REDUCE_ONLY) return REJ_ACCOUNT_REDUCE_ONLY;
    if (in->state == STATE_REDUCE_ONLY || c->global_state == STATE_REDUCE_ONLY) return REJ_REDUCE_ONLY_STATE;
    return REJ_NONE;
}

static u16 notional_refusal(const instrument *in, const account *a, i64 price, i64 lots, plan *p) {
    i64 n;
    if (!notional_of(price, lots, in->tick_value, &n)) return REJ_OVERFLOW;
    p->leaves = n;
    if (in->max_notional > 0 && n > in->max_notional) {
        p->qty = in->max_notional;
        return REJ_MAX_NOTIONAL;
    }
    if (a->max_notional > 0 && n > a->max_notional) {
        p->qty = a->max_notional;
        return REJ_ACCOUNT_MAX_NOTIONAL;
    }
    p->leaves = 0;
    return REJ_NONE;
}

static inline int slots_full(const slots *s) { return !s->free_count && s->top == s->cap; }

/* Steps 4 to 15. Changes nothing; fills the plan the order is then executed by. */
static u16 new_refusal(const core *c, const core_command *cmd, i64 now, int amounts, plan *p) {
    u16 reason;
    p->price = p->qty = p->leaves = p->needed = p->available = 0;
    p->walked = 0;
    if (!instrument_known(c, cmd->instrument)) return REJ_UNKNOWN_INSTRUMENT;
    const instrument *in = &c->instruments[cmd->instrument];
    const account *a = account_at(c, cmd->account);
    if ((reason = form_refusal(cmd, now))) return reason;
    if ((reason = state_refusal(c, in, a))) return reason;
    if (cmd->qty < in->min_qty) {
        p->qty = in->min_qty;
        return REJ_QTY_BELOW_MIN;
    }
    if (in->max_qty > 0 && cmd->qty > in->max_qty) {
        p->qty = in->max_qty;
        return REJ_QTY_ABOVE_MAX;
    }
    i64 bound = collar_bound(in, cmd->side), opposite_best = book_best(&in->book, opposite(cmd->side));
    p->limit = cmd->price;
    p->money = cmd->qty;
    if (cmd->ord_type == ORD_MARKET) {
        if (!in->ref_price) return REJ_NO_REFERENCE_PRICE;
        dry_run(c, in, cmd->side, bound ? bound : cmd->side == SIDE_BUY ? MAX_AMOUNT : 1, cmd->qty, cmd->stp, a->stp_group, amounts, &p->walk);
        p->walked = 1;
        if (!p->walk.fillable) return REJ_NO_LIQUIDITY;
        p->limit = p->walk.worst;
        p->money = p->walk.fillable;
    } else if (UNLIKELY((bound != 0) & !reaches(cmd->side, bound, cmd->price))) {
        p->price = bound;
        return REJ_PRICE_COLLAR;
    }
    if ((reason = notional_refusal(in, a, p->limit, p->money, p))) return reason;
    if (UNLIKELY(reason = reduce_code(c, in, a, cmd->flags))) {
        i128 allowed = 0;
        if (is_margin(in)) {
            const margin_row *row = row_at(c, cmd->account, cmd->instrument);
            if (cmd->side == SIDE_BUY && row->net < 0) allowed = -(i128)row->net - row->buy_leaves;
            if (cmd->side == SIDE_SELL && row->net > 0) allowed = (i128)row->net - row->sell_leaves;
            if (allowed < 0) allowed = 0;
        } else if (cmd->side == SIDE_SELL) allowed = INT64_MAX;
        if (cmd->qty > allowed) {
            p->qty = (i64)allowed;
            return reason;
        }
    }
    int rests = (cmd->tif != TIF_IOC) & (cmd->tif != TIF_FOK);
    if (UNLIKELY(rests & (a->order_cap > 0) & ((i64)a->open_orders >= a->order_cap))) {
        p->qty = a->order_cap;
        return REJ_MAX_OPEN_ORDERS;
    }
    if (UNLIKELY(slots_full(&c->order_slots))) {
        p->qty = c->config.max_orders;
        return REJ_CAPACITY;
    }
    if (UNLIKELY(rests && c->levels == c->config.max_levels && !book_level_peek(c, in, cmd->side, p->limit))) {
        p->qty = c->config.max_levels;
        return REJ_CAPACITY;
    }
    p->crossing = reaches(cmd->side, p->limit, opposite_best);
    if (UNLIKELY(p->crossing & ((cmd->flags & CF_POST_ONLY) != 0))) {
        p->price = opposite_best;
        return REJ_WOULD_CROSS;
    }
    if (!p->walked && (cmd->tif == TIF_FOK || amounts)) {
        dry_run(c, in, cmd->side, p->limit, cmd->qty, cmd->stp, a->stp_group, amounts, &p->walk);
        p->walked = 1;
    }
    if (cmd->tif == TIF_FOK && p->walk.fillable < cmd->qty) {
        if (p->walk.end == WALK_LIMIT) {
            p->qty = c->max_fills;
            return REJ_FILL_LIMIT;
        }
        p->qty = cmd->qty;
        p->leaves = p->walk.fillable;
        return REJ_UNFILLABLE;
    }
    i64 check_price = cmd->side == SIDE_SELL && opposite_best > p->limit ? opposite_best : p->limit;
    funds f = funds_check(c, in, cmd->account, cmd->side, p->limit, p->money, check_price, NULL);
    p->needed = f.needed;
    p->available = f.available;
    if (f.reason == REJ_INSUFFICIENT_FUNDS) {
        p->qty = f.needed;
        p->leaves = f.available;
    }
    return f.reason;
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

/* What is left of an order after it was matched, for the answer that is remembered. */
typedef struct { i64 qty, leaves, cum; } outcome;

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
static outcome match_incoming(core *c, const core_command *cmd, u32 slot, i64 money, int crossing) {
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

/* ---- commands ---------------------------------------------------------------------------------------------------------------------- */

/*
 * Steps 2 and 3. Returns 1 when the command is answered already; else *record is where to remember the outcome (NULL without an id).
 */
static int answered_before(core *c, const core_command *cmd, u64 hash, id_record **record) {
    *record = NULL;
    if (cmd->account == 0 || !account_known(c, cmd->account)) {
        order_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0, 0);
        return 1;
    }
    if (!id_form_ok(cmd->cl_ord_id)) {
        order_reject(c, cmd, REJ_MALFORMED, 0, 0, 0);
        return 1;
    }
    if (!cmd->cl_ord_id[0]) return 0;
    u64 body = body_hash(cmd);
    id_record *r = id_find(c, hash, cmd->account, cmd->cl_ord_id);
    if (r) {
        if (r->body == body) id_event(c, r, emit(c, cmd, EV_DUPLICATE));
        else order_reject(c, cmd, REJ_DUPLICATE_CL_ORD_ID, 0, 0, 0);
        return 1;
    }
    *record = id_remember(c, hash, cmd, body);
    return 0;
}

static void remember_refusal(id_record *r, const core_command *cmd, u16 reason, i64 price, i64 qty, i64 leaves) {
    r->reason = reason;
    r->side = cmd->side;
    r->order_id = cmd->type == CMD_ORDER_NEW ? 0 : cmd->order_id;
    r->price = price;
    r->qty = qty;
    r->leaves = leaves;
}

/* CMD_ORDER_NEW. Cost: see native/bench; at most max_fills matches. */
void order_new(core *c, const core_command *cmd, u64 hash) {
    id_record *r;
    plan p;
    if (answered_before(c, cmd, hash, &r)) return;
    u16 reason = new_refusal(c, cmd, cmd->time_ns, 0, &p);
    if (reason) {
        if (r) remember_refusal(r, cmd, reason, p.price, p.qty, p.leaves);
        order_reject(c, cmd, reason, p.price, p.qty, p.leaves);
        return;
    }
    instrument *in = &c->instruments[cmd->instrument];
    u32 slot = slot_take(&c->order_slots);
    order *o = &c->orders[slot];
    o->prev = o->next = 0;
    o->account = cmd->account;
    if (!o->generation) o->generation = 1;
    o->price = p.limit;
    o->leaves = cmd->qty;
    o->cum = 0;
    o->held = 0;
    o->instrument = (u16)cmd->instrument;
    o->side = cmd->side;
    o->type = cmd->ord_type;
    o->tif = cmd->tif;
    o->stp = cmd->stp;
    o->version = 1;
    o->flags = (u8)cmd->flags;
    o->heap = NO_HEAP;
    c->cold[slot].expire_ns = cmd->amount;
    c->cold[slot].entry_seq = cmd->seq;
    c->keys[slot] = order_key(cmd->account, cmd->instrument, cmd->side);
    if (cmd->tif == TIF_GTD) heap_push(c, slot);
    account_at(c, cmd->account)->open_orders++;
    in->live_orders++;
    if (LIKELY(!is_margin(in))) { /* what funds_check found is the hold */
        core_balance *pays = balance_at(c, cmd->account, cmd->side == SIDE_BUY ? in->quote_asset : in->base_asset);
        o->held = p.needed;
        pays->available -= p.needed;
        pays->held += p.needed;
    } else order_hold_change(c, in, o, p.limit, 0, p.limit, p.money);
    collar_keep(in);

    u64 id = order_id_of(c, slot);
    u16 flags = (u16)(p.crossing * EVF_CROSSES | ((p.crossing == 0) & may_rest(o)) * EVF_BOOK);
    order_event(c, cmd, EV_ORDER_ACCEPTED, slot, (told){.price = p.limit, .qty = cmd->qty, .flags = flags});
    outcome result = {cmd->qty, cmd->qty, 0};
    if (p.crossing || !may_rest(o)) result = match_incoming(c, cmd, slot, p.money, p.crossing);
    else book_append(c, in, slot);
    if (!r) return;
    r->side = cmd->side;
    r->version = 1;
    r->order_id = id;
    r->price = p.limit;
    r->qty = result.qty;
    r->leaves = result.leaves;
    r->cum = result.cum;
}

/* CMD_ORDER_CANCEL. Passes in every state. */
void order_cancel(core *c, const core_command *cmd) {
    u64 id = cmd->order_id;
    u16 reason = REJ_UNKNOWN_ACCOUNT;
    u32 slot = 0;
    if (cmd->account != 0 && account_known(c, cmd->account)) {
        if (cmd->flags & CF_CANCEL_BY_CL_ORD_ID) {
            const id_record *r = cmd->cl_ord_id[0] && id_form_ok(cmd->cl_ord_id)
                ? id_find(c, id_hash(cmd->account, cmd->cl_ord_id), cmd->account, cmd->cl_ord_id) : NULL;
            id = r && !r->reason && (r->type == CMD_ORDER_NEW || r->type == CMD_ORDER_REPLACE) ? r->order_id : 0;
        }
        slot = order_find(c, id, cmd->account, &reason);
    }
    if (slot) order_leave(c, cmd, slot, EV_ORDER_CANCELED, CXL_USER);
    else order_reject(c, cmd, reason, 0, 0, 0);
}

static u16 replace_refusal(const core *c, const core_command *cmd, const order *o, plan *p) {
    u16 reason;
    const instrument *in = &c->instruments[o->instrument];
    const account *a = account_at(c, o->account);
    i64 total = o->leaves + o->cum, opposite_best = book_best(&in->book, opposite(o->side));
    if (cmd->flags || cmd->side || cmd->ord_type || cmd->tif || cmd->stp || cmd->amount) return REJ_UNSUPPORTED;
    if (cmd->qty <= 0) return REJ_BAD_QTY;
    if (cmd->price <= 0) return REJ_BAD_PRICE;
    if ((reason = state_refusal(c, in, a))) return reason;
    if (cmd->aux && cmd->aux != o->version) {
        p->qty = o->version;
        return REJ_STALE_REPLACE;
    }
    if (cmd->qty <= o->cum) {
        p->qty = o->cum;
        return REJ_QTY_BELOW_FILLED;
    }
    if (cmd->qty < in->min_qty) {
        p->qty = in->min_qty;
        return REJ_QTY_BELOW_MIN;
    }
    if (in->max_qty > 0 && cmd->qty > in->max_qty) {
        p->qty = in->max_qty;
        return REJ_QTY_ABOVE_MAX;
    }
    int moves = cmd->price != o->price, keeps = !moves && cmd->qty <= total;
    i64 bound = moves ? collar_bound(in, o->side) : 0, lots = cmd->qty - o->cum;
    if (bound && !reaches(o->side, bound, cmd->price)) {
        p->price = bound;
        return REJ_PRICE_COLLAR;
    }
    if ((reason = notional_refusal(in, a, cmd->price, lots, p))) return reason;
    if (!keeps && (reason = reduce_code(c, in, a, o->flags))) return reason;
    if (moves && c->levels == c->config.max_levels && !book_level_peek(c, in, o->side, cmd->price)) {
        p->qty = c->config.max_levels;
        return REJ_CAPACITY;
    }
    p->crossing = reaches(o->side, cmd->price, opposite_best);
    if (p->crossing && o->flags & CF_POST_ONLY) {
        p->price = opposite_best;
        return REJ_WOULD_CROSS;
    }
    i64 check_price = !keeps && o->side == SIDE_SELL && opposite_best > cmd->price ? opposite_best : cmd->price;
    funds f = funds_check(c, in, o->account, o->side, cmd->price, lots, check_price, o);
    if (f.reason == REJ_INSUFFICIENT_FUNDS) {
        p->qty = f.needed;
        p->leaves = f.available;
    }
    return f.reason;
}

/* CMD_ORDER_REPLACE: reduce in place, or take the order out and let it enter as if new under its old id. */
void order_replace(core *c, const core_command *cmd, u64 hash) {
    id_record *r;
    plan p;
    u16 reason;
    if (answered_before(c, cmd, hash, &r)) return;
    memset(&p, 0, offsetof(plan, walk));
    p.crossing = 0;
    u32 slot = order_find(c, cmd->order_id, cmd->account, &reason);
    order *o = &c->orders[slot];
    if (slot) reason = replace_refusal(c, cmd, o, &p);
    if (reason) {
        if (r) remember_refusal(r, cmd, reason, p.price, p.qty, p.leaves);
        order_reject(c, cmd, reason, p.price, p.qty, p.leaves);
        return;
    }
    instrument *in = &c->instruments[o->instrument];
    i64 old_price = o->price, old_leaves = o->leaves, leaves = cmd->qty - o->cum;
    int keeps = cmd->price == old_price && leaves <= old_leaves;
    if (!keeps) book_remove(c, in, slot);
    else book_level(c, in, o->side, o->price)->qty += leaves - old_leaves;
    order_hold_change(c, in, o, old_price, old_leaves, cmd->price, leaves);
    o->price = cmd->price;
    o->leaves = leaves;
    o->version = o->version == 255 ? 1 : (u8)(o->version + 1);
    if (!keeps) c->cold[slot].entry_seq = cmd->seq;
    if (r) {
        r->instrument = o->instrument;
        r->side = o->side;
        r->version = o->version;
        r->order_id = cmd->order_id;
        r->price = cmd->price;
    }
    u16 flags = keeps ? EVF_BOOK | EVF_PRIORITY_KEPT : p.crossing ? EVF_BOOK | EVF_CROSSES : EVF_BOOK;
    order_event(c, cmd, EV_ORDER_REPLACED, slot, (told){cmd->price, cmd->qty, old_leaves, 0, (u64)old_price, 0, flags});
    outcome result = {cmd->qty, leaves, o->cum};
    if (!keeps) result = match_incoming(c, cmd, slot, leaves, p.crossing);
    if (!r) return;
    r->qty = result.qty;
    r->leaves = result.leaves;
    r->cum = result.cum;
}

/* ---- preview ----------------------------------------------------------------------------------------------------------------------- */

static i64 clip(u128 x) { return x > (u128)INT64_MAX ? INT64_MAX : (i64)x; }

/* The same checks and dry run as order_new, on a const core. 0, or -1 when `command` is not a new order of a known version. */
int core_preview(const core *c, const core_command *command, core_preview_result *out) {
    core_command cmd = *command;
    plan p;
    memset(out, 0, sizeof *out);
    memset(&p, 0, sizeof p);
    if (cmd.version != CORE_ABI_VERSION) out->reason = REJ_BAD_VERSION;
    else if (cmd.type != CMD_ORDER_NEW) out->reason = REJ_UNSUPPORTED;
    else if (cmd.account == 0 || !account_known(c, cmd.account)) out->reason = REJ_UNKNOWN_ACCOUNT;
    else if (!id_form_ok(cmd.cl_ord_id)) out->reason = REJ_MALFORMED;
    else if (cmd.cl_ord_id[0] && id_find(c, id_hash(cmd.account, cmd.cl_ord_id), cmd.account, cmd.cl_ord_id)) out->reason = REJ_DUPLICATE_CL_ORD_ID;
    else out->reason = new_refusal(c, &cmd, cmd.time_ns > c->time_ns ? cmd.time_ns : c->time_ns, 1, &p);
    if (out->reason == REJ_NONE) {
        out->fills = p.walk.fills;
        out->fill_qty = p.walk.fillable;
        out->fill_notional = clip(p.walk.notional);
        out->fee = clip(p.walk.fee);
        out->worst_price = p.walk.worst;
        int rests = cmd.tif != TIF_IOC && cmd.tif != TIF_FOK && (p.walk.end == WALK_EXHAUSTED || p.walk.end == WALK_FILLED);
        out->rest_qty = rests ? cmd.qty - p.walk.fillable : 0;
        out->hold = out->needed = p.needed;
        out->available = p.available;
    } else {
        out->needed = p.price ? p.price : p.qty;
        out->available = p.leaves;
    }
    return command->type == CMD_ORDER_NEW ? 0 : -1;
}
