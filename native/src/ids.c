/*
 * ids.c - the two indexes beside the book: remembered ClOrdIDs (a ring, oldest first, with an open-addressed index) and the heap of GTD orders.
 *
 * The index is an array of cache lines with room for seven entries (tag, ordinal of the record). An entry is dead as soon as its record is forgotten,
 * which its ordinal tells, so forgetting touches no memory of the index and nothing has to be deleted. A line remembers the newest entry that had to go on to
 * the next line; a search goes on only while that one is remembered. The layout never shows in an answer.
 */
#include "internal.h"

#define BYTES(x) (0x0101010101010101ull * (x))

#if defined(__SSE2__)
/* 0..36 characters 0x21..0x7E, then zeros up to 40: the bits of the printable bytes are a run from the first on, and whatever is not printable is zero. */
int id_form_ok(const char *id) {
    /* 0x21..0x7E become the least signed bytes: one comparison finds them. */
    const __m128i shift = _mm_set1_epi8(0x5F), end = _mm_set1_epi8(0x5F + 0x7F - 0x100);
    __m128i a = _mm_loadu_si128((const __m128i *)id), b = _mm_loadu_si128((const __m128i *)(id + 16)), d = _mm_loadl_epi64((const __m128i *)(id + 32));
    __m128i good_a = _mm_cmpgt_epi8(end, _mm_add_epi8(a, shift)), good_b = _mm_cmpgt_epi8(end, _mm_add_epi8(b, shift)), good_d = _mm_cmpgt_epi8(end, _mm_add_epi8(d, shift));
    __m128i other = _mm_or_si128(_mm_or_si128(_mm_andnot_si128(good_a, a), _mm_andnot_si128(good_b, b)), _mm_andnot_si128(good_d, d));
    u64 good = (u64)_mm_movemask_epi8(good_a) | (u64)_mm_movemask_epi8(good_b) << 16 | (u64)_mm_movemask_epi8(good_d) << 32;
    return !((good & (good + 1)) | good >> 36) & (_mm_movemask_epi8(_mm_cmpeq_epi8(other, _mm_setzero_si128())) == 0xFFFF);
}
#else
/* The same, eight characters at a time; bit 7 of each byte carries the answers. */
int id_form_ok(const char *id) {
    u64 w[5], bad, some = BYTES(0x80);
    int k = 0;
    memcpy(w, id, 40);
    for (bad = w[4] >> 32; k < 5 && some == BYTES(0x80); k++) { /* bytes 36..39 are never used */
        u64 low = w[k] & BYTES(0x7F), none;
        some = (low + BYTES(0x7F)) & BYTES(0x80);
        bad |= (w[k] & BYTES(0x80)) | (some ^ ((low + BYTES(0x5F)) & BYTES(0x80))); /* no high bit, nothing of 0x01..0x20 */
        bad |= (low + BYTES(1)) & BYTES(0x80);                                      /* no 0x7F */
        none = ~some & BYTES(0x80);
        bad |= some & -(none & -none);                                              /* nothing behind the first zero of this word */
    }
    for (; k < 5; k++) bad |= w[k];
    return !bad;
}
#endif

/* 128-bit multiply folded to 64. The constants have bytes no id can contain, so an id cannot make a factor zero. */
static inline u64 fold(u64 a, u64 b) {
    u128 m = (u128)a * b;
    return (u64)m ^ (u64)(m >> 64);
}

/* Word by word: compilers put an array of them on the stack first. */
static inline u64 word_at(const char *id, u32 k) {
    u64 word;
    memcpy(&word, id + 8 * k, 8);
    return word;
}

u64 id_hash(u32 a, const char *id) {
    u64 h = fold(word_at(id, 0) ^ 0x9E3779B97F4A7C15ull, word_at(id, 1) ^ 0xE7037ED1A0B428DBull);
    h ^= fold(word_at(id, 2) ^ 0x8EBC6AF09C88C6E3ull, word_at(id, 3) ^ 0xD1B54A32D192ED03ull);
    h ^= fold(word_at(id, 4) ^ 0x589965CC75374CC3ull, a ^ 0xEB44ACCAB455D165ull);
    return fold(h ^ 0xA0761D6478BD642Full, 0xE7037ED1A0B428DBull);
}

/* Everything that makes two commands the same request (docs/engine.md 3.3). */
u64 body_hash(const core_command *cmd) {
    u64 kind;
    u32 form;
    memcpy(&form, &cmd->side, 4);
    kind = (u64)form << 32 | (u64)cmd->type << 16;
    u64 h = fold(kind ^ 0x9E3779B97F4A7C15ull, ((u64)cmd->flags << 32 | cmd->instrument) ^ 0xE7037ED1A0B428DBull);
    h = fold(h ^ cmd->order_id, (u64)cmd->price ^ 0x8EBC6AF09C88C6E3ull) + 1;
    h = fold(h ^ (u64)cmd->qty, 0xD1B54A32D192ED03ull) ^ (u64)cmd->amount;
    return fold(h + 0x589965CC75374CC3ull, (u64)cmd->aux ^ 0xEB44ACCAB455D165ull) ^ kind;
}

static inline u32 tag_of(u64 hash) { return (u32)(hash >> 32) | 1; }

/* Position in the ring of the record with this ordinal, or -1 when it is forgotten. */
static inline i64 position_of(const core *c, u32 ordinal) {
    u32 age = c->id_next - ordinal; /* 1 = the newest */
    if (age - 1 >= c->id_count) return -1;
    u64 at = (u64)c->id_first + c->id_count - age;
    return (i64)(at >= c->config.max_cl_ord_ids ? at - c->config.max_cl_ord_ids : at);
}

/* Bits 0..6: which entries have this tag. */
static inline u32 entries_with(const id_bucket *b, u32 tag) {
#if defined(__SSE2__)
    __m128i t = _mm_set1_epi32((int)tag), low = _mm_loadu_si128((const __m128i *)b->tags), high = _mm_loadu_si128((const __m128i *)(b->tags + 4));
    return (u32)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(low, t))) | (u32)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(high, t))) << 4;
#else
    u32 bits = 0;
    for (int k = 0; k < BUCKET; k++) bits |= (u32)(b->tags[k] == tag) << k;
    return bits;
#endif
}

/* Bits 0..6: which entries are free, never used or of a forgotten record. */
static inline u32 entries_free(const core *c, const id_bucket *b) {
#if defined(__SSE2__)
    /* is_remembered(), four at a time; unsigned numbers are compared as signed ones with the highest bit turned. */
    __m128i turn = _mm_set1_epi32(INT32_MIN), newest = _mm_set1_epi32((int)(c->id_next - 1)), count = _mm_set1_epi32((int)(c->id_count ^ 0x80000000u)), none = _mm_setzero_si128();
    __m128i low = _mm_cmplt_epi32(_mm_xor_si128(_mm_sub_epi32(newest, _mm_loadu_si128((const __m128i *)b->ordinals)), turn), count);
    __m128i high = _mm_cmplt_epi32(_mm_xor_si128(_mm_sub_epi32(newest, _mm_loadu_si128((const __m128i *)(b->ordinals + 4))), turn), count);
    low = _mm_andnot_si128(_mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)b->tags), none), low);
    high = _mm_andnot_si128(_mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)(b->tags + 4)), none), high);
    u32 used = (u32)_mm_movemask_ps(_mm_castsi128_ps(low)) | (u32)_mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
#else
    u32 used = 0;
    for (int k = 0; k < BUCKET; k++) used |= (u32)((b->tags[k] != 0) & is_remembered(c, b->ordinals[k])) << k;
#endif
    return ~used & ((1u << BUCKET) - 1);
}

/* Did an id that is still remembered have to go on from this line to the next one. */
static inline u32 goes_on(const core *c, const id_bucket *b) { return (b->passed != 0) & (u32)is_remembered(c, b->last_passed); }

id_record *id_find(const core *c, u64 hash, u32 a, const char *id) {
    u32 tag = tag_of(hash);
    u32 at = (u32)hash & c->id_mask;
    for (u32 lines = 0; lines <= c->id_mask; lines++, at = (at + 1) & c->id_mask) {
        const id_bucket *b = &c->id_index[at];
        for (u32 bits = entries_with(b, tag); UNLIKELY(bits); bits &= bits - 1) {
            i64 position = position_of(c, b->ordinals[__builtin_ctz(bits)]);
            if (position < 0) continue;
            id_record *r = &c->ids[position];
            if (r->account == a && !memcmp(r->id, id, sizeof r->id)) return r;
        }
        if (LIKELY(!goes_on(c, b))) return NULL;
    }
    return NULL;
}

/* Bring in the index line of an id that is coming. */
void id_look(const core *c, u64 hash) { TOUCH(&c->id_index[(u32)hash & c->id_mask]); }

/* Enter the record that gets the next ordinal, over an entry whose record is forgotten. There is one: the index has more places than the ring. */
static void index_add(core *c, u64 hash) {
    u32 ordinal = c->id_next;
    for (u32 at = (u32)hash & c->id_mask;; at = (at + 1) & c->id_mask) {
        id_bucket *b = &c->id_index[at];
        u32 bits = entries_free(c, b);
        if (LIKELY(bits)) {
            u32 k = (u32)__builtin_ctz(bits);
            b->tags[k] = tag_of(hash);
            b->ordinals[k] = ordinal;
            return;
        }
        b->passed = PASSED;
        b->last_passed = ordinal;
    }
}

void id_forget_oldest(core *c) {
    if (++c->id_first == c->config.max_cl_ord_ids) c->id_first = 0;
    c->id_count--;
}

void id_forget_before(core *c, u32 day) {
    while (c->id_count && c->ids[c->id_first].day < day) id_forget_oldest(c);
}

#define AHEAD 12 /* records */

/* The place of the next record, that of the oldest when the ring is full. Its entry in the index is not made yet. */
static inline id_record *record_place(core *c) {
    if (c->id_count == c->config.max_cl_ord_ids) id_forget_oldest(c);
    u64 at = (u64)c->id_first + c->id_count;
    if (at >= c->config.max_cl_ord_ids) at -= c->config.max_cl_ord_ids;
    if (LIKELY(at + AHEAD < c->config.max_cl_ord_ids)) { /* the ring is written in order and is larger than any cache */
        PREFETCH(&c->ids[at + AHEAD]);
        PREFETCH((const u8 *)&c->ids[at + AHEAD] + 64);
    }
    return &c->ids[at];
}

static inline void record_count(core *c) {
    c->id_count++;
    c->id_next++;
}

/* The place of the next record, with its entry in the index. */
static id_record *record_next(core *c, u64 hash) {
    id_record *r = record_place(c);
    index_add(c, hash);
    record_count(c);
    return r;
}

/* id_enter() where the first line of the index does not have the last word. */
static __attribute__((noinline)) id_record *enter_further(core *c, u64 hash, u32 a, const char *id, int *fresh) {
    id_record *r = id_find(c, hash, a, id);
    *fresh = !r;
    return r ? r : record_next(c, hash);
}

/*
 * The record of the id, or, with *fresh set, the place where id_write() has to put it before anything is looked up again. Nearly always the line of the
 * index that says that an id is new has room for it too.
 */
id_record *id_enter(core *c, u64 hash, u32 a, const char *id, int *fresh) {
    id_bucket *b = &c->id_index[(u32)hash & c->id_mask];
    u32 room = entries_free(c, b);
    if (UNLIKELY(entries_with(b, tag_of(hash)) | goes_on(c, b) | (room == 0))) return enter_further(c, hash, a, id, fresh);
    u32 k = (u32)__builtin_ctz(room);
    b->tags[k] = tag_of(hash);
    b->ordinals[k] = c->id_next;
    id_record *r = record_place(c);
    record_count(c);
    *fresh = 1;
    return r;
}

/* Take over a record of a snapshot. Returns 0 when it cannot be right. */
int id_restore(core *c, const id_record *record) {
    char id[40] = {0};
    memcpy(id, record->id, sizeof record->id);
    if (c->id_count == c->config.max_cl_ord_ids || !id[0] || !id_form_ok(id)) return 0;
    u64 hash = id_hash(record->account, id);
    if (hash != record->hash || id_find(c, hash, record->account, id)) return 0;
    *record_next(c, hash) = *record;
    return 1;
}

/* Fill an EV_DUPLICATE from what is remembered; balances are the present ones. */
void id_event(const core *c, const id_record *r, core_event *e) {
    e->type = EV_DUPLICATE;
    e->reason = r->reason;
    e->account = r->account;
    e->instrument = r->instrument;
    e->order_id = r->order_id;
    e->ref_id = r->cmd_seq;
    e->side = r->side;
    e->version = r->version;
    e->price = r->price;
    e->qty = r->qty;
    e->leaves = r->leaves;
    e->cum_qty = r->cum;
    if (r->type == CMD_ORDER_NEW || r->type == CMD_ORDER_REPLACE) {
        show_balances(c, e, r->account, r->instrument);
    } else if (asset_known(c, r->instrument)) {
        const core_balance *b = balance_at(c, r->account, r->instrument);
        e->quote_a = b->available;
        e->quote_b = b->held;
    }
}

/* ---- GTD heap -------------------------------------------------------------------------------------------------------------------- */

static inline void heap_set(core *c, u32 at, u32 slot) {
    c->heap[at] = slot;
    c->orders[slot].heap = at;
}

static void heap_up(core *c, u32 at, u32 slot) {
    for (; at > 1 && expires_before(c, slot, c->heap[at / 2]); at /= 2) heap_set(c, at, c->heap[at / 2]);
    heap_set(c, at, slot);
}

static void heap_down(core *c, u32 at, u32 slot) {
    for (;;) {
        u64 child = (u64)at * 2;
        if (child > c->heap_count) break;
        if (child < c->heap_count && expires_before(c, c->heap[child + 1], c->heap[child])) child++;
        if (!expires_before(c, c->heap[child], slot)) break;
        heap_set(c, at, c->heap[child]);
        at = (u32)child;
    }
    heap_set(c, at, slot);
}

void heap_push(core *c, u32 slot) { heap_up(c, ++c->heap_count, slot); }

void heap_remove(core *c, u32 slot) {
    u32 at = c->orders[slot].heap, last = c->heap[c->heap_count--];
    c->orders[slot].heap = NO_HEAP;
    if (last == slot) return;
    if (at > 1 && expires_before(c, last, c->heap[at / 2])) heap_up(c, at, last);
    else heap_down(c, at, last);
}
