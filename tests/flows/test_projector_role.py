"""The real projector does its work with nothing but its own database role."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from brokerage.config import BASE_DIR
from brokerage.settings.base import database_from_url
from tests.conftest_engine import Child, LiveEngine, LivePlatform, projector_of
from trading.models import Execution


@pytest.fixture(scope="module")
def live_projection(live_engine: LiveEngine, live_database: str) -> Iterator[Child]:
    """As everywhere, but as ``brokerage_projector``."""
    with connection.cursor() as cursor:
        cursor.execute((BASE_DIR / "deploy" / "sql" / "roles.sql").read_text())
    url = f"{live_database}{'&' if '?' in live_database else '?'}options={quote('-c role=brokerage_projector')}"
    yield from projector_of(live_engine, url)


def test_the_projectors_address_means_its_role(live_projection: Child) -> None:
    settings = database_from_url(live_projection.environment["DATABASE_URL"])
    with psycopg.connect(
        dbname=settings["NAME"], user=settings["USER"], host=settings["HOST"], port=settings["PORT"] or None,
        options=settings["OPTIONS"]["options"],
    ) as session:  # fmt: skip
        assert session.execute("SELECT current_user").fetchone() == ("brokerage_projector",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT password FROM accounts_user")


def test_a_trade_is_projected_under_the_projectors_role(live_platform: LivePlatform) -> None:
    seller, buyer = live_platform.trader("seller", {"SOL": "10"}), live_platform.trader("buyer", {"USD": "10000"})
    body = {"symbol": "SOL-USD", "type": "limit", "qty": "1", "price": "150"}
    assert seller.api("POST", "orders", {**body, "side": "sell"}).status_code == 201
    assert buyer.api("POST", "orders", {**body, "side": "buy"}).status_code == 201
    live_platform.settle()
    assert Execution.objects.filter(core_account=buyer.account.core_account).count() == 1
    assert "permission denied" not in live_platform.projector.tail()
