"""Looking at a journal without changing it: ``--check``, ``--verify``, ``--dump FROM TO``.

Owns: what these print and their exit codes (0 sound, 4 damaged). May run beside an engine: a frame that is being written then looks
like a torn tail, which is reported and is no damage. Leaves to others: reading (segment_log.py), replay (replay.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from brokerage.kernel.clock import rfc3339
from brokerage.kernel.errors import DamageError
from brokerage.kernel.files import OS_FILES
from brokerage.kernel.segment_log import TYPE_SEAL, LogReader
from native import layout
from native.layout import CommandType, EventType
from trading.engine import journal as j
from trading.engine import snapshot as snap
from trading.engine.replay import Replayer, check_start, stored_config

_FRAME_NAMES = {j.FRAME_START: "START", j.FRAME_COMMANDS: "COMMANDS", j.FRAME_STOP: "STOP", TYPE_SEAL: "SEAL"}


def run(tool: tuple[str, list[int]], folder: Path, native: Any) -> int:
    """Run one of the tools; the process's exit code."""
    name, arguments = tool
    try:
        reader = LogReader(folder, files=OS_FILES, crc=native.crc32c)
        if reader.count == 0:
            print(f"there is no journal in {folder}", file=sys.stderr)
            return 4
        if name == "check":
            check(reader)
        elif name == "verify":
            verify(reader, folder, native)
        else:
            dump(reader, native, arguments[0], arguments[1])
    except FileNotFoundError as error:
        print(f"there is no journal in {folder}: {error}", file=sys.stderr)
        return 4
    except DamageError as error:
        print(f"DAMAGED: {error}", file=sys.stderr)
        return 4
    return 0


def check(reader: LogReader) -> None:
    """Every frame's CRC, link and order; counts."""
    frames = commands = 0
    for frame in reader.frames():
        frames += 1
        if frame.type == j.FRAME_COMMANDS:
            commands += len(frame.payload) // layout.COMMAND_SIZE
        elif frame.type == j.FRAME_START:
            start = check_start(frame)
            print(
                f"epoch {frame.epoch} from command {frame.seq}: build {start['build_id']}, durability {start['durability']}"
            )
    tail = reader.tail
    if tail is None:
        raise DamageError("the end was not reached")
    print(f"journal {reader.log_id.hex()}: {reader.count} segments, {frames} frames, {commands} commands, chain sound")
    print(f"ends in segment {tail.position.segment} at byte {tail.position.offset}, {tail.torn} torn bytes behind it")


def verify(reader: LogReader, folder: Path, native: Any) -> None:
    """Replay from the beginning; digests in the journal and of the snapshots must come out again, invariants must hold."""
    config = stored_config(native, reader) or native.CoreConfig()
    snapshots = {}
    for cmd_seq in snap.list_snapshots(OS_FILES, folder / "snapshots"):
        info, _ = snap.read_snapshot(OS_FILES, folder / "snapshots", cmd_seq)
        snapshots[cmd_seq] = info.digest
    matched = 0
    with native.Core(config) as core:
        replayer = Replayer(native, core, config)
        for frame in reader.frames():
            replayer.apply(frame)
            if frame.type == j.FRAME_COMMANDS and replayer.cmd_seq in snapshots:
                if snapshots[replayer.cmd_seq] != core.digest():
                    raise DamageError(f"the snapshot at command {replayer.cmd_seq} is not what replay gives")
                matched += 1
        core.check()
        print(
            f"replayed {replayer.commands} commands: {replayer.digests} digests and {matched} of {len(snapshots)} snapshots "
            f"agree, every invariant holds, digest {core.digest():016x}"
        )


def dump(reader: LogReader, native: Any, first: int, last: int) -> None:
    """Frames, commands and their events of a range of command sequences."""
    config = stored_config(native, reader) or native.CoreConfig()
    with native.Core(config) as core:
        replayer = Replayer(native, core, config)
        for frame in reader.frames():
            result = replayer.apply(frame)
            if replayer.cmd_seq < first and frame.type == j.FRAME_COMMANDS:
                continue
            if frame.seq > last:
                return
            if first <= max(replayer.cmd_seq, frame.seq):
                name = _FRAME_NAMES.get(frame.type, str(frame.type))
                print(f"{name} seq {frame.seq} epoch {frame.epoch} flags {frame.flags} {rfc3339(frame.time_ns)}")
            if result is not None:
                _dump_commands(result[0], bytes(result[1]), first, last)


def _dump_commands(commands: bytes, events: bytes, first: int, last: int) -> None:
    told: dict[int, list[layout.Event]] = {}
    for event in layout.iter_events(events):
        told.setdefault(event.cmd_seq, []).append(event)
    for command in layout.iter_commands(commands):
        if not first <= command.seq <= last:
            continue
        print(f"  {_text(command, CommandType, ('version', 'time_ns', 'seq', 'type'))}")
        for event in told.get(command.seq, []):
            print(f"    → {_text(event, EventType, ('cmd_seq', 'time_ns', 'type'))}")


def _text(row: Any, kinds: Any, leave_out: tuple[str, ...]) -> str:
    """One line: sequence, type, and the fields that are not zero."""
    kind = kinds(row.type).name if row.type in kinds._value2member_map_ else f"type {row.type}"
    fields = {name: value for name, value in row._asdict().items() if value and name not in leave_out}
    if isinstance(fields.get("cl_ord_id"), bytes):
        raw = fields["cl_ord_id"].rstrip(b"\0")
        fields["cl_ord_id"] = raw.decode("ascii", "replace") if raw.isascii() else raw.hex()
        if not raw:
            del fields["cl_ord_id"]
    return f"{row.seq} {kind} " + " ".join(f"{name}={value}" for name, value in fields.items() if name != "seq")
