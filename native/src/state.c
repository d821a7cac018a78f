/*
 * state.c - the digest (docs/engine.md 10) and the check of every invariant (9). Neither is on the path of a command.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- digest ---------------------------------------------------------------------------------------------------------------------- */

static inline void mix(u64 *h, u64 word) { *h = (*h ^ word) * 0x100000001B3ull; }

static void digest_side(const core *c, const instrument *in, u8 side, u64 *h) {
    for (i64 price = book_best(&in->book, side); price != book_none(side); price = book_next(c, &in->book, side, price)) {
        for (u32 slot = book_level_peek(c, in, side, price)->head; slot; slot = c->orders[slot].next) {
            const order *o = &c->orders[slot];
            mix(h, order_id_of(c, slot));
            mix(h, o->account);
            mix(h, (u64)o->price);
            mix(h, (u64)o->leaves);
            mix(h, (u64)(o->leaves + o->cum));
            mix(h, (u64)o->cum);
            mix(h, (u64)o->flags | (u64)o->tif << 32 | (u64)o->type << 40 | (u64)o->version << 48 | (u64)o->stp << 56);
            mix(h, (u64)c->cold[slot].expire_ns);
            mix(h, (u64)o->held);
            mix(h, c->cold[slot].entry_seq);
        }
    }
}

static int row_is_zero(const margin_row *r) { return !(r->net | r->cost | r->buy_notional | r->sell_notional | r->fee_reserve | r->hold); }

uint64_t core_digest(const core *c) {
    u64 h = 0xCBF29CE484222325ull;
    mix(&h, c->cmd_seq);
    mix(&h, c->event_seq);
    mix(&h, (u64)c->time_ns);
    mix(&h, c->trading_day);
    mix(&h, c->global_state);
    mix(&h, c->matches);
    for (u32 i = 1; i <= c->last_asset; i++) {
        const asset *a = &c->assets[i];
        if (!a->known) continue;
        mix(&h, i);
        mix(&h, a->scale);
        mix(&h, (u64)a->clearing);
        mix(&h, (u64)a->net_deposits);
    }
    for (u32 i = 1; i <= c->last_instrument; i++) {
        const instrument *in = &c->instruments[i];
        if (!in->kind) continue;
        mix(&h, i);
        mix(&h, in->kind);
        mix(&h, in->state);
        mix(&h, in->base_asset);
        mix(&h, in->quote_asset);
        mix(&h, (u64)in->tick_value);
        mix(&h, (u64)in->lot_minor);
        mix(&h, (u64)in->min_qty);
        mix(&h, (u64)in->max_qty);
        mix(&h, (u64)in->max_notional);
        mix(&h, in->collar_ppm);
        mix(&h, in->maker_ppm);
        mix(&h, in->taker_ppm);
        mix(&h, in->margin_ppm);
        mix(&h, (u64)in->ref_price);
        digest_side(c, in, SIDE_BUY, &h);
        digest_side(c, in, SIDE_SELL, &h);
    }
    for (u32 a = 0; a <= c->last_account; a++) {
        const account *row = account_at(c, a);
        if (!row->registered) continue;
        mix(&h, a);
        mix(&h, row->state);
        mix(&h, row->stp_group);
        mix(&h, (u64)row->order_cap);
        mix(&h, (u64)row->max_notional);
        mix(&h, row->open_orders);
        mix(&h, row->took_loss);
        for (u32 x = 1; x <= c->last_asset; x++) {
            const core_balance *b = balance_at(c, a, x);
            if (!(b->available | b->held)) continue;
            mix(&h, x);
            mix(&h, (u64)b->available);
            mix(&h, (u64)b->held);
        }
        for (u32 i = 1; i <= c->last_instrument; i++) {
            if (!is_margin(&c->instruments[i])) continue;
            const margin_row *r = row_at(c, a, i);
            if (row_is_zero(r)) continue;
            mix(&h, i);
            mix(&h, (u64)r->net);
            mix(&h, (u64)r->cost);
            mix(&h, (u64)r->buy_notional);
            mix(&h, (u64)r->sell_notional);
            mix(&h, (u64)r->fee_reserve);
            mix(&h, (u64)r->hold);
        }
    }
    for (u32 slot = 1; slot <= c->hold_slots.top; slot++) {
        if (!c->hold_live[slot]) continue;
        const hold *d = &c->holds[slot];
        mix(&h, (u64)d->generation << 32 | slot);
        mix(&h, d->account);
        mix(&h, d->asset);
        mix(&h, (u64)d->amount);
    }
    for (u32 k = 0, at = c->id_first; k < c->id_count; k++, at = at + 1 == c->config.max_cl_ord_ids ? 0 : at + 1) {
        const id_record *r = &c->ids[at];
        mix(&h, r->account);
        mix(&h, r->day);
        mix(&h, r->order_id);
        mix(&h, r->cmd_seq);
        mix(&h, r->reason);
    }
    mix(&h, c->order_slots.top);
    for (u32 k = c->order_slots.free_count; k-- > 0;) {
        mix(&h, c->order_slots.free[k]);
        mix(&h, c->orders[c->order_slots.free[k]].generation);
    }
    mix(&h, c->hold_slots.top);
    for (u32 k = c->hold_slots.free_count; k-- > 0;) {
        mix(&h, c->hold_slots.free[k]);
        mix(&h, c->holds[c->hold_slots.free[k]].generation);
    }
    return h;
}

/* ---- check ----------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const core *c;
    char *why;
    size_t cap;
    u32 assets, accounts;   /* sizes of the tables below */
    i128 *held;             /* [account][asset] what orders and holds account for */
    margin_row *sums;       /* [account], of the instrument being looked at */
    u32 *open;              /* [account] */
    u32 levels, queued;
} checker;

static int broken(checker *k, int number, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (k->why && k->cap) vsnprintf(k->why, k->cap, format, args);
    va_end(args);
    return number;
}

static i128 *held_at(checker *k, u32 a, u32 x) { return &k->held[(size_t)a * k->assets + x]; }

/* One level: its queue against its totals, and its orders into the sums. */
static int check_level(checker *k, u32 i, u8 side, i64 price, const level *lv) {
    const core *c = k->c;
    const instrument *in = &c->instruments[i];
    i128 qty = 0;
    u32 n = 0, last = 0;
    for (u32 slot = lv->head; slot; slot = c->orders[slot].next) {
        const order *o = &c->orders[slot];
        if (slot > c->order_slots.top || n++ > c->order_slots.live) return broken(k, 1, "queue of instrument %u price %lld is damaged", i, (long long)price);
        if (c->keys[slot] != order_key(o->account, i, side) || o->instrument != i || o->side != side || o->price != price || o->prev != last)
            return broken(k, 1, "order slot %u does not belong where it is queued", slot);
        if (o->leaves <= 0 || o->cum < 0) return broken(k, 11, "order slot %u has leaves %lld, cum %lld", slot, (long long)o->leaves, (long long)o->cum);
        if (!account_known(c, o->account) || o->account == 0) return broken(k, 3, "order slot %u has no account", slot);
        qty += o->leaves;
        last = slot;
        k->open[o->account]++;
        i64 notional;
        if (!notional_of(price, o->leaves, in->tick_value, &notional)) return broken(k, 5, "order slot %u is too large", slot);
        i64 fee = ppm_floor(notional, in->reserve_ppm);
        if (is_margin(in)) {
            margin_row *r = &k->sums[o->account];
            if (o->held) return broken(k, 5, "margin order slot %u holds by itself", slot);
            if (side == SIDE_BUY) {
                r->buy_notional += notional;
                r->buy_leaves += o->leaves;
            } else {
                r->sell_notional += notional;
                r->sell_leaves += o->leaves;
            }
            r->fee_reserve += fee;
            if (r->buy_notional > MAX_AMOUNT || r->sell_notional > MAX_AMOUNT) return broken(k, 5, "account %u has too much open", o->account);
        } else {
            i128 want = side == SIDE_BUY ? (i128)notional + fee : (i128)o->leaves * in->lot_minor;
            if (o->held != want) return broken(k, 5, "order slot %u holds %lld", slot, (long long)o->held);
            *held_at(k, o->account, side == SIDE_BUY ? in->quote_asset : in->base_asset) += want;
        }
    }
    if (!n || n != lv->count || qty != lv->qty || last != lv->tail) return broken(k, 1, "level %lld of instrument %u has wrong totals", (long long)price, i);
    k->levels++;
    k->queued += n;
    return 0;
}

/* Depth-first over the tree of far levels; *n counts its nodes. Returns the number of a broken invariant or 0. */
static int check_tree(checker *k, u32 i, u8 side, u32 node, i64 low, i64 high, u32 depth, u32 *n) {
    const core *c = k->c;
    const book *b = &c->instruments[i].book;
    if (!node) return 0;
    if (node > c->far_top || depth > 64) return broken(k, 1, "tree of instrument %u is damaged", i);
    const far_level *f = &c->fars[node];
    u32 l = f->left ? c->fars[f->left].height : 0, r = f->right ? c->fars[f->right].height : 0;
    if (f->price <= low || f->price >= high || (u64)f->price - (u64)b->base < WINDOW || f->height != 1 + (l > r ? l : r) || l > r + 1 || r > l + 1)
        return broken(k, 1, "tree of instrument %u is out of order at %lld", i, (long long)f->price);
    ++*n;
    int bad = check_level(k, i, side, f->price, &f->level);
    if (!bad) bad = check_tree(k, i, side, f->left, low, f->price, depth + 1, n);
    if (!bad) bad = check_tree(k, i, side, f->right, f->price, high, depth + 1, n);
    return bad;
}

static int check_book(checker *k, u32 i) {
    const core *c = k->c;
    const instrument *in = &c->instruments[i];
    const book *b = &in->book;
    u32 near = 0, far = 0;
    i64 best[2] = {0, NO_ASK};
    int bad;
    for (u32 s = 0; s < 2; s++) {
        u8 side = (u8)(s + 1);
        for (u32 w = 0; w < WINDOW_WORDS; w++) {
            if ((b->bits[s][w] != 0) != (b->sums[s][w >> 6] >> (w & 63) & 1)) return broken(k, 1, "bitmap summary of instrument %u", i);
            for (u64 word = b->bits[s][w]; word; word &= word - 1) {
                i64 price = b->base + (i64)(w << 6 | (u32)__builtin_ctzll(word));
                if ((bad = check_level(k, i, side, price, &b->levels[price - b->base]))) return bad;
                near++;
                if (side == SIDE_BUY ? price > best[0] : price < best[1]) best[s] = price;
            }
        }
        if ((bad = check_tree(k, i, side, b->far_root[s], 0, NO_ASK, 0, &far))) return bad;
        for (u32 n = b->far_root[s]; n; n = side == SIDE_BUY ? c->fars[n].right : c->fars[n].left) {
            i64 price = c->fars[n].price;
            if (side == SIDE_BUY ? price > best[0] : price < best[1]) best[s] = price;
        }
    }
    if (near != b->near_count || far != b->far_count) return broken(k, 1, "level counts of instrument %u", i);
    if (best[0] != b->best[0] || best[1] != b->best[1]) return broken(k, 1, "best prices of instrument %u", i);
    if (b->best[0] >= b->best[1]) return broken(k, 2, "instrument %u is crossed", i);
    return 0;
}

/* Margin rows of one instrument against its orders; adds their holds and costs. */
static int check_rows(checker *k, u32 i, i128 *cost) {
    const core *c = k->c;
    const instrument *in = &c->instruments[i];
    i128 net = 0;
    u32 positions = 0;
    for (u32 a = 0; a <= c->last_account; a++) {
        const margin_row *r = row_at(c, a, i), *s = &k->sums[a];
        if (r->buy_notional != s->buy_notional || r->sell_notional != s->sell_notional || r->fee_reserve != s->fee_reserve
            || r->buy_leaves != s->buy_leaves || r->sell_leaves != s->sell_leaves)
            return broken(k, 5, "sums of account %u in instrument %u", a, i);
        if ((r->net == 0) != (r->cost == 0) || (r->net > 0) != (r->cost > 0)) return broken(k, 5, "cost of account %u in instrument %u", a, i);
        if ((i128)(r->cost < 0 ? -r->cost : r->cost) + r->buy_notional + r->sell_notional > MAX_AMOUNT)
            return broken(k, 5, "exposure of account %u in instrument %u", a, i);
        if (r->hold != margin_hold(in, r)) return broken(k, 5, "hold of account %u in instrument %u", a, i);
        net += r->net;
        *cost += r->cost;
        positions += r->net != 0;
        if (r->hold) *held_at(k, a, in->quote_asset) += r->hold;
    }
    if (net != 0) return broken(k, 7, "net positions of instrument %u do not add up to 0", i);
    if (positions != in->positions) return broken(k, 10, "position count of instrument %u", i);
    return 0;
}

static int check_slots(checker *k, const slots *s, const char *what, int orders) {
    const core *c = k->c;
    u32 live = 0, free_seen = 0;
    if (s->top > s->cap || s->free_count > s->top) return broken(k, 3, "%s slots are out of range", what);
    u8 *seen = calloc((size_t)s->top + 1, 1);
    if (!seen) return broken(k, 3, "no memory for the check");
    for (u32 n = 0; n < s->free_count; n++) {
        u32 slot = s->free[n];
        if (!slot || slot > s->top || seen[slot]) break;
        u32 generation = orders ? c->orders[slot].generation : c->holds[slot].generation;
        if (!generation || generation >= RETIRED_GENERATION || (orders ? c->keys[slot] != 0 : c->hold_live[slot])) break;
        seen[slot] = 1;
        free_seen++;
    }
    u32 retired = 0;
    for (u32 slot = 1; slot <= s->top; slot++) {
        u32 generation = orders ? c->orders[slot].generation : c->holds[slot].generation;
        if (orders ? c->keys[slot] != 0 : c->hold_live[slot]) live++;
        else if (generation >= RETIRED_GENERATION) retired++;
    }
    free(seen);
    if (free_seen != s->free_count) return broken(k, 3, "%s free list is damaged", what);
    if (live != s->live || live + free_seen + retired != s->top) return broken(k, 3, "%s slots do not add up", what);
    return 0;
}

static int check_heap(checker *k) {
    const core *c = k->c;
    u32 dated = 0;
    for (u32 slot = 1; slot <= c->order_slots.top; slot++) {
        if (!c->keys[slot]) continue;
        int has = c->orders[slot].heap != NO_HEAP;
        if (has != (c->orders[slot].tif == TIF_GTD)) return broken(k, 12, "order slot %u in the expiry heap", slot);
        if (has && (c->orders[slot].heap == 0 || c->orders[slot].heap > c->heap_count || c->heap[c->orders[slot].heap] != slot))
            return broken(k, 12, "order slot %u is not where the heap says", slot);
        dated += (u32)has;
    }
    if (dated != c->heap_count) return broken(k, 12, "heap size");
    for (u32 at = 2; at <= c->heap_count; at++)
        if (expires_before(c, c->heap[at], c->heap[at / 2])) return broken(k, 12, "heap order at %u", at);
    return 0;
}

static int check_ids(checker *k) {
    const core *c = k->c;
    u32 entries = 0, day = 0;
    for (u64 i = 0; i <= c->id_mask; i++)
        for (int e = 0; e < BUCKET; e++) entries += c->id_index[i].tags[e] && is_remembered(c, c->id_index[i].ordinals[e]);
    if (entries != c->id_count || c->id_count > c->config.max_cl_ord_ids) return broken(k, 13, "id index has %u entries for %u ids", entries, c->id_count);
    for (u32 n = 0, at = c->id_first; n < c->id_count; n++, at = at + 1 == c->config.max_cl_ord_ids ? 0 : at + 1) {
        const id_record *r = &c->ids[at];
        char id[40] = {0};
        memcpy(id, r->id, sizeof r->id);
        if (r->hash != id_hash(r->account, id) || id_find(c, r->hash, r->account, id) != r) return broken(k, 13, "id record %u is not found", at);
        if (r->day < day || r->day > c->trading_day) return broken(k, 13, "id record %u has a day out of order", at);
        day = r->day;
    }
    return 0;
}

static int check_money(checker *k, const i128 *costs) {
    const core *c = k->c;
    for (u32 x = 1; x <= c->last_asset; x++) {
        if (!c->assets[x].known) continue;
        i128 total = 0;
        for (u32 a = 0; a <= c->last_account; a++) {
            if (!account_at(c, a)->registered) continue;
            const core_balance *b = balance_at(c, a, x);
            if (*held_at(k, a, x) != b->held) return broken(k, 4, "held of account %u, asset %u is %lld", a, x, (long long)b->held);
            if (b->available < 0 && !account_at(c, a)->took_loss) return broken(k, 6, "available of account %u, asset %u is %lld", a, x, (long long)b->available);
            if (!balance_fits(b)) return broken(k, 6, "balance of account %u, asset %u is out of range", a, x);
            total += (i128)b->available + b->held;
        }
        if (c->assets[x].clearing != -costs[x]) return broken(k, 8, "clearing of asset %u", x);
        if (total + c->assets[x].clearing != c->assets[x].net_deposits) return broken(k, 9, "asset %u is not conserved", x);
    }
    return 0;
}

static int check_all(checker *k, i128 *costs) {
    const core *c = k->c;
    int bad;
    if ((bad = check_slots(k, &c->order_slots, "order", 1)) || (bad = check_slots(k, &c->hold_slots, "hold", 0))) return bad;
    for (u32 i = 1; i <= c->last_instrument; i++) {
        if (!c->instruments[i].kind) continue;
        u32 before = k->queued;
        if (is_margin(&c->instruments[i])) memset(k->sums, 0, k->accounts * sizeof *k->sums);
        if ((bad = check_book(k, i))) return bad;
        if (k->queued - before != c->instruments[i].live_orders) return broken(k, 10, "live orders of instrument %u", i);
        if (is_margin(&c->instruments[i]) && (bad = check_rows(k, i, &costs[c->instruments[i].quote_asset]))) return bad;
    }
    if (k->levels != c->levels || c->levels > c->config.max_levels) return broken(k, 1, "number of price levels");
    if (k->queued != c->order_slots.live) return broken(k, 3, "%u orders are queued, %u are live", k->queued, c->order_slots.live);
    for (u32 slot = 1; slot <= c->hold_slots.top; slot++) {
        const hold *h = &c->holds[slot];
        if (!c->hold_live[slot]) continue;
        if (!account_known(c, h->account) || !asset_known(c, h->asset) || h->amount <= 0) return broken(k, 4, "hold slot %u", slot);
        *held_at(k, h->account, h->asset) += h->amount;
    }
    for (u32 a = 0; a <= c->last_account; a++)
        if (account_at(c, a)->open_orders != k->open[a]) return broken(k, 10, "open orders of account %u", a);
    if ((bad = check_money(k, costs)) || (bad = check_heap(k))) return bad;
    return check_ids(k);
}

/* Cost: all of the state once; takes temporary memory. */
int core_check(const core *c, char *why, size_t cap) {
    checker k = {.c = c, .why = why, .cap = cap, .assets = c->last_asset + 1, .accounts = c->last_account + 1};
    if (why && cap) why[0] = 0;
    k.held = calloc((size_t)k.accounts * k.assets, sizeof *k.held);
    k.sums = calloc(k.accounts, sizeof *k.sums);
    k.open = calloc(k.accounts, sizeof *k.open);
    i128 *costs = calloc(k.assets, sizeof *costs);
    int bad = k.held && k.sums && k.open && costs ? check_all(&k, costs) : broken(&k, 1, "no memory for the check");
    free(k.held);
    free(k.sums);
    free(k.open);
    free(costs);
    return bad;
}
