/*
 * flows.h - the measured flows: base (60 % add, 30 % cancel, 10 % IOC), modify (45 / 20 / 10 and 25 % replace) and deep (100,000 orders resting over
 * 2 x 2,000 ticks first, then the base mix). Seeded; a core is run while generating so that cancels and replaces name real orders.
 */
#ifndef BROKERAGE_FLOWS_H
#define BROKERAGE_FLOWS_H

#include "core.h"

#include <stdlib.h>
#include <string.h>

#define ACCOUNTS 65536u
#ifndef IOC_LOTS
#define IOC_LOTS 300
#endif
#define SETUP_MOST (ACCOUNTS * 3 + 16)

typedef struct {
    const char *name;
    uint32_t add, cancel, ioc, preload;   /* per cent; the rest replaces */
} flow_kind;

static const flow_kind flow_kinds[] = {{"base", 60, 30, 10, 0}, {"modify", 45, 20, 10, 0}, {"deep", 60, 30, 10, 100000}};

typedef struct {
    core_command *setup, *commands;
    uint64_t n_setup, n;
    uint64_t trades, events, live_end, rejected;
    double live_average;
} flow_data;

static const core_config bench_config = {3, 2, ACCOUNTS, 1u << 19, 1u << 16, 1u << 18, 16, 0, 0, 0};

static uint64_t splitmix(uint64_t *s) {
    uint64_t z = *s += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

/* Distance from the touch: 0, 1, 2.. with p = 0.15, in integers so that every compiler draws the same. */
static int64_t geometric(uint64_t *s) {
    int64_t n = 0;
    while (splitmix(s) % 100 >= 15 && n < 500) n++;
    return n;
}

static void name_order(core_command *cmd, uint64_t number) {
    static const char digits[] = "0123456789abcdef";
    memcpy(cmd->cl_ord_id, "bench-", 6);
    for (int i = 0; i < 14; i++) cmd->cl_ord_id[6 + i] = digits[number >> 4 * (13 - i) & 15];
}

static core_command *next_command(core_command *at, uint64_t seq, uint16_t type) {
    memset(at, 0, sizeof *at);
    at->version = CORE_ABI_VERSION;
    at->type = type;
    at->seq = seq;
    at->time_ns = (int64_t)seq * 1000;
    return at;
}

/* Assets 1 (quote) and 2 (base), one instrument with every limit in force, 65,535 funded accounts. */
static uint64_t make_setup(core_command *out) {
    uint64_t n = 0;
    for (uint32_t i = 1; i <= 2; i++) next_command(&out[n], n + 1, CMD_ASSET_UPSERT)->instrument = i, out[n++].side = 8;
    core_command *listing = next_command(&out[n], n + 1, CMD_INSTRUMENT_UPSERT);
    int32_t rates[4] = {100, 250, 0, 500000};
    int64_t limits[2] = {1, 1000000000000000};
    listing->instrument = 1;
    listing->ord_type = KIND_SPOT;
    listing->order_id = 2ull << 32 | 1;
    listing->amount = 10;
    listing->aux = 1000;
    listing->qty = 1000000;
    listing->price = 100000;
    memcpy(listing->cl_ord_id, rates, 16);
    memcpy(listing->cl_ord_id + 16, limits, 16);
    n++;
    for (uint32_t a = 1; a < ACCOUNTS; a++) {
        next_command(&out[n], n + 1, CMD_ACCOUNT_UPSERT)->account = a;
        n++;
        for (uint32_t x = 1; x <= 2; x++) {
            core_command *d = next_command(&out[n], n + 1, CMD_DEPOSIT);
            d->account = a;
            d->instrument = x;
            d->amount = 10000000000000;
            name_order(d, (uint64_t)a << 8 | x | 1ull << 50);
            n++;
        }
    }
    return n;
}

typedef struct { uint64_t *ids; uint32_t *where; uint32_t n; } live_set;

static void live_add(live_set *l, uint64_t id) {
    l->where[(uint32_t)id] = l->n;
    l->ids[l->n++] = id;
}

static void live_drop(live_set *l, uint64_t id) {
    uint32_t at = l->where[(uint32_t)id];
    if (at >= l->n || l->ids[at] != id) return;
    l->ids[at] = l->ids[--l->n];
    l->where[(uint32_t)l->ids[at]] = at;
}

/* Generate `n` timed messages of a kind; the preload is part of the set-up. Returns 0, or 1 without memory. */
static int make_flow(const flow_kind *kind, uint64_t n, uint64_t seed, flow_data *out) {
    uint64_t s = seed, cap = 8192;
    memset(out, 0, sizeof *out);
    out->setup = malloc((SETUP_MOST + kind->preload) * sizeof(core_command));
    out->commands = malloc(n * sizeof(core_command));
    core_event *events = malloc(cap * sizeof *events);
    live_set live = {malloc((bench_config.max_orders + 1) * sizeof(uint64_t)), calloc(bench_config.max_orders + 1, sizeof(uint32_t)), 0};
    uint32_t *owner = calloc(bench_config.max_orders + 1, sizeof *owner), n_events;
    core *c = core_open(&bench_config);
    if (!out->setup || !out->commands || !events || !live.ids || !live.where || !owner || !c) return 1;
    out->n_setup = make_setup(out->setup);
    for (uint64_t k = 0; k < out->n_setup;) k += (uint64_t)core_apply(c, out->setup + k, 256 < out->n_setup - k ? 256 : (uint32_t)(out->n_setup - k), events, (uint32_t)cap, &n_events);
    int64_t mid = 100000;
    double live_sum = 0;
    for (uint64_t k = 0; k < n + kind->preload; k++) {
        int preloading = k < kind->preload;
        core_command *cmd = next_command(preloading ? &out->setup[out->n_setup++] : &out->commands[k - kind->preload], 0, CMD_ORDER_NEW);
        core_stats stats;
        core_stats_get(c, &stats);
        cmd->seq = stats.cmd_seq + 1;
        cmd->time_ns = (int64_t)cmd->seq * 1000;
        uint32_t draw = (uint32_t)(splitmix(&s) % 100), walk = (uint32_t)(splitmix(&s) % 1000);
        mid += preloading ? 0 : walk == 0 ? 1 : walk == 1 ? -1 : 0;
        cmd->account = 1 + (uint32_t)((splitmix(&s) * 0x9E3779B97F4A7C15ull >> 20) % (ACCOUNTS - 1));
        cmd->instrument = 1;
        cmd->side = (uint8_t)(1 + splitmix(&s) % 2);
        cmd->ord_type = ORD_LIMIT;
        cmd->stp = STP_CANCEL_NEWEST;
        int64_t sign = cmd->side == SIDE_BUY ? -1 : 1, touch = cmd->side == SIDE_BUY ? mid : mid + 1;
        if (preloading || draw < kind->add || live.n == 0) {
            cmd->tif = TIF_GTC;
            cmd->price = touch + sign * (preloading ? (int64_t)(splitmix(&s) % 2000) : geometric(&s));
            cmd->qty = 1 + (int64_t)(splitmix(&s) % 100);
            name_order(cmd, k);
        } else if (draw < kind->add + kind->cancel) {
            uint64_t id = splitmix(&s) % 100 < 3 ? (1ull << 32 | (1 + splitmix(&s) % bench_config.max_orders)) : live.ids[splitmix(&s) % live.n];
            next_command(cmd, cmd->seq, CMD_ORDER_CANCEL);
            cmd->order_id = id;
            cmd->account = owner[(uint32_t)id] ? owner[(uint32_t)id] : 1;
        } else if (draw < kind->add + kind->cancel + kind->ioc) {
            cmd->tif = TIF_IOC;
            cmd->price = touch - sign * (int64_t)(splitmix(&s) % 6);
            cmd->qty = 1 + (int64_t)(splitmix(&s) % IOC_LOTS);
            name_order(cmd, k);
        } else {
            uint64_t id = live.ids[splitmix(&s) % live.n];
            core_order o;
            core_order_get(c, id, &o);
            next_command(cmd, cmd->seq, CMD_ORDER_REPLACE);
            cmd->order_id = id;
            cmd->account = owner[(uint32_t)id];
            cmd->price = (o.side == SIDE_BUY ? mid : mid + 1) + (o.side == SIDE_BUY ? -1 : 1) * geometric(&s);
            cmd->qty = o.cum_qty + 1 + (int64_t)(splitmix(&s) % 100);
            name_order(cmd, k);
        }
        if (core_apply(c, cmd, 1, events, (uint32_t)cap, &n_events) != 1) return 1;
        uint64_t accepted = 0;
        for (uint32_t i = 0; i < n_events; i++) {
            const core_event *e = &events[i];
            if (e->type == EV_ORDER_ACCEPTED) accepted = e->order_id, owner[(uint32_t)accepted] = e->account;
            if ((e->type == EV_ORDER_ACCEPTED || e->type == EV_ORDER_RESTED) && e->flags & EVF_BOOK && live.where[(uint32_t)e->order_id] < live.n && live.ids[live.where[(uint32_t)e->order_id]] == e->order_id) continue;
            if ((e->type == EV_ORDER_ACCEPTED || e->type == EV_ORDER_RESTED) && e->flags & EVF_BOOK) live_add(&live, e->order_id);
            else if (e->flags & EVF_TERMINAL) live_drop(&live, e->order_id);
            if (!preloading && (e->type == EV_ORDER_REJECTED || e->type == EV_CANCEL_REJECTED || e->type == EV_REPLACE_REJECTED)) out->rejected++;
            if (!preloading && e->type == EV_ORDER_FILLED && !(e->flags & EVF_MAKER)) out->trades++;
        }
        if (!preloading) {
            out->events += n_events;
            live_sum += live.n;
        }
    }
    out->n = n;
    out->live_end = live.n;
    out->live_average = live_sum / (double)n;
    core_close(c);
    free(events);
    free(live.ids);
    free(live.where);
    free(owner);
    return 0;
}

#endif
