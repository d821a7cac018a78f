/*
 * event.h - writing events: the general one that starts as zeros, and the one about a live order, which most events are.
 */
#ifndef BROKERAGE_CORE_EVENT_H
#define BROKERAGE_CORE_EVENT_H

#include "internal.h"

/*
 * The next event, zero but for its header. core_apply made sure that there is room. Written field by field: a memset of this size becomes a slow string
 * instruction.
 */
static inline core_event *emit(core *c, const core_command *cmd, u16 type) {
    core_event *e = c->event++;
    e->seq = ++c->event_seq;
    e->cmd_seq = cmd->seq;
    e->time_ns = cmd->time_ns;
    e->type = type;
    e->reason = e->flags = 0;
    e->side = e->version = 0;
    e->account = e->instrument = 0;
    e->order_id = e->ref_id = 0;
    e->price = e->qty = e->leaves = e->cum_qty = e->amount = e->pnl = 0;
    e->base_a = e->base_b = e->quote_a = e->quote_b = 0;
    return e;
}

/* What an event about a live order says besides what is always set. */
typedef struct { i64 price, qty, amount, pnl; u64 ref_id; u16 reason, flags; } told;

/*
 * An event about a live order of account `a` in instrument `in`. Every field is written once, in order: the same with emit() and changes afterwards would
 * be twice the stores.
 */
static inline void event_about(core *c, const core_command *cmd, u16 type, u32 slot, const order *o, const instrument *in, const account *a, told t) {
    core_event *e = c->event++;
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

static inline void order_event(core *c, const core_command *cmd, u16 type, u32 slot, told t) {
    const order *o = &c->orders[slot];
    event_about(c, cmd, type, slot, o, &c->instruments[o->instrument], account_at(c, o->account), t);
}

#endif
