"""The session clock: opens and closes the instruments of venues with a calendar, sending a command only when something changes."""

from __future__ import annotations

import logging

from django.db import transaction

from brokerage.platform.audit import record
from marketdata.models import Instrument
from marketdata.services.sessions import ALWAYS, venue_is_open
from native.layout import EventFlag, HaltScope, TradingState
from trading.engine import commands
from trading.engine.gateway import Accepted, EngineClient

log = logging.getLogger(__name__)

#: A halt or a restriction set by staff is theirs to lift; the clock only moves between these two.
CLOCKED = (Instrument.State.ACTIVE, Instrument.State.CLOSED)


def sessions_apply(client: EngineClient, now_ns: int) -> int:
    """Bring every clocked instrument to the state its calendar asks for; returns how many changed."""
    changed = 0
    rows = Instrument.objects.select_related("venue").exclude(venue__calendar=ALWAYS).filter(state__in=CLOCKED)
    for instrument in rows.order_by("core_instrument"):
        wanted = (
            Instrument.State.ACTIVE if venue_is_open(instrument.venue.calendar, now_ns) else Instrument.State.CLOSED
        )
        if wanted == instrument.state:
            continue
        done = _open(client, instrument) if wanted == Instrument.State.ACTIVE else _close(client, instrument)
        if done:
            with transaction.atomic():
                Instrument.objects.filter(pk=instrument.pk).update(state=wanted)
                record(
                    "instrument.state_changed",
                    object_type="instrument",
                    object_id=instrument.symbol,
                    before={"state": str(instrument.state)},
                    after={"state": str(wanted)},
                    reason=f"calendar of {instrument.venue.mic}",
                )
            log.info("%s is %s", instrument.symbol, wanted.label.lower())
            changed += 1
    return changed


def _open(client: EngineClient, instrument: Instrument) -> bool:
    command = commands.halt_set(HaltScope.INSTRUMENT, TradingState.ACTIVE, instrument=instrument.core_instrument)
    return isinstance(client.submit(command), Accepted)


def _close(client: EngineClient, instrument: Instrument) -> bool:
    """Close and let the DAY orders expire; the engine bounds the work of one command, so it is repeated."""
    while True:
        outcome = client.submit(commands.session_close(instrument.core_instrument))
        if not isinstance(outcome, Accepted):
            return False
        if not outcome.events or not outcome.events[-1].flags & EventFlag.MORE:
            return True
