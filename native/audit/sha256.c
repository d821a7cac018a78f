/*
 * sha256.c - SHA-256 (FIPS 180-4) of a whole message: in portable C, and with the instructions x86 has for it where it has them.
 */
#include "audit.h"
#include <string.h>

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotated(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t big32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void blocks_plain(uint32_t s[8], const uint8_t *p, size_t count) {
    for (; count; count--, p += 64) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++) w[i] = big32(p + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + w[i - 7] + (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
        }
        memcpy(v, s, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
            uint32_t t2 = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) s[i] += v[i];
    }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define FAST __attribute__((target("sha,sse4.1,ssse3"), always_inline)) static inline

typedef struct {
    __m128i abef, cdgh, abef_before, cdgh_before, w[4];
} lane;

FAST void lane_open(lane *l, const uint32_t s[8]) {
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(s + 4)), 0x1B);
    l->abef = _mm_alignr_epi8(low, high, 8);
    l->cdgh = _mm_blend_epi16(high, low, 0xF0);
}

FAST void lane_load(lane *l, const uint8_t *p) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    l->abef_before = l->abef;
    l->cdgh_before = l->cdgh;
    for (int i = 0; i < 4; i++) l->w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
}

/* Four of the 64 rounds; `r` counts fours. */
FAST void lane_rounds(lane *l, int r) {
    __m128i sum = _mm_add_epi32(l->w[r & 3], _mm_load_si128((const __m128i *)(K + 4 * r)));
    l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, sum);
    l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(sum, 0x0E));
    if (r < 12) {
        __m128i next = _mm_sha256msg1_epu32(l->w[r & 3], l->w[(r + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(l->w[(r + 3) & 3], l->w[(r + 2) & 3], 4));
        l->w[r & 3] = _mm_sha256msg2_epu32(next, l->w[(r + 3) & 3]);
    }
}

FAST void lane_add(lane *l) {
    l->abef = _mm_add_epi32(l->abef, l->abef_before);
    l->cdgh = _mm_add_epi32(l->cdgh, l->cdgh_before);
}

FAST void lane_close(const lane *l, uint32_t s[8]) {
    __m128i low = _mm_shuffle_epi32(l->abef, 0x1B);
    __m128i high = _mm_shuffle_epi32(l->cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)s, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(s + 4), _mm_alignr_epi8(high, low, 8));
}

__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_fast(uint32_t s[8], const uint8_t *p, size_t count) {
    lane l;
    lane_open(&l, s);
    for (; count; count--, p += 64) {
        lane_load(&l, p);
#pragma GCC unroll 16
        for (int r = 0; r < 16; r++) lane_rounds(&l, r);
        lane_add(&l);
    }
    lane_close(&l, s);
}

/* Two messages side by side: each round waits for the one before it, so one message leaves the unit idle half of the time. */
__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_two(
    uint32_t s[8], const uint8_t *p, uint32_t t[8], const uint8_t *q, size_t count) {
    lane l, m;
    lane_open(&l, s);
    lane_open(&m, t);
    for (; count; count--, p += 64, q += 64) {
        lane_load(&l, p);
        lane_load(&m, q);
#pragma GCC unroll 16
        for (int r = 0; r < 16; r++) {
            lane_rounds(&l, r);
            lane_rounds(&m, r);
        }
        lane_add(&l);
        lane_add(&m);
    }
    lane_close(&l, s);
    lane_close(&m, t);
}

static int sha_fast(void) {
    static int known = -1;
    if (known < 0) {
        unsigned a, b, c, d;
        /* Leaf 7: bit 29 of EBX is SHA; leaf 1: bits 9 and 19 of ECX are SSSE3 and SSE4.1. */
        int sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
        known = sha && __get_cpuid(1, &a, &b, &c, &d) && (c >> 9 & 1) && (c >> 19 & 1);
    }
    return known;
}
#else
static void blocks_fast(uint32_t s[8], const uint8_t *p, size_t count) { blocks_plain(s, p, count); }

static void blocks_two(uint32_t s[8], const uint8_t *p, uint32_t t[8], const uint8_t *q, size_t count) {
    blocks_plain(s, p, count);
    blocks_plain(t, q, count);
}

static int sha_fast(void) { return 0; }
#endif

static void put_big32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* What is left of a message behind its whole blocks, and its length in bits; how many blocks that is. */
static size_t tail_write(uint8_t tail[128], const uint8_t *data, size_t length) {
    size_t rest = length % 64, end = rest < 56 ? 64 : 128;
    memset(tail, 0, 128);
    if (rest) memcpy(tail, data + length - rest, rest);
    tail[rest] = 0x80;
    put_big32(tail + end - 8, (uint32_t)((uint64_t)length >> 29));
    put_big32(tail + end - 4, (uint32_t)length << 3);
    return end / 64;
}

static void digest_write(const uint32_t s[8], uint8_t *out) {
    for (int i = 0; i < 8; i++) put_big32(out + 4 * i, s[i]);
}

void audit_sha256(const uint8_t *data, size_t length, uint8_t *out, int plain) {
    void (*blocks)(uint32_t[8], const uint8_t *, size_t) = !plain && sha_fast() ? blocks_fast : blocks_plain;
    uint32_t s[8];
    uint8_t tail[128];
    memcpy(s, START, sizeof s);
    blocks(s, data, length / 64);
    blocks(s, tail, tail_write(tail, data, length));
    digest_write(s, out);
}

void audit_sha256_two(const uint8_t *data, size_t length, uint8_t *out, const uint8_t *other, size_t other_length, uint8_t *other_out) {
    if (!sha_fast()) {
        audit_sha256(data, length, out, 0);
        audit_sha256(other, other_length, other_out, 0);
        return;
    }
    uint32_t s[8], t[8];
    uint8_t tail[128], other_tail[128];
    size_t blocks = length / 64, other_blocks = other_length / 64, both = blocks < other_blocks ? blocks : other_blocks;
    memcpy(s, START, sizeof s);
    memcpy(t, START, sizeof t);
    blocks_two(s, data, t, other, both);
    if (blocks > both) blocks_fast(s, data + 64 * both, blocks - both);
    if (other_blocks > both) blocks_fast(t, other + 64 * both, other_blocks - both);
    blocks = tail_write(tail, data, length);
    other_blocks = tail_write(other_tail, other, other_length);
    both = blocks < other_blocks ? blocks : other_blocks;
    blocks_two(s, tail, t, other_tail, both);
    if (blocks > both) blocks_fast(s, tail + 64, 1);
    if (other_blocks > both) blocks_fast(t, other_tail + 64, 1);
    digest_write(s, out);
    digest_write(t, other_out);
}
