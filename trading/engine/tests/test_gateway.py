"""The client's end: how it waits for answers."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trading.engine.events import Accepted
from trading.engine.testing import EngineProcess
from trading.engine.tests.test_server import limit, list_market


def test_an_answer_is_read_however_long_it_takes_alone_or_with_others(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "e") as engine:
        client = engine.client()
        list_market(client)
        assert engine.process is not None
        for waiting in (1, 4):  # alone the thread looks for its answer first, with others it sleeps at once
            with ThreadPoolExecutor(waiting) as pool:
                engine.process.send_signal(signal.SIGSTOP)
                sent = [pool.submit(client.submit, limit(1, 1, 91, 1, f"late-{waiting}-{i}")) for i in range(waiting)]
                time.sleep(0.2)
                engine.process.send_signal(signal.SIGCONT)
                assert all(isinstance(one.result(), Accepted) for one in sent)
        assert client._busy == 0
