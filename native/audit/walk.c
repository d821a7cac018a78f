/*
 * walk.c - rows one after the other, or column by column: read the values, write the canonical JSON (RFC 8785), compare every hash.
 */
#include "audit.h"
#include <string.h>

enum {
    SEQ, SOURCE_ID, TS, ACTOR_TYPE, ACTOR_ID, ON_BEHALF_OF, ACTION, OBJECT_TYPE, OBJECT_ID, SUBJECT, REQUEST_ID, IP_HASH, PAYLOAD,
    PAYLOAD_HASH, PREV_HASH, ENTRY_HASH, LEAF_HASH, COLUMNS
};
/* No text column holds more than 128 characters, 512 bytes; escaped, a byte becomes six at most. */
#define TEXT_MAX 512
#define CANONICAL_MAX (9 * TEXT_MAX * 6 + 1024)
#define MICROS_PER_DAY 86400000000LL
/* Days from 0000-03-01 to 2000-01-01, where PostgreSQL counts from. */
#define DAYS_TO_2000 730425

typedef struct {
    const uint8_t *at;
    uint32_t length;
} column;

static const char HEX[] = "0123456789abcdef";

static uint64_t big(const uint8_t *p, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | p[i];
    return value;
}

static int sizes_hold(const column row[COLUMNS]) {
    for (int i = SEQ; i <= TS; i++)
        if (row[i].length != 8) return 0;
    for (int i = ACTOR_TYPE; i <= IP_HASH; i++)
        if (row[i].length > TEXT_MAX) return 0;
    for (int i = PAYLOAD_HASH; i <= LEAF_HASH; i++)
        if (row[i].length != 32) return 0;
    return 1;
}

/* Where the row ends; 0 when it is not a row of audit_entry. */
static const uint8_t *row_read(const uint8_t *at, const uint8_t *end, column row[COLUMNS]) {
    if (end - at < 4 || big(at, 4) != COLUMNS) return 0;
    at += 4;
    for (int i = 0; i < COLUMNS; i++) {
        if (end - at < 8) return 0;
        /* Four bytes of type, which the statement decides, then the length; that of NULL is too long for any row. */
        uint32_t length = (uint32_t)big(at + 4, 4);
        at += 8;
        if ((uint64_t)(end - at) < length) return 0;
        row[i] = (column){at, length};
        at += length;
    }
    return sizes_hold(row) ? at : 0;
}

/* The end of one value of a column and the beginning of the next; 0 when there is no other. */
static const uint8_t *mark_find(const uint8_t *at, const uint8_t *end, const uint8_t *mark, size_t mark_length) {
    while ((at = memchr(at, mark[0], (size_t)(end - at)))) {
        if ((size_t)(end - at) < mark_length) return 0;
        if (!memcmp(at, mark, mark_length)) return at;
        at++;
    }
    return 0;
}

static char *put(char *to, const char *text) {
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

/* Whether one of eight bytes is below 0x20, a quote or a backslash. May say so of a byte beside one that is: it is looked at again. */
static int escapes(uint64_t eight) {
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    uint64_t quote = eight ^ ones * '"', slash = eight ^ ones * '\\';
    return (((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops ? 1 : 0;
}

static char *put_text(char *to, column text) {
    *to++ = '"';
    for (uint32_t i = 0; i < text.length; i++) {
        uint64_t eight;
        while (text.length - i >= 8 && (memcpy(&eight, text.at + i, 8), !escapes(eight))) {
            memcpy(to, &eight, 8);
            to += 8;
            i += 8;
        }
        if (i == text.length) break;
        uint8_t c = text.at[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            *to++ = (char)c;
            continue;
        }
        *to++ = '\\';
        switch (c) {
        case '"': case '\\': *to++ = (char)c; break;
        case '\b': *to++ = 'b'; break;
        case '\t': *to++ = 't'; break;
        case '\n': *to++ = 'n'; break;
        case '\f': *to++ = 'f'; break;
        case '\r': *to++ = 'r'; break;
        default:
            to = put(to, "u00");
            *to++ = HEX[c >> 4];
            *to++ = HEX[c & 15];
        }
    }
    *to++ = '"';
    return to;
}

static char *put_hex(char *to, const uint8_t *bytes, int count) {
    for (int i = 0; i < count; i++) {
        *to++ = HEX[bytes[i] >> 4];
        *to++ = HEX[bytes[i] & 15];
    }
    return to;
}

static char *put_padded(char *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value /= 10) to[i] = (char)('0' + value % 10);
    return to + digits;
}

static char *put_number(char *to, int64_t value) {
    int digits = 1;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0) *to++ = '-';
    for (uint64_t rest = left; rest >= 10; rest /= 10) digits++;
    return put_padded(to, left, digits);
}

/* Microseconds since 2000 as 2026-11-21T12:00:00.000000Z; 0 outside the years 1000 to 9999. */
static char *put_time(char *to, int64_t micros) {
    int64_t days = micros / MICROS_PER_DAY, rest = micros % MICROS_PER_DAY;
    if (rest < 0) rest += MICROS_PER_DAY, days--;
    days += DAYS_TO_2000;
    if (days < 0 || days > 3700000) return 0;
    /* Years begin in March here, so that the leap day is the last; an era is 400 years. */
    int64_t era = days / 146097, day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int64_t month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month = month < 10 ? month + 3 : month - 9;
    year += 400 * era + (month <= 2);
    if (year < 1000 || year > 9999) return 0;
    to = put_padded(to, (uint64_t)year, 4);
    *to++ = '-';
    to = put_padded(to, (uint64_t)month, 2);
    *to++ = '-';
    to = put_padded(to, (uint64_t)day + 1, 2);
    *to++ = 'T';
    to = put_padded(to, (uint64_t)(rest / 3600000000LL), 2);
    *to++ = ':';
    to = put_padded(to, (uint64_t)(rest / 60000000 % 60), 2);
    *to++ = ':';
    to = put_padded(to, (uint64_t)(rest / 1000000 % 60), 2);
    *to++ = '.';
    to = put_padded(to, (uint64_t)(rest % 1000000), 6);
    *to++ = 'Z';
    return to;
}

/* The end of the canonical JSON at `to`; 0 when the row has none. */
static char *canonical(char *to, const column row[COLUMNS]) {
    to = put_text(put(to, "{\"action\":"), row[ACTION]);
    to = put_text(put(to, ",\"actor_id\":"), row[ACTOR_ID]);
    to = put_text(put(to, ",\"actor_type\":"), row[ACTOR_TYPE]);
    to = put_text(put(to, ",\"ip_hash\":"), row[IP_HASH]);
    to = put_text(put(to, ",\"object_id\":"), row[OBJECT_ID]);
    to = put_text(put(to, ",\"object_type\":"), row[OBJECT_TYPE]);
    to = put_text(put(to, ",\"on_behalf_of\":"), row[ON_BEHALF_OF]);
    to = put_hex(put(to, ",\"payload_hash\":\""), row[PAYLOAD_HASH].at, 32);
    to = put_text(put(to, "\",\"request_id\":"), row[REQUEST_ID]);
    to = put_number(put(to, ",\"seq\":"), (int64_t)big(row[SEQ].at, 8));
    to = put_number(put(to, ",\"source_id\":"), (int64_t)big(row[SOURCE_ID].at, 8));
    to = put_text(put(to, ",\"subject\":"), row[SUBJECT]);
    to = put_time(put(to, ",\"ts\":\""), (int64_t)big(row[TS].at, 8));
    return to ? put(to, "\"}") : 0;
}

typedef struct {
    uint8_t text[33 + CANONICAL_MAX];
    size_t length;
    uint8_t payload[32], entry[32], leaf[33], leaf_digest[32];
} work;

/* What an entry's hash is over; 0 when the row is not the one that belongs here. */
static int work_begin(work *w, const column row[COLUMNS], int64_t seq, const uint8_t *previous) {
    if ((int64_t)big(row[SEQ].at, 8) != seq || memcmp(row[PREV_HASH].at, previous, 32)) return 0;
    w->text[0] = 2;
    memcpy(w->text + 1, previous, 32);
    char *end = canonical((char *)w->text + 33, row);
    if (!end) return 0;
    w->length = (size_t)(end - (char *)w->text);
    return 1;
}

static void leaf_begin(work *w) {
    w->leaf[0] = 0;
    memcpy(w->leaf + 1, w->entry, 32);
}

static int work_holds(const work *w, const column row[COLUMNS]) {
    return !memcmp(row[PAYLOAD_HASH].at, w->payload, 32) && !memcmp(row[ENTRY_HASH].at, w->entry, 32) &&
           !memcmp(row[LEAF_HASH].at, w->leaf_digest, 32);
}

static int row_holds(const column row[COLUMNS], int64_t seq, const uint8_t *previous) {
    work w;
    if (!work_begin(&w, row, seq, previous)) return 0;
    audit_sha256(row[PAYLOAD].at, row[PAYLOAD].length, w.payload, 0);
    audit_sha256(w.text, w.length, w.entry, 0);
    leaf_begin(&w);
    audit_sha256(w.leaf, 33, w.leaf_digest, 0);
    return work_holds(&w, row);
}

/* Two neighbours. That the second one's link is the first one's stored hash is compared first, so neither waits for the other. */
static int rows_hold(const column a[COLUMNS], const column b[COLUMNS], int64_t seq, const uint8_t *previous) {
    work v, w;
    if (!work_begin(&v, a, seq, previous) || !work_begin(&w, b, seq + 1, a[ENTRY_HASH].at)) return 0;
    audit_sha256_two(a[PAYLOAD].at, a[PAYLOAD].length, v.payload, b[PAYLOAD].at, b[PAYLOAD].length, w.payload);
    audit_sha256_two(v.text, v.length, v.entry, w.text, w.length, w.entry);
    leaf_begin(&v);
    leaf_begin(&w);
    audit_sha256_two(v.leaf, 33, v.leaf_digest, w.leaf, 33, w.leaf_digest);
    return work_holds(&v, a) && work_holds(&w, b);
}

int64_t audit_walk(const uint8_t *data, size_t length, int64_t first, uint8_t *previous, uint8_t *leaves, int64_t room) {
    const uint8_t *at = data, *end = data + length;
    int64_t done = 0;
    while (at < end && done < room) {
        column row[COLUMNS];
        at = row_read(at, end, row);
        if (!at || !row_holds(row, first + done, previous)) break;
        memcpy(previous, row[ENTRY_HASH].at, 32);
        memcpy(leaves + 32 * done, row[LEAF_HASH].at, 32);
        done++;
    }
    return done;
}

/* The next row of columns that `at` stands in, moved on; 0 when a column has no such value or one of the wrong size. */
static int columns_read(const uint8_t *at[COLUMNS], const uint8_t *const end[COLUMNS], const uint8_t *mark, size_t mark_length, int last,
                        column row[COLUMNS]) {
    for (int i = 0; i < COLUMNS; i++) {
        const uint8_t *stop, *next;
        if (i <= TS) {
            if (end[i] - at[i] < 8) return 0;
            stop = next = at[i] + 8;
        } else if (last) {
            /* To the end of the column; a mark in it would be of a value too many. */
            stop = next = end[i];
            if (mark_find(at[i], end[i], mark, mark_length)) return 0;
        } else {
            if (!(stop = mark_find(at[i], end[i], mark, mark_length))) return 0;
            next = stop + mark_length;
        }
        if (stop - at[i] > UINT32_MAX) return 0;
        row[i] = (column){at[i], (uint32_t)(stop - at[i])};
        at[i] = next;
    }
    return sizes_hold(row);
}

int audit_columns(const uint8_t *const *data, const size_t *length, const uint8_t *mark, size_t mark_length, int64_t first,
                  uint8_t *previous, uint8_t *leaves, int64_t rows) {
    const uint8_t *at[COLUMNS], *end[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        at[i] = data[i];
        end[i] = data[i] + length[i];
        if (i <= TS && length[i] != 8 * (uint64_t)rows) return 0;
    }
    for (int64_t done = 0; done < rows;) {
        column row[2][COLUMNS];
        int count = rows - done > 1 ? 2 : 1;
        for (int i = 0; i < count; i++)
            if (!columns_read(at, end, mark, mark_length, done + i == rows - 1, row[i])) return 0;
        if (!(count == 2 ? rows_hold(row[0], row[1], first + done, previous) : row_holds(row[0], first + done, previous))) return 0;
        for (int i = 0; i < count; i++) memcpy(leaves + 32 * (done + i), row[i][LEAF_HASH].at, 32);
        memcpy(previous, row[count - 1][ENTRY_HASH].at, 32);
        done += count;
    }
    return 1;
}

void audit_pairs(const uint8_t *below, int64_t pairs, uint8_t *out) {
    uint8_t text[65] = {1}, other[65] = {1};
    for (int64_t i = 0; i + 1 < pairs; i += 2) {
        memcpy(text + 1, below + 64 * i, 64);
        memcpy(other + 1, below + 64 * i + 64, 64);
        audit_sha256_two(text, 65, out + 32 * i, other, 65, out + 32 * i + 32);
    }
    if (pairs & 1) {
        memcpy(text + 1, below + 64 * (pairs - 1), 64);
        audit_sha256(text, 65, out + 32 * (pairs - 1), 0);
    }
}
