"""``manage.py rotate_keys``: a new key-encryption key; every data key is wrapped again; the old key goes. With ``--index``: a new index key.

Works while the platform runs. A rotation that was interrupted at any point is finished by the next run, which then makes no new key.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.platform.blind import index_add, index_finish, index_rotate, index_rotating
from brokerage.platform.crypto import (
    KeyInUseError,
    keyring_add,
    keyring_drop,
    keyring_fresh,
    keyring_path,
    private_file_tidy,
    rewrap_batch,
    rewrap_left,
)
from brokerage.platform.locks import alone

#: One rotation at a time, over all hosts.
LOCK = 7_305_001


class Command(BaseCommand):
    """Rotate the keyring."""

    help = "Add a key, wrap all data keys again under it, drop the old ones. Finishes an interrupted rotation first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Options."""
        parser.add_argument("--batch", type=int, default=1_000, help="data keys or values per transaction")
        parser.add_argument("--index", action="store_true", help="the key of blind indexes instead")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate; CommandError when another rotation runs."""
        with alone(LOCK) as free:
            if not free:
                raise CommandError("Another rotation is running.")
            (self._rotate_index if options["index"] else self._rotate)(max(1, options["batch"]))

    def _rotate(self, batch: int) -> None:
        path = keyring_path()
        ring = keyring_fresh()
        if len(ring.keys) > 1:
            self.stdout.write(f"Finishing the rotation to {ring.current}.")
        else:
            keyring_add(path, _next_id(ring.current))
        done = 0
        while True:
            done += _rewrap(batch)
            current = keyring_fresh().current
            try:
                for key_id in json.loads(path.read_text())["keys"]:
                    if key_id != current:
                        keyring_drop(path, key_id)
            except KeyInUseError:
                # A transaction that began before this rotation has just made a data key under the old one.
                continue
            break
        private_file_tidy(path)
        self.stdout.write(f"{current} wraps every data key; {done} batches; older keys were dropped.")

    def _rotate_index(self, batch: int) -> None:
        path = keyring_path()
        keyring_fresh()  # makes the file where that is allowed
        if index_rotating(path):
            self.stdout.write(f"Finishing the rotation to index key {keyring_fresh().index_current}.")
        else:
            index_add(path)
        done = 0
        while True:
            done += index_rotate(batch)
            try:
                gone = index_finish(path)
            except KeyInUseError:
                # A transaction that began before this rotation has just written a value under the old key.
                continue
            break
        private_file_tidy(path)
        current = keyring_fresh().index_current
        words = f"dropped {', '.join(map(str, gone))}" if gone else "older ones stay inside values that rest on them"
        self.stdout.write(f"Index key {current} is around every value; {done} batches; {words}.")


def _rewrap(batch: int) -> int:
    """Wrap everything again; returns how many batches it took."""
    done = 0
    while rewrap_left():
        # Rows that somebody holds are left out and met in the next pass.
        after: int | None = 0
        while after is not None:
            after = rewrap_batch(after, batch)
            done += 1
    return done


def _next_id(current: str) -> str:
    digits = current[1:] if current.startswith("k") else ""
    return f"k{int(digits) + 1}" if digits.isdigit() else f"{current}-2"
