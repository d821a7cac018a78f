"""Password hashing: Argon2id with parameters calibrated for a login of about 30 ms on this class of machine, and a bound on how many at once.

OWASP's minimum (19 MiB, t=2, p=1) is the floor; the library's default costs eight times as much CPU and would let a login storm starve trading.
Older kinds of hashes (bcrypt, scrypt, PBKDF2) are accepted and upgraded at the next sign-in.

A web process serves every request from a few threads. Of those at most RUNNING hash at a moment and at most WAITING more wait, no longer than
WAIT_S; who comes then is told to come back (2013 with Retry-After). However many sign-ins arrive, the other threads are left for trading, and
hashing is done by threads of their own that stand back behind every other when processors are short.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    BCryptSHA256PasswordHasher,
    PBKDF2PasswordHasher,
    ScryptPasswordHasher,
)

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem

#: Half of the processors: guessing must leave the others to orders.
RUNNING = max(1, (os.cpu_count() or 2) // 2)
#: How far threads that hash stand back behind those that serve.
NICE = 5
WAITING = 4
WAIT_S = 1.5
RETRY_S = 2


class HashGate:
    """Admits a bounded number of hashes at once, and a bounded number that wait for a bounded time."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING, wait_s: float = WAIT_S) -> None:
        self._slots = threading.BoundedSemaphore(running)
        self._lock = threading.Lock()
        self._waiting_max = waiting
        self._wait_s = wait_s
        self.waiting = 0
        self.refused = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hash inside of this; ApiProblem 2013 when there is no room."""
        if not self._slots.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._slots.release()

    def _wait(self) -> None:
        with self._lock:
            if self.waiting >= self._waiting_max:
                self.refused += 1
                raise self._busy()
            self.waiting += 1
        got = self._slots.acquire(timeout=self._wait_s)
        with self._lock:
            self.waiting -= 1
            self.refused += not got
        if not got:
            raise self._busy()

    @staticmethod
    def _busy() -> ApiProblem:
        text = "Too many passwords are being checked at this moment; nothing was decided about yours."
        return ApiProblem(RejectCode.THROTTLED, text, needed=str(RETRY_S), retry_after=RETRY_S)


gate = HashGate()


def _stand_back() -> None:
    with suppress(OSError):  # where threads have no priorities of their own, hashing goes on as it is
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


_threads = ThreadPoolExecutor(RUNNING, "hash", initializer=_stand_back)
_hashing = threading.local()


def _aside(work: Callable[[], Any]) -> Any:
    """Do the work on a thread that stands back, in the caller's place in the gate. Hashers that call themselves are there already."""

    def there() -> Any:
        _hashing.here = True
        return work()

    if getattr(_hashing, "here", False):
        return work()
    with gate.admitted():
        return _threads.submit(there).result()


class Gated:
    """Puts a hasher behind the gate."""

    def encode(self, *args: Any, **options: Any) -> str:
        """Hash a password."""
        hashed = super().encode  # type: ignore[misc]
        return str(_aside(lambda: hashed(*args, **options)))

    def verify(self, *args: Any, **options: Any) -> bool:
        """Check a password."""
        checked = super().verify  # type: ignore[misc]
        return bool(_aside(lambda: checked(*args, **options)))


class CalibratedArgon2PasswordHasher(Gated, Argon2PasswordHasher):
    """Argon2id, 19 MiB, two passes, one lane."""

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1


class GatedBCryptPasswordHasher(Gated, BCryptSHA256PasswordHasher):
    """bcrypt over SHA-256, for hashes from elsewhere."""


class GatedScryptPasswordHasher(Gated, ScryptPasswordHasher):
    """scrypt, for hashes from elsewhere."""


class GatedPBKDF2PasswordHasher(Gated, PBKDF2PasswordHasher):
    """PBKDF2, for hashes from elsewhere."""
