"""``python -m brokerage.launch``: run the platform (``--only engine,web``); ``status`` and ``stop`` of the running one.

``remove`` deletes its data; ``exec web`` becomes that one process and ``probe web`` asks it whether it does its work (for systemd and
containers: see ``deploy``).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from brokerage.config import BASE_DIR, Config, ConfigError, get_config
from brokerage.launch.account import is_alive
from brokerage.launch.embedded import EmbeddedError, EmbeddedServers
from brokerage.launch.probe import probe
from brokerage.launch.processes import process_table
from brokerage.launch.supervisor import LaunchError, Supervisor

STOP_TIMEOUT_S = 90.0


def _supervisor_pid(run_dir: Path) -> int | None:
    """Return the running supervisor's pid; the lock tells, because the number alone could be another program's by now."""
    try:
        with (run_dir / "supervisor.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read())
    except (OSError, ValueError):
        pass
    return None


def _status(config: Config) -> int:
    running = _supervisor_pid(config.run_dir)
    try:
        table = json.loads((config.run_dir / "processes.json").read_text())
    except (OSError, ValueError):
        table = {}
    if running is None or not table:
        print("The platform is starting." if running else "The platform is not running: start it with `make run`.")
        return 1
    for name, pid in table.items():
        print(f"{name:<12}{pid:>8}  {'up' if is_alive(pid) else 'down'}")
    return 0


def _stop(config: Config) -> int:
    pid = _supervisor_pid(config.run_dir)
    if pid is None:
        print("The platform is not running.")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_alive(pid):
        if time.monotonic() > deadline:
            print(f"The platform (process {pid}) does not stop: see {config.log_dir}.", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("The platform is stopped.")
    return 0


def _remove(config: Config) -> int:
    """Stop everything and delete every embedded server's data, also that of test runs that were killed."""
    if _stop(config) != 0:
        return 1
    for folder in (config.var_dir, *(path / "servers" for path in (config.var_dir / "test").glob("[0-9]*"))):
        EmbeddedServers(folder).remove()
    shutil.rmtree(config.var_dir, ignore_errors=True)
    return 0


def _exec(config: Config, name: str) -> int:
    """Become one process of the table, so that a service manager starts exactly what the supervisor starts."""
    commands = {process.name: process.command for process in process_table(config)}
    if name not in commands:
        raise LaunchError(f"Unknown process {name!r}: choose from {', '.join(commands)}.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    os.chdir(BASE_DIR)
    os.execv(commands[name][0], commands[name])  # noqa: S606 - our own table


def main() -> int:
    """Parse the command line and do it; problems become one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m brokerage.launch", description=__doc__)
    parser.add_argument(
        "action", nargs="?", choices=("run", "status", "stop", "remove", "exec", "probe"), default="run"
    )
    parser.add_argument("name", nargs="?", default="", help="the process, for exec and probe")
    parser.add_argument("--only", default="", help="comma separated process names")
    arguments = parser.parse_args()
    if arguments.action in {"exec", "probe"}:
        os.environ["BROKERAGE_PROCESS"] = arguments.name or "console"
    try:
        config = get_config()
        if arguments.action == "run":
            return Supervisor(config, only=tuple(name for name in arguments.only.split(",") if name)).run()
        if arguments.action == "exec":
            return _exec(config, arguments.name)
        if arguments.action == "probe":
            return probe(config, arguments.name)
        return {"status": _status, "stop": _stop, "remove": _remove}[arguments.action](config)
    except (ConfigError, LaunchError, EmbeddedError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
