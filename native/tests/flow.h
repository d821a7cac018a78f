/*
 * flow.h - a seeded stream of commands for the driver and the fuzz target: mostly sensible, sometimes not, over spot and margin instruments, narrow and
 * very wide prices, small and huge amounts. Everything comes from take(), which is a generator (driver) or the fuzzer's bytes.
 */
#ifndef BROKERAGE_FLOW_H
#define BROKERAGE_FLOW_H

#include "core.h"

#include <string.h>

typedef struct {
    uint64_t state;            /* generator */
    const uint8_t *bytes;      /* fuzzer's input, or NULL */
    size_t left;
    uint64_t seq;
    int64_t time_ns;
    int64_t day;
    uint64_t ids[256];         /* order and hold ids seen in events */
    uint32_t n_ids;
    uint32_t n_set_up;
} flow;

static uint64_t take(flow *f) {
    if (f->bytes) {
        uint64_t word = 0;
        size_t n = f->left < 3 ? f->left : 3; /* three bytes of input per decision */
        memcpy(&word, f->bytes, n);
        f->bytes += n;
        f->left -= n;
        return word * 0x9E3779B97F4A7C15ull >> 20;
    }
    uint64_t z = f->state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

static uint32_t below(flow *f, uint32_t n) { return (uint32_t)(take(f) % n); }

static int64_t extreme(flow *f) {
    static const int64_t values[] = {INT64_MIN, -1, 0, 1, 2, INT64_MAX, (int64_t)1 << 62, ((int64_t)1 << 62) + 1, (int64_t)1 << 61, (int64_t)1 << 32, (int64_t)1 << 40};
    return values[below(f, sizeof values / sizeof values[0])];
}

static uint64_t known_id(flow *f) { return f->n_ids && below(f, 20) ? f->ids[below(f, f->n_ids < 256 ? f->n_ids : 256)] : take(f); }

static void make_id(flow *f, core_command *cmd, uint32_t range) {
    uint32_t n = below(f, range);
    for (int i = 0; i < 6; i++, n /= 20) cmd->cl_ord_id[i] = (char)('A' + n % 20);
    if (!below(f, 200)) cmd->cl_ord_id[below(f, 40)] = (char)take(f);
}

static int64_t make_price(flow *f, uint32_t instrument) {
    switch (instrument % 4) {
    case 1: return 990 + below(f, 20);
    case 2: return 100 + below(f, 5);
    case 3: return 1 + (int64_t)below(f, 60) * 5000;     /* levels far apart: mostly outside the window */
    default: return 1000000 + (int64_t)below(f, 40000);  /* wider than the window */
    }
}

static void set_up(flow *f, core_command *cmd) {
    uint32_t n = f->n_set_up++;
    int32_t data[4];
    int64_t min_qty = 1;
    if (n < 4) {
        cmd->type = CMD_ASSET_UPSERT;
        cmd->instrument = n + 1;
        cmd->side = 6;
    } else if (n < 10) {
        uint32_t i = n - 3;
        cmd->type = CMD_INSTRUMENT_UPSERT;
        cmd->instrument = i;
        cmd->ord_type = i <= 4 ? KIND_SPOT : KIND_MARGIN;
        cmd->order_id = (uint64_t)(i <= 4 ? 2 + i % 3 : 0) << 32 | 1;
        cmd->amount = i == 2 ? 1000 : 1;
        cmd->aux = i == 2 ? 1000000 : 7;
        cmd->price = make_price(f, i);
        data[0] = 100;
        data[1] = 250;
        data[2] = 50000;
        data[3] = i == 1 ? 100000 : 0;
        memcpy(cmd->cl_ord_id, data, 16);
        memcpy(cmd->cl_ord_id + 16, &min_qty, 8);
    } else if (n < 22) {
        cmd->type = CMD_ACCOUNT_UPSERT;
        cmd->account = n - 9;
        cmd->aux = (n - 9) % 4 == 0 ? 1 : 0;
    } else {
        cmd->type = CMD_DEPOSIT;
        cmd->account = 1 + (n - 22) % 12;
        cmd->instrument = 1 + (n - 22) / 12;
        cmd->amount = n % 5 == 0 ? (int64_t)1 << 61 : 40000000;
        if (cmd->account % 4 == 3) cmd->amount = 30000;
        memcpy(cmd->cl_ord_id, "setup0000", 9);
        cmd->cl_ord_id[6] = (char)('0' + n % 10);
        cmd->cl_ord_id[7] = (char)('0' + n / 10);
    }
}

static void flow_order(flow *f, core_command *cmd) {
    static const uint8_t tifs[] = {TIF_DAY, TIF_GTC, TIF_GTC, TIF_GTC, TIF_IOC, TIF_FOK, TIF_GTD};
    cmd->type = CMD_ORDER_NEW;
    cmd->instrument = 1 + below(f, 6);
    cmd->side = (uint8_t)(1 + below(f, 2));
    cmd->tif = tifs[below(f, sizeof tifs)];
    cmd->ord_type = ORD_LIMIT;
    cmd->stp = (uint8_t)below(f, 5);
    cmd->price = make_price(f, cmd->instrument);
    cmd->qty = 1 + below(f, 30);
    if (!below(f, 8)) {
        cmd->ord_type = ORD_MARKET;
        cmd->price = 0;
        cmd->tif = below(f, 2) ? TIF_IOC : TIF_FOK;
    }
    if (cmd->tif == TIF_GTD) cmd->amount = f->time_ns + 1 + below(f, 3000);
    if (!below(f, 10)) cmd->flags = below(f, 4);
    if (below(f, 2)) make_id(f, cmd, 3000);
    if (!below(f, 50)) cmd->qty = below(f, 2) ? extreme(f) : (int64_t)1 << below(f, 62);
}

/* The next command of the stream. */
static void flow_next(flow *f, core_command *cmd) {
    memset(cmd, 0, sizeof *cmd);
    cmd->version = CORE_ABI_VERSION;
    cmd->seq = ++f->seq;
    cmd->time_ns = f->time_ns += below(f, 4);
    if (f->n_set_up < 22 + 48) {
        set_up(f, cmd);
        return;
    }
    cmd->account = 1 + below(f, 12);
    uint32_t what = below(f, 100);
    if (what < 60) flow_order(f, cmd);
    else if (what < 72) {
        cmd->type = CMD_ORDER_CANCEL;
        cmd->order_id = known_id(f);
        if (!below(f, 4)) {
            cmd->flags = CF_CANCEL_BY_CL_ORD_ID;
            make_id(f, cmd, 3000);
        }
    } else if (what < 85) {
        cmd->type = CMD_ORDER_REPLACE;
        cmd->order_id = known_id(f);
        cmd->price = make_price(f, below(f, 6));
        cmd->qty = 1 + below(f, 30);
        cmd->aux = below(f, 4) ? 0 : 1 + below(f, 3);
        if (below(f, 2)) make_id(f, cmd, 3000);
    } else if (what < 91) {
        static const uint16_t types[] = {CMD_DEPOSIT, CMD_WITHDRAW, CMD_HOLD, CMD_TRANSFER, CMD_HOLD_RELEASE, CMD_HOLD_SETTLE};
        cmd->type = types[below(f, 6)];
        cmd->instrument = 1 + below(f, 4);
        cmd->amount = 1 + below(f, 5000);
        cmd->order_id = cmd->type == CMD_TRANSFER ? below(f, 14) : known_id(f);
        make_id(f, cmd, 100000);
    } else if (what < 93) {
        cmd->type = CMD_MASS_CANCEL;
        cmd->account = below(f, 3) ? cmd->account : 0xFFFFFFFFu;
        cmd->instrument = below(f, 3) ? 1 + below(f, 6) : 0xFFFFFFFFu;
        cmd->side = (uint8_t)below(f, 3);
    } else if (what < 95) {
        cmd->type = CMD_TIME;
    } else if (what < 96) {
        cmd->type = CMD_HALT_SET;
        cmd->ord_type = (uint8_t)(1 + below(f, 3));
        cmd->instrument = 1 + below(f, 6);
        cmd->side = (uint8_t)(below(f, 3) ? STATE_ACTIVE : below(f, 4));
    } else if (what < 97) {
        cmd->type = below(f, 8) ? CMD_HALT_SET : CMD_SESSION_CLOSE; /* and open everything again most of the time */
        cmd->instrument = 1 + below(f, 6);
        cmd->ord_type = (uint8_t)(1 + below(f, 3));
    } else if (what < 98) {
        cmd->type = CMD_LIMITS_SET;
        cmd->qty = below(f, 2) ? 0 : below(f, 60);
        cmd->amount = below(f, 2) ? 0 : below(f, 1000000);
    } else if (what < 99) {
        cmd->type = CMD_DAY_ROLL;
        cmd->amount = below(f, 5) ? f->day : ++f->day;
    } else cmd->type = (uint16_t)below(f, 40);
    if (!below(f, 120)) {
        int64_t x = extreme(f);
        switch (below(f, 8)) {
        case 0: cmd->price = x; break;
        case 1: cmd->qty = x; break;
        case 2: cmd->amount = x; break;
        case 3: cmd->aux = x; break;
        case 4: cmd->order_id = (uint64_t)x; break;
        case 5: cmd->account = (uint32_t)take(f); break;
        case 6: cmd->instrument = (uint32_t)take(f); break;
        default: cmd->version = (uint16_t)take(f);
        }
    }
}

/* Remember ids the core issued, so that later commands hit them. */
static void flow_learn(flow *f, const core_event *events, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        int order = events[i].type == EV_ORDER_ACCEPTED || events[i].type == EV_ORDER_RESTED, hold = events[i].type == EV_BALANCE_CHANGED && events[i].order_id;
        if (order || hold) f->ids[f->n_ids++ % 256] = events[i].order_id;
    }
}

#endif
