"""Each database role may do exactly what it needs: every role × table × verb of the real server, and tries as that role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.models import LedgerEntry, TradingAccount, User
from brokerage.config import BASE_DIR
from trading.models import Execution, Order

pytestmark = pytest.mark.django_db
ROLES = ("brokerage_web", "brokerage_worker", "brokerage_projector", "brokerage_market")
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
PROJECTION = {
    "accounts_ledgerentry", "accounts_balance", "trading_order", "trading_orderevent", "trading_execution", "risk_position",
    "trading_projectionstate", "trading_projectedlisting",
}  # fmt: skip
MARKET = {"marketdata_candle", "marketdata_tradeprint", "marketdata_marketdatastate"}
REFERENCE = {
    "marketdata_asset", "marketdata_instrument", "marketdata_venue", "accounts_tradingaccount", "django_migrations",
}  # fmt: skip
AUDIT = {"audit_entry", "audit_node", "audit_checkpoint"}
FILE = BASE_DIR / "deploy" / "sql" / "roles.sql"
WRITE = {"INSERT", "UPDATE", "DELETE"}


@pytest.fixture
def tables() -> list[str]:
    """The rights of the file, on this database."""
    with connection.cursor() as cursor:
        cursor.execute(FILE.read_text())
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        yield
        cursor.execute("RESET ROLE")


def wanted(role: str, table: str) -> set[str]:
    """What the documentation says."""
    if role in {"brokerage_web", "brokerage_worker"}:
        if table in PROJECTION | MARKET | {"django_migrations"}:
            return {"SELECT"}
        worker = role == "brokerage_worker"
        if table == "platform_auditpending":
            return {"SELECT", "INSERT", "DELETE"} if worker else {"SELECT", "INSERT"}
        if table in AUDIT:
            return {"SELECT", "INSERT"} if worker else {"SELECT"}
        return {"SELECT", *WRITE}
    own, other = (PROJECTION, MARKET) if role == "brokerage_projector" else (MARKET, PROJECTION)
    if table in own:
        return {"SELECT", *WRITE}
    return {"SELECT"} if table in other | REFERENCE else set()


def test_every_role_table_and_verb_is_as_documented(tables: list[str]) -> None:
    cells = 0
    with connection.cursor() as cursor:
        for role in ROLES:
            for table in tables:
                cursor.execute(
                    "SELECT verb FROM unnest(%s::text[]) AS verb WHERE has_table_privilege(%s, %s, verb)",
                    [list(VERBS), role, f'public."{table}"'],
                )
                assert {row[0] for row in cursor.fetchall()} == wanted(role, table), (role, table)
                cells += len(VERBS)
    assert set(tables) >= PROJECTION | MARKET | REFERENCE | AUDIT
    assert cells > 1000


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("act", ["CREATE TABLE public.mine (a int)", "CREATE ROLE mine", "ALTER ROLE {} SUPERUSER"])
def test_no_role_can_make_tables_roles_or_superusers(tables: list[str], role: str, act: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role), connection.cursor() as cursor:
        cursor.execute(act.format(role))


@pytest.mark.parametrize(
    "table", ["accounts_ledgerentry", "trading_execution", "trading_order", "platform_auditpending"]
)
@pytest.mark.parametrize("act", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_pages_cannot_change_ledger_fills_orders_or_waiting_acts(tables: list[str], table: str, act: str) -> None:
    column = {"trading_execution": "exec_id", "trading_order": "order_id"}.get(table, "id")
    statement = act.format(table).replace("id = id", f"{column} = {column}")
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        acting_as("brokerage_web"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize("role", ["brokerage_web", "brokerage_worker", "brokerage_projector", "brokerage_market"])
@pytest.mark.parametrize("table", sorted(AUDIT))
@pytest.mark.parametrize(
    "act",
    [
        "UPDATE {0} SET {1} = {1}",
        "DELETE FROM {0}",
        "TRUNCATE {0}",
        "DROP TABLE {0}",
        "ALTER TABLE {0} DISABLE TRIGGER USER",
    ],
)
def test_no_process_can_change_the_audit_trail_or_switch_its_triggers_off(
    tables: list[str], role: str, table: str, act: str
) -> None:
    column = {"audit_entry": "seq", "audit_node": "level", "audit_checkpoint": "size"}[table]
    # Refused by right, so that the triggers are a second wall and not the only one.
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        acting_as(role),
        connection.cursor() as cursor,
    ):
        cursor.execute(act.format(table, column))


def test_pages_cannot_write_entries_of_the_trail_and_the_worker_can(tables: list[str]) -> None:
    statement = "INSERT INTO audit_checkpoint (size, root, ts, note) VALUES (10, sha256(''::bytea), now(), 'n')"
    with acting_as("brokerage_worker"), connection.cursor() as cursor:
        cursor.execute(statement)
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        acting_as("brokerage_web"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize(
    "table",
    ["accounts_user", "accounts_totpdevice", "accounts_recoverycode", "accounts_passkey", "django_session", "accounts_tokenfamily", "accounts_apikey",
     "platform_datakey", "accounts_user_groups", "platform_auditpending", "platform_outboxevent"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["brokerage_projector", "brokerage_market"])
def test_the_projector_and_market_data_cannot_read_people_or_credentials(
    tables: list[str], role: str, table: str
) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 1")  # noqa: S608 - names of this test


def test_each_role_can_do_its_work(tables: list[str]) -> None:
    with acting_as("brokerage_web"):
        user = User.objects.create_user("a@example.test")
        TradingAccount.objects.create(number="A1", core_account=1, owner=user)
        assert list(LedgerEntry.objects.all()) == []
        assert not Order.objects.exists()
    with acting_as("brokerage_projector"):
        Execution.objects.create(
            exec_id=1, order_id=1, contra_order_id=0, core_account=1, core_instrument=1, side=1, last_px=1, last_qty=1, fee=1, fee_core_asset=1,
            liquidity="t", leaves_qty=0, cum_qty=1, cmd_seq=1, time_ns=10**18,
        )  # fmt: skip
        assert TradingAccount.objects.get().number == "A1"
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE staging (a int) ON COMMIT DROP")
    with acting_as("brokerage_web"):
        assert Execution.objects.count() == 1


def test_running_the_file_again_changes_nothing_and_takes_back_what_was_added(tables: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON accounts_ledgerentry TO brokerage_web")
        cursor.execute("GRANT SELECT ON accounts_user TO PUBLIC")
        cursor.execute(FILE.read_text())
        cursor.execute("SELECT has_table_privilege('brokerage_web', 'accounts_ledgerentry', 'UPDATE')")
        assert cursor.fetchone() == (False,)
        cursor.execute("SELECT has_table_privilege('brokerage_projector', 'accounts_user', 'SELECT')")
        assert cursor.fetchone() == (False,)
