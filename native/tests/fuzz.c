/*
 * fuzz.c - libFuzzer target. The first byte chooses: a sensible stream steered by the bytes, raw commands made of the bytes, or a snapshot made of the
 * bytes (its checksum mended, so that the reader is reached). Invariants are checked at the end; any broken one, and any sanitizer report, is a finding.
 */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENTS 2048

static const core_config config = {6, 8, 14, 60, 40, 50, 4, 12, 10, 0};
static core_event events[EVENTS];

static void check(const core *c) {
    char why[256];
    int bad = core_check(c, why, sizeof why);
    if (bad) {
        fprintf(stderr, "invariant %d: %s\n", bad, why);
        abort();
    }
}

static void apply(core *c, const core_command *cmd, flow *f) {
    uint32_t n = 0;
    core_preview_result preview;
    if (cmd->type == CMD_ORDER_NEW) core_preview(c, cmd, &preview);
    if (core_apply(c, cmd, 1, events, EVENTS, &n) == 1) {
        if (n == 0 || !(events[n - 1].flags & EVF_LAST)) abort();
        if (cmd->type == CMD_ORDER_NEW && events[0].type != EV_DUPLICATE && events[0].reason != preview.reason) abort();
        flow_learn(f, events, n);
    }
}

static void through_snapshot(core *c) {
    size_t need = 0;
    core_snapshot(c, NULL, 0, &need);
    uint8_t *bytes = malloc(need);
    if (core_snapshot(c, bytes, need, &need)) abort();
    core *fresh = core_restore(&config, bytes, need);
    if (!fresh || core_digest(fresh) != core_digest(c)) abort();
    core_close(fresh);
    free(bytes);
}

static void use(core *c) {
    flow f = {0};
    core_stats s;
    core_level bids[8], asks[8];
    uint32_t n_bids, n_asks;
    core_stats_get(c, &s);
    f.seq = s.cmd_seq;
    f.time_ns = s.time_ns;
    f.n_set_up = 1000;
    f.state = core_digest(c);
    for (int i = 0; i < 40 && f.seq < UINT64_MAX - 1 && f.time_ns < INT64_MAX - 100000; i++) {
        core_command cmd;
        flow_next(&f, &cmd);
        apply(c, &cmd, &f);
        core_depth(c, 1 + (uint32_t)i % 6, bids, asks, 8, &n_bids, &n_asks);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    uint8_t mode = data[0] % 4;
    data++;
    size--;
    if (mode == 3) {
        size_t whole = size & ~(size_t)7;
        uint8_t *bytes = malloc(whole + 8);
        memcpy(bytes, data, whole);
        uint64_t crc = core_crc32c(0, bytes, whole);
        memcpy(bytes + whole, &crc, 8);
        core *c = core_restore(&config, bytes, whole + 8);
        if (c) {
            use(c);
            check(c);
            core_close(c);
        }
        free(bytes);
        return 0;
    }
    core *c = core_open(&config);
    flow f = {0};
    f.bytes = data;
    f.left = size;
    if (mode == 2) {
        f.state = 1;
        f.bytes = NULL;
        for (int i = 0; i < 70; i++) {
            core_command cmd;
            flow_next(&f, &cmd);
            apply(c, &cmd, &f);
        }
        for (; size >= 40; size -= 40, data += 40) { /* type, flags, account.., side.. and two numbers from the input */
            core_command cmd = {0};
            memcpy(&cmd.flags, data, 4);
            cmd.version = 1;
            cmd.type = data[4] % 36;
            cmd.account = data[5] % 16;
            cmd.instrument = data[6] % 9;
            memcpy(&cmd.side, data + 7, 4);
            cmd.flags &= 15;
            memcpy(&cmd.price, data + 11, data[35] % 9);
            memcpy(&cmd.qty, data + 16, data[36] % 9);
            memcpy(&cmd.amount, data + 21, data[37] % 9);
            memcpy(&cmd.aux, data + 26, data[38] % 3);
            cmd.order_id = data[39] & 1 ? known_id(&f) : data[34];
            memcpy(cmd.cl_ord_id, data + 30, data[39] >> 6);
            cmd.seq = ++f.seq;
            cmd.time_ns = f.time_ns;
            apply(c, &cmd, &f);
        }
    } else {
        while (f.left || f.n_set_up < 70) {
            core_command cmd;
            flow_next(&f, &cmd);
            apply(c, &cmd, &f);
        }
    }
    check(c);
    through_snapshot(c);
    core_close(c);
    return 0;
}
