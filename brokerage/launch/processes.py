"""The process table: what makes up the platform, how each part is started and how one knows that it is ready.

Data only. Leaves starting and watching to ``supervisor.py``; ``deploy/`` names the same commands for production.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from brokerage.config import Config


@dataclass(frozen=True)
class Process:
    """One process. ``ready`` is ``file`` (var/run/<name>.ready), ``http`` (health page) or ``none``.

    ``nice`` is how much it stands back where processors are short: an order waits for the engine and the web, for nothing else.
    """

    name: str
    command: tuple[str, ...]
    ready: str = "file"
    demo_only: bool = False
    nice: int = 0


def process_table(config: Config) -> list[Process]:
    """Return the processes in starting order; they may start and stop in any order."""
    python = sys.executable
    manage = (python, "manage.py")
    celery = (python, "-m", "celery", "-A", "brokerage")
    beat = str(config.run_dir / "beat-schedule")
    table = [
        Process("engine", (python, "-m", "trading.engine")),
        Process("projector", (*manage, "run_projector"), nice=2),
        Process("marketdata", (*manage, "run_marketdata"), nice=5),
        Process("runners", (*manage, "run_runners"), nice=5),
        Process(
            "web",
            (python, "-m", "brokerage.serve", "-b", config.host, "-p", str(config.port)),
            ready="http",
        ),
        Process(
            "web-fallback",
            (
                python,
                "-m",
                "brokerage.serve",
                "-b",
                config.host,
                "-p",
                str(config.fallback_port),
                "brokerage.asgi_fallback:application",
            ),
            ready="http",
            nice=5,
        ),
        Process("fix", (*manage, "run_fix")),
        Process("demo", (*manage, "run_demo_market"), demo_only=True, nice=10),
        Process("kyc-sandbox", (*manage, "run_kyc_sandbox"), demo_only=True, nice=10),
        Process(
            "worker",
            # -B: beat in the same process; what it starts is idempotent, and a demo needs no process more.
            (*celery, "worker", "-P", "threads", "-c", "2", "--loglevel", "WARNING", "-B", "-s", beat),
            ready="none",
            nice=10,
        ),
    ]
    return [process for process in table if config.demo or not process.demo_only]
