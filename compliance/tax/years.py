"""Which tax documents there are, for whom, and of which years. Pure; which a client has is in the trading policy (``reports`` of a jurisdiction).

Owns names, years and the zones their days are in. Leaves figures to ``gains.py`` and ``crypto.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from brokerage.kernel.clock import datetime_from_ns, ns_from_datetime

#: After the end of a year its losses and sales can still meet purchases: thirty days by both rules.
SETTLES = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Kind:
    """One document. ``assets`` are the kinds of assets it is about; ``begins`` the day its year begins (month, day)."""

    code: str
    title: str
    about: str
    currency: str
    zone: str
    begins: tuple[int, int]
    assets: frozenset[str]
    #: Results of it depend on what is bought up to thirty days after the year.
    settles: bool

    def day(self, time_ns: int) -> date:
        """The day, in the document's zone, of a time."""
        return datetime_from_ns(time_ns).astimezone(ZoneInfo(self.zone)).date()

    def starts_ns(self, day: date) -> int:
        """When a day begins there, UTC nanoseconds."""
        return ns_from_datetime(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)))

    def year(self, number: int) -> TaxYear:
        """The year that begins in the calendar year ``number``."""
        month, day = self.begins
        return TaxYear(number, date(number, month, day), date(number + 1, month, day))

    def year_of(self, day: date) -> TaxYear:
        """The year a day is in."""
        return self.year(day.year if (day.month, day.day) >= self.begins else day.year - 1)


@dataclass(frozen=True, slots=True)
class TaxYear:
    """The days from ``first`` up to, not including, ``end``."""

    number: int
    first: date
    end: date

    @property
    def last(self) -> date:
        """Its last day."""
        return self.end - timedelta(days=1)

    @property
    def label(self) -> str:
        """As people name it: 2026, or 2026-27 where it is not the calendar's."""
        return (
            str(self.number) if self.first.day == self.first.month == 1 else f"{self.number}-{self.end.year % 100:02}"
        )

    def __contains__(self, day: date) -> bool:
        return self.first <= day < self.end


_CRYPTO, _SHARES = frozenset({"crypto"}), frozenset({"equity"})
KINDS = {
    kind.code: kind
    for kind in (
        Kind(
            "uk_cgt", "Capital gains, United Kingdom", "Disposals matched by the same day, the 30 days and the pool (TCGA 1992), in pounds.",
            "GBP", "Europe/London", (4, 6), _CRYPTO | _SHARES, True,
        ),
        Kind(
            "1099b", "Sales of securities (1099-B figures)", "Sales in the layout of Form 8949, the oldest shares first, with wash sales.",
            "USD", "America/New_York", (1, 1), _SHARES, True,
        ),
        Kind(
            "1099da", "Sales of digital assets (1099-DA figures)", "Sales in the layout of Form 8949, the oldest units first.",
            "USD", "America/New_York", (1, 1), _CRYPTO, False,
        ),
        Kind(
            "dac8", "Crypto assets, yearly sums (DAC8)", "What is reported of a holder of crypto assets: sums by asset, no gains.",
            "", "UTC", (1, 1), _CRYPTO, False,
        ),
        Kind(
            "carf", "Crypto assets, yearly sums (CARF)", "What is reported of a holder of crypto assets: sums by asset, no gains.",
            "", "UTC", (1, 1), _CRYPTO, False,
        ),
    )
}  # fmt: skip


def kinds_for(reports: tuple[str, ...]) -> list[Kind]:
    """The documents among the reports of a jurisdiction; the others go to authorities and not to clients."""
    return [KINDS[code] for code in reports if code in KINDS]
