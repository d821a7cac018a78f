/*
 * seeds.c - writes a first corpus for the fuzz target into a folder: real snapshots of several ages (mode byte 3 in front, checksum left off) and byte streams.
 */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const core_config config = {6, 8, 14, 60, 40, 50, 4, 12, 10, 0};
    static core_event events[2048];
    char name[512];
    if (argc < 2) return 2;
    for (int k = 0; k < 12; k++) {
        core *c = core_open(&config);
        flow f = {0};
        f.state = (uint64_t)k;
        for (int i = 0; i < 70 + k * 60; i++) {
            core_command cmd;
            uint32_t n;
            flow_next(&f, &cmd);
            core_apply(c, &cmd, 1, events, 2048, &n);
            flow_learn(&f, events, n);
        }
        size_t need;
        core_snapshot(c, NULL, 0, &need);
        uint8_t *bytes = malloc(need);
        core_snapshot(c, bytes, need, &need);
        snprintf(name, sizeof name, "%s/snapshot-%d", argv[1], k);
        FILE *out = fopen(name, "wb");
        if (!out) return 1;
        fputc(3, out);
        fwrite(bytes, 1, need - 8, out);
        fclose(out);
        snprintf(name, sizeof name, "%s/stream-%d", argv[1], k);
        out = fopen(name, "wb");
        if (!out) return 1;
        fputc(k % 3, out);
        for (int i = 0; i < 3000; i++) fputc((int)(take(&f) & 255), out);
        fclose(out);
        free(bytes);
        core_close(c);
    }
    return 0;
}
