/*
 * admin.c - reference data, limits, halts, mass cancel and time: every command that is neither an order nor money.
 */
#include "event.h"

void command_reject(core *c, const core_command *cmd, u16 reason, i64 qty, i64 leaves) {
    core_event *e = emit(c, cmd, EV_COMMAND_REJECTED);
    e->reason = reason;
    e->account = cmd->account;
    e->instrument = cmd->instrument;
    e->order_id = cmd->order_id;
    e->qty = qty;
    e->leaves = leaves;
}

static core_event *echo(core *c, const core_command *cmd, u16 type) {
    core_event *e = emit(c, cmd, type);
    e->account = cmd->account;
    e->instrument = cmd->instrument;
    return e;
}

static void asset_upsert(core *c, const core_command *cmd) {
    u32 i = cmd->instrument;
    if (i == 0 || i >= c->config.max_assets) return command_reject(c, cmd, REJ_UNKNOWN_ASSET, 0, 0);
    if (cmd->side > 12) return command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    asset *a = &c->assets[i];
    if (a->known && a->scale != cmd->side) return command_reject(c, cmd, REJ_LISTING_FROZEN, 0, 0);
    if (!a->known) {
        a->known = 1;
        a->scale = cmd->side;
        c->n_assets++;
        if (i > c->last_asset) c->last_asset = i;
    }
    echo(c, cmd, EV_ASSET_UPSERTED);
}

/* What an INSTRUMENT_UPSERT carries in cl_ord_id. */
typedef struct { i32 maker_ppm, taker_ppm, margin_ppm, collar_ppm; i64 min_qty, max_notional, zero; } listing_data;
_Static_assert(sizeof(listing_data) == 40, "the field's size");

static inline int ppm_ok(i32 ppm) { return ppm >= 0 && ppm <= MILLION; }

static u16 listing_refusal(const core *c, const core_command *cmd, const listing_data *d) {
    u32 base = (u32)(cmd->order_id >> 32), quote = (u32)cmd->order_id;
    if (cmd->instrument == 0 || cmd->instrument >= c->config.max_instruments) return REJ_UNKNOWN_INSTRUMENT;
    if (!asset_known(c, quote)) return REJ_UNKNOWN_ASSET;
    if (!asset_known(c, base) && !(base == 0 && cmd->ord_type == KIND_MARGIN)) return REJ_UNKNOWN_ASSET;
    if ((cmd->ord_type != KIND_SPOT && cmd->ord_type != KIND_MARGIN) || cmd->tif > STATE_CLOSED) return REJ_BAD_LISTING;
    if (cmd->amount < 1 || cmd->aux < 1 || d->min_qty < 1) return REJ_BAD_LISTING;
    if (cmd->qty < 0 || d->max_notional < 0 || cmd->price < 0 || cmd->price > MAX_AMOUNT) return REJ_BAD_LISTING;
    if (!ppm_ok(d->maker_ppm) || !ppm_ok(d->taker_ppm) || !ppm_ok(d->margin_ppm) || !ppm_ok(d->collar_ppm)) return REJ_BAD_LISTING;
    if (cmd->ord_type == KIND_MARGIN && d->margin_ppm == 0) return REJ_BAD_LISTING;
    if (base == quote) return REJ_BAD_LISTING;
    const instrument *in = &c->instruments[cmd->instrument];
    if (!in->kind) return REJ_NONE;
    if (in->kind != cmd->ord_type || in->base_asset != base || in->quote_asset != quote || in->tick_value != cmd->amount || in->lot_minor != cmd->aux) return REJ_LISTING_FROZEN;
    int rates_change = in->maker_ppm != (u32)d->maker_ppm || in->taker_ppm != (u32)d->taker_ppm || in->margin_ppm != (u32)d->margin_ppm;
    if (rates_change && (in->live_orders || in->positions)) return REJ_LISTING_FROZEN;
    return REJ_NONE;
}

static void instrument_upsert(core *c, const core_command *cmd) {
    listing_data d;
    memcpy(&d, cmd->cl_ord_id, sizeof d);
    u16 reason = listing_refusal(c, cmd, &d);
    if (reason) return command_reject(c, cmd, reason, 0, 0);
    instrument *in = &c->instruments[cmd->instrument];
    if (!in->kind) {
        in->kind = cmd->ord_type;
        in->state = cmd->tif;
        in->base_asset = (u32)(cmd->order_id >> 32);
        in->quote_asset = (u32)cmd->order_id;
        in->tick_value = cmd->amount;
        in->lot_minor = cmd->aux;
        c->n_instruments++;
        if (cmd->instrument > c->last_instrument) c->last_instrument = cmd->instrument;
    }
    in->maker_ppm = (u32)d.maker_ppm;
    in->taker_ppm = (u32)d.taker_ppm;
    in->margin_ppm = (u32)d.margin_ppm;
    in->collar_ppm = (u32)d.collar_ppm;
    in->reserve_ppm = in->maker_ppm > in->taker_ppm ? in->maker_ppm : in->taker_ppm;
    in->min_qty = d.min_qty;
    in->max_qty = cmd->qty;
    in->max_notional = d.max_notional;
    if (cmd->price) in->ref_price = cmd->price;
    in->bound_ref = 0;
    echo(c, cmd, EV_INSTRUMENT_UPSERTED);
}

static void account_upsert(core *c, const core_command *cmd) {
    u32 i = cmd->account;
    if (i == 0 || i >= c->config.max_accounts) return command_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0);
    if (cmd->aux < 0 || cmd->aux > (i64)UINT32_MAX) return command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    account *a = account_at(c, i);
    if (!a->registered) {
        a->registered = 1;
        c->n_accounts++;
        if (i > c->last_account) c->last_account = i;
    }
    a->stp_group = cmd->aux ? (u32)cmd->aux : i;
    echo(c, cmd, EV_ACCOUNT_UPSERTED);
}

static void limits_set(core *c, const core_command *cmd) {
    if (cmd->account == 0 || !account_known(c, cmd->account)) return command_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0);
    if (cmd->qty < 0 || cmd->amount < 0) return command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    account *a = account_at(c, cmd->account);
    a->order_cap = cmd->qty;
    a->max_notional = cmd->amount;
    core_event *e = emit(c, cmd, EV_LIMITS_SET);
    e->account = cmd->account;
    e->qty = cmd->qty;
    e->amount = cmd->amount;
}

static void halt_set(core *c, const core_command *cmd) {
    u8 scope = cmd->ord_type;
    if (scope == 2 && !instrument_known(c, cmd->instrument)) return command_reject(c, cmd, REJ_UNKNOWN_INSTRUMENT, 0, 0);
    if (scope == 3 && (cmd->account == 0 || !account_known(c, cmd->account))) return command_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0);
    if (scope < 1 || scope > 3 || cmd->side > STATE_CLOSED) return command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    if (scope == 1) c->global_state = cmd->side;
    else if (scope == 2) c->instruments[cmd->instrument].state = cmd->side;
    else account_at(c, cmd->account)->state = cmd->side;
    core_event *e = echo(c, cmd, EV_HALT_SET);
    e->side = cmd->side;
    e->price = scope;
}

/*
 * Take out live orders by slot order, at most max_cancels. Only the 8-byte keys are scanned, not the orders. *more: another one is left.
 */
static u32 sweep(core *c, const core_command *cmd, u32 a, u32 i, u8 side, int day_only, u16 type, u16 reason, int *more) {
    u32 n = 0;
    *more = 0;
    for (u32 slot = 1; slot <= c->order_slots.top; slot++) {
        u64 key = c->keys[slot];
        if (!key || (a != ANY && key_account(key) != a) || (i != ANY && key_instrument(key) != i) || (side && (key & 3) != side)) continue;
        if (day_only && c->orders[slot].tif != TIF_DAY) continue;
        if (n == c->max_cancels) {
            *more = 1;
            break;
        }
        order_leave(c, cmd, slot, type, reason);
        n++;
    }
    return n;
}

static void mass_cancel(core *c, const core_command *cmd) {
    int more;
    if (cmd->account != ANY && !account_known(c, cmd->account)) return command_reject(c, cmd, REJ_UNKNOWN_ACCOUNT, 0, 0);
    if (cmd->instrument != ANY && !instrument_known(c, cmd->instrument)) return command_reject(c, cmd, REJ_UNKNOWN_INSTRUMENT, 0, 0);
    if (cmd->side > SIDE_SELL) return command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    u32 n = sweep(c, cmd, cmd->account, cmd->instrument, cmd->side, 0, EV_ORDER_CANCELED, CXL_MASS, &more);
    core_event *e = echo(c, cmd, EV_MASS_CANCEL_DONE);
    e->side = cmd->side;
    e->qty = n;
    if (more) e->flags |= EVF_MORE;
}

static void session_close(core *c, const core_command *cmd) {
    int more;
    if (!instrument_known(c, cmd->instrument)) return command_reject(c, cmd, REJ_UNKNOWN_INSTRUMENT, 0, 0);
    c->instruments[cmd->instrument].state = STATE_CLOSED;
    u32 n = sweep(c, cmd, ANY, cmd->instrument, 0, 1, EV_ORDER_EXPIRED, CXL_DAY_END, &more);
    core_event *e = emit(c, cmd, EV_SESSION_CLOSED);
    e->instrument = cmd->instrument;
    e->qty = n;
    if (more) e->flags |= EVF_MORE;
}

static void time_passes(core *c, const core_command *cmd) {
    u32 n = 0;
    while (n < c->max_cancels && c->heap_count && c->cold[c->heap[1]].expire_ns <= cmd->time_ns) {
        order_leave(c, cmd, c->heap[1], EV_ORDER_EXPIRED, CXL_GTD);
        n++;
    }
    core_event *e = emit(c, cmd, EV_TIME);
    e->qty = n;
    if (c->heap_count && c->cold[c->heap[1]].expire_ns <= cmd->time_ns) e->flags |= EVF_MORE;
}

static void day_roll(core *c, const core_command *cmd) {
    if (cmd->amount <= (i64)c->trading_day || cmd->amount > (i64)UINT32_MAX) return command_reject(c, cmd, REJ_MALFORMED, 0, 0);
    id_forget_before(c, c->trading_day);
    c->trading_day = (u32)cmd->amount;
    emit(c, cmd, EV_DAY_ROLLED)->amount = cmd->amount;
}

void admin_command(core *c, const core_command *cmd) {
    switch (cmd->type) {
    case CMD_MASS_CANCEL: mass_cancel(c, cmd); break;
    case CMD_ASSET_UPSERT: asset_upsert(c, cmd); break;
    case CMD_INSTRUMENT_UPSERT: instrument_upsert(c, cmd); break;
    case CMD_ACCOUNT_UPSERT: account_upsert(c, cmd); break;
    case CMD_LIMITS_SET: limits_set(c, cmd); break;
    case CMD_HALT_SET: halt_set(c, cmd); break;
    case CMD_TIME: time_passes(c, cmd); break;
    case CMD_SESSION_CLOSE: session_close(c, cmd); break;
    case CMD_DAY_ROLL: day_roll(c, cmd); break;
    default: command_reject(c, cmd, REJ_UNSUPPORTED, 0, 0);
    }
}
