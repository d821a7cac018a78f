/*
 * checks.c - what an order is asked before it does anything: the checks of docs/engine.md 3 in their order, the dry run (5), preview.
 *
 * Nothing here changes the core.
 */
#include "internal.h"

/* ---- dry run ----------------------------------------------------------------------------------------------------------------------- */

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

/* Step 8's bound; 0 = none. */
static inline i64 collar_bound(const instrument *in, u8 side) {
    if (!in->collar_ppm || !in->ref_price) return 0;
    if (LIKELY(in->bound_ref == in->ref_price)) return in->bound[side - 1];
    i64 band = ppm_floor(in->ref_price, in->collar_ppm);
    if (side == SIDE_BUY) return in->ref_price > MAX_AMOUNT - band ? MAX_AMOUNT : in->ref_price + band;
    return in->ref_price - band < 1 ? 1 : in->ref_price - band;
}

/* Work out the bounds of the present reference price. */
void collar_update(instrument *in) {
    i64 buy = collar_bound(in, SIDE_BUY), sell = collar_bound(in, SIDE_SELL);
    in->bound[0] = buy;
    in->bound[1] = sell;
    in->bound_ref = in->ref_price;
}

static u16 form_refusal(const core_command *cmd, i64 now) {
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

/* Steps 4 to 15. Changes nothing; fills the plan the order is then executed by. */
u16 new_refusal(const core *c, const core_command *cmd, i64 now, int amounts, plan *p) {
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

/* ---- checks of a replace ------------------------------------------------------------------------------------------------------------ */

/* Checks of a replace of a live order, in their order. Changes nothing. */
u16 replace_refusal(const core *c, const core_command *cmd, const order *o, plan *p) {
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
