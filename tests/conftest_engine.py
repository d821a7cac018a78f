"""Fixtures with the real thing: an engine process, a projector process and, on request, a web server, on a test database of their own.

A plugin of the whole run (``-p tests.conftest_engine``). ``live_platform`` (module scope) is what most flow tests want: the engine on a
fresh journal, the projector, seeded reference data, and makers of funded traders. Rows written there stay for the module and are removed
at its end, because three processes must see them: such tests do not use the ``db`` fixture.

    live_engine       engine subprocess on a temporary journal (module scope): .client .kill() .start() .stop()
    live_projection   projector subprocess following it
    live_platform     both, reference data listed, .trader(...), .rest(...)
    live_market       market data process on top of it
    live_web          daphne over all of it: .url
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.caches import forget_caches, remembered  # noqa: F401 - a fixture of every test
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_S = 60.0
PASSWORD = "Correct-Horse-2026"


class Child:
    """A process of the platform, started, awaited by its ready file, stopped or killed by its own pid."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], var: Path) -> None:
        self.name, self.command, self.environment, self.var = name, command, environment, var
        self.process: subprocess.Popen[bytes] | None = None
        self.log = var / f"{name}.log"

    @property
    def ready_file(self) -> Path:
        """Where it says that it is ready."""
        return self.var / "run" / f"{self.name}.ready"

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.ready_file.parent.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for the ready file."""
        until = time.monotonic() + READY_S
        while not self.ready_file.exists():
            self._still_alive(until)
            time.sleep(0.02)

    def _still_alive(self, until: float) -> None:
        if self.process is None or self.process.poll() is not None or time.monotonic() > until:
            self.stop()
            raise RuntimeError(f"{self.name} did not become ready:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9, as a power cut for this process."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Stop as an operator would; kill when it does not go."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


class LiveEngine(Child):
    """The engine process and a client of it."""

    def __init__(self, var: Path, durability: str = "os") -> None:
        from django.conf import settings

        self.socket_path = str(var / "e.sock")
        environment = {
            **os.environ,
            "BROKERAGE_ENV": "test",
            "BROKERAGE_VAR": str(var),
            # One set of keys for this process and its children: tokens and sealed fields pass between them.
            "KEYRING_FILE": str(settings.KEYRING_FILE),
            "JWT_KEYS_FILE": str(settings.JWT_KEYS_FILE),
            "JOURNAL_DIR": str(var / "journal"),
            "ENGINE_SOCKET": self.socket_path,
            "DURABILITY": durability,
        }
        super().__init__("engine", [sys.executable, "-m", "trading.engine"], environment, var)
        self._client: Any = None

    @property
    def client(self) -> Any:
        """A client of this engine; the process-wide one of Django code is the same."""
        from trading.engine.gateway import EngineClient
        from trading.services.engine_access import set_engine_client

        if self._client is None:
            self._client = EngineClient(self.socket_path)
            set_engine_client(self._client)
        return self._client

    def close(self) -> None:
        """Stop everything."""
        from trading.services.engine_access import set_engine_client

        set_engine_client(None)
        self._client = None
        self.stop()


def _short_folder() -> Path:
    # A Unix socket's path has at most 107 bytes; pytest's own folders are longer.
    return Path(tempfile.mkdtemp(prefix="bk"))


def database_url() -> str:
    """The address of this run's test database, for child processes."""
    from django.db import connection

    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path="/" + connection.settings_dict["NAME"]))


def empty_tables() -> None:
    """Remove every row, as between two installations."""
    from django.core.management import call_command

    call_command("flush", verbosity=0, interactive=False, allow_cascade=True, inhibit_post_migrate=True)
    _trail_empty()
    forget_caches()


def _trail_empty() -> None:
    """Remove the audit trail too: ``flush`` leaves it, and acts count their ids from one again. Only the owner of the tables can."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("audit_entry", "audit_node", "audit_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_keep_all")
            cursor.execute(f"TRUNCATE {table}")
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keep_all")


@pytest.fixture(autouse=True)
def _fresh_caches(request: pytest.FixtureRequest) -> None:
    """Rows of one test are not another's; modules on the live platform keep theirs."""
    # Asked of the mark too: what it brings in is not among the names yet.
    names, marked = set(request.fixturenames), request.node.get_closest_marker("django_db") is not None
    if (marked or names & {"db", "transactional_db"}) and "live_platform" not in names:
        forget_caches()


@pytest.fixture(scope="module")
def live_engine() -> Iterator[LiveEngine]:
    """An engine on an empty journal."""
    folder = _short_folder()
    engine = LiveEngine(folder)
    try:
        engine.start()
        _ = engine.client
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _live_test_database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The migrated test database: pytest-django makes it only for tests marked with it, which these cannot be."""
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    if connection.settings_dict["NAME"] == connection.settings_dict["TEST"]["NAME"]:
        yield
        return
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="module")
def live_database(_live_test_database: None, django_db_blocker: Any) -> Iterator[str]:
    """The test database, open to other processes for one module; empty before and after."""
    with django_db_blocker.unblock():
        empty_tables()
        yield database_url()
        empty_tables()
        from django.db import connections

        connections.close_all()


def projector_of(engine: LiveEngine, database_url: str) -> Iterator[Child]:
    """A projector that follows the engine into the database at ``database_url``, stopped when done; for fixtures to ``yield from``."""
    environment = {**engine.environment, "DATABASE_URL": database_url}
    projector = Child("projector", [sys.executable, "manage.py", "run_projector"], environment, engine.var)
    try:
        projector.start()
        yield projector
    finally:
        projector.stop()


@pytest.fixture(scope="module")
def live_projection(live_engine: LiveEngine, live_database: str) -> Iterator[Child]:
    """A projector that follows the engine into the test database."""
    yield from projector_of(live_engine, live_database)


@dataclass
class Trader:
    """A signed-in user with one funded, active account."""

    user: Any
    account: Any
    token: str
    platform: LivePlatform

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call REST as this user, in process; the answer has .status_code, .json() and headers."""
        return self.platform.rest(method, path, body, token=self.token, **headers)


@dataclass
class LivePlatform:
    """Engine, projector and reference data, with makers of users and calls of the API."""

    engine: LiveEngine
    projector: Child
    count: Any = field(default_factory=lambda: itertools.count(1))

    def trader(self, name: str = "", funds: dict[str, str] | None = None, *, verified: bool = True) -> Trader:
        """Open a user with an account the engine knows, credited with ``funds`` (asset code -> decimal)."""
        from accounts.models import TradingAccount, User
        from accounts.services.rules import disclosures_accept
        from accounts.services.token_families import family_begin
        from accounts.services.trading_accounts import account_open
        from accounts.trading_policy import trading_policy
        from marketdata.models import Asset
        from trading.engine import commands
        from trading.services.listing import account_send

        number = next(self.count)
        name = name or f"trader{number}"
        user = User.objects.create_user(
            f"{name}.{number}@example.test", PASSWORD, display_name=name, country="GB",
            kyc_tier=3 if verified else 0, trading_allowed=verified, right_answers=3,
        )  # fmt: skip
        disclosures_accept(user=user, codes=list(trading_policy().disclosures))
        account = account_open(user=user)
        account_send(self.engine.client, account)
        for code, amount in (funds if funds is not None else {"USD": "1000000"}).items():
            asset = Asset.objects.get(code=code)
            minor = int(Decimal(amount).scaleb(asset.scale))
            entry = f"fund-{account.number}-{code}"
            outcome = self.engine.client.submit(commands.deposit(account.core_account, asset.core_asset, minor, entry))
            assert outcome.events, outcome
        account = TradingAccount.objects.get(pk=account.pk)
        token = family_begin(user=user)["access"]
        return Trader(user, account, token, self)

    def rest(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Any:
        """Call REST in process. ``headers``: Idempotency_Key="…" becomes Idempotency-Key."""
        import json

        from django.test import Client

        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            extra["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        client = Client(raise_request_exception=False)
        address = path if path.startswith("/") else f"/api/v1/{path}"
        return client.generic(method, address, data, content_type="application/json", headers=extra)

    def settle(self, seconds: float = 10.0) -> None:
        """Wait until the projection holds everything the engine has done."""
        from trading.selectors.projection import projection_get

        wanted = self.engine.client.status().cmd_seq
        until = time.monotonic() + seconds
        while projection_get().cmd_seq < wanted:
            assert time.monotonic() < until, f"{projection_get()}, engine at {wanted}: {self.projector.tail()}"
            time.sleep(0.01)


@pytest.fixture(scope="module")
def live_platform(live_engine: LiveEngine, live_projection: Child) -> LivePlatform:
    """Everything an order needs, with the instruments of seed_reference listed and open."""
    from django.core.management import call_command

    from marketdata.models import Instrument
    from trading.services.listing import listing_sync

    call_command("seed_reference", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115 - for the process's life
    # Calendars are the runners' business: here every market is open.
    Instrument.objects.update(state=Instrument.State.ACTIVE)
    forget_caches()
    try:
        listing_sync(live_engine.client)
    except Exception as error:
        raise RuntimeError(f"the engine would not be seeded: {live_engine.tail()}") from error
    return LivePlatform(live_engine, live_projection)


@pytest.fixture(scope="module")
def live_market(live_platform: LivePlatform, live_database: str) -> Iterator[Child]:
    """The market data process, publishing books and quotes of the live platform."""
    environment = {**live_platform.engine.environment, "DATABASE_URL": live_database}
    market = Child("marketdata", [sys.executable, "manage.py", "run_marketdata"], environment, live_platform.engine.var)
    try:
        market.start()
        yield market
    finally:
        market.stop()


@dataclass
class LiveWeb:
    """A daphne over the live platform."""

    url: str
    child: Child


@pytest.fixture(scope="module")
def live_web(live_platform: LivePlatform, live_database: str) -> Iterator[LiveWeb]:
    """A real web server on loopback, answering with the same database, Valkey and engine."""
    port = free_port()
    environment = {
        **live_platform.engine.environment,
        "DATABASE_URL": live_database,
        "PORT": str(port),
        "RATE_SCALE": "1000",
    }
    command = [sys.executable, "-m", "brokerage.serve", "-b", "127.0.0.1", "-p", str(port)]
    web = Child("web", command, environment, live_platform.engine.var)
    url = f"http://127.0.0.1:{port}"
    web.wait_ready = lambda: _wait_http(web, f"{url}/health/live")  # type: ignore[method-assign]
    try:
        web.start()
        yield LiveWeb(url, web)
    finally:
        web.stop()


def _wait_http(web: Child, url: str) -> None:
    until = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except OSError:
            pass
        web._still_alive(until)
        time.sleep(0.05)
