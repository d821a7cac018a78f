"""``python -m tests.fuzz --cases 20000 --frames 100000``: the long runs of generated requests and frames, against servers of their own."""

from __future__ import annotations

import argparse
import os
import sys

import pytest


def main() -> int:
    """Run what is asked for; the seed of a run is printed and can be given again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=0, help="requests to the REST API, at least")
    parser.add_argument("--frames", type=int, default=0, help="frames to the WebSockets, at least")
    parser.add_argument("--callers", default="", help="only these, by name: client,viewer,dealer")
    parser.add_argument("--seed", type=int, default=20261121)
    chosen = parser.parse_args()
    os.environ |= {"FUZZ_CASES": str(chosen.cases), "FUZZ_FRAMES": str(chosen.frames), "FUZZ_SEED": str(chosen.seed)}
    os.environ["FUZZ_CALLERS"] = chosen.callers
    files = [
        f"tests/fuzz/test_{name}.py" for name, wanted in (("rest", chosen.cases), ("sockets", chosen.frames)) if wanted
    ]
    if not files:
        parser.error("give --cases or --frames")
    return int(pytest.main(["-q", "-s", *files]))


if __name__ == "__main__":
    sys.exit(main())
