/*
 * usual.h - the order that most orders are, asked in one go: a limit order without flags, DAY, GTC or IOC, on an active spot instrument.
 *
 * Nothing of the rules is decided here: what this accepts new_refusal() would accept with the same plan, and whatever it does not accept is asked again
 * there, step by step, for the answer and its numbers. So every condition may be stricter than the rule, never looser.
 */
#ifndef BROKERAGE_CORE_USUAL_H
#define BROKERAGE_CORE_USUAL_H

#include "internal.h"

/* Is x > most, where most 0 (or less) means no bound. x >= 1. */
static inline int above(i64 x, i64 most) { return (u64)(x - 1) > (u64)(most - 1); }

_Static_assert(TIF_DAY == 0 && TIF_GTC == 1 && TIF_IOC == 3, "up to IOC only 2 is no time in force");

static inline int usual_form(const core_command *cmd) {
    return (u32)(cmd->side - SIDE_BUY) <= 1 && cmd->ord_type == ORD_LIMIT && cmd->stp <= STP_DECREMENT
        && cmd->tif <= TIF_IOC && cmd->tif != TIF_IOC - 1 && !(cmd->flags | cmd->order_id | (u64)cmd->aux | (u64)cmd->amount)
        && cmd->qty > 0 && cmd->price > 0;
}

/* `in` and `a` are the rows of the command's instrument and account; of the plan only what an accepted order is executed by is filled in. */
static inline int usual_accepted(const core *c, const core_command *cmd, const instrument *in, const account *a, plan *p) {
    i64 price = cmd->price, qty = cmd->qty, assets;
    u64 notional;
    if (in->kind != KIND_SPOT || !usual_form(cmd) || (c->global_state | in->state | a->state)) return 0;
    if (qty < in->min_qty || above(qty, in->max_qty)) return 0;
    if (!in->ref_price || in->bound_ref != in->ref_price) return 0;
    i64 bound = in->bound[cmd->side - SIDE_BUY];
    if (bound && !reaches(cmd->side, bound, price)) return 0;
    if (__builtin_mul_overflow((u64)price, (u64)qty, &notional) || __builtin_mul_overflow(notional, (u64)in->tick_value, &notional)) return 0;
    if (notional > (u64)MAX_AMOUNT || above((i64)notional, in->max_notional) || above((i64)notional, a->max_notional)) return 0;
    if ((u64)a->open_orders > (u64)(a->order_cap - 1) || slots_full(&c->order_slots) || c->levels == c->config.max_levels) return 0;

    /* What a buy and what a sell holds are both worked out and one is chosen, as a side cannot be guessed. */
    int buys = cmd->side == SIDE_BUY;
    if (__builtin_mul_overflow(qty, in->lot_minor, &assets)) return 0;
    i64 needed = pick(buys, (i64)(notional + (u64)ppm_floor((i64)notional, in->reserve_ppm)), assets);
    const core_balance *pays = balance_in(a, (u32)pick(buys, in->quote_asset, in->base_asset));
    if ((u64)needed > (u64)MAX_AMOUNT || (u64)needed + (u64)pays->held > (u64)MAX_AMOUNT || needed > pays->available) return 0;
    p->limit = price;
    p->money = qty;
    p->needed = needed;
    p->crossing = reaches(cmd->side, price, book_best(&in->book, opposite(cmd->side)));
    return 1;
}

#endif
