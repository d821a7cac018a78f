/*
 * snapshot.c - the state as bytes and back. Only what decides outcomes is written, in one fixed order, so equal states give equal bytes;
 * everything derived (levels, sums, holds, counts, indexes) is rebuilt, and core_check() has the last word on what was read.
 */
#include "internal.h"

#define SNAPSHOT_MAGIC 0x31524F434B5242ull /* "BRKCOR1" */

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

typedef struct { u8 *at; size_t cap, size; } writer; /* at = NULL: only counts */

static void put(writer *w, const void *data, size_t size) {
    if (w->at && w->size + size <= w->cap) memcpy(w->at + w->size, data, size);
    w->size += size;
}

static void put64(writer *w, u64 word) { put(w, &word, 8); }

/* One live order. */
typedef struct {
    u32 slot, generation, account, instrument;
    u8 side, type, tif, stp, version, flags;
    u8 zero[2];
    i64 price, leaves, cum, expire_ns;
    u64 entry_seq;
    u64 zero2;
} order_image;
_Static_assert(sizeof(order_image) == 72, "no padding");

static void write_side(writer *w, const core *c, u32 i, u8 side) {
    const instrument *in = &c->instruments[i];
    for (i64 price = book_best(&in->book, side); price != book_none(side); price = book_next(c, &in->book, side, price)) {
        for (u32 slot = book_level_peek(c, in, side, price)->head; slot; slot = c->orders[slot].next) {
            const order *o = &c->orders[slot];
            order_image m = {slot, o->generation, o->account, i, side, o->type, o->tif, o->stp, o->version, o->flags, {0, 0},
                             o->price, o->leaves, o->cum, c->cold[slot].expire_ns, c->cold[slot].entry_seq, 0};
            put(w, &m, sizeof m);
        }
    }
}

static void write_slots(writer *w, const core *c, const slots *s, int orders) {
    put64(w, s->top);
    put64(w, s->free_count);
    for (u32 n = 0; n < s->free_count; n++) {
        u32 slot = s->free[n];
        put64(w, (u64)(orders ? c->orders[slot].generation : c->holds[slot].generation) << 32 | slot);
    }
}

static void write_state(writer *w, const core *c) {
    put64(w, SNAPSHOT_MAGIC);
    put64(w, (u64)CORE_ABI_VERSION << 32 | CORE_SEMANTICS_VERSION);
    put64(w, c->cmd_seq);
    put64(w, c->event_seq);
    put64(w, (u64)c->time_ns);
    put64(w, c->matches);
    put64(w, (u64)c->trading_day << 32 | c->global_state);
    put64(w, c->n_assets);
    for (u32 i = 1; i <= c->last_asset; i++) {
        if (!c->assets[i].known) continue;
        put64(w, (u64)c->assets[i].scale << 32 | i);
        put64(w, (u64)c->assets[i].net_deposits);
    }
    put64(w, c->n_instruments);
    for (u32 i = 1; i <= c->last_instrument; i++) {
        const instrument *in = &c->instruments[i];
        if (!in->kind) continue;
        put64(w, (u64)in->state << 40 | (u64)in->kind << 32 | i);
        put64(w, (u64)in->base_asset << 32 | in->quote_asset);
        put64(w, (u64)in->tick_value);
        put64(w, (u64)in->lot_minor);
        put64(w, (u64)in->min_qty);
        put64(w, (u64)in->max_qty);
        put64(w, (u64)in->max_notional);
        put64(w, (u64)in->ref_price);
        put64(w, (u64)in->collar_ppm << 32 | in->maker_ppm);
        put64(w, (u64)in->taker_ppm << 32 | in->margin_ppm);
    }
    put64(w, c->n_accounts);
    for (u32 a = 0; a <= c->last_account; a++) {
        const account *row = account_at(c, a);
        if (!row->registered) continue;
        u64 balances = 0;
        for (u32 x = 1; x <= c->last_asset; x++) balances += (balance_at(c, a, x)->available | balance_at(c, a, x)->held) != 0;
        put64(w, (u64)row->took_loss << 40 | (u64)row->state << 32 | a);
        put64(w, (u64)row->stp_group << 32 | balances);
        put64(w, (u64)row->order_cap);
        put64(w, (u64)row->max_notional);
        for (u32 x = 1; x <= c->last_asset; x++) {
            const core_balance *b = balance_at(c, a, x);
            if (!(b->available | b->held)) continue;
            put64(w, x);
            put(w, b, sizeof *b);
        }
    }
    u64 positions = 0;
    for (u32 i = 1; i <= c->last_instrument; i++) positions += is_margin(&c->instruments[i]) ? c->instruments[i].positions : 0;
    put64(w, positions);
    for (u32 i = 1; i <= c->last_instrument; i++) {
        if (!is_margin(&c->instruments[i])) continue;
        for (u32 a = 0; a <= c->last_account; a++) {
            const margin_row *r = row_at(c, a, i);
            if (!r->net) continue;
            put64(w, (u64)a << 32 | i);
            put64(w, (u64)r->net);
            put64(w, (u64)r->cost);
        }
    }
    write_slots(w, c, &c->order_slots, 1);
    put64(w, c->order_slots.live);
    for (u32 i = 1; i <= c->last_instrument; i++) {
        if (!c->instruments[i].kind) continue;
        write_side(w, c, i, SIDE_BUY);
        write_side(w, c, i, SIDE_SELL);
    }
    write_slots(w, c, &c->hold_slots, 0);
    put64(w, c->hold_slots.live);
    for (u32 slot = 1; slot <= c->hold_slots.top; slot++) {
        if (!c->hold_live[slot]) continue;
        put64(w, (u64)c->holds[slot].generation << 32 | slot);
        put64(w, (u64)c->holds[slot].account << 32 | c->holds[slot].asset);
        put64(w, (u64)c->holds[slot].amount);
    }
    put64(w, c->id_count);
    for (u32 n = 0, at = c->id_first; n < c->id_count; n++, at = at + 1 == c->config.max_cl_ord_ids ? 0 : at + 1) put(w, &c->ids[at], sizeof(id_record));
}

int core_snapshot(const core *c, uint8_t *buffer, size_t cap, size_t *need) {
    writer w = {buffer, cap, 0};
    write_state(&w, c);
    *need = w.size + 8;
    if (!buffer || cap < *need) return 1;
    u64 crc = core_crc32c(0, buffer, w.size);
    put64(&w, crc);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

typedef struct { const u8 *at; size_t left; int bad; } reader;

static void get(reader *r, void *out, size_t size) {
    if (r->bad || r->left < size) {
        r->bad = 1;
        memset(out, 0, size);
        return;
    }
    memcpy(out, r->at, size);
    r->at += size;
    r->left -= size;
}

static u64 get64(reader *r) {
    u64 word;
    get(r, &word, 8);
    return word;
}

/* A count of things of at least `size` bytes each: no larger than what is left can hold, nor than `most`. */
static u64 get_count(reader *r, size_t size, u64 most) {
    u64 n = get64(r);
    if (n > most || n > r->left / size) r->bad = 1;
    return r->bad ? 0 : n;
}

static i64 get_amount(reader *r, i64 least) {
    i64 x = (i64)get64(r);
    if (x < least || x > MAX_AMOUNT) r->bad = 1;
    return r->bad ? 0 : x;
}

#define NEED(condition) do { if (!(condition)) { r->bad = 1; return; } } while (0)

static void read_assets(reader *r, core *c) {
    for (u64 n = get_count(r, 16, c->config.max_assets - 1); n && !r->bad; n--) {
        u64 head = get64(r);
        u32 i = (u32)head;
        NEED(i > c->last_asset && i < c->config.max_assets && head >> 32 <= 12);
        c->assets[i].known = 1;
        c->assets[i].scale = (u8)(head >> 32);
        c->assets[i].net_deposits = get_amount(r, -MAX_AMOUNT);
        c->last_asset = i;
        c->n_assets++;
    }
}

static void read_instruments(reader *r, core *c) {
    for (u64 n = get_count(r, 80, c->config.max_instruments - 1); n && !r->bad; n--) {
        u64 head = get64(r), assets = get64(r);
        u32 i = (u32)head;
        NEED(!r->bad && i > c->last_instrument && i < c->config.max_instruments && head >> 48 == 0);
        instrument *in = &c->instruments[i];
        u8 kind = (u8)(head >> 32);
        in->state = (u8)(head >> 40);
        in->base_asset = (u32)(assets >> 32);
        in->quote_asset = (u32)assets;
        in->tick_value = (i64)get64(r);
        in->lot_minor = (i64)get64(r);
        in->min_qty = (i64)get64(r);
        in->max_qty = (i64)get64(r);
        in->max_notional = (i64)get64(r);
        in->ref_price = get_amount(r, 0);
        u64 rates = get64(r);
        in->collar_ppm = (u32)(rates >> 32);
        in->maker_ppm = (u32)rates;
        rates = get64(r);
        in->taker_ppm = (u32)(rates >> 32);
        in->margin_ppm = (u32)rates;
        in->reserve_ppm = in->maker_ppm > in->taker_ppm ? in->maker_ppm : in->taker_ppm;
        NEED(!r->bad && (kind == KIND_SPOT || kind == KIND_MARGIN) && in->state <= STATE_CLOSED && in->tick_value >= 1 && in->lot_minor >= 1 && in->min_qty >= 1 && in->max_qty >= 0 && in->max_notional >= 0);
        NEED(asset_known(c, in->quote_asset) && (asset_known(c, in->base_asset) || (in->base_asset == 0 && kind == KIND_MARGIN)) && in->base_asset != in->quote_asset);
        NEED(in->collar_ppm <= MILLION && in->maker_ppm <= MILLION && in->taker_ppm <= MILLION && in->margin_ppm <= MILLION && (kind == KIND_SPOT || in->margin_ppm));
        in->kind = kind;
        c->last_instrument = i;
        c->n_instruments++;
    }
}

static void read_accounts(reader *r, core *c) {
    u64 n = get_count(r, 32, c->config.max_accounts);
    for (u64 k = 0; k < n && !r->bad; k++) {
        u64 head = get64(r), group = get64(r);
        u32 a = (u32)head, last_asset = 0;
        NEED(!r->bad && (k ? a > c->last_account : a == 0) && a < c->config.max_accounts && head >> 41 == 0 && (u8)(head >> 32) <= STATE_CLOSED);
        account *row = account_at(c, a);
        row->registered = 1;
        row->state = (u8)(head >> 32);
        row->took_loss = (u8)(head >> 40);
        row->stp_group = (u32)(group >> 32);
        row->order_cap = (i64)get64(r);
        row->max_notional = (i64)get64(r);
        NEED(row->order_cap >= 0 && row->max_notional >= 0 && (u32)group <= c->n_assets);
        for (u32 m = (u32)group; m && !r->bad; m--) {
            u64 x = get64(r);
            NEED(x > last_asset && x <= c->last_asset && c->assets[x].known);
            core_balance *b = balance_at(c, a, (u32)x);
            b->available = get_amount(r, -MAX_AMOUNT);
            b->held = get_amount(r, 0);
            last_asset = (u32)x;
        }
        c->last_account = a;
        c->n_accounts = (u32)k + 1;
    }
    if (!n) r->bad = 1;
}

static void read_positions(reader *r, core *c) {
    for (u64 n = get_count(r, 24, r->left / 24); n && !r->bad; n--) {
        u64 head = get64(r);
        u32 a = (u32)(head >> 32), i = (u32)head;
        NEED(!r->bad && account_known(c, a) && a != 0 && instrument_known(c, i) && is_margin(&c->instruments[i]));
        margin_row *row = row_at(c, a, i);
        NEED(row->net == 0);
        row->net = get_amount(r, -MAX_AMOUNT);
        row->cost = get_amount(r, -MAX_AMOUNT);
        NEED(row->net != 0);
        c->instruments[i].positions++;
        asset *quote = &c->assets[c->instruments[i].quote_asset];
        NEED(!__builtin_sub_overflow(quote->clearing, row->cost, &quote->clearing));
    }
}

static void read_slots(reader *r, core *c, slots *s, int orders) {
    u64 top = get64(r);
    NEED(!r->bad && top <= s->cap);
    s->top = (u32)top;
    for (u64 n = get_count(r, 8, top); n && !r->bad; n--) {
        u64 id = get64(r);
        u32 slot = (u32)id, generation = (u32)(id >> 32);
        u32 *now = orders ? &c->orders[slot <= s->top ? slot : 0].generation : &c->holds[slot <= s->top ? slot : 0].generation;
        NEED(!r->bad && slot && slot <= s->top && generation && generation < RETIRED_GENERATION && !*now);
        *now = generation;
        s->free[s->free_count++] = slot;
    }
}

static void read_orders(reader *r, core *c) {
    for (u64 n = get_count(r, sizeof(order_image), c->order_slots.top); n && !r->bad; n--) {
        order_image m;
        get(r, &m, sizeof m);
        NEED(!r->bad && m.slot && m.slot <= c->order_slots.top && m.generation && m.generation < RETIRED_GENERATION && !c->orders[m.slot].generation);
        NEED(m.account && account_known(c, m.account) && instrument_known(c, m.instrument) && (m.side == SIDE_BUY || m.side == SIDE_SELL));
        NEED(m.type == ORD_LIMIT && (m.tif == TIF_DAY || m.tif == TIF_GTC || m.tif == TIF_GTD) && m.stp <= STP_DECREMENT && m.version);
        NEED(m.flags <= (CF_POST_ONLY | CF_REDUCE_ONLY) && m.price > 0 && m.leaves > 0 && m.cum >= 0 && m.cum <= INT64_MAX - m.leaves);
        NEED(!m.zero[0] && !m.zero[1] && !m.zero2 && (m.tif == TIF_GTD ? m.expire_ns > 0 : m.expire_ns == 0));
        instrument *in = &c->instruments[m.instrument];
        i64 notional;
        NEED(notional_of(m.price, m.leaves, in->tick_value, &notional));
        const level *lv = book_level_peek(c, in, m.side, m.price);
        NEED(lv ? lv->qty <= INT64_MAX - m.leaves : c->levels < c->config.max_levels);
        NEED(!reaches(m.side, m.price, in->book.best[m.side == SIDE_BUY]));
        order *o = &c->orders[m.slot];
        *o = (order){0, 0, m.account, m.generation, m.price, m.leaves, m.cum, 0, (u16)m.instrument, m.side, m.type, m.tif, m.stp, m.version, m.flags, NO_HEAP, 0};
        c->cold[m.slot] = (order_cold){m.expire_ns, m.entry_seq};
        i64 fee = ppm_floor(notional, in->reserve_ppm);
        if (is_margin(in)) {
            margin_row *row = row_at(c, m.account, m.instrument);
            i128 open = (i128)(row->cost < 0 ? -row->cost : row->cost) + row->buy_notional + row->sell_notional + notional;
            NEED(open <= MAX_AMOUNT);
            if (m.side == SIDE_BUY) {
                row->buy_notional += notional;
                row->buy_leaves += m.leaves;
            } else {
                row->sell_notional += notional;
                row->sell_leaves += m.leaves;
            }
            row->fee_reserve += fee;
        } else {
            i128 held = m.side == SIDE_BUY ? (i128)notional + fee : (i128)m.leaves * in->lot_minor;
            NEED(held <= MAX_AMOUNT);
            o->held = (i64)held;
        }
        c->keys[m.slot] = order_key(m.account, m.instrument, m.side);
        if (m.tif == TIF_GTD) heap_push(c, m.slot);
        account_at(c, m.account)->open_orders++;
        in->live_orders++;
        c->order_slots.live++;
        book_append(c, in, m.slot);
    }
}

static void read_holds(reader *r, core *c) {
    for (u64 n = get_count(r, 24, c->hold_slots.top); n && !r->bad; n--) {
        u64 id = get64(r), where = get64(r);
        u32 slot = (u32)id, generation = (u32)(id >> 32);
        NEED(!r->bad && slot && slot <= c->hold_slots.top && generation && generation < RETIRED_GENERATION && !c->holds[slot].generation);
        NEED(account_known(c, (u32)(where >> 32)) && asset_known(c, (u32)where));
        c->holds[slot] = (hold){(u32)(where >> 32), (u32)where, generation, 0, get_amount(r, 1)};
        c->hold_live[slot] = 1;
        c->hold_slots.live++;
    }
}

static int is_remembered_type(u8 type) {
    return type == CMD_ORDER_NEW || type == CMD_ORDER_REPLACE || type == CMD_DEPOSIT || type == CMD_WITHDRAW || type == CMD_HOLD || type == CMD_TRANSFER;
}

static void read_ids(reader *r, core *c) {
    for (u64 n = get_count(r, sizeof(id_record), c->config.max_cl_ord_ids); n && !r->bad; n--) {
        id_record record;
        get(r, &record, sizeof record);
        for (u32 k = 0; k < sizeof record.spare; k++) NEED(!record.spare[k]);
        NEED(!r->bad && account_known(c, record.account) && is_remembered_type(record.type) && record.cmd_seq <= c->cmd_seq);
        NEED(id_restore(c, &record));
    }
}

static void read_state(reader *r, core *c) {
    NEED(get64(r) == SNAPSHOT_MAGIC);
    NEED(get64(r) == ((u64)CORE_ABI_VERSION << 32 | CORE_SEMANTICS_VERSION));
    c->cmd_seq = get64(r);
    c->event_seq = get64(r);
    c->time_ns = (i64)get64(r);
    c->matches = get64(r);
    u64 day = get64(r);
    c->trading_day = (u32)(day >> 32);
    c->global_state = (u32)day;
    NEED(!r->bad && c->global_state <= STATE_CLOSED && c->time_ns >= 0);
    void (*parts[])(reader *, core *) = {read_assets, read_instruments, read_accounts, read_positions};
    for (u32 k = 0; k < sizeof parts / sizeof parts[0]; k++)
        if (!r->bad) parts[k](r, c);
    if (!r->bad) read_slots(r, c, &c->order_slots, 1);
    if (!r->bad) read_orders(r, c);
    if (!r->bad) read_slots(r, c, &c->hold_slots, 0);
    if (!r->bad) read_holds(r, c);
    if (!r->bad) read_ids(r, c);
    NEED(!r->bad && r->left == 0);
    /* Slots that are neither live nor free were retired. */
    for (u32 slot = 1; slot <= c->order_slots.top; slot++)
        if (!c->orders[slot].generation) c->orders[slot].generation = RETIRED_GENERATION;
    for (u32 slot = 1; slot <= c->hold_slots.top; slot++)
        if (!c->holds[slot].generation) c->holds[slot].generation = RETIRED_GENERATION;
    for (u32 i = 1; i <= c->last_instrument; i++) {
        const instrument *in = &c->instruments[i];
        if (!is_margin(in)) continue;
        for (u32 a = 1; a <= c->last_account; a++) {
            margin_row *row = row_at(c, a, i);
            if (row->net || row->buy_notional || row->sell_notional) {
                NEED((i128)(row->cost < 0 ? -row->cost : row->cost) + row->buy_notional + row->sell_notional <= MAX_AMOUNT);
                row->hold = margin_hold(in, row);
            }
        }
    }
}

/* Any bytes are survived: sizes, ranges and references are checked while reading, the invariants at the end. */
core *core_restore(const core_config *config, const uint8_t *buffer, size_t size) {
    u64 crc;
    if (size < 16) return NULL;
    memcpy(&crc, buffer + size - 8, 8);
    if (crc != core_crc32c(0, buffer, size - 8)) return NULL;
    core *c = core_open(config);
    if (!c) return NULL;
    reader r = {buffer, size - 8, 0};
    read_state(&r, c);
    if (r.bad || core_check(c, NULL, 0) != 0) {
        core_close(c);
        return NULL;
    }
    return c;
}
