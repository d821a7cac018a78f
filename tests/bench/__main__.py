"""``make bench``: every figure of ``docs/performance.md``, measured one part after the other; ``--only core,engine`` chooses.

Each part is a program of its own that writes JSON; this one runs them, starts a whole platform for those which need one, prints a summary and
keeps everything in ``var/bench/latest.json``. Figures are medians; the machine's load is noted because it decides what wall clocks mean.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import shutil
import subprocess
import sys
import time
from typing import Any

from brokerage.launch.embedded import EmbeddedServers
from tests.live_platform import ROOT, LivePlatform

OUT = ROOT / "var" / "bench"
#: Behind "Ready" processes still load history and fill their caches; users meet a platform that runs.
SETTLE_S = 15
ALONE = {
    "core": ("-m", "native.bench"),
    "engine": ("-m", "trading.engine.bench"),
    "screening": ("-m", "tests.bench.screening_bench"),
}
IN_DATABASE = {"projector": ("bench_projector",), "audit": ("bench_audit", "--acts", "100000", "--commit")}
LIVE = {
    "rest": ("-m", "tests.bench.rest_bench", "--url"),
    "hub": ("-m", "tests.bench.hub_bench", "--url"),
    "fill": ("-m", "tests.bench.fill_latency", "--url"),
    "enumeration": ("-m", "tests.bench.enumeration", "--url"),
}
#: On a platform with the budgets and locks users have.
ATTACKED = {
    "flood": ("-m", "tests.bench.neighbours", "--parts", "flood", "--url"),
    "bruteforce": ("-m", "tests.bench.neighbours", "--parts", "bruteforce", "--url"),
}


def run(name: str, arguments: tuple[str, ...], environment: dict[str, str] | None = None) -> Any:
    """Run one part; its JSON, or the end of what it said when it failed."""
    path = OUT / f"{name}.json"
    path.unlink(missing_ok=True)
    print(f"\n== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, *arguments, "--json", str(path)], cwd=ROOT, env=environment, text=True, check=False
    )
    if done.returncode != 0 or not path.exists():
        return {"failed": done.returncode}
    return json.loads(path.read_text())


def in_database(name: str, command: tuple[str, ...]) -> Any:
    """A management command that prints JSON, against a database of its own."""
    print(f"\n== {name}", flush=True)
    shutil.rmtree(OUT / "servers", ignore_errors=True)
    with EmbeddedServers(OUT / "servers") as servers:
        environment = os.environ | {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0", "--noinput"], cwd=ROOT, env=environment, check=True
        )
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout or done.stderr)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.returncode}


def main() -> int:
    """Run the chosen parts."""
    parts = (*ALONE, *IN_DATABASE, *LIVE, *ATTACKED)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(parts))
    chosen = parser.parse_args().only.split(",")
    OUT.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "machine": f"{machine.machine()}, {os.cpu_count()} cores",
        "load_at_start": os.getloadavg(),
    }
    for name, arguments in ALONE.items():
        if name in chosen:
            results[name] = run(name, arguments)
    for name, command in IN_DATABASE.items():
        if name in chosen:
            results[name] = in_database(name, command)
    for group, scale in ((LIVE, 1000), (ATTACKED, 1)):
        if not set(group) & set(chosen):
            continue
        with LivePlatform(demo_rate=60, rate_scale=scale) as live:
            time.sleep(SETTLE_S)
            for name, arguments in group.items():
                if name in chosen:
                    results[name] = run(name, (*arguments, live.base), live.environment)
    results["load_at_end"] = os.getloadavg()
    (OUT / "latest.json").write_text(json.dumps(results, indent=1))
    failed = [name for name in chosen if isinstance(results.get(name), dict) and "failed" in results[name]]
    print(f"\nAll figures: {OUT / 'latest.json'}" + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
