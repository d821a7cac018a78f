"""A recorded journal is decided today exactly as it was when it was recorded, by both cores and in any process.

When one of these fails the rules changed. If that was meant: raise CORE_SEMANTICS_VERSION, say so in docs/engine.md,
and record again with `python -m tests.determinism.record`. If it was not meant: it is a bug, because old journals
would be replayed into another state.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from native import layout
from native.core import Core, CoreConfig
from native.reference import ReferenceConfig, ReferenceCore

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = json.loads((HERE / "golden.json").read_text())
PACKED = gzip.decompress((HERE / "golden.bin.gz").read_bytes())


def commands_of(index: int) -> bytes:
    starts = [0]
    for run in GOLDEN["runs"]:
        starts.append(starts[-1] + run["commands"] * layout.COMMAND_SIZE)
    return PACKED[starts[index] : starts[index + 1]]


def outcome(core: Any, commands: bytes) -> dict[str, Any]:
    events = bytes(core.apply(commands))
    return {
        "events": len(events) // layout.EVENT_SIZE,
        "events_sha256": hashlib.sha256(events).hexdigest(),
        "digest": f"{core.digest():016x}",
    }


def recorded(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("events", "events_sha256", "digest")}


def test_the_record_is_of_this_layout_and_of_these_rules() -> None:
    assert (GOLDEN["abi_version"], GOLDEN["semantics_version"]) == (layout.ABI_VERSION, layout.SEMANTICS_VERSION)
    assert len(PACKED) == sum(run["commands"] for run in GOLDEN["runs"]) * layout.COMMAND_SIZE
    assert sum(run["events"] for run in GOLDEN["runs"]) > 3_500


@pytest.mark.parametrize("index", range(len(GOLDEN["runs"])), ids=[run["profile"] for run in GOLDEN["runs"]])
def test_the_c_core_decides_the_recorded_journal_as_it_did(index: int) -> None:
    run = GOLDEN["runs"][index]
    assert outcome(Core(CoreConfig(**run["capacities"])), commands_of(index)) == recorded(run)


@pytest.mark.parametrize("index", range(len(GOLDEN["runs"])), ids=[run["profile"] for run in GOLDEN["runs"]])
def test_the_reference_decides_the_recorded_journal_as_it_did(index: int) -> None:
    run = GOLDEN["runs"][index]
    assert outcome(ReferenceCore(ReferenceConfig(**run["capacities"])), commands_of(index)) == recorded(run)


@pytest.mark.parametrize(
    ("hash_seed", "zone", "language"), [("0", "UTC", "C"), ("4711", "Pacific/Auckland", "de_DE.UTF-8")]
)
def test_another_process_in_another_place_decides_the_same(hash_seed: str, zone: str, language: str) -> None:
    program = (
        "import json; from tests.determinism.test_golden import *;"
        "print(json.dumps([[outcome(Core(CoreConfig(**r['capacities'])), commands_of(i)),"
        " outcome(ReferenceCore(ReferenceConfig(**r['capacities'])), commands_of(i))] for i, r in enumerate(GOLDEN['runs'])]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone, "LANG": language, "LC_ALL": language}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == [[recorded(run)] * 2 for run in GOLDEN["runs"]]
