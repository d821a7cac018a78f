"""The running API keeps to its OpenAPI document, whoever calls: generated requests find no fault.

The run of every day is bounded; ``python -m tests.fuzz --cases 20000`` goes on, as each identity by itself, until so many
requests were made.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest_engine import Child, LivePlatform, LiveWeb
from tests.fuzz.rest import World, run, world

CASES = int(os.environ.get("FUZZ_CASES", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
#: Names of callers, for a run that is to be cut into parts; empty: everybody.
CALLERS = tuple(filter(None, os.environ.get("FUZZ_CALLERS", "").split(",")))
#: What examples of each operation and the limits of every field already make, for one identity.
COVERED = 2_000
OPERATIONS = 50


@pytest.mark.slow
@pytest.mark.skipif(bool(CASES), reason="the long run is asked for")
def test_generated_requests_as_everybody_find_no_fault(
    live_platform: LivePlatform, live_market: Child, live_web: LiveWeb, tmp_path: Path
) -> None:
    everything, cases = world(live_platform), 0
    # One turn where nothing else runs; a busy machine needs more for as many.
    for turn in range(8):
        options = ("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", "40")
        figures = run(live_web, everything, tmp_path, options=(*options, "--seed", str(SEED + turn)))
        assert not figures.failed, figures.said[-12000:]
        cases += figures.cases
        if cases >= 500:
            break
    assert cases >= 500, figures.said[-3000:]
    assert "Traceback" not in live_web.child.tail(), live_web.child.tail()


@pytest.mark.slow
@pytest.mark.skipif(not CASES, reason="python -m tests.fuzz --cases N")
def test_long_run(live_platform: LivePlatform, live_market: Child, live_web: LiveWeb, tmp_path: Path) -> None:
    everything = world(live_platform)
    people = [one for one in everything.people if not CALLERS or one["name"] in CALLERS]
    done, rounds, faults = 0, 0, []
    each = max(1, (CASES // len(people) - COVERED) // OPERATIONS + 1)
    # Everybody gets at least one turn.
    while done < CASES or not rounds:
        for one in people:
            options = (
                "--phases",
                "examples,coverage,fuzzing",
                "--max-examples",
                str(each),
                "--seed",
                str(SEED + rounds),
            )
            figures = run(live_web, World([one], everything.known), tmp_path, options=options)
            done += figures.cases
            print(
                f"{one['name']}: {figures.cases} cases{', FAILED' if figures.failed else ''}; {done} so far", flush=True
            )
            if figures.failed:
                faults.append(f"== {one['name']}\n{figures.said[-8000:]}")
            if done >= CASES and rounds:
                break
        rounds += 1
    print(f"REST: {done} cases as {len(people)} callers, {len(faults)} runs with faults, seed {SEED}")
    assert not faults, "\n".join(faults)
    assert "Traceback" not in live_web.child.log.read_text(errors="replace")
