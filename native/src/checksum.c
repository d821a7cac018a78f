/*
 * checksum.c - CRC-32C (Castagnoli) by the processor's instruction where there is one, else by table. Same result everywhere.
 */
#include "internal.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* Table of the reflected polynomial 0x82F63B78, eight bytes at a time; built when first asked for, the same on every run. */
static u32 crc_table[8][256];
static int crc_table_ready;

static void crc_table_make(void) {
    for (u32 i = 0; i < 256; i++) {
        u32 crc = i;
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        crc_table[0][i] = crc;
    }
    for (u32 i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++) crc_table[t][i] = crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
    crc_table_ready = 1;
}

static u32 crc_by_table(u32 crc, const u8 *data, size_t size) {
    if (!crc_table_ready) crc_table_make();
    crc = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        u32 low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255] ^ crc_table[4][low >> 24]
            ^ crc_table[3][high & 255] ^ crc_table[2][high >> 8 & 255] ^ crc_table[1][high >> 16 & 255] ^ crc_table[0][high >> 24];
    }
    while (size--) crc = crc >> 8 ^ crc_table[0][(crc ^ *data++) & 255];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static u32 crc_by_cpu(u32 crc, const u8 *data, size_t size) {
    u64 wide = ~crc, word;
    for (; size >= sizeof(core_command); size -= sizeof(core_command), data += sizeof(core_command)) { /* compilers unroll it: a record has no loop */
        for (size_t at = 0; at < sizeof(core_command); at += 8) {
            memcpy(&word, data + at, 8);
            wide = _mm_crc32_u64(wide, word);
        }
    }
    for (; size >= 8; size -= 8, data += 8) {
        memcpy(&word, data, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (u32)wide;
    while (size--) crc = _mm_crc32_u8(crc, *data++);
    return ~crc;
}
static int cpu_has_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
static u32 crc_by_cpu(u32 crc, const u8 *data, size_t size) {
    crc = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        u64 word;
        memcpy(&word, data, 8);
        crc = __crc32cd(crc, word);
    }
    while (size--) crc = __crc32cb(crc, *data++);
    return ~crc;
}
static int cpu_has_crc(void) { return 1; }
#else
static u32 crc_by_cpu(u32 crc, const u8 *data, size_t size) { return crc_by_table(crc, data, size); }
static int cpu_has_crc(void) { return 0; }
#endif

/* Continue `crc` (0 at the beginning) over `size` bytes. Cost: about one cycle in eight bytes' latency of 3 with the instruction. */
uint32_t core_crc32c(uint32_t crc, const uint8_t *data, size_t size) { return cpu_has_crc() ? crc_by_cpu(crc, data, size) : crc_by_table(crc, data, size); }
