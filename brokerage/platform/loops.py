"""Background work that apps of any layer hang into ``run_runners``: a function, called again and again in a thread of its own.

An app registers in its ``AppConfig.ready``; ``run_runners`` starts them all without knowing whose they are. A function that fails is called
again after its pause. Leaves what is done, and that two processes may do it at once, to the function.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

log = logging.getLogger(__name__)

STOP_S = 10.0


@dataclass(frozen=True)
class Loop:
    """One piece of work and the pause after each call, in seconds."""

    name: str
    work: Callable[[], object]
    every_s: float


_loops: dict[str, Loop] = {}


def loop_register(name: str, work: Callable[[], object], *, every_s: float) -> None:
    """Have ``work`` called in the runners' process."""
    _loops[name] = Loop(name, work, every_s)


def loops_start() -> Callable[[], None]:
    """Start every registered loop; the answer stops them and waits for their current call."""
    stopped = threading.Event()
    threads = [
        threading.Thread(target=_turn, args=(loop, stopped), name=loop.name, daemon=True) for loop in _loops.values()
    ]
    for thread in threads:
        thread.start()

    def stop() -> None:
        stopped.set()
        for thread in threads:
            thread.join(STOP_S)

    return stop


def _turn(loop: Loop, stopped: threading.Event) -> None:
    try:
        while not stopped.is_set():
            try:
                loop.work()
            except Exception:
                log.exception("%s failed, going on", loop.name)
                connection.close()
            stopped.wait(loop.every_s)
    finally:
        connection.close()
