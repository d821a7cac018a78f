/*
 * core.c - opening and closing, the loop over commands, queries.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef CORE_BUILD_ID
#define CORE_BUILD_ID "unknown"
#endif

#define GROUP 32 /* commands whose memory is brought in together */

const char *core_build_id(void) { return CORE_BUILD_ID; }

/* ---- opening --------------------------------------------------------------------------------------------------------------------- */

#define HUGE_PAGE ((size_t)2 << 20)

/* Zeroed memory that costs nothing until it is touched. Returns NULL when there is none. */
static void *map_memory(core *c, size_t count, size_t size) {
    size_t bytes = (count * size + 4095) & ~(size_t)4095;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return NULL;
    assert(c->n_maps < sizeof c->maps / sizeof c->maps[0]);
    c->maps[c->n_maps].at = at;
    c->maps[c->n_maps].size = bytes;
    c->n_maps++;
    return at;
}

/*
 * The same for what is looked up at random: on huge pages where the system gives them, as a miss of the address translation costs as much as one of the
 * cache. Small tables stay on small pages.
 */
static void *map_hot(core *c, size_t count, size_t size) {
    if (count * size < HUGE_PAGE) return map_memory(c, count, size);
    size_t bytes = (count * size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    u8 *at = map_memory(c, bytes + HUGE_PAGE, 1);
    if (!at) return NULL;
    at += -(uintptr_t)at & (HUGE_PAGE - 1);
#ifdef MADV_HUGEPAGE
    (void)madvise(at, bytes, MADV_HUGEPAGE);
#endif
    return at;
}

static int limit_ok(u32 x, u32 least, u32 most) { return x >= least && x <= most; }

core *core_open(const core_config *config) {
    core_config f = *config;
    if (!limit_ok(f.max_assets, 2, 1u << 16) || !limit_ok(f.max_instruments, 2, 1u << 16) || !limit_ok(f.max_accounts, 2, 1u << 26)
        || !limit_ok(f.max_orders, 1, 1u << 28) || !limit_ok(f.max_levels, 1, 1u << 26) || !limit_ok(f.max_cl_ord_ids, 1, 1u << 28)
        || !limit_ok(f.max_holds, 1, 1u << 28) || f.max_fills_per_command > 1u << 20 || f.max_cancels_per_command > 1u << 20 || f.reserved)
        return NULL;
    core *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->config = f;
    c->max_fills = f.max_fills_per_command ? f.max_fills_per_command : 1024;
    c->max_cancels = f.max_cancels_per_command ? f.max_cancels_per_command : 1024;
    c->events_max = 2 * c->max_fills + 2 > c->max_cancels + 1 ? 2 * c->max_fills + 2 : c->max_cancels + 1;
    c->account_stride = (16 + (size_t)f.max_assets * 16 + 63) & ~(size_t)63;
    while ((u64)c->id_mask * 4 < f.max_cl_ord_ids) c->id_mask = c->id_mask * 2 + 1; /* 1.75 places or more for each id */

    c->accounts = map_hot(c, f.max_accounts, c->account_stride);
    c->rows = map_memory(c, (size_t)f.max_instruments * f.max_accounts, sizeof(margin_row));
    c->assets = map_memory(c, f.max_assets, sizeof(asset));
    c->instruments = map_memory(c, f.max_instruments, sizeof(instrument));
    c->orders = map_hot(c, (size_t)f.max_orders + 1, sizeof(order));
    c->cold = map_hot(c, (size_t)f.max_orders + 1, sizeof(order_cold));
    c->keys = map_hot(c, (size_t)f.max_orders + 1, sizeof(u64));
    c->heap = map_memory(c, (size_t)f.max_orders + 2, sizeof(u32));
    c->order_slots.free = map_memory(c, (size_t)f.max_orders + 1, sizeof(u32));
    c->holds = map_memory(c, (size_t)f.max_holds + 1, sizeof(hold));
    c->hold_live = map_memory(c, (size_t)f.max_holds + 1, 1);
    c->hold_slots.free = map_memory(c, (size_t)f.max_holds + 1, sizeof(u32));
    c->fars = map_memory(c, (size_t)f.max_levels + 1, sizeof(far_level));
    c->scratch = map_memory(c, WINDOW, sizeof(level));
    c->ids = map_hot(c, f.max_cl_ord_ids, sizeof(id_record));
    c->id_index = map_hot(c, (size_t)c->id_mask + 1, sizeof(id_bucket));
    level *levels = map_memory(c, (size_t)f.max_instruments * WINDOW, sizeof(level));
    u64 *bits = map_memory(c, (size_t)f.max_instruments * WINDOW_WORDS * 2, sizeof(u64));
    if (c->n_maps != 18) {
        core_close(c);
        return NULL;
    }
    c->order_slots.cap = f.max_orders;
    c->hold_slots.cap = f.max_holds;
    for (u32 i = 0; i < f.max_instruments; i++) {
        book *b = &c->instruments[i].book;
        b->base = 1;
        b->best[1] = NO_ASK;
        b->levels = levels + (size_t)i * WINDOW;
        b->bits[0] = bits + (size_t)i * WINDOW_WORDS * 2;
        b->bits[1] = b->bits[0] + WINDOW_WORDS;
    }
    account_at(c, 0)->registered = 1;
    c->n_accounts = 1;
    return c;
}

void core_close(core *c) {
    if (!c) return;
    for (u32 i = 0; i < c->n_maps; i++) munmap(c->maps[i].at, c->maps[i].size);
    free(c);
}

/* ---- slots ------------------------------------------------------------------------------------------------------------ */

/* Last freed first, else the next fresh one. The caller made sure that there is one. */
u32 slot_take(slots *s) {
    u32 some = s->free_count != 0, fresh = s->top + 1, freed = s->free[s->free_count - some]; /* which it will be cannot be guessed */
    assert(some || s->top < s->cap);
    s->live++;
    s->free_count -= some;
    s->top += !some;
    return (u32)pick(some, freed, fresh);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------- */

/*
 * Bringing in memory ahead: GROUP commands are looked at twice before the first is applied, so that their cache and address translation misses overlap.
 * Plain loads, not prefetch instructions: the latter are dropped when the translation misses too, which is the common case for tables of this size.
 * They only read, and only memory that is always there; what they see decides nothing.
 */

/* What of a group is looked at again, as lists of positions: walking a list goes on without a guess where asking each command for its type would not. */
typedef struct { u8 entering[GROUP], leaving[GROUP], named[GROUP]; u32 n_entering, n_leaving, n_named; } group;

/* First look: what is found from the command alone. Few instructions per load, so that many loads are under way at once. */
static inline void look_first(const core *c, const core_command *commands, u32 n, group *g) {
    g->n_entering = g->n_leaving = g->n_named = 0;
    for (u32 i = 0; i < n; i++) {
        const core_command *cmd = &commands[i];
        TOUCH(account_at(c, cmd->account < c->config.max_accounts ? cmd->account : 0));
        g->entering[g->n_entering] = g->leaving[g->n_leaving] = g->named[g->n_named] = (u8)i;
        g->n_entering += cmd->type == CMD_ORDER_NEW;
        g->n_leaving += (cmd->type == CMD_ORDER_CANCEL) | (cmd->type == CMD_ORDER_REPLACE);
        g->n_named += cmd->cl_ord_id[0] != 0;
    }
    for (u32 k = 0; k < g->n_leaving; k++) {
        u32 slot = (u32)commands[g->leaving[k]].order_id;
        slot = slot <= c->order_slots.top ? slot : 0;
        TOUCH(&c->orders[slot]);
        TOUCH(&c->keys[slot]);
    }
}

/* Second look, at what the first one found: balances, the neighbours of an order that will leave, the order one will queue behind or trade with. */
static inline void look_second(const core *c, const core_command *commands, const group *g) {
    for (u32 k = 0; k < g->n_entering; k++) {
        const core_command *cmd = &commands[g->entering[k]];
        if (UNLIKELY(cmd->instrument >= c->config.max_instruments || cmd->account >= c->config.max_accounts)) continue;
        const instrument *in = &c->instruments[cmd->instrument];
        TOUCH(balance_at(c, cmd->account, cmd->side == SIDE_BUY ? in->quote_asset : in->base_asset));
        if (UNLIKELY(is_margin(in))) TOUCH(row_at(c, cmd->account, cmd->instrument));
        book_look(c, in, cmd->side, cmd->price);
        u32 free_count = c->order_slots.free_count;
        TOUCH(&c->orders[k < free_count ? c->order_slots.free[free_count - 1 - k] : 0]);
    }
    for (u32 k = 0; k < g->n_leaving; k++) {
        u32 slot = (u32)commands[g->leaving[k]].order_id;
        const order *o = &c->orders[slot <= c->order_slots.top ? slot : 0];
        const instrument *in = &c->instruments[o->instrument];
        TOUCH(&c->orders[o->prev]);
        TOUCH(&c->orders[o->next]);
        TOUCH(balance_at(c, o->account, o->side == SIDE_BUY ? in->quote_asset : in->base_asset));
    }
}

/* Look at all of a group; the hashes of its ids are kept for when it is applied. */
static void look(const core *c, const core_command *commands, u32 n, u64 *hashes) {
    group g;
    look_first(c, commands, n, &g);
    for (u32 k = 0; k < g.n_named; k++) hashes[g.named[k]] = id_hash(commands[g.named[k]].account, commands[g.named[k]].cl_ord_id);
    for (u32 k = 0; k < g.n_named; k++) id_look(c, hashes[g.named[k]]);
    look_second(c, commands, &g);
}

static void apply_one(core *c, const core_command *cmd, u64 hash) {
    if (UNLIKELY(cmd->version != CORE_ABI_VERSION)) {
        if (cmd->type >= CMD_ORDER_NEW && cmd->type <= CMD_ORDER_REPLACE) order_reject(c, cmd, REJ_BAD_VERSION, 0, 0, 0);
        else command_reject(c, cmd, REJ_BAD_VERSION, 0, 0);
        return;
    }
    if (LIKELY(cmd->type == CMD_ORDER_NEW)) return order_new(c, cmd, hash);
    if (LIKELY(cmd->type == CMD_ORDER_CANCEL)) return order_cancel(c, cmd);
    switch (cmd->type) {
    case CMD_ORDER_REPLACE: order_replace(c, cmd, hash); break;
    case CMD_DEPOSIT:
    case CMD_WITHDRAW:
    case CMD_HOLD:
    case CMD_TRANSFER: money_command(c, cmd); break;
    case CMD_HOLD_RELEASE:
    case CMD_HOLD_SETTLE: hold_command(c, cmd); break;
    default: admin_command(c, cmd);
    }
}

int64_t core_apply(core *c, const core_command *commands, uint32_t n, core_event *events, uint32_t cap, uint32_t *n_events) {
    u64 hashes[GROUP] = {0};
    u32 done = 0, group = 0;
    *n_events = 0;
    if (cap < c->events_max) return -2;
    c->event = events;
    core_event *last_start = events + (cap - c->events_max); /* behind it a command's events might not fit */
    for (; done < n; done++) {
        const core_command *cmd = &commands[done];
        if (done == group) {
            group = n - done < GROUP ? n : done + GROUP;
            look(c, cmd, group - done, hashes);
        }
        if (UNLIKELY(c->event > last_start)) break;
        if (UNLIKELY(cmd->seq != c->cmd_seq + 1 || cmd->time_ns < c->time_ns)) {
            if (!done) return -1;
            break;
        }
        c->cmd_seq = cmd->seq;
        c->time_ns = cmd->time_ns;
        apply_one(c, cmd, hashes[done % GROUP]);
        c->event[-1].flags |= EVF_LAST;
    }
    *n_events = (u32)(c->event - events);
    c->event = NULL;
    return done;
}

int64_t core_apply_bytes(core *c, const char *commands, size_t size, core_event *events, uint32_t cap, uint32_t *n_events) {
    u32 n = (u32)(size / sizeof(core_command));
    int64_t done = core_apply(c, (const core_command *)(const void *)commands, n, events, cap, n_events);
    if (LIKELY(done == n)) return *n_events;
    return done > 0 ? -1 - done : -1;
}

uint32_t core_events_max(const core *c) { return c->events_max; }

/* ---- queries --------------------------------------------------------------------------------------------------------------------- */

void core_stats_get(const core *c, core_stats *out) {
    memset(out, 0, sizeof *out);
    out->cmd_seq = c->cmd_seq;
    out->event_seq = c->event_seq;
    out->time_ns = c->time_ns;
    out->live_orders = c->order_slots.live;
    out->accounts = c->n_accounts;
    out->instruments = c->n_instruments;
    out->assets = c->n_assets;
    out->holds = c->hold_slots.live;
    out->cl_ord_ids = c->id_count;
    out->trading_day = c->trading_day;
    out->global_state = c->global_state;
    out->matches = c->matches;
}

static u32 depth_side(const core *c, const instrument *in, u8 side, core_level *out, u32 n) {
    u32 count = 0;
    for (i64 price = book_best(&in->book, side); count < n && price != book_none(side); price = book_next(c, &in->book, side, price)) {
        const level *lv = book_level_peek(c, in, side, price);
        out[count++] = (core_level){price, lv->qty, lv->count, 0};
    }
    return count;
}

int core_depth(const core *c, uint32_t instrument_index, core_level *bids, core_level *asks, uint32_t n, uint32_t *n_bids, uint32_t *n_asks) {
    *n_bids = *n_asks = 0;
    if (!instrument_known(c, instrument_index)) return -1;
    *n_bids = depth_side(c, &c->instruments[instrument_index], SIDE_BUY, bids, n);
    *n_asks = depth_side(c, &c->instruments[instrument_index], SIDE_SELL, asks, n);
    return 0;
}

static void order_describe(const core *c, u32 slot, core_order *out) {
    const order *o = &c->orders[slot];
    memset(out, 0, sizeof *out);
    out->order_id = order_id_of(c, slot);
    out->account = o->account;
    out->instrument = o->instrument;
    out->side = o->side;
    out->ord_type = o->type;
    out->tif = o->tif;
    out->version = o->version;
    out->flags = o->flags;
    out->price = o->price;
    out->order_qty = o->leaves + o->cum;
    out->leaves = o->leaves;
    out->cum_qty = o->cum;
    out->expire_ns = c->cold[slot].expire_ns;
    out->held = o->held;
    out->entry_seq = c->cold[slot].entry_seq;
}

int core_order_get(const core *c, uint64_t order_id, core_order *out) {
    u32 slot = (u32)order_id;
    if (!slot || slot > c->order_slots.top || !c->keys[slot] || order_id_of(c, slot) != order_id) return 0;
    order_describe(c, slot, out);
    return 1;
}

uint32_t core_orders_of(const core *c, uint32_t account_index, uint64_t after_order_id, core_order *out, uint32_t cap) {
    u32 n = 0;
    for (u64 slot = (u64)(u32)after_order_id + 1; slot <= c->order_slots.top && n < cap; slot++) {
        if (c->keys[slot] && (account_index == ANY || key_account(c->keys[slot]) == account_index)) order_describe(c, (u32)slot, &out[n++]);
    }
    return n;
}

int core_cl_ord_id_get(const core *c, uint32_t account_index, const char *cl_ord_id, core_event *out) {
    char id[40] = {0};
    for (u32 i = 0; i < CORE_CL_ORD_ID_MAX && cl_ord_id[i]; i++) id[i] = cl_ord_id[i];
    if (!id[0] || !id_form_ok(id) || !account_known(c, account_index)) return 0;
    const id_record *r = id_find(c, id_hash(account_index, id), account_index, id);
    if (!r) return 0;
    memset(out, 0, sizeof *out);
    out->cmd_seq = c->cmd_seq;
    out->time_ns = c->time_ns;
    id_event(c, r, out);
    return 1;
}

int core_balance_get(const core *c, uint32_t account_index, uint32_t asset_index, core_balance *out) {
    memset(out, 0, sizeof *out);
    if (!account_known(c, account_index) || !asset_known(c, asset_index)) return 0;
    *out = *balance_at(c, account_index, asset_index);
    return 1;
}

int core_position_get(const core *c, uint32_t account_index, uint32_t instrument_index, core_position *out) {
    memset(out, 0, sizeof *out);
    if (!account_known(c, account_index) || !instrument_known(c, instrument_index) || !is_margin(&c->instruments[instrument_index])) return 0;
    const margin_row *r = row_at(c, account_index, instrument_index);
    *out = (core_position){r->net, r->cost, r->buy_notional, r->sell_notional, r->fee_reserve, r->hold};
    return 1;
}

int64_t core_clearing_get(const core *c, uint32_t asset_index) { return asset_known(c, asset_index) ? c->assets[asset_index].clearing : 0; }

int64_t core_next_expiry(const core *c) { return c->heap_count ? c->cold[c->heap[1]].expire_ns : 0; }

int64_t core_reference_price(const core *c, uint32_t instrument_index) {
    return instrument_known(c, instrument_index) ? c->instruments[instrument_index].ref_price : 0;
}
