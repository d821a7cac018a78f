"""The matching core from Python: one class over the C library.

What for: the engine process, tests and benches drive the core through this class only.
Owns: loading (and in local and test settings building) the library, buffers for commands and events, turning C structs of
queries into NamedTuples.
Leaves to others: byte layouts (native/layout.py), the meaning of everything (docs/engine.md), threads: a Core belongs to
one thread, as the C core has no locks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from native import build, layout
from native.layout import EVENT_SIZE


class CoreError(Exception):
    """Base of this module's exceptions."""


class CoreNotBuilt(CoreError):
    """The library is missing or stale and may not be built here."""


class CoreSequenceError(CoreError):
    """A command's seq is not last + 1, or its time runs backwards: a bug of the caller. `events` are those of the commands before it."""

    def __init__(self, applied: int, events: bytes) -> None:
        super().__init__(
            f"command {applied} of the batch does not continue the sequence or goes back in time; it and the rest were not applied"
        )
        self.applied = applied
        self.events = events


class CoreBroken(CoreError):
    """`core_check` found a broken invariant."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"invariant {number} is broken: {why}")
        self.number = number
        self.why = why


def _load() -> tuple[Any, Any]:
    try:
        return build.load(build.CORE)
    except build.NotBuiltError as error:
        raise CoreNotBuilt(str(error)) from error


ffi, lib = _load()


@dataclass(frozen=True)
class CoreConfig:
    """Capacities, fixed when a core is opened. Memory is mapped for all of it but used only where touched."""

    max_assets: int = 64
    max_instruments: int = 256
    max_accounts: int = 65_536
    max_orders: int = 1_048_576
    max_levels: int = 262_144
    max_cl_ord_ids: int = 1_048_576
    max_holds: int = 65_536
    max_fills_per_command: int = 1024
    max_cancels_per_command: int = 1024


class Level(NamedTuple):
    price: int
    qty: int
    orders: int


class Balance(NamedTuple):
    available: int
    held: int


class Position(NamedTuple):
    net: int
    cost: int
    buy_notional: int
    sell_notional: int
    fee_reserve: int
    hold: int


class Order(NamedTuple):
    order_id: int
    account: int
    instrument: int
    side: int
    ord_type: int
    tif: int
    version: int
    flags: int
    price: int
    order_qty: int
    leaves: int
    cum_qty: int
    expire_ns: int
    held: int
    entry_seq: int


class Preview(NamedTuple):
    reason: int
    fills: int
    fill_qty: int
    fill_notional: int
    fee: int
    worst_price: int
    rest_qty: int
    hold: int
    needed: int
    available: int


class Stats(NamedTuple):
    cmd_seq: int
    event_seq: int
    time_ns: int
    live_orders: int
    accounts: int
    instruments: int
    assets: int
    holds: int
    cl_ord_ids: int
    trading_day: int
    global_state: int
    matches: int


def build_id() -> str:
    """Hash of sources and flags this library was built from."""
    return ffi.string(lib.core_build_id()).decode("ascii")


def crc32c(data: Any, crc: int = 0) -> int:
    """CRC-32C (Castagnoli) of `data`, continuing from `crc`."""
    # Bytes pass as they are: making an array of them costs more than the checksum of a frame.
    if type(data) is not bytes:
        data = ffi.from_buffer("uint8_t[]", data)
    return lib.core_crc32c(crc, data, len(data))


def _config(config: CoreConfig) -> Any:
    return ffi.new("core_config *", asdict(config))


_COMMANDS = ffi.typeof("core_command[]")
_from_buffer = ffi.from_buffer
_core_apply_bytes = lib.core_apply_bytes
_FEW_EVENTS = 16  # views of fewer events are kept: making one costs as much as a short command


def _commands(buffer: Any) -> Any:
    if (len(buffer) if type(buffer) is bytes else memoryview(buffer).nbytes) & 127:
        raise ValueError("the buffer is not a whole number of commands")  # cffi would drop the half one
    return _from_buffer(_COMMANDS, buffer)


def _row(kind: type, source: Any) -> Any:
    return kind._make([getattr(source, name) for name in kind._fields])  # type: ignore[attr-defined]


class Core:
    """One matching core. Close it, or use it as a context manager; its memory is not Python's."""

    def __init__(self, config: CoreConfig | None = None, *, _handle: Any = None) -> None:
        self.config = config or CoreConfig()
        if _handle is None:
            _handle = lib.core_open(_config(self.config))
            if _handle == ffi.NULL:
                raise ValueError(
                    f"the core cannot be opened: a capacity is out of range, or memory is short ({self.config})"
                )
        self._core = _handle
        self.events_max: int = lib.core_events_max(_handle)
        """Most events one command can cause; the smallest event buffer `apply_into` takes."""
        self._n_events = ffi.new("uint32_t *")
        self._set_buffer(max(4 * self.events_max, 4096))

    @classmethod
    def restore(cls, config: CoreConfig, data: Any) -> Core:
        """A core from `snapshot()` bytes. ValueError when they are damaged or hold more than `config` allows."""
        view = ffi.from_buffer("uint8_t[]", data)
        handle = lib.core_restore(_config(config), view, len(view))
        if handle == ffi.NULL:
            raise ValueError("the snapshot is damaged, of another version, or larger than the configured capacities")
        return cls(config, _handle=handle)

    def close(self) -> None:
        if self._core is not None:
            lib.core_close(self._core)
            self._core = None

    def __enter__(self) -> Core:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_core", None) is not None:
            self.close()

    # -- commands ------------------------------------------------------------------------------------------------------------------

    def _set_buffer(self, cap: int) -> None:
        self._cap = cap
        self._buffer = bytearray(cap * layout.EVENT_SIZE)
        self._view = memoryview(self._buffer)
        self._views = [self._view[: n * EVENT_SIZE] for n in range(_FEW_EVENTS)]
        self._events = ffi.from_buffer("core_event[]", self._buffer)

    def apply(self, commands: Any) -> memoryview:
        """Apply packed commands (n × 128 bytes) in order and return all their events (m × EVENT_SIZE bytes).

        The view is valid until the next call; copy it (`bytes(view)`) to keep it, and do not release it. Bytes are the quickest to pass.
        Raises CoreSequenceError for commands that do not continue the sequence, ValueError for a buffer that is not whole commands.
        """
        if type(commands) is not bytes or len(commands) & 127:
            array = _commands(commands)
            return self._apply_rest(array, len(array), 0, 0)
        n_events = _core_apply_bytes(self._core, commands, len(commands), self._events, self._cap, self._n_events)
        if 0 <= n_events < _FEW_EVENTS:
            return self._views[n_events]
        if n_events >= 0:
            return self._view[: n_events * EVENT_SIZE]
        array = _commands(commands)
        return self._apply_rest(array, len(array), -1 - n_events, self._n_events[0])

    def _apply_rest(self, array: Any, total: int, done: int, used: int) -> memoryview:
        """The rare path of `apply`: commands that are not bytes, or events that need more room than the buffer has."""
        while done < total:
            if self._cap - used < self.events_max:
                old, cap = self._buffer, self._cap
                self._set_buffer(cap * 2)
                self._buffer[: used * layout.EVENT_SIZE] = memoryview(old)[: used * layout.EVENT_SIZE]
            more = lib.core_apply(
                self._core, array + done, total - done, self._events + used, self._cap - used, self._n_events
            )
            if more < 0:
                raise CoreSequenceError(done, bytes(self._view[: used * layout.EVENT_SIZE]))
            done += more
            used += self._n_events[0]
        return self._view[: used * layout.EVENT_SIZE]

    def apply_into(self, commands: Any, events: Any) -> tuple[int, int]:
        """Apply commands with events written to the caller's buffer: (commands applied, events written).

        Fewer commands than given are applied when the next one's events might not fit. `events` must have room for `events_max`.
        """
        array = _commands(commands)
        out = ffi.from_buffer("core_event[]", events, require_writable=True)
        done = lib.core_apply(self._core, array, len(array), out, len(out), self._n_events)
        if done == -2:
            raise ValueError(f"the event buffer must have room for {self.events_max} events")
        if done < 0:
            raise CoreSequenceError(0, b"")
        return done, self._n_events[0]

    # -- queries: none of them changes anything ------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        out = ffi.new("core_stats *")
        lib.core_stats_get(self._core, out)
        return _row(Stats, out)

    def depth(self, instrument: int, n: int = 20) -> tuple[list[Level], list[Level]]:
        """The best `n` levels of each side, best first. Two empty lists for an unknown instrument."""
        if n <= 0:
            return [], []
        bids, asks = ffi.new("core_level[]", n), ffi.new("core_level[]", n)
        n_bids, n_asks = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        if lib.core_depth(self._core, instrument, bids, asks, n, n_bids, n_asks) < 0:
            return [], []
        return (
            [Level(bids[i].price, bids[i].qty, bids[i].orders) for i in range(n_bids[0])],
            [Level(asks[i].price, asks[i].qty, asks[i].orders) for i in range(n_asks[0])],
        )

    def order(self, order_id: int) -> Order | None:
        """A live order, or None."""
        out = ffi.new("core_order *")
        return _row(Order, out) if lib.core_order_get(self._core, order_id, out) == 1 else None

    def orders_of(self, account: int = layout.ANY, after: int = 0, limit: int = 1000) -> list[Order]:
        """Up to `limit` live orders of an account (ANY = all) in slot order, those after order id `after`."""
        out = ffi.new("core_order[]", max(limit, 1))
        return [_row(Order, out[i]) for i in range(lib.core_orders_of(self._core, account, after, out, limit))]

    def cl_ord_id(self, account: int, cl_ord_id: str | bytes) -> layout.Event | None:
        """The first answer to a remembered ClOrdID as an EV_DUPLICATE event, or None."""
        raw = cl_ord_id.encode("ascii", "replace") if isinstance(cl_ord_id, str) else cl_ord_id
        if not raw or len(raw) > layout.CL_ORD_ID_MAX:
            return None
        out = ffi.new("core_event *")
        if lib.core_cl_ord_id_get(self._core, account, raw.ljust(40, b"\0"), out) != 1:
            return None
        return layout.unpack_event(ffi.buffer(out))

    def balance(self, account: int, asset: int) -> Balance:
        """0/0 for an account or asset that is not known."""
        out = ffi.new("core_balance *")
        lib.core_balance_get(self._core, account, asset, out)
        return Balance(out.available, out.held)

    def position(self, account: int, instrument: int) -> Position:
        """The margin row; zeros for a spot or unknown instrument."""
        out = ffi.new("core_position *")
        lib.core_position_get(self._core, account, instrument, out)
        return _row(Position, out)

    def clearing(self, asset: int) -> int:
        return lib.core_clearing_get(self._core, asset)

    def preview(self, command: Any) -> Preview:
        """What a packed ORDER_NEW would do if it were applied now."""
        out = ffi.new("core_preview_result *")
        if len(command) != layout.COMMAND_SIZE:
            raise ValueError("a preview takes one command")
        lib.core_preview(self._core, ffi.from_buffer("core_command[]", command), out)
        return _row(Preview, out)

    def next_expiry(self) -> int:
        """expire_ns of the GTD order that expires first, 0 when there is none."""
        return lib.core_next_expiry(self._core)

    def reference_price(self, instrument: int) -> int:
        return lib.core_reference_price(self._core, instrument)

    # -- state ---------------------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        need = ffi.new("size_t *")
        lib.core_snapshot(self._core, ffi.NULL, 0, need)
        buffer = bytearray(need[0])
        if lib.core_snapshot(self._core, ffi.from_buffer("uint8_t[]", buffer), len(buffer), need) != 0:
            raise CoreError("the snapshot did not fit the size it asked for")  # pragma: no cover
        return bytes(buffer)

    def digest(self) -> int:
        return lib.core_digest(self._core)

    def check(self) -> None:
        """Verify every invariant of docs/engine.md; CoreBroken names the first that does not hold."""
        why = ffi.new("char[]", 256)
        number = lib.core_check(self._core, why, 256)
        if number != 0:
            raise CoreBroken(number, ffi.string(why).decode("utf-8", "replace"))
