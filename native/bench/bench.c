/*
 * bench.c - CPU time of the core per message, with every check, reservation and event on, and a journal record per command: a copy of its 128 bytes into
 * the frame that its batch is for the journal, and their CRC-32C beside it (no file, no fsync). One frame is under way at a time, as in the engine, so its
 * memory is used again by the next. Prints one JSON object. Run by `python -m native.bench`.
 *
 *     bench MESSAGES ROUNDS SEED            measure
 *     bench dump FLOW MESSAGES SEED FILE    write set-up count, set-up and messages for the Python part
 */
#include "flows.h"

#include <stdio.h>
#include <time.h>

#define EVENTS 8192
#define FRAME 256u /* records: the largest batch here */

static const uint32_t batches[] = {1, 7, 64, 256};
#define N_BATCHES 4
#define N_FLOWS 3

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Two loops that have nothing to do with the core, run in every round: how quick is this machine right now. */
static double control_arithmetic(void) {
    uint64_t x = 1, begin = cpu_ns();
    for (int i = 0; i < 4000000; i++) x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9ull;
    double ns = (double)(cpu_ns() - begin) / 4000000;
    return x ? ns : 0;
}

static double control_memory(uint32_t *chain, uint32_t n) {
    uint32_t at = 0;
    uint64_t begin = cpu_ns();
    for (int i = 0; i < 1000000; i++) at = chain[at];
    double ns = (double)(cpu_ns() - begin) / 1000000;
    return at < n ? ns : 0;
}

static uint32_t *make_chain(uint32_t n) {
    uint32_t *chain = malloc(n * sizeof *chain);
    uint64_t s = 7;
    for (uint32_t i = 0; i < n; i++) chain[i] = i;
    for (uint32_t i = n - 1; i > 0; i--) { /* Sattolo: one cycle */
        uint32_t j = (uint32_t)(splitmix(&s) % i), t = chain[i];
        chain[i] = chain[j];
        chain[j] = t;
    }
    return chain;
}

static core_command frame[FRAME];
static uint32_t sums[FRAME];
static core_event events[EVENTS];

#define CHUNK 1792u /* commands that come in together; a multiple of 7 and 256 */
static core_command inbox[CHUNK];

/* The measured part, in a function of its own so that a profiler can be pointed at it: a batch is recorded, then applied. */
static __attribute__((noinline)) void measured(core *c, uint32_t n_in, uint32_t batch) {
    uint32_t n_events;
    for (uint32_t done = 0; done < n_in;) {
        uint32_t n = n_in - done < batch ? n_in - done : batch;
        for (uint32_t i = 0; i < n; i++) {
            frame[i] = inbox[done + i];
            sums[i] = core_crc32c(0, (const uint8_t *)&frame[i], sizeof frame[i]);
        }
        for (uint32_t end = done + n; done < end;) done += (uint32_t)core_apply(c, inbox + done, end - done, events, EVENTS, &n_events);
    }
}

/* Commands reach the core from a socket's buffer, so each chunk is put into a small buffer first, outside the measured time. */
static double run(const flow_data *f, uint32_t batch, uint64_t *digest) {
    core *c = core_open(&bench_config);
    uint32_t n_events;
    uint64_t ns = 0, begin;
    for (uint64_t k = 0; k < f->n_setup;) k += (uint64_t)core_apply(c, f->setup + k, 256 < f->n_setup - k ? 256 : (uint32_t)(f->n_setup - k), events, EVENTS, &n_events);
    for (uint64_t at = 0; at < f->n; at += CHUNK) {
        uint32_t n = f->n - at < CHUNK ? (uint32_t)(f->n - at) : CHUNK;
        memcpy(inbox, f->commands + at, n * sizeof *inbox);
        begin = cpu_ns();
        measured(c, n, batch);
        ns += cpu_ns() - begin;
    }
    *digest = core_digest(c);
    core_close(c);
    return (double)ns / (double)f->n;
}

static int dump(const char *name, uint64_t n, uint64_t seed, const char *path) {
    for (int k = 0; k < N_FLOWS; k++) {
        flow_data f;
        if (strcmp(flow_kinds[k].name, name)) continue;
        if (make_flow(&flow_kinds[k], n, seed, &f)) return 1;
        FILE *out = fopen(path, "wb");
        if (!out) return 1;
        fwrite(&f.n_setup, 8, 1, out);
        fwrite(f.setup, sizeof(core_command), f.n_setup, out);
        fwrite(f.commands, sizeof(core_command), f.n, out);
        return fclose(out) != 0;
    }
    return 2;
}

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "dump")) return dump(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), argv[5]);
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 42;
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    if (n == 0 || rounds < 1 || rounds > 99) return 2;
    static double figures[N_FLOWS][N_BATCHES][100], arithmetic[100 * N_FLOWS], memory[100 * N_FLOWS];
    uint32_t chain_size = 1u << 23;
    uint32_t *chain = make_chain(chain_size);
    int controls = 0;
    printf("{\"messages\": %llu, \"rounds\": %d, \"seed\": %llu, \"compiler\": \"%s\", \"flows\": {", (unsigned long long)n, rounds, (unsigned long long)seed, __VERSION__);
    for (int k = 0; k < N_FLOWS; k++) {
        flow_data f;
        uint64_t digest = 0, first = 0;
        if (make_flow(&flow_kinds[k], n, seed, &f)) return 1;
        for (int r = 0; r < rounds; r++) {
            arithmetic[controls] = control_arithmetic();
            memory[controls++] = control_memory(chain, chain_size);
            for (int b = 0; b < N_BATCHES; b++) {
                int turn = (b + r) % N_BATCHES; /* no batch size always runs first */
                figures[k][turn][r] = run(&f, batches[turn], &digest);
                if (!first) first = digest;
                if (digest != first) return 3;
            }
        }
        printf("%s\"%s\": {\"trades\": %llu, \"events\": %llu, \"live_average\": %.0f, \"live_end\": %llu, \"rejected\": %llu, \"ns\": {", k ? ", " : "", flow_kinds[k].name,
               (unsigned long long)f.trades, (unsigned long long)f.events, f.live_average, (unsigned long long)f.live_end, (unsigned long long)f.rejected);
        for (int b = 0; b < N_BATCHES; b++) {
            double least = figures[k][b][0];
            for (int r = 1; r < rounds; r++) least = figures[k][b][r] < least ? figures[k][b][r] : least;
            printf("%s\"%u\": {\"median\": %.1f, \"least\": %.1f}", b ? ", " : "", batches[b], median(figures[k][b], rounds), least);
        }
        printf("}}");
        fflush(stdout);
        free(f.setup);
        free(f.commands);
    }
    printf("}, \"control\": {\"arithmetic_ns\": %.3f, \"memory_ns\": %.1f}}\n", median(arithmetic, controls), median(memory, controls));
    return 0;
}
