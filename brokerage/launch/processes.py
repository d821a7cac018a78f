"""The process table: what makes up the platform, how each part is started and how one knows that it is ready.

Data only. Leaves starting and watching to ``supervisor.py``; ``deploy/`` names the same commands for production.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from brokerage.config import Config


@dataclass(frozen=True)
class Process:
    """One process. ``ready`` is ``file`` (var/run/<name>.ready), ``http`` (health page) or ``none``."""

    name: str
    command: tuple[str, ...]
    ready: str = "file"
    demo_only: bool = False


def process_table(config: Config) -> list[Process]:
    """Return the processes in starting order; they may start and stop in any order."""
    python = sys.executable
    manage = (python, "manage.py")
    celery = (python, "-m", "celery", "-A", "brokerage")
    beat = str(config.run_dir / "beat-schedule")
    table = [
        Process("engine", (python, "-m", "trading.engine")),
        Process("projector", (*manage, "run_projector")),
        Process("marketdata", (*manage, "run_marketdata")),
        Process("runners", (*manage, "run_runners")),
        Process(
            "web",
            (python, "-m", "daphne", "-b", config.host, "-p", str(config.port), "brokerage.asgi:application"),
            ready="http",
        ),
        Process("demo", (*manage, "run_demo_market"), demo_only=True),
        Process("kyc-sandbox", (*manage, "run_kyc_sandbox"), demo_only=True),
        Process(
            "worker",
            # -B: beat in the same process; what it starts is idempotent, and a demo needs no process more.
            (*celery, "worker", "-P", "threads", "-c", "2", "--loglevel", "WARNING", "-B", "-s", beat),
            ready="none",
        ),
    ]
    return [process for process in table if config.demo or not process.demo_only]
