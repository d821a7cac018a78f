"""Engine, projector and web as a container runs them: no root, no capabilities, no new privileges, the seccomp profile, read-only but for data.

They are the real processes on this machine's kernel, confined as strictly as it allows (``confinement.py``); what it does not allow is warned of.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest_engine import Child, LiveEngine, LivePlatform, Trader
from tests.flows.steps import limit
from tests.hardening.confine import PROFILE, allowed_names
from tests.hardening.confinement import (
    NEEDED,
    ROOT,
    Confinement,
    database_through,
    strictest,
    valkey_through,
    ways,
)
from tests.hardening.probe import ARGUMENTS, CALLS
from tests.ports import free_port

EPERM = 1
#: Unconfined, some of these are refused to anybody; that many are not, so the probe can tell.
DIFFERENT_WITHOUT = 15


@pytest.fixture(scope="module")
def confinement() -> Confinement:
    way = strictest()
    if way.left_out:
        warnings.warn(f"confined as {way.title}: {way.left_out}", stacklevel=1)
    return way


@pytest.fixture(scope="module")
def data(confinement: Confinement) -> Iterator[Path]:
    folder = confinement.folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def live_engine(confinement: Confinement, data: Path) -> Iterator[LiveEngine]:
    """The engine of the live platform, confined."""
    from django.conf import settings

    from brokerage.platform.crypto import keyring
    from brokerage.platform.jwt_keys import jwt_keys

    keyring()
    jwt_keys()
    keys = data / "keys"
    shutil.copytree(Path(settings.KEYRING_FILE).parent, keys)
    redis_url, door = valkey_through(os.environ["REDIS_URL"], data)
    engine = LiveEngine(data, durability="fdatasync")
    engine.environment |= {
        "HOME": str(data), "TMPDIR": str(data / "tmp"), "PYTHONDONTWRITEBYTECODE": "1", "REDIS_URL": redis_url,
        "KEYRING_FILE": str(keys / Path(settings.KEYRING_FILE).name), "JWT_KEYS_FILE": str(keys / Path(settings.JWT_KEYS_FILE).name),
    }  # fmt: skip
    (data / "run").mkdir()
    for path in [data / "run", keys, *keys.rglob("*")]:
        os.chown(path, confinement.uid, confinement.uid if confinement.uid != os.geteuid() else -1)
    engine.command = confinement.command(engine.command, data)
    try:
        engine.start()
        _ = engine.client
        yield engine
    finally:
        engine.close()
        door.close()


@pytest.fixture(scope="module")
def live_database(live_database: str, data: Path) -> Iterator[str]:
    url, door = database_through(live_database, data)
    yield url
    door.close()


@pytest.fixture(scope="module")
def live_projection(
    live_engine: LiveEngine, live_database: str, confinement: Confinement, data: Path
) -> Iterator[Child]:
    command = confinement.command([sys.executable, "manage.py", "run_projector"], data)
    projector = Child("projector", command, {**live_engine.environment, "DATABASE_URL": live_database}, data)
    try:
        projector.start()
        yield projector
    finally:
        projector.stop()


@pytest.fixture(scope="module")
def confined_web(
    live_platform: LivePlatform, live_database: str, confinement: Confinement, data: Path
) -> Iterator[Child]:
    port = free_port()
    environment = {**live_platform.engine.environment, "DATABASE_URL": live_database, "PORT": str(port)}
    command = [sys.executable, "-m", "brokerage.serve", "-b", "127.0.0.1", "-p", str(port)]
    web = Child("web", confinement.command(command, data), environment, data)
    web.wait_ready = lambda: _answering(web, port)  # type: ignore[method-assign]
    try:
        web.start()
        yield web
    finally:
        web.stop()


def _answering(web: Child, port: int) -> None:
    from tests.conftest_engine import _wait_http

    _wait_http(web, f"http://127.0.0.1:{port}/health/live")


def address(web: Child) -> str:
    return f"http://127.0.0.1:{web.environment['PORT']}"


def fetched(web: Child, path: str, body: Any = None, token: str = "") -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{address(web)}{path}", data, headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def trader(live_platform: LivePlatform, confined_web: Child, django_db_blocker: Any) -> Iterator[Trader]:
    with django_db_blocker.unblock():
        yield live_platform.trader()


def test_the_confined_platform_takes_an_order_and_answers_pages(
    live_platform: LivePlatform, confined_web: Child, trader: Trader, django_db_blocker: Any
) -> None:
    price = json.loads(fetched(confined_web, "/api/v1/instruments/SOL-USD")[1]).get("reference_price") or "100"
    body = limit("buy", "2", price)
    status, answer = fetched(confined_web, "/api/v1/orders", body, trader.token)
    order = json.loads(answer)
    assert (status, order["status"], order["leaves_qty"]) == (201, "new", "2.00"), order
    with django_db_blocker.unblock():
        live_platform.settle()
    status, answer = fetched(confined_web, f"/api/v1/orders/{order['order_id']}", token=trader.token)
    assert (status, json.loads(answer)["status"]) == (200, "new")
    for path in ("/markets", "/api/v1/instruments", "/static/css/base.css"):
        assert fetched(confined_web, path)[0] == 200, path


def test_a_health_check_inside_tells_who_works(
    confinement: Confinement, live_engine: LiveEngine, live_projection: Child, confined_web: Child, data: Path
) -> None:
    said = {}
    for name in ("engine", "projector", "web", "runners", "nobody"):
        command = confinement.command([sys.executable, "-m", "brokerage.launch", "probe", name], data)
        done = subprocess.run(
            command, cwd=ROOT, env=confined_web.environment, capture_output=True, text=True, check=False
        )
        said[name] = (done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1])
    assert {name: code for name, (code, _) in said.items()} == {
        "engine": 0, "projector": 0, "web": 0, "runners": 1, "nobody": 1,
    }, said  # fmt: skip
    assert said["engine"][1].startswith("engine: at command ")
    assert said["web"][1] == "web: HTTP 200"
    assert said["runners"][1] == "runners is not well: no heartbeat in the last ten seconds"


def test_they_are_who_they_should_be_and_can_nothing(
    confinement: Confinement, live_engine: LiveEngine, live_projection: Child, confined_web: Child
) -> None:
    for child in (live_engine, live_projection, confined_web):
        assert child.process is not None
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [str(confinement.uid)] * 4, child.name
        assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}, child.name
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), child.name
        if os.geteuid() == 0 or confinement.readonly:
            assert fields["CapBnd"] == "0" * 16, child.name


def test_they_write_nowhere_but_into_their_data_folder(
    confinement: Confinement, live_engine: LiveEngine, live_projection: Child, confined_web: Child, data: Path
) -> None:
    for child in (live_engine, live_projection, confined_web):
        assert child.process is not None
        pid = child.process.pid
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            flags = int((Path(f"/proc/{pid}/fdinfo") / handle.name).read_text().split("flags:")[1].split()[0], 8)
            target = os.readlink(handle)
            if target.startswith("/") and target != "/dev/null" and flags & os.O_ACCMODE != os.O_RDONLY:
                assert Path(target).is_relative_to(data), (child.name, target)
        if confinement.readonly:
            mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
            writable = {fields[4] for fields in mounts if "rw" in fields[5].split(",")}
            assert writable == {str(data)}, child.name


def probed(confinement: Confinement, folder: Path, command: list[str] | None = None) -> dict[str, Any]:
    probe = [sys.executable, str(ROOT / "tests" / "hardening" / "probe.py"), str(folder), str(ROOT), "/etc"]
    done = subprocess.run(
        command or confinement.command(probe, folder), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_what_no_process_needs_is_refused(confinement: Confinement, data: Path) -> None:
    found = probed(confinement, data)
    refused = {name: code for name, code in found["tries"].items() if name in {*CALLS, *ARGUMENTS}}
    assert refused == dict.fromkeys({*CALLS, *ARGUMENTS}, EPERM)
    assert found["tries"]["socket of this machine"] == 0
    assert found["files"][str(data)] == "written"
    if confinement.readonly:
        assert set(found["files"].values()) == {"written", "EROFS"}
    assert not set(CALLS) & allowed_names(json.loads(PROFILE.read_text()))


def test_without_the_profile_the_probe_tells_the_difference(tmp_path: Path) -> None:
    probe = [sys.executable, str(ROOT / "tests" / "hardening" / "probe.py"), str(tmp_path)]
    bare = probed(strictest(), tmp_path, ["setpriv", "--no-new-privs", "--", *probe])["tries"]
    assert sum(code != EPERM for code in bare.values()) >= DIFFERENT_WITHOUT


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.title)
def test_every_way_this_machine_allows_confines(way: Confinement, data: Path) -> None:
    """Also those that a stricter one stands before here: elsewhere they are the strictest."""
    if not way.works():
        assert way is not ways()[-1], "the last way must work anywhere"
        warnings.warn(f"not possible on this machine: confined as {way.title}", stacklevel=1)
        return
    folder = way.folder()
    try:
        tries = probed(way, folder)["tries"]
        assert {tries[name] for name in (*CALLS, *ARGUMENTS)} == {EPERM}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_confinement_that_cannot_be_had_is_an_error_not_a_weaker_one(tmp_path: Path) -> None:
    confine = str(ROOT / "tests" / "hardening" / "confine.py")
    command = ["setpriv", "--no-new-privs", "--", sys.executable, confine]
    for options in (["--data", str(tmp_path / "missing"), *NEEDED], ["--data", "/proc/1/none"]):
        done = subprocess.run([*command, *options, "--", "true"], capture_output=True, text=True, check=False)
        assert done.returncode == 70
        assert done.stderr.strip()


def test_nothing_is_mounted_where_the_machine_would_keep_it(tmp_path: Path) -> None:
    """Once started by hand without a namespace it laid an empty folder over root's home, for everybody and until the next start."""
    before = Path("/proc/self/mountinfo").read_text()
    command = [sys.executable, str(ROOT / "tests" / "hardening" / "confine.py"), "--data", str(tmp_path), str(ROOT), "--", "true"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "unshare --mount" in done.stderr) == (70, True)
    assert Path("/proc/self/mountinfo").read_text() == before
