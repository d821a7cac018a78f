/*
 * orders.c - the three commands about orders: new, cancel, replace. What they are asked first is in checks.c, matching in match.c.
 *
 * Nothing here fails: a refusal is an event.
 */
#include "event.h"
#include "usual.h"

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

/* ---- commands ---------------------------------------------------------------------------------------------------------------------- */

/* Where the answer to a command with an id will be remembered; `record` is NULL without an id. */
typedef struct { id_record *record; u64 hash, body; } memory;

/* Steps 2 and 3. Returns 1 when the command is answered already; else *m is ready for remember(). */
static inline int answered_before(core *c, const core_command *cmd, u64 hash, memory *m) {
    int fresh;
    m->record = NULL;
    if (UNLIKELY(cmd->account == 0 || !account_known(c, cmd->account))) {
        order_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0, 0);
        return 1;
    }
    if (UNLIKELY(!id_form_ok(cmd->cl_ord_id))) {
        order_reject(c, cmd, REJ_MALFORMED, 0, 0, 0);
        return 1;
    }
    if (!cmd->cl_ord_id[0]) return 0;
    m->hash = hash;
    m->body = body_hash(cmd);
    m->record = id_enter(c, hash, cmd->account, cmd->cl_ord_id, &fresh);
    if (LIKELY(fresh)) return 0;
    if (m->record->body == m->body) id_event(c, m->record, emit(c, cmd, EV_DUPLICATE));
    else order_reject(c, cmd, REJ_DUPLICATE_CL_ORD_ID, 0, 0, 0);
    return 1;
}

static inline void remember(core *c, const core_command *cmd, const memory *m, answer a) {
    if (LIKELY(m->record != NULL)) id_write(c, m->record, cmd, m->hash, m->body, a);
}

static void refuse(core *c, const core_command *cmd, const memory *m, u16 reason, const plan *p) {
    u64 order_id = cmd->type == CMD_ORDER_NEW ? 0 : cmd->order_id;
    remember(c, cmd, m, (answer){order_id, p->qty, p->leaves, 0, p->price, cmd->instrument, reason, cmd->side, 0});
    order_reject(c, cmd, reason, p->price, p->qty, p->leaves);
}

/* CMD_ORDER_NEW. Cost: see native/bench; at most max_fills matches. */
void order_new(core *c, const core_command *cmd, u64 hash) {
    memory m;
    plan p;
    if (answered_before(c, cmd, hash, &m)) return;
    instrument *in = instrument_at(c, cmd->instrument);
    account *a = account_at(c, cmd->account);
    if (UNLIKELY(!usual_accepted(c, cmd, in, a, &p))) {
        u16 reason = new_refusal(c, cmd, cmd->time_ns, 0, &p);
        if (reason) return refuse(c, cmd, &m, reason, &p);
    }
    a->open_orders++;
    in->live_orders++;
    u32 slot = slot_take(&c->order_slots);
    c->cold[slot] = (order_cold){cmd->amount, cmd->seq};
    c->keys[slot] = order_key(cmd->account, cmd->instrument, cmd->side);
    order *o = &c->orders[slot];
    o->prev = o->next = 0;
    o->account = cmd->account;
    o->generation += o->generation == 0;
    o->price = p.limit;
    o->leaves = cmd->qty;
    o->cum = 0;
    o->held = 0;
    o->instrument = (u16)cmd->instrument;
    memcpy(&o->side, &cmd->side, 4);
    o->version = 1;
    o->flags = (u8)cmd->flags;
    o->heap = NO_HEAP;
    if (UNLIKELY(cmd->tif == TIF_GTD)) heap_push(c, slot);
    if (LIKELY(!is_margin(in))) { /* what the check of funds found is the hold */
        core_balance *pays = balance_in(a, (u32)pick(cmd->side == SIDE_BUY, in->quote_asset, in->base_asset));
        o->held = p.needed;
        pays->available -= p.needed;
        pays->held += p.needed;
    } else order_hold_change(c, in, o, p.limit, 0, p.limit, p.money);
    collar_keep(in);

    u64 id = order_id_of(c, slot);
    outcome result = {cmd->qty, cmd->qty, 0};
    if ((p.crossing == 0) & may_rest(o)) {
        event_about(c, cmd, EV_ORDER_ACCEPTED, slot, o, in, a, (told){.price = p.limit, .qty = cmd->qty, .flags = EVF_BOOK});
        book_append(c, in, slot);
    } else {
        event_about(c, cmd, EV_ORDER_ACCEPTED, slot, o, in, a, (told){.price = p.limit, .qty = cmd->qty, .flags = p.crossing ? EVF_CROSSES : 0});
        result = match_incoming(c, cmd, slot, p.money, p.crossing);
    }
    remember(c, cmd, &m, (answer){id, result.qty, result.leaves, result.cum, p.limit, cmd->instrument, 0, cmd->side, 1});
}

/* The order an id names, 0 = none. */
static __attribute__((noinline)) u64 order_named(const core *c, const core_command *cmd) {
    const id_record *r = cmd->cl_ord_id[0] && id_form_ok(cmd->cl_ord_id) ? id_find(c, id_hash(cmd->account, cmd->cl_ord_id), cmd->account, cmd->cl_ord_id) : NULL;
    return r && !r->reason && (r->type == CMD_ORDER_NEW || r->type == CMD_ORDER_REPLACE) ? r->order_id : 0;
}

/* CMD_ORDER_CANCEL. Passes in every state. */
void order_cancel(core *c, const core_command *cmd) {
    if (UNLIKELY(cmd->account == 0 || !account_known(c, cmd->account))) return order_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0, 0);
    u16 reason;
    u64 id = UNLIKELY(cmd->flags & CF_CANCEL_BY_CL_ORD_ID) ? order_named(c, cmd) : cmd->order_id;
    u32 slot = order_find(c, id, cmd->account, &reason);
    if (UNLIKELY(!slot)) return order_reject(c, cmd, reason, 0, 0, 0);
    order_leave(c, cmd, slot, EV_ORDER_CANCELED, CXL_USER);
}

/* CMD_ORDER_REPLACE: reduce in place, or take the order out and let it enter as if new under its old id. */
void order_replace(core *c, const core_command *cmd, u64 hash) {
    memory m;
    plan p;
    u16 reason;
    if (answered_before(c, cmd, hash, &m)) return;
    memset(&p, 0, offsetof(plan, walk));
    p.crossing = 0;
    u32 slot = order_find(c, cmd->order_id, cmd->account, &reason);
    order *o = &c->orders[slot];
    if (slot) reason = replace_refusal(c, cmd, o, &p);
    if (reason) return refuse(c, cmd, &m, reason, &p);
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
    answer a = {.order_id = cmd->order_id, .price = cmd->price, .instrument = o->instrument, .side = o->side, .version = o->version};
    u16 flags = keeps ? EVF_BOOK | EVF_PRIORITY_KEPT : p.crossing ? EVF_BOOK | EVF_CROSSES : EVF_BOOK;
    order_event(c, cmd, EV_ORDER_REPLACED, slot, (told){cmd->price, cmd->qty, old_leaves, 0, (u64)old_price, 0, flags});
    outcome result = {cmd->qty, leaves, o->cum};
    if (!keeps) result = match_incoming(c, cmd, slot, leaves, p.crossing);
    a.qty = result.qty;
    a.leaves = result.leaves;
    a.cum = result.cum;
    remember(c, cmd, &m, a);
}
