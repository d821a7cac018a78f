/*
 * internal.h - what the files of the core share: state, limits, small inline helpers.
 *
 * Memory: everything is mapped once in core_open() and used lazily. Orders, holds and far levels live in arenas and are linked by uint32
 * index, never by pointer, so state does not depend on addresses. Index 0 is "none" everywhere.
 */
#ifndef BROKERAGE_CORE_INTERNAL_H
#define BROKERAGE_CORE_INTERNAL_H

#include "core.h"

#include <assert.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the core's structs are little-endian"
#endif

typedef int64_t i64;
typedef uint64_t u64;
typedef int32_t i32;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PREFETCH(p) __builtin_prefetch((p), 1, 3)
#define TOUCH(p) __asm__ volatile("" : : "r"(*(const volatile u8 *)(p)))

_Static_assert(sizeof(core_command) == 128, "the command is a frame and a journal record");
_Static_assert(sizeof(core_event) == 136, "layout.py and the feed count on it");

#define MILLION 1000000
#define ANY 0xFFFFFFFFu
#define WINDOW_BITS 14
#define WINDOW (1 << WINDOW_BITS)          /* ticks in a book's dense window */
#define WINDOW_WORDS (WINDOW / 64)
#define WINDOW_SUMS (WINDOW_WORDS / 64)
#define RETIRED_GENERATION 0x80000000u     /* a slot that reached it is not used again: ids stay below 2^63 */
#define NO_HEAP 0xFFFFFFFFu
#define MAX_AMOUNT ((i64)1 << 62)
#define NO_ASK INT64_MAX

/* ---- state ---------------------------------------------------------------------------------------------------------------------- */

/* One live order: exactly a cache line. generation is kept while the slot is free too: the one it will be issued with next. */
typedef struct {
    u32 prev, next;      /* queue of its price level */
    u32 account;
    u32 generation;
    i64 price, leaves, cum;
    i64 held;            /* spot: what is held for it; margin: 0 */
    u16 instrument;
    u8 side, type, tif, stp, version, flags;
    u32 heap;            /* position in the GTD heap, or NO_HEAP */
    u32 spare;
} order;
_Static_assert(sizeof(order) == 64, "one cache line");
_Static_assert(offsetof(order, stp) - offsetof(order, side) == 3 && offsetof(core_command, stp) - offsetof(core_command, side) == 3, "side, type, tif, stp are copied as one");

/* The part of an order that matching does not need. */
typedef struct { i64 expire_ns; u64 entry_seq; } order_cold;

typedef struct { u32 head, tail; i64 qty; u32 count, spare; } level;

/* A price level outside its book's window: node of an AVL tree per book and side. */
typedef struct { i64 price; level level; u32 left, right; u32 height, spare; } far_level;

typedef struct {
    i64 base;            /* price of window index 0 */
    i64 best[2];         /* best bid and ask; 0 and NO_ASK = none */
    u32 far_root[2];     /* bids, asks */
    u32 near_count, far_count;
    u32 misses;          /* level look-ups outside the window since it was moved last */
    u32 spare;
    level *levels;       /* WINDOW; a price is a bid or an ask level, never both, as a book never crosses */
    u64 *bits[2];        /* WINDOW_WORDS each: which indices hold a bid / an ask level */
    u64 sums[2][WINDOW_SUMS];
} book;

typedef struct {
    u8 kind, state;      /* kind 0 = not registered */
    u8 spare[2];
    u32 base_asset, quote_asset;
    u32 reserve_ppm;     /* max(maker, taker) */
    i64 tick_value, lot_minor;
    i64 min_qty, max_qty, max_notional;
    i64 ref_price;
    i64 bound_ref, bound[2]; /* collar bounds of buys and sells at bound_ref; 0 = to be worked out */
    u32 collar_ppm, maker_ppm, taker_ppm, margin_ppm;
    u32 live_orders, positions; /* margin rows with net != 0 */
    book book;
} instrument;

/* Account row: this header, then one core_balance per asset from index 1 on, so that header and assets 1 and 2 share a line. */
typedef struct {
    u8 registered, state, took_loss, spare;
    u32 stp_group;
    u32 open_orders;
    u32 spare2;
    i64 order_cap, max_notional;
} account;
_Static_assert(sizeof(account) == 32, "half a cache line");

/* Margin row of one account in one instrument: exactly a cache line. */
typedef struct {
    i64 net, cost;
    i64 buy_notional, sell_notional, fee_reserve, hold;
    i64 buy_leaves, sell_leaves;
} margin_row;
_Static_assert(sizeof(margin_row) == 64, "one cache line");

typedef struct { u8 known, scale; i64 clearing, net_deposits; } asset;

typedef struct { u32 account, asset, generation, spare; i64 amount; } hold; /* account is only valid while live */

/* A remembered ClOrdID: two cache lines in a ring, oldest first. */
typedef struct {
    u64 hash, body;      /* of (account, id); of the command's body */
    char id[36];
    u32 account;
    u64 order_id;
    u64 cmd_seq;
    i64 qty, leaves, cum, price;
    u32 instrument, day;
    u16 reason;
    u8 type, side, version;
    u8 spare[11];
} id_record;
_Static_assert(sizeof(id_record) == 128, "two cache lines");

#define BUCKET 7
#define PASSED 2 /* not a tag: those are odd */
typedef struct { u32 tags[BUCKET], passed, ordinals[BUCKET], last_passed; } id_bucket;
_Static_assert(sizeof(id_bucket) == 64, "one cache line");

/* Slots of an arena: LIFO free list, and which are live. */
typedef struct { u32 cap, top, free_count, live; u32 *free; } slots;

struct core {
    core_config config;
    u64 cmd_seq, event_seq;
    i64 time_ns;
    u64 matches;
    u32 trading_day, global_state;
    u32 max_fills, max_cancels, events_max;
    u32 n_accounts, n_instruments, n_assets;  /* registered */
    u32 last_asset, last_instrument, last_account; /* highest registered index */
    u32 levels;                       /* price levels of all books */

    u8 *accounts;                     /* rows of account_stride bytes */
    size_t account_stride;
    margin_row *rows;                 /* [instrument][account] */
    asset *assets;
    instrument *instruments;

    slots order_slots;
    order *orders;
    order_cold *cold;
    u64 *keys;                        /* per slot: 0 free, else account << 32 | instrument << 2 | side: what scans look at */
    u32 *heap;                        /* GTD orders by (expire_ns, slot), 1-based */
    u32 heap_count;

    slots hold_slots;
    hold *holds;
    u8 *hold_live;

    far_level *fars;
    u32 far_free;                     /* head of the free list (through left) */
    u32 far_top;                      /* highest node ever used */
    level *scratch;                   /* WINDOW, for moving a window */

    id_record *ids;                   /* ring; written once per id, read only for a duplicate */
    u32 id_first, id_count;           /* oldest, how many */
    u32 id_next;                      /* ordinal of the next record; wraps */
    id_bucket *id_index;              /* see ids.c */
    u32 id_mask;

    core_event *event;                /* where the running core_apply writes the next one */
    int arithmetic_overflow;          /* sticky, set by add_checked */

    struct { void *at; size_t size; } maps[24];
    u32 n_maps;
};

/* ---- arithmetic ------------------------------------------------------------------------------------------------------------------ */

/* price * qty * tick_value, all >= 0. Returns 0 when it is above 2^62. Cost: two multiplications. */
static inline int notional_of(i64 price, i64 qty, i64 tick_value, i64 *out) {
    u128 n = (u128)(u64)price * (u64)qty;
    if (UNLIKELY(n > (u128)MAX_AMOUNT)) return 0;
    n *= (u64)tick_value;
    *out = (i64)n;
    return LIKELY(n <= (u128)MAX_AMOUNT);
}

/* Same where the product is known to fit. */
static inline i64 notional_fit(i64 price, i64 qty, i64 tick_value) { return price * qty * tick_value; }

/*
 * floor(n * ppm / 10^6) for 0 <= n <= 2^63, 0 <= ppm <= 10^6, without a 128-bit division: n = q * 10^6 + r, so the result is
 * q * ppm + floor(r * ppm / 10^6), and division by a constant is a multiplication. Below 2^44 the product fits as it is.
 */
static inline i64 ppm_floor(i64 n, u32 ppm) {
    if (LIKELY((u64)n < 1ull << 44)) return (i64)((u64)n * ppm / MILLION);
    u64 q = (u64)n / MILLION, r = (u64)n % MILLION;
    return (i64)(q * ppm + r * ppm / MILLION);
}

static inline i64 ppm_ceil(i64 n, u32 ppm) {
    u64 q = (u64)n / MILLION, r = (u64)n % MILLION;
    return (i64)(q * ppm + (r * ppm + MILLION - 1) / MILLION);
}

static inline int in_range(i64 x) { return x >= -MAX_AMOUNT && x <= MAX_AMOUNT; }
/* The whole is bounded, not its parts: a hold that is released, which nothing may refuse, then never takes available out of range. */
static inline int balance_fits(const core_balance *b) { return in_range(b->available) && in_range(b->held) && (i128)b->available + b->held <= MAX_AMOUNT; }

/* Add where overflow is impossible or caught afterwards by the sticky flag (see match_fits in match.c). */
static inline void add_checked(core *c, i64 *x, i64 d) {
    if (UNLIKELY(__builtin_add_overflow(*x, d, x))) c->arithmetic_overflow = 1;
}

/* ---- access ---------------------------------------------------------------------------------------------------------------------- */

static inline account *account_at(const core *c, u32 a) { return (account *)(c->accounts + (size_t)a * c->account_stride); }

static inline core_balance *balance_in(const account *a, u32 asset_index) { return (core_balance *)((u8 *)(uintptr_t)a + 16) + asset_index; }
static inline core_balance *balance_at(const core *c, u32 a, u32 asset_index) { return balance_in(account_at(c, a), asset_index); }

static inline margin_row *row_at(const core *c, u32 a, u32 instrument_index) {
    return &c->rows[(size_t)instrument_index * c->config.max_accounts + a];
}

static inline int account_known(const core *c, u32 a) { return a < c->config.max_accounts && account_at(c, a)->registered; }
static inline int asset_known(const core *c, u32 a) { return a < c->config.max_assets && c->assets[a].known; }
static inline int instrument_known(const core *c, u32 i) { return i < c->config.max_instruments && c->instruments[i].kind; }

static inline instrument *instrument_at(const core *c, u32 i) { return &c->instruments[i < c->config.max_instruments ? i : 0]; } /* 0 is never registered */
static inline u64 order_id_of(const core *c, u32 slot) { return (u64)c->orders[slot].generation << 32 | slot; }
static inline u64 order_key(u32 account_index, u32 instrument_index, u8 side) { return (u64)account_index << 32 | instrument_index << 2 | side; }
static inline u32 key_account(u64 key) { return (u32)(key >> 32); }
static inline u32 key_instrument(u64 key) { return (u32)key >> 2; }
/* Is price x no worse for the market, or better, than y as an order's of this side. A side cannot be guessed, so that nothing here branches on it. */
static inline int reaches(u8 side, i64 x, i64 y) {
    i64 turn = SIDE_BUY - (i64)side; /* 0, or all bits, which turns the order of numbers round */
    return (x ^ turn) >= (y ^ turn);
}
/* One of two without a branch; compilers make one of ?: where both are costly. */
static inline i64 pick(int first, i64 a, i64 b) { return b ^ ((a ^ b) & -(i64)first); }
static inline u8 opposite(u8 side) { return (u8)(SIDE_BUY + SIDE_SELL - side); }
static inline int is_margin(const instrument *in) { return in->kind == KIND_MARGIN; }

/* Is the record with this ordinal still in the ring. */
static inline int is_remembered(const core *c, u32 ordinal) { return c->id_next - ordinal - 1 < c->id_count; }

/* Order of the GTD heap. */
static inline int expires_before(const core *c, u32 a, u32 b) {
    i64 x = c->cold[a].expire_ns, y = c->cold[b].expire_ns;
    return x != y ? x < y : a < b;
}

/* ---- core.c ---------------------------------------------------------------------------------------------------------------------- */

u32 slot_take(slots *s);
static inline void slot_give(slots *s, u32 slot) {
    s->live--;
    s->free[s->free_count++] = slot;
}
static inline int slots_full(const slots *s) { return s->top - s->free_count == s->cap; }

/* ---- book.c ---------------------------------------------------------------------------------------------------------------------- */

level *book_level(core *c, instrument *in, u8 side, i64 price);
const level *book_level_peek(const core *c, const instrument *in, u8 side, i64 price);
void book_append(core *c, instrument *in, u32 slot);
void book_remove(core *c, instrument *in, u32 slot);
i64 book_next(const core *c, const book *b, u8 side, i64 price);
void book_look(const core *c, const instrument *in, u8 side, i64 price);
static inline i64 book_best(const book *b, u8 side) { return b->best[side - 1]; }
static inline i64 book_none(u8 side) { return side == SIDE_BUY ? 0 : NO_ASK; }

/* ---- risk.c ---------------------------------------------------------------------------------------------------------------------- */

/* What the money checks of an order found: the refusal (or REJ_NONE), the additional hold and what is available. */
typedef struct { u16 reason; i64 needed, available; } funds;

funds funds_check(const core *c, const instrument *in, u32 account_index, u8 side, i64 price, i64 lots, i64 check_price, const order *old);
void order_hold_change(core *c, instrument *in, order *o, i64 old_price, i64 old_lots, i64 new_price, i64 new_lots);
i64 settle(core *c, instrument *in, order *o, i64 px, i64 lots, i64 notional, i64 fee, i64 covered);
i64 margin_hold(const instrument *in, const margin_row *row);
void show_known_balances(const core *c, core_event *e, u32 account_index, u32 instrument_index);
void show_balances(const core *c, core_event *e, u32 account_index, u32 instrument_index);

/* ---- money.c --------------------------------------------------------------------------------------------------------------------- */

void money_command(core *c, const core_command *cmd);
void hold_command(core *c, const core_command *cmd);

/* ---- ids.c ----------------------------------------------------------------------------------------------------------------------- */

int id_form_ok(const char *id);
u64 id_hash(u32 account_index, const char *id);
void id_look(const core *c, u64 hash);
u64 body_hash(const core_command *cmd);
id_record *id_find(const core *c, u64 hash, u32 account_index, const char *id);
id_record *id_enter(core *c, u64 hash, u32 account_index, const char *id, int *fresh);
void id_forget_oldest(core *c);
void id_forget_before(core *c, u32 day);
int id_restore(core *c, const id_record *record);
void id_event(const core *c, const id_record *r, core_event *e);

/* What is remembered of the answer to a command, besides what the command itself says. */
typedef struct { u64 order_id; i64 qty, leaves, cum, price; u32 instrument; u16 reason; u8 side, version; } answer;

/* Write the record of a command's id. */
static inline void id_write(const core *c, id_record *r, const core_command *cmd, u64 hash, u64 body, answer a) {
    r->hash = hash;
    r->body = body;
    memcpy(r->id, cmd->cl_ord_id, sizeof r->id);
    r->account = cmd->account;
    r->order_id = a.order_id;
    r->cmd_seq = cmd->seq;
    r->qty = a.qty;
    r->leaves = a.leaves;
    r->cum = a.cum;
    r->price = a.price;
    r->instrument = a.instrument;
    r->day = c->trading_day;
    r->reason = a.reason;
    r->type = (u8)cmd->type;
    r->side = a.side;
    r->version = a.version;
    memset(r->spare, 0, sizeof r->spare);
}

void heap_push(core *c, u32 slot);
void heap_remove(core *c, u32 slot);

/* ---- checks.c -------------------------------------------------------------------------------------------------------------------- */

enum walk_end { WALK_FILLED, WALK_EXHAUSTED, WALK_LIMIT, WALK_SELF };

typedef struct {
    i64 fillable, worst;
    u128 notional, fee;   /* only when asked for */
    u32 fills;
    enum walk_end end;
} walk;

typedef struct {
    i64 price, qty, leaves;  /* numbers of a refusal */
    i64 limit, money;        /* limit price; lots its hold covers at entry */
    i64 needed, available;
    walk walk;
    int walked, crossing;
} plan;

u16 new_refusal(const core *c, const core_command *cmd, i64 now, int amounts, plan *p);
u16 replace_refusal(const core *c, const core_command *cmd, const order *o, plan *p);
void collar_update(instrument *in);

/* Keep the bounds of the present reference price, so that orders need not work them out. */
static inline void collar_keep(instrument *in) {
    if (UNLIKELY(in->bound_ref != in->ref_price)) collar_update(in);
}

/* ---- orders.c -------------------------------------------------------------------------------------------------------------------- */

void order_reject(core *c, const core_command *cmd, u16 reason, i64 price, i64 qty, i64 leaves);
void order_new(core *c, const core_command *cmd, u64 hash);
void order_cancel(core *c, const core_command *cmd);
void order_replace(core *c, const core_command *cmd, u64 hash);

/* ---- match.c --------------------------------------------------------------------------------------------------------------------- */

/* What is left of an order after it was matched, for the answer that is remembered. */
typedef struct { i64 qty, leaves, cum; } outcome;

static inline int may_rest(const order *o) { return (o->tif != TIF_IOC) & (o->tif != TIF_FOK); }
outcome match_incoming(core *c, const core_command *cmd, u32 slot, i64 money, int crossing);
void order_leave(core *c, const core_command *cmd, u32 slot, u16 event_type, u16 reason);

/* ---- admin.c --------------------------------------------------------------------------------------------------------------------- */

void command_reject(core *c, const core_command *cmd, u16 reason, i64 qty, i64 leaves);
void admin_command(core *c, const core_command *cmd);

#endif
