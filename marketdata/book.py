"""A price-level book: lots by price, best first, and the view of it that is shown.

Owns ``LevelBook`` (full depth, fed by changes) and ``BookView`` (the best levels as text, with the difference from what was last shown).
Invariants: no level has zero or negative lots; after each whole command bids are below asks. A change that would break the first raises
``BookError``: the book is then unknown and must be loaded again, never repaired by guessing.

    changes ──> LevelBook ──top(n)──> BookView ──> snapshot or delta with absolute sizes (0 = gone)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from marketdata.ticks import BUY, SELL


class BookError(Exception):
    """A change does not fit the book: something was missed or applied twice."""


class LevelBook:
    """One instrument's book. Asks are keyed by price, bids by minus price, so that the best is always first."""

    __slots__ = ("_horizon", "_keys", "_lots", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self._horizon: list[int | None] = [None, None]
        self._lots: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._keys: tuple[list[int], list[int]] = ([], [])

    def load(
        self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], seq: int, *, cut_at: int = 0
    ) -> None:
        """Replace everything by the depth as it was after event ``seq``.

        A side with ``cut_at`` levels or more may go on deeper than was told: beyond its last price nothing is known and changes there are ignored.
        """
        self._lots = ({-price: lots for price, lots in bids}, dict(asks))
        for side in self._lots:
            if any(lots <= 0 for lots in side.values()):
                raise BookError("a level without lots was loaded")
        self._keys = (sorted(self._lots[0]), sorted(self._lots[1]))
        self._horizon = [keys[-1] if cut_at and len(keys) >= cut_at else None for keys in self._keys]
        self.seq = seq

    def running_out(self, depth: int) -> bool:
        """True when a side that was told only in part has fewer than ``depth`` levels left: ask its depth again."""
        return any(
            horizon is not None and len(keys) < depth for horizon, keys in zip(self._horizon, self._keys, strict=True)
        )

    def apply(self, side: int, price: int, change: int, seq: int) -> None:
        """Add or take lots at a price. O(log n) plus a short memory move. Raises BookError when the level would go below zero."""
        if side == BUY:
            index, key = 0, -price
        elif side == SELL:
            index, key = 1, price
        else:
            raise BookError(f"side {side} is no side")
        lots, keys = self._lots[index], self._keys[index]
        horizon = self._horizon[index]
        if horizon is not None and key > horizon:
            self.seq = seq
            return
        before = lots.get(key, 0)
        after = before + change
        if after < 0 or price <= 0:
            raise BookError(f"level {price} of side {side} would hold {after} lots at event {seq}")
        self.seq = seq
        if after == 0:
            if before:
                del lots[key]
                del keys[bisect_left(keys, key)]
        else:
            lots[key] = after
            if not before:
                insort(keys, key)

    def top(self, side: int, depth: int) -> list[tuple[int, int]]:
        """The best ``depth`` levels of a side as (price, lots), best first."""
        if side == BUY:
            lots = self._lots[0]
            return [(-key, lots[key]) for key in self._keys[0][:depth]]
        lots = self._lots[1]
        return [(key, lots[key]) for key in self._keys[1][:depth]]

    def best(self, side: int) -> tuple[int, int] | None:
        """The best level of a side, or None."""
        keys = self._keys[0 if side == BUY else 1]
        if not keys:
            return None
        key = keys[0]
        return (-key, self._lots[0][key]) if side == BUY else (key, self._lots[1][key])

    def crossed(self) -> bool:
        """True when the best bid is not below the best ask: never so in one venue's book after a whole command."""
        return bool(self._keys[0] and self._keys[1] and -self._keys[0][0] >= self._keys[1][0])

    def levels(self) -> int:
        """How many levels both sides hold."""
        return len(self._keys[0]) + len(self._keys[1])


Text = Callable[[int], str]
Rows = list[tuple[str, str]]


class BookView:
    """The best ``depth`` levels as they were last shown, formatted once, and the difference to the book now."""

    __slots__ = ("_depth", "_price", "_qty", "_shown", "_texts", "seq")

    def __init__(self, depth: int, price: Text, qty: Text) -> None:
        self._depth = depth
        self._price = price
        self._qty = qty
        self._shown: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._texts: tuple[dict[int, tuple[str, str]], dict[int, tuple[str, str]]] = ({}, {})
        self.seq: int | None = None

    def advance(self, book: LevelBook) -> tuple[Rows, Rows]:
        """Take over the book's present state; return the changed levels of (bids, asks), absolute, "0" for those no longer shown."""
        changed = (
            self._advance_side(0, book.top(BUY, self._depth)),
            self._advance_side(1, book.top(SELL, self._depth)),
        )
        self.seq = book.seq
        return changed

    def _advance_side(self, index: int, levels: list[tuple[int, int]]) -> Rows:
        before, now = self._shown[index], dict(levels)
        if before == now:
            return []
        texts = self._texts[index]
        rows: Rows = []
        for price, lots in now.items():
            if before.get(price) != lots:
                row = (self._price(price), self._qty(lots))
                texts[price] = row
                rows.append(row)
        for price in before:
            if price not in now:
                rows.append((texts.pop(price)[0], "0"))
        before.clear()
        before.update(now)
        return rows

    def rows(self) -> tuple[Rows, Rows]:
        """All shown levels, best first."""
        bids, asks = self._shown
        bid_texts, ask_texts = self._texts
        return (
            [bid_texts[price] for price in sorted(bids, reverse=True)],
            [ask_texts[price] for price in sorted(asks)],
        )
