/*
 * core.h - the one public header of the matching core.
 *
 * The core is a deterministic state machine: an array of fixed-size commands goes in, an array of fixed-size events comes out.
 * It has no clock, no randomness, no I/O, no floats and allocates nothing after core_open(). The command struct is the socket frame
 * and the journal record; docs/engine.md states what every command does, in which order checks are made and events are emitted.
 *
 * Units: price in ticks (the instrument's price increment), quantity in lots (its lot increment), money in minor units of the asset,
 * time in UTC nanoseconds, rates in parts per million. All little-endian. cffi reads the part between the two CDEF marks.
 */
#ifndef BROKERAGE_CORE_H
#define BROKERAGE_CORE_H

#include <stddef.h>
#include <stdint.h>

/* CDEF-BEGIN */

enum {
    CORE_ABI_VERSION = 1,       /* layout of core_command, core_event and of the snapshot */
    CORE_SEMANTICS_VERSION = 1, /* rules; a journal names the version that decided it */
    CORE_CL_ORD_ID_MAX = 36,
};

/* ---- command and event types ------------------------------------------------------------------------------------------------- */

enum core_command_type {
    CMD_NONE = 0,
    /* orders */
    CMD_ORDER_NEW = 1,
    CMD_ORDER_CANCEL = 2,
    CMD_ORDER_REPLACE = 3,
    CMD_MASS_CANCEL = 4,      /* scope: account and/or instrument, 0xFFFFFFFF = any */
    /* money: cl_ord_id is the idempotency key of the entry */
    CMD_DEPOSIT = 10,         /* account, instrument = asset, amount */
    CMD_WITHDRAW = 11,        /* straight debit of available */
    CMD_HOLD = 12,            /* available -> held; the event's order_id is the hold id */
    CMD_HOLD_RELEASE = 13,    /* order_id = hold id: held -> available */
    CMD_HOLD_SETTLE = 14,     /* order_id = hold id: held leaves the house */
    CMD_TRANSFER = 15,        /* account -> account `order_id`, instrument = asset, amount */
    /* reference data and risk */
    CMD_ASSET_UPSERT = 20,
    CMD_INSTRUMENT_UPSERT = 21,
    CMD_ACCOUNT_UPSERT = 22,
    CMD_LIMITS_SET = 23,
    CMD_HALT_SET = 24,        /* scope global, instrument or account; state in side */
    /* time */
    CMD_TIME = 30,            /* expires GTD orders whose expire_ns <= time_ns */
    CMD_SESSION_CLOSE = 31,   /* instrument: expires its DAY orders, bounded per command */
    CMD_DAY_ROLL = 32,        /* amount = new trading day (days since 1970-01-01) */
};

enum core_event_type {
    EV_NONE = 0,
    EV_ORDER_ACCEPTED = 1,
    EV_ORDER_REJECTED = 2,
    EV_ORDER_RESTED = 3,      /* remainder of an order that traded first now rests */
    EV_ORDER_FILLED = 4,      /* one per side and match: the maker's, then the taker's */
    EV_ORDER_CANCELED = 5,
    EV_ORDER_EXPIRED = 6,
    EV_ORDER_REPLACED = 7,
    EV_CANCEL_REJECTED = 8,
    EV_REPLACE_REJECTED = 9,
    EV_DUPLICATE = 10,        /* same id, same body: the first answer again */
    EV_MASS_CANCEL_DONE = 11, /* qty = orders cancelled by this command, EVF_MORE: send it again */
    EV_BALANCE_CHANGED = 12,
    EV_COMMAND_REJECTED = 13, /* a non-order command was refused */
    EV_ASSET_UPSERTED = 20,
    EV_INSTRUMENT_UPSERTED = 21,
    EV_ACCOUNT_UPSERTED = 22,
    EV_LIMITS_SET = 23,
    EV_HALT_SET = 24,
    EV_TIME = 30,             /* qty = orders expired, EVF_MORE: send it again */
    EV_SESSION_CLOSED = 31,
    EV_DAY_ROLLED = 32,
};

enum core_side { SIDE_NONE = 0, SIDE_BUY = 1, SIDE_SELL = 2 };                       /* FIX tag 54 */
enum core_ord_type { ORD_MARKET = 1, ORD_LIMIT = 2 };                                /* FIX tag 40 */
enum core_tif { TIF_DAY = 0, TIF_GTC = 1, TIF_IOC = 3, TIF_FOK = 4, TIF_GTD = 6 };   /* FIX tag 59 */
enum core_stp { STP_NONE = 0, STP_CANCEL_NEWEST = 1, STP_CANCEL_OLDEST = 2, STP_CANCEL_BOTH = 3, STP_DECREMENT = 4 };
enum core_trading_state { STATE_ACTIVE = 0, STATE_REDUCE_ONLY = 1, STATE_HALTED = 2, STATE_CLOSED = 3 };
enum core_instrument_kind { KIND_SPOT = 1, KIND_MARGIN = 2 };

enum core_command_flags {
    CF_POST_ONLY = 1u << 0,
    CF_REDUCE_ONLY = 1u << 1,
    CF_CANCEL_BY_CL_ORD_ID = 1u << 2, /* cancel/replace: the target is named by cl_ord_id of an open order (cancel only) */
};

enum core_event_flags {
    EVF_BOOK = 1u << 0,    /* the event changes the visible book, see docs/engine.md "book from events" */
    EVF_MAKER = 1u << 1,   /* fill of the resting side */
    EVF_TERMINAL = 1u << 2,/* the order is done: leaves is 0 now */
    EVF_MORE = 1u << 3,    /* bounded work was cut: repeat the command */
    EVF_PRIORITY_KEPT = 1u << 4,
    EVF_MARGIN = 1u << 5,  /* base_a/base_b are net position (lots) and open cost (quote minor units) */
    EVF_LAST = 1u << 6,    /* last event of its command */
    EVF_CROSSES = 1u << 7, /* accepted/replaced: it meets the other side at once, nothing was added to the book yet */
};

/* Reject numbers. brokerage/kernel/rejects.py holds text, HTTP and FIX; a test compares the two. Never reuse a number. */
enum core_reject {
    REJ_NONE = 0,
    /* 1xxx form */
    REJ_MALFORMED = 1001, REJ_UNSUPPORTED = 1002, REJ_DUPLICATE_CL_ORD_ID = 1003, REJ_BAD_VERSION = 1004,
    REJ_BAD_QTY = 1005, REJ_BAD_PRICE = 1006, REJ_BAD_EXPIRE = 1007, REJ_OVERFLOW = 1008,
    /* 2xxx authority */
    REJ_UNKNOWN_ACCOUNT = 2001, REJ_ACCOUNT_HALTED = 2002, REJ_ACCOUNT_REDUCE_ONLY = 2003,
    /* 3xxx instrument */
    REJ_UNKNOWN_INSTRUMENT = 3001, REJ_INSTRUMENT_CLOSED = 3002, REJ_INSTRUMENT_HALTED = 3003, REJ_GLOBAL_HALT = 3004,
    REJ_QTY_BELOW_MIN = 3005, REJ_QTY_ABOVE_MAX = 3006, REJ_UNKNOWN_ASSET = 3007, REJ_BAD_LISTING = 3008,
    REJ_REDUCE_ONLY_STATE = 3009, REJ_LISTING_FROZEN = 3010,
    /* 4xxx risk */
    REJ_INSUFFICIENT_FUNDS = 4001, REJ_PRICE_COLLAR = 4002, REJ_MAX_NOTIONAL = 4003, REJ_MAX_OPEN_ORDERS = 4004,
    REJ_NO_REFERENCE_PRICE = 4005, REJ_REDUCE_ONLY = 4006, REJ_ACCOUNT_MAX_NOTIONAL = 4007,
    /* 5xxx book */
    REJ_UNKNOWN_ORDER = 5001, REJ_TOO_LATE = 5002, REJ_WOULD_CROSS = 5003, REJ_UNFILLABLE = 5004,
    REJ_STALE_REPLACE = 5006, REJ_QTY_BELOW_FILLED = 5007, REJ_NO_LIQUIDITY = 5008, REJ_FILL_LIMIT = 5009,
    /* 8xxx money */
    REJ_UNKNOWN_HOLD = 8001, REJ_BAD_AMOUNT = 8002,
    /* 9xxx system */
    REJ_CAPACITY = 9001,
};

/* Why an order left the book (core_event.reason of EV_ORDER_CANCELED / EV_ORDER_EXPIRED). */
enum core_cancel_reason {
    CXL_USER = 1, CXL_IOC_REMAINDER = 2, CXL_MARKET_REMAINDER = 3, CXL_SELF_TRADE = 4, CXL_MASS = 5, CXL_DAY_END = 6, CXL_GTD = 7,
    CXL_FILL_LIMIT = 8,
};

/* ---- structs ------------------------------------------------------------------------------------------------------------------ */

/* 128 bytes. The sequencer stamps seq, time_ns and epoch; everything else comes from the sender. Unused fields are zero. */
typedef struct {
    uint16_t version;     /* CORE_ABI_VERSION */
    uint16_t type;        /* core_command_type */
    uint32_t flags;       /* core_command_flags */
    uint64_t seq;         /* command sequence, 1.. without gaps */
    int64_t time_ns;      /* UTC, never decreasing */
    uint32_t account;     /* index 1..; 0 = the house */
    uint32_t instrument;  /* instrument index 1.. (or asset index for money commands) */
    uint8_t side;         /* core_side; core_trading_state for CMD_HALT_SET */
    uint8_t ord_type;     /* core_ord_type; core_instrument_kind for CMD_INSTRUMENT_UPSERT */
    uint8_t tif;          /* core_tif; core_trading_state for CMD_INSTRUMENT_UPSERT */
    uint8_t stp;          /* core_stp */
    uint32_t source;      /* who sent it (channel), for the record only; never decides anything */
    uint64_t order_id;    /* target of cancel/replace; hold id; other account of a transfer */
    int64_t price;        /* ticks */
    int64_t qty;          /* lots: order quantity (replace: new total order quantity) */
    int64_t amount;       /* minor units; expire_ns of a GTD order; see docs/engine.md for the upserts */
    int64_t aux;          /* replace: expected version of the order, 0 = any; see docs/engine.md for the upserts */
    uint64_t correlation; /* echoed by the server, not part of the body, not hashed */
    char cl_ord_id[40];   /* 0..36 printable ASCII, zero padded; empty = no idempotency. Upserts use it as data */
} core_command;

/* 136 bytes. All figures are after the event. */
typedef struct {
    uint64_t seq;         /* event sequence, 1.. without gaps */
    uint64_t cmd_seq;     /* the command that caused it */
    int64_t time_ns;      /* that command's time */
    uint16_t type;        /* core_event_type */
    uint16_t reason;      /* core_reject or core_cancel_reason */
    uint16_t flags;       /* core_event_flags */
    uint8_t side;
    uint8_t version;      /* of the order, 1 at entry, +1 with each accepted replace (wraps at 255 to 1) */
    uint32_t account;
    uint32_t instrument;  /* or asset for money events */
    uint64_t order_id;    /* or hold id */
    uint64_t ref_id;      /* fill: the other order; replaced: old price (as int64); duplicate: seq of the first command; transfer: other account */
    int64_t price;        /* limit price; fill: last_px; rejected: the bound that was broken, when it is a price */
    int64_t qty;          /* order_qty; fill: last_qty; canceled/expired: lots removed; rejected: the bound or number needed */
    int64_t leaves;       /* leaves_qty; rejected: what was available */
    int64_t cum_qty;
    int64_t amount;       /* fill: fee charged (quote minor units, >= 0); replaced: old leaves; money: signed change */
    int64_t pnl;          /* fill of a margin instrument: realised profit and loss credited (quote minor units), else 0 */
    int64_t base_a;       /* spot: base available; margin (EVF_MARGIN): net position in lots, signed */
    int64_t base_b;       /* spot: base held;      margin: open cost in quote minor units, signed like the position */
    int64_t quote_a;      /* quote available (money events: available of the asset) */
    int64_t quote_b;      /* quote held      (money events: held of the asset) */
} core_event;

typedef struct {
    uint32_t max_assets;          /* indices 1..max_assets-1 */
    uint32_t max_instruments;
    uint32_t max_accounts;
    uint32_t max_orders;          /* live orders at once */
    uint32_t max_levels;          /* price levels, all books together */
    uint32_t max_cl_ord_ids;      /* remembered ClOrdIDs; the oldest is forgotten first */
    uint32_t max_holds;
    uint32_t max_fills_per_command;   /* matches one order may make; 0 = 1024 */
    uint32_t max_cancels_per_command; /* orders one mass cancel / expiry may touch; 0 = 1024 */
    uint32_t reserved;
} core_config;

typedef struct { int64_t price; int64_t qty; uint32_t orders; uint32_t pad; } core_level;

typedef struct { int64_t available; int64_t held; } core_balance;

/* Margin position of one account in one instrument. */
typedef struct {
    int64_t net;           /* lots, signed */
    int64_t cost;          /* open cost, quote minor units, signed like net */
    int64_t buy_notional;  /* open buy orders at their limit */
    int64_t sell_notional;
    int64_t fee_reserve;   /* of open orders */
    int64_t hold;          /* margin + fee reserve held now (part of the quote balance's held) */
} core_position;

typedef struct {
    uint64_t order_id;
    uint32_t account, instrument;
    uint8_t side, ord_type, tif, version;
    uint32_t flags;
    int64_t price, order_qty, leaves, cum_qty, expire_ns;
    int64_t held;          /* spot: quote (buy) or base (sell) minor units held for it, fee reserve included; margin: 0 */
    uint64_t entry_seq;    /* command sequence that gave it its time priority */
} core_order;

/* What would happen if this CMD_ORDER_NEW were sent now. */
typedef struct {
    uint32_t reason;       /* core_reject, REJ_NONE = would be accepted */
    uint32_t fills;        /* matches it would make at once */
    int64_t fill_qty;      /* lots that would trade at once */
    int64_t fill_notional; /* quote minor units of those */
    int64_t fee;           /* taker fee of those */
    int64_t worst_price;   /* last price level touched, 0 when none */
    int64_t rest_qty;      /* lots that would rest */
    int64_t hold;          /* additional amount that would be held at entry (quote for buys and margin, base for spot sells) */
    int64_t needed;        /* the number the refusing rule needed */
    int64_t available;     /* and what there is */
} core_preview_result;

typedef struct {
    uint64_t cmd_seq, event_seq;   /* last applied command, last emitted event */
    int64_t time_ns;
    uint32_t live_orders, accounts, instruments, assets, holds, cl_ord_ids;
    uint32_t trading_day;
    uint32_t global_state;
    uint64_t matches;              /* since the beginning of the journal */
} core_stats;

typedef struct core core;

/* ---- functions: 0 or a count on success, negative on misuse ---------------------------------------------------------------------- */

/* Allocate everything. Returns NULL when a limit is zero or out of range, or memory is short. */
core *core_open(const core_config *config);
void core_close(core *c);

/*
 * Apply commands in order. Stops early, before a command whose events might not fit. *n_events receives the number written to `events`.
 * Returns the number of commands applied. A command never fails: a refusal is an event. Commands must carry seq = last + 1 and
 * time_ns >= last; otherwise -1 (a bug of the caller, nothing applied from that command on). `cap` must be at least
 * core_events_max(c), else -2.
 */
int64_t core_apply(core *c, const core_command *commands, uint32_t n, core_event *events, uint32_t cap, uint32_t *n_events);
/*
 * The same for `size` bytes that are commands, 128 each, for callers that have bytes and no structs: cffi passes a bytes object for a char pointer as it
 * is, where making an array of commands of it costs as much as applying one. Returns the number of events when all were applied, else -1 - the number of
 * commands applied (0 also where core_apply() refuses); *n_events is set in either case.
 */
int64_t core_apply_bytes(core *c, const char *commands, size_t size, core_event *events, uint32_t cap, uint32_t *n_events);
uint32_t core_events_max(const core *c);       /* most events one command can cause */

void core_stats_get(const core *c, core_stats *out);
int core_depth(const core *c, uint32_t instrument, core_level *bids, core_level *asks, uint32_t n, uint32_t *n_bids, uint32_t *n_asks);
int core_order_get(const core *c, uint64_t order_id, core_order *out);                        /* 1 found, 0 not live */
uint32_t core_orders_of(const core *c, uint32_t account, uint64_t after_order_id, core_order *out, uint32_t cap); /* 0xFFFFFFFF = all; in slot order */
int core_cl_ord_id_get(const core *c, uint32_t account, const char *cl_ord_id, core_event *out); /* 1: *out = the first answer as EV_DUPLICATE */
int core_balance_get(const core *c, uint32_t account, uint32_t asset, core_balance *out);
int core_position_get(const core *c, uint32_t account, uint32_t instrument, core_position *out);
int64_t core_clearing_get(const core *c, uint32_t asset);   /* minus the open cost of all margin positions quoted in the asset */
int core_preview(const core *c, const core_command *command, core_preview_result *out);
int64_t core_next_expiry(const core *c);       /* smallest expire_ns of a live GTD order, 0 = none */
int64_t core_reference_price(const core *c, uint32_t instrument); /* last trade or listed reference, ticks; 0 = none */

/* Same bytes for the same state, on every compiler. core_snapshot(NULL) or a short buffer only sets *need and returns 1. */
int core_snapshot(const core *c, uint8_t *buffer, size_t cap, size_t *need);
core *core_restore(const core_config *config, const uint8_t *buffer, size_t size); /* NULL when damaged or too large for config */
uint64_t core_digest(const core *c);

/* Verify every invariant (docs/engine.md). 0 = sound; else the number of the first broken one, and its text in `why`. */
int core_check(const core *c, char *why, size_t cap);

const char *core_build_id(void);               /* hash of sources and flags, compiled in */
uint32_t core_crc32c(uint32_t crc, const uint8_t *data, size_t size);
/* CDEF-END */

#endif
