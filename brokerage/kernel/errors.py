"""The exception tree of the house.

A refusal is data (a row of ``rejects.py``); an exception is a bug, an outage, or input which the edge turns into a
refusal.
Catch narrowly, at edges. Owns the classes and nothing else.

    BrokerageError
    ├── RejectedError            input or request refused; carries the reject number, what is needed and what there is
    │   ├── UnitsError           a number that cannot be a price, quantity or amount
    │   │   ├── NotANumberError  NaN, infinity, a float, text that is no plain decimal number          1012
    │   │   ├── TooManyDecimalsError                                                                   1011
    │   │   ├── OutOfRangeError  more than 10^18, or outside the core's 64 bits                        1014
    │   │   └── OffIncrementError  not a whole number of ticks (3011) or lots (3012)
    │   └── IdentifierError      a code or id with a wrong form or check digit                         1001
    ├── EngineUnavailableError   the command certainly did not reach the engine                        9010
    ├── OutcomeUnknownError      the command may have reached the engine; resolve by its client id     9011
    ├── ProtocolError            a peer broke a wire format: the connection is cut
    └── DamageError              stored bytes are not what was written
        ├── ChainBrokenError     a hash chain does not link
        └── JournalDamagedError  a record in the middle of the journal; carries the sequence
"""

from __future__ import annotations


class BrokerageError(Exception):
    """Base of every exception raised on purpose by the house."""


class RejectedError(BrokerageError):
    """Input or a request is refused. ``code`` is a number of ``rejects.py``; ``needed`` and ``available`` are shown
    to the sender."""

    def __init__(
        self,
        code: int,
        detail: str = "",
        *,
        needed: str | None = None,
        available: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(detail or f"refused with code {int(code)}")
        self.code = int(code)
        self.detail = detail
        self.needed = needed
        self.available = available
        self.field = field


class UnitsError(RejectedError, ValueError):
    """A number cannot be a price, quantity or amount of money."""


class NotANumberError(UnitsError):
    """NaN, infinity, a binary float, or text which is no plain decimal number."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(1012, detail, needed="a decimal number", field=field)


class TooManyDecimalsError(UnitsError):
    """More decimals than the increment or the asset has."""

    def __init__(self, detail: str, *, needed: str, available: str, field: str | None = None) -> None:
        super().__init__(1011, detail, needed=needed, available=available, field=field)


class OutOfRangeError(UnitsError):
    """Larger than any price, quantity or amount the house handles."""

    def __init__(self, detail: str, *, needed: str, available: str, field: str | None = None) -> None:
        super().__init__(1014, detail, needed=needed, available=available, field=field)


class OffIncrementError(UnitsError):
    """Not a whole number of increments; ``code`` says of which."""


class IdentifierError(RejectedError, ValueError):
    """A code or id has a wrong form or check digit."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(1001, detail, field=field)


class EngineUnavailableError(BrokerageError):
    """The command certainly did not reach the engine; it is safe to send it again."""


class OutcomeUnknownError(BrokerageError):
    """The command may have reached the engine; ask by its client order id before sending it again."""


class ProtocolError(BrokerageError):
    """A peer broke a wire format; its connection is cut."""


class DamageError(BrokerageError):
    """Stored bytes are not what was written."""


class ChainBrokenError(DamageError):
    """A hash chain does not link; ``index`` is the first record that does not fit."""

    def __init__(self, index: int) -> None:
        super().__init__(f"hash chain broken at record {index}")
        self.index = index


class JournalDamagedError(DamageError):
    """A record in the middle of the journal is damaged; ``sequence`` is the first one that cannot be trusted."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"journal damaged at sequence {sequence}: {why}")
        self.sequence = sequence
