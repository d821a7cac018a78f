"""A real engine on a disk that really fills up (a small tmpfs; needs the right to mount one)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from native.layout import EventType
from trading.engine import commands
from trading.engine.events import Accepted, Rejected, Unknown
from trading.engine.gateway import EngineUnavailable
from trading.engine.testing import EngineProcess

ARGUMENTS = ("--segment-kib", "256", "--low-water-kib", "512", "--snapshot-every", "1000000000")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def test_orders_stop_first_cancels_go_on_then_it_halts_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    with EngineProcess(small_disk, durability="fdatasync", arguments=ARGUMENTS) as engine:
        client = engine.client()
        setup = [commands.asset_upsert(1, 6), commands.asset_upsert(2, 6), commands.account_upsert(1)]
        setup.append(commands.instrument_upsert(1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1))
        setup.append(commands.deposit(1, 1, 10**12, "d"))
        assert all(isinstance(outcome, Accepted) for outcome in client.submit_many(setup))
        acked = 0
        resting = 0
        refused = False
        order = commands.order_new(1, 1, 1, 2, 1, 100, 1)
        while not refused:
            for outcome in client.submit_many([order] * 100):
                if isinstance(outcome, Rejected):
                    assert (outcome.reason, outcome.cmd_seq) == (9013, 0)
                    refused = True
                else:
                    assert isinstance(outcome, Accepted)
                    acked, resting = outcome.cmd_seq, outcome.events[0].order_id
            assert acked < 20_000
        assert client.status().low_space is True
        # Cancels are still recorded …
        cancelled = client.submit(commands.order_cancel(1, resting))
        assert isinstance(cancelled, Accepted)
        assert cancelled.events[0].type == EventType.ORDER_CANCELED
        # … until there is no room at all: then nothing is acknowledged and the process ends.
        last = cancelled.cmd_seq
        cancel = commands.order_cancel(1, 1)
        try:
            while True:
                outcomes = client.submit_many([cancel] * 100)
                last = max([last, *(o.cmd_seq for o in outcomes if isinstance(o, Rejected))])
                if any(isinstance(outcome, Unknown) for outcome in outcomes):
                    break
                assert last < 40_000
        except EngineUnavailable:
            pass
        assert engine.wait() == 3
        assert "HALT: the journal cannot be written" in engine.log()
        assert last > acked + 1

        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        engine.start()
        client = engine.client()
        status = client.status()
        assert status.cmd_seq >= last
        assert status.low_space is False
        assert client.check() == ""
        assert isinstance(client.submit(order), Accepted)
        assert os.path.exists(engine.journal / "reserve")
