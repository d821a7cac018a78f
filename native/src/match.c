/*
 * match.c - orders: entering, matching (docs/engine.md 4), cancelling, replacing. What they are asked first is in checks.c.
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
