"""``python -m tests.hardening.record``: which system calls the platform's processes make, for ``deploy/container/seccomp.json``.

Starts a platform of its own with every process under ``strace -c``, lives a client's life on it (registration, factor, upload, tokens, orders
of the demo market, a stop), and prints for each call which processes made it, and which of them the profile does not have. Needs strace.

With ``--confined`` nothing is traced: every process runs under the profile, without new privileges, the same life is lived, and
what the logs say of calls that were refused is printed; exit code 1 when there is any, or when the life could not be lived.
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
from tests.hardening.confine import __file__ as confine_path

#: Seconds of the demo market before the processes are stopped; the tracers write their sums then.
TRADED_S = 20.0


#: What a refused call is called in the logs.
REFUSED = ("Operation not permitted", "Errno 1]", "EPERM")


def before(how: str, folder: Path, name: str) -> tuple[str, ...]:
    """What stands before a process's command; pids and signals stay the process's own (the tracer is a grandchild)."""
    if how == "--traced":
        return ("strace", "-D", "-f", "-q", "-c", "-o", str(folder / name))
    return ("setpriv", "--no-new-privs", "--", sys.executable, confine_path, "--")


def launched(how: str, folder: Path) -> int:
    """Be the launcher, with something before every process."""
    table = supervisor.process_table

    def with_more(config: Config) -> list[Process]:
        return [
            replace(process, command=(*before(how, folder, process.name), *process.command))
            for process in table(config)
        ]

    supervisor.process_table = with_more
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


def lived(how: str, folder: Path) -> list[str]:
    """A client's life on such a platform; the lines of its logs that speak of refused calls."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    from tests.canary.client_life import Life
    from tests.live_platform import LivePlatform

    command = (sys.executable, "-m", "tests.hardening.record", how, str(folder))
    with LivePlatform(demo_rate=20, command=command) as platform:
        life = Life(platform)
        life.live()
        life.spare()
        time.sleep(TRADED_S)
        logs = sorted((platform.var / "log").glob("*.log"))
        return [
            f"{path.name}: {line}"
            for path in logs
            for line in path.read_text(errors="replace").splitlines()
            if any(sign in line for sign in REFUSED)
        ]


def main() -> int:
    """Record and print."""
    if len(sys.argv) == 3:
        return launched(sys.argv[1], Path(sys.argv[2]))
    if sys.argv[1:] == ["--confined"]:
        refused = lived("--confined", Path())
        print("\n".join(refused) or "a client's life, trading and a stop under the profile: nothing refused")
        return int(bool(refused))
    if shutil.which("strace") is None:
        print("strace is missing: install it (on Debian: apt-get install strace).", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="brokerage-strace-"))
    try:
        lived("--traced", folder)
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
