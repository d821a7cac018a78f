"""``manage.py run_runners``: the light loops in one process: outbox relay, listings to the engine, session clock, the engine's heartbeat, tidying."""

import contextlib
import logging
import signal
import time
from types import FrameType

import psycopg
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connection

from accounts.services.housekeeping import identity_tidy
from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.platform.health import heartbeat, mark_ready
from brokerage.platform.loops import loops_start
from brokerage.platform.outbox import CHANNEL, OutboxRelay, outbox_backlog
from trading.engine.gateway import EngineStatus, EngineUnavailable
from trading.services.account_control import limits_sync
from trading.services.engine_access import get_engine_client
from trading.services.limits import day_counters_announce
from trading.services.listing import ListingError, listing_sync
from trading.services.sessions import sessions_apply

log = logging.getLogger(__name__)

BEAT_S = 2.0
SESSIONS_S = 5.0
TIDY_S = 600.0
WAKE_S = 0.5


class Command(BaseCommand):
    """Run the light loops until SIGTERM."""

    help = __doc__
    # The launcher has checked already; a restart after a crash should not wait for it.
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Loop; every part waits out an engine or a database that is away."""
        self._stopped = False

        def stop(signum: int, frame: FrameType | None) -> None:
            self._stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        stop_loops = loops_start()
        try:
            self._run()
        finally:
            stop_loops()

    def _run(self) -> None:
        relay = OutboxRelay()
        synced = False
        ready = False
        next_beat = next_sessions = next_tidy = 0.0
        while not self._stopped:
            try:
                if not synced:
                    listing_sync(get_engine_client())
                    synced = True
                self._listen()
                while relay.run_once() and not self._stopped:
                    pass
                now = time.monotonic()
                if now >= next_beat:
                    next_beat = now + BEAT_S
                    self._beat()
                if not ready:
                    mark_ready("runners")
                    ready = True
                if now >= next_sessions:
                    next_sessions = now + SESSIONS_S
                    sessions_apply(get_engine_client(), SYSTEM_CLOCK.now_ns())
                    limits_sync(get_engine_client())
                    day_counters_announce()
                if now >= next_tidy:
                    next_tidy = now + TIDY_S
                    identity_tidy()
                self._wait()
            except (EngineUnavailable, ListingError) as error:
                synced = False
                heartbeat("runners", "waiting", detail=str(error))
                time.sleep(1.0)
            except (DatabaseError, psycopg.Error) as error:
                log.warning("database away, waiting: %s", error)
                connection.close()
                # Orders go on without the database, and pages open elsewhere should see that the engine is there.
                heartbeat("runners", "waiting", detail="the database does not answer")
                with contextlib.suppress(EngineUnavailable):
                    _engine_beat()
                time.sleep(1.0)

    def _listen(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")

    def _wait(self) -> None:
        """Sleep until the outbox calls, at most WAKE_S: events that wait for their next attempt call nobody."""
        for _ in connection.connection.notifies(timeout=WAKE_S, stop_after=1):
            pass

    def _beat(self) -> None:
        heartbeat("runners", "running", outbox=outbox_backlog())
        _engine_beat()


def _engine_beat() -> None:
    """The engine knows neither Django nor Valkey: its heartbeat is what it answers here."""
    status = get_engine_client().status()
    heartbeat("engine", "halted" if status.halt_reason else "running", **_plain(status))


def _plain(status: EngineStatus) -> dict[str, object]:
    """What of the engine's status belongs on a status page."""
    hidden = {"recovered", "protocol", "abi", "ring_first_seq", "ring_bytes"}
    return {name: value for name, value in status.details.items() if name not in hidden}
