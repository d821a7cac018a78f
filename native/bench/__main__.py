"""Measures the core: `python -m native.bench [--messages N] [--rounds N] [--json FILE]`.

What for: CPU time per message of the C core at several batch sizes with every check and a journal record on, and the cost
of calling it from Python. Owns: building and running native/bench/bench.c, the Python part, the printed table.
Leaves to others: the flows (flows.h), the process around the core and its journal file (tests/bench of the engine).
Figures are thread CPU time, medians over rounds; the two control loops say how quick the machine was meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from native import build, layout
from native.core import Core, CoreConfig, build_id, ffi, lib

BENCH = Path(__file__).resolve().parent
FLOWS = ("base", "modify", "deep")
BATCHES = ("1", "7", "64", "256")
GOAL_BATCH_NS = 150
GOAL_SINGLE_NS = 1000
PYTHON_MESSAGES = 100_000


def build_program() -> Path:
    """Compile bench.c with the sources of the core, with the same flags as the library."""
    folder = build.NATIVE / "build"
    folder.mkdir(exist_ok=True)
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("native.bench: no C compiler found")
    program = folder / "bench"
    command = [
        compiler,
        *build.CFLAGS,
        "-DNDEBUG",
        f"-I{build.HEADER.parent}",
        f"-I{build.SOURCES}",
        "-o",
        str(program),
    ]
    subprocess.run([*command, str(BENCH / "bench.c"), str(build.SOURCES / "unity.c")], check=True)
    return program


def load_flow(program: Path, flow: str, messages: int, seed: int) -> tuple[bytes, bytes]:
    """(set-up commands, measured commands) as bench.c generates them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow"
        subprocess.run([program, "dump", flow, str(messages), str(seed), path], check=True)
        data = path.read_bytes()
    setup = int.from_bytes(data[:8], "little") * layout.COMMAND_SIZE
    return data[8 : 8 + setup], data[8 + setup :]


def fresh_core(setup: bytes) -> Core:
    """The capacities of bench_config in flows.h."""
    core = Core(
        CoreConfig(
            max_assets=3,
            max_instruments=2,
            max_accounts=65_536,
            max_orders=1 << 19,
            max_levels=1 << 16,
            max_cl_ord_ids=1 << 18,
            max_holds=16,
        )
    )
    step = 256 * layout.COMMAND_SIZE
    for at in range(0, len(setup), step):
        core.apply(setup[at : at + step])
    return core


def per_message(run: Callable[[Core], None], setup: bytes, messages: int, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        with fresh_core(setup) as core:
            begin = time.thread_time_ns()
            run(core)
            times.append((time.thread_time_ns() - begin) / messages)
    return statistics.median(times)


def python_part(program: Path, rounds: int, seed: int) -> dict[str, float]:
    """What one call from Python costs on the base flow: the bare C call, Core.apply with one command, and with 256."""
    setup, flow = load_flow(program, "base", PYTHON_MESSAGES, seed)
    size = layout.COMMAND_SIZE
    single = [flow[at : at + size] for at in range(0, len(flow), size)]
    batches = [flow[at : at + 256 * size] for at in range(0, len(flow), 256 * size)]
    array = ffi.from_buffer("core_command[]", flow)
    pointers = [array + n for n in range(len(single))]

    def bare(core: Core) -> None:
        call, handle, n_events = lib.core_apply, core._core, core._n_events
        events, cap = core._events, core._cap
        for pointer in pointers:
            call(handle, pointer, 1, events, cap, n_events)

    def wrapped(core: Core) -> None:
        apply = core.apply
        for command in single:
            apply(command)

    def batched(core: Core) -> None:
        apply = core.apply
        for batch in batches:
            apply(batch)

    def empty(_: Core) -> None:
        for _pointer in pointers:
            pass

    return {
        "empty_loop": per_message(empty, setup, len(single), 3),
        "single_call": per_message(bare, setup, len(single), rounds),
        "core_apply_single": per_message(wrapped, setup, len(single), rounds),
        "core_apply_256": per_message(batched, setup, len(single), rounds),
    }


def machine() -> dict[str, Any]:
    name = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            "",
        )
    load = os.getloadavg()
    return {
        "processor": name or platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in load],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def show(result: dict[str, Any]) -> None:
    core, calls, host = result["core"], result["python_ns"], result["machine"]
    load = f"load {host['load_average'][0]} at the start, {host['load_average_end'][0]} at the end"
    print(f"{host['processor']}, {host['cpus']} CPUs, {load}")
    print(f"build {result['build_id']}, {core['compiler']}")
    print(f"{core['messages']:,} messages, {core['rounds']} rounds, seed {core['seed']}")
    print(
        "\nCPU ns per message: all checks, reservations, ClOrdIDs, events, journal record (median; least in brackets)"
    )
    heads = " ".join(f"{'batch ' + batch:>16}" for batch in BATCHES)
    print(f"{'flow':8} {heads} {'trades':>9} {'live (mean)':>12}")
    for flow in FLOWS:
        row = core["flows"][flow]
        cells = " ".join(f"{row['ns'][batch]['median']:8.0f} ({row['ns'][batch]['least']:5.0f})" for batch in BATCHES)
        print(f"{flow:8} {cells} {row['trades']:9,} {row['live_average']:12,.0f}")
    control = core["control"]
    print(f"\ncontrol loops: {control['arithmetic_ns']:.2f} ns per multiply step,")
    print(f"               {control['memory_ns']:.0f} ns per dependent read of 32 MiB")
    print("\nfrom Python, base flow, CPU ns per message")
    print(f"  bare cffi call, one command   {calls['single_call']:8.0f}   (empty loop {calls['empty_loop']:.0f})")
    print(f"  Core.apply, one command       {calls['core_apply_single']:8.0f}")
    print(f"  Core.apply, 256 commands      {calls['core_apply_256']:8.0f}")
    base = core["flows"]["base"]["ns"]["256"]
    print(f"\ngoals: base, batch 256 <= {GOAL_BATCH_NS}: median {base['median']:.0f}, least {base['least']:.0f}")
    print(f"       single submit <= {GOAL_SINGLE_NS}: {calls['single_call']:.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m native.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    program = build_program()
    result: dict[str, Any] = {"build_id": build_id(), "machine": machine()}
    run = subprocess.run(
        [program, str(options.messages), str(options.rounds), str(options.seed)], check=True, stdout=subprocess.PIPE
    )
    result["core"] = json.loads(run.stdout)
    result["python_ns"] = python_part(program, options.rounds, options.seed)
    result["machine"]["load_average_end"] = [round(value, 2) for value in os.getloadavg()]
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
