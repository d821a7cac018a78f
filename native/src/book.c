/*
 * book.c - one instrument's book: a dense window of price levels with a bitmap per side, and an AVL tree per side for prices outside.
 *
 * A price inside the window is found by subtraction, the next best level by counting zero bits; a far price costs O(log levels). The window
 * moves (book_recentre) when look-ups keep missing it; where it lies never changes an answer, only its cost.
 */
#include "internal.h"

static inline int near_index(const book *b, i64 price, u32 *index) {
    u64 at = (u64)price - (u64)b->base;
    *index = (u32)at;
    return at < WINDOW;
}

/* ---- bitmap ---------------------------------------------------------------------------------------------------------------------- */

static inline void bit_set(book *b, u32 s, u32 i) {
    b->bits[s][i >> 6] |= 1ull << (i & 63);
    b->sums[s][i >> 12] |= 1ull << (i >> 6 & 63);
}

static inline void bit_clear(book *b, u32 s, u32 i) {
    if (!(b->bits[s][i >> 6] &= ~(1ull << (i & 63)))) b->sums[s][i >> 12] &= ~(1ull << (i >> 6 & 63));
}

/* Highest set index < i, or -1. i may be WINDOW. Cost: at most one word, then the summary words. */
static i64 bit_below(const book *b, u32 s, u32 i) {
    u32 w = i >> 6;
    if (w < WINDOW_WORDS && (i & 63)) {
        u64 word = b->bits[s][w] & ((1ull << (i & 63)) - 1);
        if (word) return (i64)(w << 6 | (63 - (u32)__builtin_clzll(word)));
    }
    u32 g = w >> 6;
    if (g < WINDOW_SUMS && (w & 63)) {
        u64 sum = b->sums[s][g] & ((1ull << (w & 63)) - 1);
        if (sum) {
            w = g << 6 | (63 - (u32)__builtin_clzll(sum));
            return (i64)(w << 6 | (63 - (u32)__builtin_clzll(b->bits[s][w])));
        }
    }
    while (g-- > 0) {
        if (!b->sums[s][g]) continue;
        w = g << 6 | (63 - (u32)__builtin_clzll(b->sums[s][g]));
        return (i64)(w << 6 | (63 - (u32)__builtin_clzll(b->bits[s][w])));
    }
    return -1;
}

/* Lowest set index >= i, or -1. i may be WINDOW. */
static i64 bit_from(const book *b, u32 s, u32 i) {
    u32 w = i >> 6;
    if (w >= WINDOW_WORDS) return -1;
    u64 word = b->bits[s][w] & ~0ull << (i & 63);
    if (word) return (i64)(w << 6 | (u32)__builtin_ctzll(word));
    w++;
    u32 g = w >> 6;
    if (g >= WINDOW_SUMS) return -1;
    u64 sum = b->sums[s][g] & ~0ull << (w & 63);
    for (;;) {
        if (sum) {
            w = g << 6 | (u32)__builtin_ctzll(sum);
            return (i64)(w << 6 | (u32)__builtin_ctzll(b->bits[s][w]));
        }
        if (++g >= WINDOW_SUMS) return -1;
        sum = b->sums[s][g];
    }
}

/* ---- tree of far levels ---------------------------------------------------------------------------------------------------------- */

static inline u32 height_of(const core *c, u32 n) { return n ? c->fars[n].height : 0; }

static inline void height_mend(core *c, u32 n) {
    u32 l = height_of(c, c->fars[n].left), r = height_of(c, c->fars[n].right);
    c->fars[n].height = 1 + (l > r ? l : r);
}

static u32 rotate_right(core *c, u32 n) {
    u32 l = c->fars[n].left;
    c->fars[n].left = c->fars[l].right;
    c->fars[l].right = n;
    height_mend(c, n);
    height_mend(c, l);
    return l;
}

static u32 rotate_left(core *c, u32 n) {
    u32 r = c->fars[n].right;
    c->fars[n].right = c->fars[r].left;
    c->fars[r].left = n;
    height_mend(c, n);
    height_mend(c, r);
    return r;
}

static u32 rebalance(core *c, u32 n) {
    height_mend(c, n);
    far_level *f = &c->fars[n];
    u32 l = height_of(c, f->left), r = height_of(c, f->right);
    if (l > r + 1) {
        if (height_of(c, c->fars[f->left].left) < height_of(c, c->fars[f->left].right)) f->left = rotate_left(c, f->left);
        return rotate_right(c, n);
    }
    if (r > l + 1) {
        if (height_of(c, c->fars[f->right].right) < height_of(c, c->fars[f->right].left)) f->right = rotate_right(c, f->right);
        return rotate_left(c, n);
    }
    return n;
}

/* Depth is at most 1.45 log2(levels) + 2, so recursion is bounded by the configuration. */
static u32 far_insert(core *c, u32 n, u32 node) {
    if (!n) return node;
    if (c->fars[node].price < c->fars[n].price) c->fars[n].left = far_insert(c, c->fars[n].left, node);
    else c->fars[n].right = far_insert(c, c->fars[n].right, node);
    return rebalance(c, n);
}

static u32 far_take_lowest(core *c, u32 n, u32 *lowest) {
    if (!c->fars[n].left) {
        *lowest = n;
        return c->fars[n].right;
    }
    c->fars[n].left = far_take_lowest(c, c->fars[n].left, lowest);
    return rebalance(c, n);
}

static u32 far_delete(core *c, u32 n, i64 price, u32 *gone) {
    assert(n);
    far_level *f = &c->fars[n];
    if (price < f->price) f->left = far_delete(c, f->left, price, gone);
    else if (price > f->price) f->right = far_delete(c, f->right, price, gone);
    else {
        *gone = n;
        if (!f->left) return f->right;
        if (!f->right) return f->left;
        u32 lowest = 0, rest = far_take_lowest(c, f->right, &lowest);
        c->fars[lowest].left = f->left;
        c->fars[lowest].right = rest;
        n = lowest;
    }
    return rebalance(c, n);
}

static u32 far_find(const core *c, u32 n, i64 price) {
    while (n && c->fars[n].price != price) n = price < c->fars[n].price ? c->fars[n].left : c->fars[n].right;
    return n;
}

/* Node with the greatest price < price (below) or the least price > price. */
static u32 far_neighbour(const core *c, u32 n, i64 price, int below) {
    u32 best = 0;
    while (n) {
        if (below ? c->fars[n].price < price : c->fars[n].price > price) {
            best = n;
            n = below ? c->fars[n].right : c->fars[n].left;
        } else n = below ? c->fars[n].left : c->fars[n].right;
    }
    return best;
}

static u32 far_new(core *c, i64 price) {
    u32 n = c->far_free;
    if (n) c->far_free = c->fars[n].left;
    else n = ++c->far_top;
    assert(n <= c->config.max_levels);
    memset(&c->fars[n], 0, sizeof(far_level));
    c->fars[n].price = price;
    c->fars[n].height = 1;
    return n;
}

static void far_release(core *c, u32 n) {
    c->fars[n].left = c->far_free;
    c->far_free = n;
}

/* ---- window ---------------------------------------------------------------------------------------------------------------------- */

/* Keep `lv` in the tree: its price is outside the window. */
static void far_put(core *c, book *b, u32 s, i64 price, level lv) {
    u32 n = far_new(c, price);
    c->fars[n].level = lv;
    b->far_root[s] = far_insert(c, b->far_root[s], n);
    b->far_count++;
}

/*
 * Move the window so that `price` is in its middle. Every level keeps its orders; only where the level is kept changes.
 * Cost: O(window words + levels moved), called at most once in (64 + levels of this book) misses.
 */
static void book_recentre(core *c, book *b, i64 price) {
    i64 base = price > WINDOW / 2 ? price - WINDOW / 2 : 1;
    b->misses = 0;
    if (base == b->base) return;
    for (u32 s = 0; s < 2; s++) {
        u64 kept[WINDOW_WORDS] = {0};
        for (i64 i = bit_from(b, s, 0); i >= 0; i = bit_from(b, s, (u32)i + 1)) {
            i64 at = b->base + i;
            level lv = b->levels[i];
            memset(&b->levels[i], 0, sizeof lv);
            u64 to = (u64)at - (u64)base;
            if (to < WINDOW) {
                c->scratch[to] = lv;
                kept[to >> 6] |= 1ull << (to & 63);
            } else {
                far_put(c, b, s, at, lv);
                b->near_count--;
            }
        }
        /* Levels of the other side are not moved yet and may lie where these go: collect first, write back when both are out. */
        memset(b->sums[s], 0, sizeof b->sums[s]);
        memcpy(b->bits[s], kept, sizeof kept);
        for (u32 w = 0; w < WINDOW_WORDS; w++)
            if (kept[w]) b->sums[s][w >> 6] |= 1ull << (w & 63);
    }
    b->base = base;
    for (u32 s = 0; s < 2; s++) {
        for (i64 i = bit_from(b, s, 0); i >= 0; i = bit_from(b, s, (u32)i + 1)) b->levels[i] = c->scratch[i];
    }
    for (u32 s = 0; s < 2; s++) {
        for (u32 n; (n = far_neighbour(c, b->far_root[s], base - 1, 0)) && c->fars[n].price - base < WINDOW;) {
            u32 gone = 0, i = (u32)(c->fars[n].price - base);
            b->levels[i] = c->fars[n].level;
            bit_set(b, s, i);
            b->near_count++;
            b->far_count--;
            b->far_root[s] = far_delete(c, b->far_root[s], c->fars[n].price, &gone);
            far_release(c, gone);
        }
    }
}

static void book_missed(core *c, book *b, i64 price) {
    if (!b->near_count || ++b->misses > 64 + b->near_count + b->far_count) book_recentre(c, b, price);
}

/* ---- what others use ------------------------------------------------------------------------------------------------------------- */

/* The level at a price, NULL when there is none. */
const level *book_level_peek(const core *c, const instrument *in, u8 side, i64 price) {
    const book *b = &in->book;
    u32 s = side - 1u, i;
    if (LIKELY(near_index(b, price, &i))) return b->bits[s][i >> 6] >> (i & 63) & 1 ? &b->levels[i] : NULL;
    u32 n = far_find(c, b->far_root[s], price);
    return n ? &c->fars[n].level : NULL;
}

level *book_level(core *c, instrument *in, u8 side, i64 price) { return (level *)book_level_peek(c, in, side, price); }

/* Price of the next level behind `price` on that side (bids: lower), or book_none(). */
i64 book_next(const core *c, const book *b, u8 side, i64 price) {
    u32 s = side - 1u, n, i;
    i64 at;
    if (side == SIDE_BUY) {
        if (LIKELY(price <= b->base + WINDOW)) { /* nothing of the tree lies between `price` and a window level below it */
            if (price > b->base) {
                near_index(b, price, &i);
                if ((at = bit_below(b, s, i)) >= 0) return b->base + at;
            }
            if (!b->far_root[s]) return 0;
            n = far_neighbour(c, b->far_root[s], price, 1);
            return n ? c->fars[n].price : 0;
        }
        n = b->far_root[s] ? far_neighbour(c, b->far_root[s], price, 1) : 0;
        if (n && c->fars[n].price >= b->base) return c->fars[n].price;
        if ((at = bit_below(b, s, WINDOW)) >= 0) return b->base + at;
        return n ? c->fars[n].price : 0;
    }
    if (LIKELY(price >= b->base - 1)) {
        if (price < b->base + WINDOW - 1) {
            near_index(b, price + 1, &i);
            if ((at = bit_from(b, s, i)) >= 0) return b->base + at;
        }
        if (!b->far_root[s]) return NO_ASK;
        n = far_neighbour(c, b->far_root[s], price, 0);
        return n ? c->fars[n].price : NO_ASK;
    }
    n = b->far_root[s] ? far_neighbour(c, b->far_root[s], price, 0) : 0;
    if (n && c->fars[n].price < b->base) return c->fars[n].price;
    if ((at = bit_from(b, s, 0)) >= 0) return b->base + at;
    return n ? c->fars[n].price : NO_ASK;
}

/* The end of a queue cannot be guessed, so nothing branches on it: what is meant for a neighbour that is not there goes to order 0, which is no one's. */
static inline void queue_append(core *c, book *b, level *lv, order *o, u32 slot) {
    u32 s = o->side - 1u;
    o->prev = lv->tail;
    o->next = 0;
    c->orders[lv->tail].next = slot;
    lv->head = lv->tail ? lv->head : slot;
    lv->tail = slot;
    lv->qty += o->leaves;
    lv->count++;
    b->best[s] = pick(reaches(o->side, o->price, b->best[s]), o->price, b->best[s]);
}

/* book_append() for a price outside the window, which may move the window to it. */
static __attribute__((noinline)) void append_far(core *c, instrument *in, u32 slot) {
    order *o = &c->orders[slot];
    book *b = &in->book;
    u32 s = o->side - 1u, i;
    book_missed(c, b, o->price);
    if (near_index(b, o->price, &i)) return book_append(c, in, slot);
    u32 n = far_find(c, b->far_root[s], o->price);
    if (!n) {
        n = far_new(c, o->price);
        b->far_root[s] = far_insert(c, b->far_root[s], n);
        b->far_count++;
        c->levels++;
    }
    queue_append(c, b, &c->fars[n].level, o, slot);
}

/*
 * Put the order at the end of its level's queue, making the level when needed (the caller checked that a level may be made).
 * Cost: level line, tail order's line, own line; a far level O(log levels).
 */
void book_append(core *c, instrument *in, u32 slot) {
    order *o = &c->orders[slot];
    book *b = &in->book;
    u32 i;
    if (UNLIKELY(!near_index(b, o->price, &i))) return append_far(c, in, slot);
    level *lv = &b->levels[i];
    if (UNLIKELY(!lv->count)) {
        bit_set(b, o->side - 1u, i);
        b->near_count++;
        c->levels++;
    }
    queue_append(c, b, lv, o, slot);
}

/* The level of the last order taken out goes, and the best price with it. */
static __attribute__((noinline)) void level_gone(core *c, book *b, u8 side, i64 price) {
    u32 s = side - 1u, i;
    c->levels--;
    if (near_index(b, price, &i)) {
        bit_clear(b, s, i);
        b->near_count--;
    } else {
        u32 gone = 0;
        b->far_root[s] = far_delete(c, b->far_root[s], price, &gone);
        far_release(c, gone);
        b->far_count--;
        book_missed(c, b, price);
    }
    if (price == b->best[s]) b->best[s] = book_next(c, b, side, price);
}

/* Take the order out of its queue; its leaves must still be in the level's quantity. Drops the level and moves the best price when it empties. */
void book_remove(core *c, instrument *in, u32 slot) {
    order *o = &c->orders[slot];
    book *b = &in->book;
    u32 i;
    level *lv = LIKELY(near_index(b, o->price, &i)) ? &b->levels[i] : &c->fars[far_find(c, b->far_root[o->side - 1u], o->price)].level;
    c->orders[o->prev].next = o->next; /* order 0, see queue_append() */
    c->orders[o->next].prev = o->prev;
    lv->head = o->prev ? lv->head : o->next;
    lv->tail = o->next ? lv->tail : o->prev;
    lv->qty -= o->leaves;
    o->prev = o->next = 0;
    if (LIKELY(--lv->count)) return;
    assert(lv->qty == 0);
    level_gone(c, b, o->side, o->price);
}

/*
 * The order a new one would queue behind or trade with, and in the latter case its account: brought in ahead of time, see core.c. Which of the two it
 * is cannot be guessed, so addresses are chosen instead of branches.
 */
void book_look(const core *c, const instrument *in, u8 side, i64 price) {
    const book *b = &in->book;
    i64 best = b->best[side == SIDE_BUY];
    int meets = reaches(side, price, best);
    u32 i;
    if (UNLIKELY(!near_index(b, meets ? best : price, &i))) return;
    const level *lv = &b->levels[i];
    const order *m = &c->orders[meets ? lv->head : lv->tail];
    const core_balance *quote = balance_at(c, m->account, in->quote_asset);
    TOUCH(meets ? (const void *)quote : (const void *)m);
    TOUCH(meets ? &c->orders[m->next] : m);
}
