/*
 * driver.c - runs a seeded stream through the core in batches of changing size, checks every invariant now and then, goes on from a snapshot
 * now and then, and prints one line: digest of the state, CRC of the event stream, counts. Every compiler and option has to print the same line.
 *
 *     driver [seed] [commands] [batch]      batch 0 = changing sizes; the line must not depend on it
 */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 64
#define EVENTS 4096

static void fail(const char *what, uint64_t seq, const char *why) {
    fprintf(stderr, "command %llu: %s %s\n", (unsigned long long)seq, what, why);
    exit(1);
}

static core *through_snapshot(core *c, const core_config *config, uint64_t seq) {
    size_t need = 0, again = 0;
    core_snapshot(c, NULL, 0, &need);
    uint8_t *bytes = malloc(need), *copy = malloc(need);
    if (!bytes || !copy || core_snapshot(c, bytes, need, &again)) fail("snapshot", seq, "does not fit the size it asked for");
    core *fresh = core_restore(config, bytes, need);
    if (!fresh) fail("restore", seq, "refused a good snapshot");
    if (core_digest(fresh) != core_digest(c)) fail("restore", seq, "has another digest");
    core_snapshot(fresh, copy, need, &again);
    if (again != need || memcmp(bytes, copy, need)) fail("restore", seq, "gives other snapshot bytes");
    bytes[need / 2] ^= 1;
    if (core_restore(config, bytes, need)) fail("restore", seq, "took a damaged snapshot");
    free(bytes);
    free(copy);
    core_close(c);
    return fresh;
}

int main(int argc, char **argv) {
    flow f = {0};
    f.state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t total = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000, batch = argc > 3 ? strtoull(argv[3], NULL, 10) : 0, chooser = f.state;
    core_config config = {8, 8, 16, 400, 150, 300, 6, 16, 12, 0};
    core *c = core_open(&config);
    static core_command commands[BATCH];
    static core_event events[EVENTS];
    uint32_t crc = 0, n_events = 0;
    char why[256];
    uint64_t checked = 0;
    if (!c) fail("open", 0, "failed");
    for (uint64_t done = 0; done < total;) {
        /* Ids are learned in groups of 64 commands whatever the batch is, so that the stream stays the same. */
        uint32_t n = total - done < BATCH ? (uint32_t)(total - done) : BATCH;
        for (uint32_t i = 0; i < n; i++) flow_next(&f, &commands[i]);
        for (uint32_t at = 0; at < n;) {
            chooser = chooser * 6364136223846793005ull + 1442695040888963407ull;
            uint32_t size = batch ? (uint32_t)batch : 1 + (uint32_t)(chooser >> 33) % BATCH;
            if (size > n - at) size = n - at;
            int64_t applied = core_apply(c, commands + at, size, events, EVENTS, &n_events);
            if (applied <= 0) fail("apply", commands[at].seq, "stopped");
            for (uint32_t i = 0; i < n_events; i++)
                if (i && events[i].seq != events[i - 1].seq + 1) fail("events", commands[at].seq, "have a gap");
            crc = core_crc32c(crc, (const uint8_t *)events, n_events * sizeof *events);
            flow_learn(&f, events, n_events);
            at += (uint32_t)applied;
        }
        done += n;
        if (done / 640 != checked) {
            checked = done / 640;
            if (core_check(c, why, sizeof why)) fail("invariant", done, why);
        }
        if (done % 6400 == 0) c = through_snapshot(c, &config, done);
    }
    if (core_check(c, why, sizeof why)) fail("invariant", total, why);
    core_stats s;
    core_stats_get(c, &s);
    printf("digest %016llx events %08x commands %llu events %llu matches %llu live %u ids %u\n", (unsigned long long)core_digest(c), crc,
           (unsigned long long)s.cmd_seq, (unsigned long long)s.event_seq, (unsigned long long)s.matches, s.live_orders, s.cl_ord_ids);
    core_close(c);
    return 0;
}
