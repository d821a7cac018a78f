"""Record the journal that test_golden.py replays: `python -m tests.determinism.record`.

Run it only when the rules themselves were changed on purpose and CORE_SEMANTICS_VERSION was raised: a journal must be
decided again exactly as it was decided then. Owns `golden.bin.gz` (the packed commands of each run, one after the
other) and `golden.json`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from native import layout
from native.tests.streams import PROFILES, Stream

HERE = Path(__file__).resolve().parent
RUNS = (("everyday", 101), ("deep", 102), ("tiny", 103), ("huge", 104), ("drifting", 105))
COMMANDS = 700


def main() -> None:
    """Write both files from the reference core."""
    packed, runs = b"", []
    for name, seed in RUNS:
        stream = Stream(seed, PROFILES[name])
        pairs = [stream.next() for _ in range(COMMANDS)]
        packed += b"".join(command for command, _ in pairs)
        events = b"".join(told for _, told in pairs)
        run: dict[str, Any] = {"profile": name, "seed": seed, "capacities": PROFILES[name].capacities()}
        run |= {"commands": COMMANDS, "events": len(events) // layout.EVENT_SIZE}
        run |= {"events_sha256": hashlib.sha256(events).hexdigest(), "digest": f"{stream.reference.digest():016x}"}
        runs.append(run)
    (HERE / "golden.bin.gz").write_bytes(gzip.compress(packed, 9, mtime=0))
    versions = {"abi_version": layout.ABI_VERSION, "semantics_version": layout.SEMANTICS_VERSION}
    (HERE / "golden.json").write_text(json.dumps(versions | {"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
