"""``python -m brokerage.launch``: run the platform (``--only engine,web``), or ``status`` of the running one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from brokerage.config import ConfigError, get_config
from brokerage.launch.supervisor import LaunchError, Supervisor


def _status(run_dir: Path) -> int:
    try:
        table = json.loads((run_dir / "processes.json").read_text())
    except (OSError, ValueError):
        print("The platform is not running from this folder: start it with `make run`.")
        return 1
    for name, pid in table.items():
        print(f"{name:<12}{pid:>8}  {'up' if Path(f'/proc/{pid}').exists() else 'down'}")
    return 0


def main() -> int:
    """Parse the command line and run; problems become one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m brokerage.launch", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("run", "status"), default="run")
    parser.add_argument("--only", default="", help="comma separated process names")
    arguments = parser.parse_args()
    try:
        config = get_config()
        if arguments.action == "status":
            return _status(config.run_dir)
        return Supervisor(config, only=tuple(name for name in arguments.only.split(",") if name)).run()
    except (ConfigError, LaunchError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
