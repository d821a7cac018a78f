"""kill -9 of the real engine process while clients send, with a ledger of acknowledgements kept by the clients.

kill -9 proves that the process loses nothing it acknowledged and does nothing twice; power loss is the simulation's part. The number of
kills is `ENGINE_KILLS` (default 5; the disk's durability mode is used).
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from native.layout import EventType
from trading.engine import commands
from trading.engine.events import Accepted, Rejected, Unknown
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.engine.testing import EngineProcess

KILLS = int(os.environ.get("ENGINE_KILLS", "5"))
SENDERS = 3


class Sender(threading.Thread):
    """Sends orders under ids of its own, one after the other; after Unknown or no engine it asks, then sends the same id again."""

    def __init__(self, client: EngineClient, account: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.account = account
        self.random = random.Random(seed)
        self.stopping = False
        self.acked: dict[str, int] = {}
        """ClOrdID → command sequence of its acknowledgement."""
        self.unknown = self.unavailable = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self.stopping:
                number += 1
                self._send(f"k{self.account}-{number}")
        except BaseException as error:
            self.failure = error

    def _send(self, cl_ord_id: str) -> None:
        pick = self.random
        command = commands.order_new(
            self.account,
            1,
            pick.randint(1, 2),
            2,
            1,
            pick.randint(95, 105),
            pick.randint(1, 5),
            stp=0,
            cl_ord_id=cl_ord_id,
        )
        while not self.stopping:
            try:
                outcome = self.client.submit(command)
                if isinstance(outcome, Unknown):
                    self.unknown += 1
                    found = self.client.resolve(self.account, cl_ord_id)
                    if found is None:
                        continue
                    outcome = found
            except EngineUnavailable:
                self.unavailable += 1
                time.sleep(0.01)
                continue
            assert isinstance(outcome, Accepted | Rejected)
            self.acked[cl_ord_id] = outcome.cmd_seq
            return


def test_killing_the_engine_loses_no_acknowledgement_and_doubles_nothing(tmp_path: Path) -> None:
    arguments = ("--segment-kib", "1024", "--snapshot-every", "700", "--digest-every", "500")
    with EngineProcess(tmp_path / "e", durability="fdatasync", arguments=arguments) as engine:
        client = engine.client()
        setup = [commands.asset_upsert(1, 6), commands.asset_upsert(2, 8)]
        setup.append(commands.instrument_upsert(1, 1, base_asset=2, quote_asset=1, tick_value=1, lot_minor=1))
        for account in range(1, SENDERS + 1):
            setup.append(commands.account_upsert(account))
            setup += [commands.deposit(account, asset, 10**12, f"d{asset}") for asset in (1, 2)]
        assert all(isinstance(outcome, Accepted) for outcome in client.submit_many(setup))
        senders = [Sender(engine.client(), account, account) for account in range(1, SENDERS + 1)]
        for sender in senders:
            sender.start()
        pick = random.Random(1)
        for _ in range(KILLS):
            before = sum(len(sender.acked) for sender in senders)
            deadline = time.monotonic() + 20
            while sum(len(sender.acked) for sender in senders) < before + 60 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(pick.random() * 0.05)
            engine.kill()
            engine.start()
        time.sleep(0.3)
        for sender in senders:
            sender.stopping = True
        for sender in senders:
            sender.join(timeout=30)
            assert sender.failure is None, sender.failure

        assert client.check() == ""
        last = client.status().cmd_seq
        assert client.status().epoch == KILLS + 1
        first_seq: dict[str, int] = {}
        repeats = 0
        epoch = expected = 0
        for batch in client.feed(1, idle_s=10):
            assert batch.epoch >= epoch
            epoch = batch.epoch
            for command, events in batch:
                expected += 1
                assert command.seq == expected
                name = command.cl_ord_id.rstrip(b"\0").decode()
                if not name.startswith("k"):
                    continue
                if events[0].type == EventType.DUPLICATE:
                    repeats += 1
                    assert events[0].ref_id == first_seq[name]
                else:
                    assert name not in first_seq, "applied twice"
                    first_seq[name] = command.seq
            if batch.last_seq >= last:
                break
        acked = {name: seq for sender in senders for name, seq in sender.acked.items()}
        missing = {name for name, seq in acked.items() if first_seq.get(name) != seq}
        assert not missing
        unknown = sum(sender.unknown for sender in senders)
        print(
            f"\n{KILLS} kills, {len(acked)} acknowledged, {len(first_seq)} applied, {unknown} unknown, "
            f"{sum(s.unavailable for s in senders)} times away, {repeats} answered as duplicates"
        )
        assert len(acked) >= 60 * KILLS
        assert 0 <= len(first_seq) - len(acked) <= SENDERS
        digest = client.digest()
        engine.kill()
        engine.start()
        assert engine.client().digest() == digest
