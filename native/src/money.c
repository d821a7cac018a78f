/*
 * money.c - deposits, withdrawals, holds and transfers: idempotent by the entry's id, checked against 2^62, one event per account touched.
 */
#include "event.h"

static void balance_event(core *c, const core_command *cmd, u32 a, u32 asset_index, i64 total, i64 held, u64 hold_id, u64 other) {
    core_event *e = emit(c, cmd, EV_BALANCE_CHANGED);
    const core_balance *b = balance_at(c, a, asset_index);
    e->account = a;
    e->instrument = asset_index;
    e->order_id = hold_id;
    e->ref_id = other;
    e->amount = total;
    e->price = held;
    e->quote_a = b->available;
    e->quote_b = b->held;
}

/* The checks after the id's; fills the numbers of a refusal. */
static u16 money_refusal(const core *c, const core_command *cmd, i64 *qty, i64 *leaves) {
    u32 a = cmd->account, x = cmd->instrument;
    if (cmd->type == CMD_TRANSFER && (cmd->order_id > UINT32_MAX || cmd->order_id == a || !account_known(c, (u32)cmd->order_id))) return REJ_UNKNOWN_ACCOUNT;
    if (!asset_known(c, x)) return REJ_UNKNOWN_ASSET;
    if (cmd->amount <= 0) return REJ_BAD_AMOUNT;
    const core_balance *b = balance_at(c, a, x);
    i128 net = c->assets[x].net_deposits;
    if (cmd->type == CMD_DEPOSIT) {
        if ((i128)b->available + b->held + cmd->amount > MAX_AMOUNT || net + cmd->amount > MAX_AMOUNT) return REJ_OVERFLOW;
        return REJ_NONE;
    }
    if (cmd->amount > b->available) {
        *qty = cmd->amount;
        *leaves = b->available;
        return REJ_INSUFFICIENT_FUNDS;
    }
    if (cmd->type == CMD_WITHDRAW && net - cmd->amount < -MAX_AMOUNT) return REJ_OVERFLOW;
    if (cmd->type == CMD_TRANSFER) {
        const core_balance *to = balance_at(c, (u32)cmd->order_id, x);
        if ((i128)to->available + to->held + cmd->amount > MAX_AMOUNT) return REJ_OVERFLOW;
    }
    if (cmd->type == CMD_HOLD) {
        if (c->hold_slots.live == c->config.max_holds) {
            *qty = c->config.max_holds;
            return REJ_CAPACITY;
        }
    }
    return REJ_NONE;
}

/* DEPOSIT, WITHDRAW, HOLD, TRANSFER. */
void money_command(core *c, const core_command *cmd) {
    u32 a = cmd->account, x = cmd->instrument;
    i64 qty = 0, leaves = 0;
    if (!account_known(c, a)) return command_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0);
    if (!cmd->cl_ord_id[0] || !id_form_ok(cmd->cl_ord_id)) return command_reject(c, cmd, REJ_MALFORMED, 0, 0);
    u64 hash = id_hash(a, cmd->cl_ord_id), body = body_hash(cmd);
    int fresh;
    id_record *r = id_enter(c, hash, a, cmd->cl_ord_id, &fresh);
    if (!fresh) {
        if (r->body != body) return command_reject(c, cmd, REJ_DUPLICATE_CL_ORD_ID, 0, 0);
        id_event(c, r, emit(c, cmd, EV_DUPLICATE));
        return;
    }
    u16 reason = money_refusal(c, cmd, &qty, &leaves);
    id_write(c, r, cmd, hash, body, (answer){.qty = qty, .leaves = leaves, .instrument = x, .reason = reason});
    if (reason) return command_reject(c, cmd, reason, qty, leaves);
    core_balance *b = balance_at(c, a, x);
    i64 amount = cmd->amount;
    if (cmd->type == CMD_DEPOSIT) {
        b->available += amount;
        c->assets[x].net_deposits += amount;
        balance_event(c, cmd, a, x, amount, 0, 0, 0);
    } else if (cmd->type == CMD_WITHDRAW) {
        b->available -= amount;
        c->assets[x].net_deposits -= amount;
        balance_event(c, cmd, a, x, -amount, 0, 0, 0);
    } else if (cmd->type == CMD_TRANSFER) {
        u32 other = (u32)cmd->order_id;
        b->available -= amount;
        balance_at(c, other, x)->available += amount;
        balance_event(c, cmd, a, x, -amount, 0, 0, other);
        balance_event(c, cmd, other, x, amount, 0, 0, a);
    } else {
        u32 slot = slot_take(&c->hold_slots);
        hold *h = &c->holds[slot];
        if (!h->generation) h->generation = 1;
        h->account = a;
        h->asset = x;
        h->amount = amount;
        c->hold_live[slot] = 1;
        b->available -= amount;
        b->held += amount;
        r->order_id = (u64)h->generation << 32 | slot;
        balance_event(c, cmd, a, x, 0, amount, r->order_id, 0);
    }
}

/* HOLD_RELEASE, HOLD_SETTLE: the hold id is used up, so a repeat is refused with 8001. */
void hold_command(core *c, const core_command *cmd) {
    u32 slot = (u32)cmd->order_id;
    if (!slot || slot > c->hold_slots.top || !c->hold_live[slot] || c->holds[slot].generation != cmd->order_id >> 32 || c->holds[slot].account != cmd->account)
        return command_reject(c, cmd, REJ_UNKNOWN_HOLD, 0, 0);
    hold *h = &c->holds[slot];
    core_balance *b = balance_at(c, h->account, h->asset);
    i64 amount = h->amount;
    int settles = cmd->type == CMD_HOLD_SETTLE;
    if (settles && (i128)c->assets[h->asset].net_deposits - amount < -MAX_AMOUNT)
        return command_reject(c, cmd, REJ_OVERFLOW, 0, 0);
    b->held -= amount;
    if (settles) c->assets[h->asset].net_deposits -= amount;
    else b->available += amount;
    balance_event(c, cmd, h->account, h->asset, settles ? -amount : 0, -amount, cmd->order_id, 0);
    c->hold_live[slot] = 0;
    h->amount = 0;
    if (++h->generation < RETIRED_GENERATION) slot_give(&c->hold_slots, slot);
    else c->hold_slots.live--;
}
