"""Services show a token on the engine's socket and may do what they are for; nobody else may do anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brokerage.config import get_config
from native.layout import Tif
from trading.engine import commands, services, wire
from trading.engine.events import Accepted
from trading.engine.gateway import EngineClient, EngineUnavailable
from trading.engine.services import LIST, RIGHTS, Services, tokens_ensure
from trading.engine.testing import EngineProcess
from trading.engine.tests.test_server import list_market

ORDER = commands.order_new(1, 1, 1, 2, Tif.GTC, 100, 5, stp=0, cl_ord_id="a")
Become = Callable[[str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    tokens_ensure(made)
    return made


@pytest.fixture
def become(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Make this process another one of the platform; an unknown name has no token."""

    def change(name: str) -> None:
        mine = replace(get_config(), engine_keys=folder, process=name)
        monkeypatch.setattr(services, "get_config", lambda: mine)

    change("console")
    return change


@pytest.fixture
def engine(tmp_path: Path, folder: Path, become: Become, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProcess]:
    """An engine that asks for tokens."""
    monkeypatch.setenv("ENGINE_KEYS", str(folder))
    with EngineProcess(tmp_path / "engine") as process:
        list_market(process.client())
        yield process


def proof_of(folder: Path, name: str) -> bytes:
    return services._proof((folder / f"{name}.token").read_text().strip())


def last_words(sock: socket.socket) -> str:
    """What the engine said before it closed."""
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data.decode("latin-1")


def greeted(engine: EngineProcess, hello: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(engine.socket)
    sock.sendall(hello)
    return sock


@pytest.mark.parametrize("name", sorted(RIGHTS))
def test_a_service_may_do_what_it_is_for_and_nothing_else(engine: EngineProcess, become: Become, name: str) -> None:
    watching = engine.client()
    before = watching.status().cmd_seq
    become(name)
    with EngineClient(engine.socket, pool_size=1) as client:
        if wire.SUBMIT in RIGHTS[name]:
            assert isinstance(client.submit(ORDER), Accepted)
        else:
            # Cut before the answer: the client cannot know, the engine has done nothing.
            assert type(client.submit(ORDER)).__name__ == "Unknown"
    assert watching.status().cmd_seq == before + (wire.SUBMIT in RIGHTS[name])
    asking = greeted(
        engine, wire.client_hello(services.own_proof()) + wire.frame(wire.QUERY, 1, wire.query(wire.Q_STATUS))
    )
    asking.shutdown(socket.SHUT_WR)
    assert (f"{name} may not ask" in last_words(asking)) == (wire.QUERY not in RIGHTS[name])
    sock = greeted(engine, wire.client_hello(services.own_proof()))
    sock.sendall(wire.frame(wire.SUBSCRIBE, 0, wire.SUBSCRIBE_BODY.pack(1)))
    if wire.SUBSCRIBE in RIGHTS[name]:
        kinds = []
        while wire.FEED not in kinds:
            head = sock.recv(wire.FRAME_SIZE, socket.MSG_WAITALL)
            size, kind, _, _ = wire.FRAME.unpack(head)
            sock.recv(size - 12, socket.MSG_WAITALL)
            kinds.append(kind)
    else:
        assert f"{name} may not follow the feed" in last_words(sock)


@pytest.mark.parametrize(
    ("_case", "proof"),
    [("none", b""), ("zeros", bytes(32)), ("guessed", b"\xa5" * 32), ("the digest of a real one", b"digest")],
)
def test_who_shows_no_known_token_is_refused(engine: EngineProcess, folder: Path, _case: str, proof: bytes) -> None:
    if proof == b"digest":
        # All that stands in the engine's list: it opens nothing.
        proof = bytes.fromhex(json.loads((folder / LIST).read_text())["web"][0])
    sock = greeted(engine, wire.client_hello(proof) + wire.frame(wire.QUERY, 1, wire.query(wire.Q_STATUS)))
    said = last_words(sock)
    assert "shows no token the engine knows" in said
    assert "cmd_seq" not in said


def test_a_client_without_a_token_is_told_what_is_missing(engine: EngineProcess, become: Become) -> None:
    become("nobody")
    with EngineClient(engine.socket) as client, pytest.raises(EngineUnavailable, match="ENGINE_KEYS"):
        client.status()


def test_a_proof_of_another_length_is_no_hello(engine: EngineProcess) -> None:
    assert "must be a hello" in last_words(greeted(engine, wire.client_hello(bytes(31))))


def test_a_token_is_changed_while_the_engine_runs(engine: EngineProcess, folder: Path) -> None:
    def known(proof: bytes) -> bool:
        sock = greeted(engine, wire.client_hello(proof) + wire.frame(77, 1))
        return "unknown frame type" in last_words(sock)

    old = proof_of(folder, "web")
    tokens_ensure(folder, rotate="web")
    new = proof_of(folder, "web")
    assert new != old
    assert (known(old), known(new)) == (True, True), "both count until the old one is retired"
    tokens_ensure(folder, retire="web")
    assert (known(old), known(new)) == (False, True)
    assert known(proof_of(folder, "projector")), "the others' stay"


def test_a_list_that_cannot_be_read_leaves_the_last_one_in_force(folder: Path) -> None:
    known = Services(folder)
    for text in ("{", "[]", '{"web": 7}'):
        (folder / LIST).write_text(text)
        found = known.find(proof_of(folder, "web"))
        assert found is not None, text
        assert found.name == "web"


def test_tokens_are_for_their_owner_alone_and_stay(folder: Path) -> None:
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == sorted([LIST, *(f"{name}.token" for name in RIGHTS)])
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    before = {file.name: file.read_text() for file in files}
    tokens_ensure(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert len({before[f"{name}.token"] for name in RIGHTS}) == len(RIGHTS)


def test_the_command_line_makes_and_rotates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "new"
    assert services.main([str(made)]) == 0
    old = proof_of(made, "runners")
    assert services.main([str(made), "--rotate", "runners"]) == 0
    assert proof_of(made, "runners") != old
    assert "runners" in capsys.readouterr().out
    (made / LIST).write_text("{")
    assert services.main([str(made)]) == 1
    assert "cannot be used" in capsys.readouterr().err
