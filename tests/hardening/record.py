"""``python -m tests.hardening.record``: which system calls the platform's processes make, for ``deploy/container/seccomp.json``.

Starts a platform of its own with every process under ``strace -c``, lives a client's life on it (registration, factor, upload, tokens, orders
of the demo market, a stop), and prints for each call which processes made it, and which of them the profile does not have. Needs strace.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from brokerage.config import Config
from brokerage.launch import supervisor
from brokerage.launch.__main__ import main as launch
from brokerage.launch.processes import Process
from tests.hardening.confine import PROFILE, allowed_names

#: Seconds of the demo market before the processes are stopped; the tracers write their sums then.
TRADED_S = 20.0


def traced(folder: Path) -> int:
    """Be the launcher, with every process traced; the tracer is a grandchild, so pids and signals are the process's own."""
    table = supervisor.process_table

    def with_strace(config: Config) -> list[Process]:
        return [
            replace(
                process,
                command=("strace", "-D", "-f", "-q", "-c", "-o", str(folder / process.name), *process.command),
            )
            for process in table(config)
        ]

    supervisor.process_table = with_strace
    sys.argv = ["launch"]
    return launch()


def counted(path: Path) -> dict[str, int]:
    """The calls of a summary of strace with how often each was made."""
    found = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[-1] != "total":
            found[words[-1]] = int(words[3])
    return found


def lived(folder: Path) -> None:
    """A client's life on the traced platform."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    from tests.canary.client_life import Life
    from tests.live_platform import LivePlatform

    command = (sys.executable, "-m", "tests.hardening.record", "--traced", str(folder))
    with LivePlatform(demo_rate=20, command=command) as platform:
        life = Life(platform)
        life.live()
        life.spare()
        time.sleep(TRADED_S)


def main() -> int:
    """Record and print."""
    if sys.argv[1:2] == ["--traced"]:
        return traced(Path(sys.argv[2]))
    if shutil.which("strace") is None:
        print("strace is missing: install it (on Debian: apt-get install strace).", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="brokerage-strace-"))
    try:
        lived(folder)
    finally:
        # The tracers outlive what they traced by a moment.
        time.sleep(2)
        by_call: dict[str, dict[str, int]] = {}
        for path in sorted(folder.iterdir()):
            for call, times in counted(path).items():
                by_call.setdefault(call, {})[path.name] = times
        allowed = allowed_names(json.loads(PROFILE.read_text())) if PROFILE.exists() else set()
        for call, processes in sorted(by_call.items()):
            mark = " " if call in allowed else "!"
            print(f"{mark} {call:<20} {' '.join(f'{name}:{times}' for name, times in processes.items())}")
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
