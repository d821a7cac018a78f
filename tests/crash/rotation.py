"""Rotation of the keyring under fire: killed with -9 in the middle, again and again, while other processes seal and open.

``rotate_under_fire`` is the run; tests/crash/test_rotate_kill.py does it in small, tests/bench/rotate_keys.py with 100,000 data keys.
``python -m tests.crash.rotation FILE`` is one of the other processes: until its input ends it seals for new owners, opens what it sealed
before, and writes each sealed text to FILE; it ends with a line of JSON: how many calls, how many failed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLACE = {"table": "t", "row": "1", "field": "f"}


@dataclass
class Fire:
    """What came of it. Times are seconds."""

    kills: int = 0
    wrapped_at_kill: list[int] = field(default_factory=list)
    rotations_s: float = 0.0
    calls: int = 0
    failed: list[str] = field(default_factory=list)
    sealed: int = 0


def rotate_under_fire(
    environment: dict[str, str], folder: Path, *, kills: int, writers: int = 2, batch: int = 50
) -> Fire:
    """Rotate once, killed ``kills`` times on the way; the ring and the database are those of ``environment``."""
    from brokerage.platform.models import DataKey

    fire = Fire()
    files = [folder / f"writer-{number}" for number in range(writers)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crash.rotation", str(file)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for file in files
    ]  # fmt: skip
    try:
        for file in files:
            wait(lambda file=file: file.exists() and file.stat().st_size > 0, "a writer writes")
        ring = Path(environment["KEYRING_FILE"])
        old = json.loads(ring.read_text())["current"]
        command = [sys.executable, "manage.py", "rotate_keys", f"--batch={batch}"]
        for _ in range(kills):
            before = DataKey.objects.exclude(kek_id=old).count()
            begun = time.monotonic()
            rotation = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
            # Not at its end and not at its beginning: some keys are wrapped again, some are not.
            wait(lambda before=before: DataKey.objects.exclude(kek_id=old).count() > before + 2 * batch, "it wraps")
            rotation.kill()
            rotation.wait()
            fire.rotations_s += time.monotonic() - begun
            fire.kills += 1
            fire.wrapped_at_kill.append(DataKey.objects.exclude(kek_id=old).count())
            if not DataKey.objects.filter(kek_id=old, destroyed_at=None).exists():
                break
        begun = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        fire.rotations_s += time.monotonic() - begun
    finally:
        for child in children:
            said, _ = child.communicate("", timeout=30)
            report = json.loads(said.splitlines()[-1])
            fire.calls += report["calls"]
            fire.failed += report["failed"]
    fire.sealed = sum(len(file.read_text().splitlines()) for file in files)
    return fire


def all_open(folder: Path) -> int:
    """Open everything the writers sealed; returns how many, raises CryptoError for one that does not open."""
    from brokerage.platform import crypto

    crypto.keyring_forget()
    count = 0
    for file in sorted(folder.glob("writer-*")):
        for line in file.read_text().splitlines():
            text, sealed = line.split(" ")
            assert crypto.unseal_text(base64.b64decode(sealed), **PLACE) == text
            count += 1
    return count


def wait(holds: Any, what: str, seconds: float = 60.0) -> None:
    """Wait until it holds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def write(target: Path) -> None:
    """The other process."""
    import django

    django.setup()
    from brokerage.platform import crypto

    calls, number = 0, 0
    failed: list[str] = []
    kept: list[tuple[str, bytes]] = []
    with target.open("w") as file:
        while not select.select([sys.stdin], [], [], 0)[0]:
            number += 1
            text = f"{os.getpid()}-{number}"
            try:
                # A new owner: its data key is made and wrapped now.
                sealed = crypto.seal(text, owner=f"user:fire-{text}", **PLACE)
                kept.append((text, sealed))
                file.write(f"{text} {base64.b64encode(sealed).decode()}\n")
                file.flush()
                crypto._data_key.cache_clear()  # as a process that has not opened it before
                for old_text, old_sealed in (kept[0], kept[number // 2 - 1], kept[-1]):
                    if crypto.unseal_text(old_sealed, **PLACE) != old_text:
                        failed.append("another text")
                    calls += 1
            except Exception as error:
                failed.append(repr(error))
            calls += 1
            time.sleep(0.002)
    print(json.dumps({"calls": calls, "failed": failed}))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
