"""The register of rules names only what there is, answers for every profile of the trading policy, and is for compliance officers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from accounts.trading_policy import trading_policy
from brokerage.platform.policy import ROUTES
from compliance.register import COLUMNS, STATES, jurisdictions, rules_for
from compliance.tests.factories import client_make, factor_given, officer_make

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("/compliance/register", "/compliance/register.csv", "/api/v1/compliance/register")


@pytest.fixture
def officer(client: Client, db: None) -> User:
    user = officer_make("view_auditentry")
    client.force_login(user)
    factor_given(client, user)
    return user


# ---- the rows ---------------------------------------------------------------------------------------------------------


def test_rows_are_whole_and_named_once() -> None:
    rows = rules_for()
    assert len({row.code for row in rows}) == len(rows) >= 25
    for row in rows:
        assert all((row.rule, row.source, row.control, row.jurisdictions, row.files, row.tests, row.report.name)), (
            row.code
        )
        assert row.state in STATES, row.code
        # What is not wholly in force says what is missing; what is in force misses nothing.
        assert bool(row.left) == (row.state != "in_force"), row.code
        # A report that can be had has a route; one that cannot says so.
        assert bool(row.report.route) != ("not built yet" in row.report.name), row.code
        assert row.state != "not_yet" or not row.report.route, row.code


def test_every_route_file_and_test_exists() -> None:
    missing = []
    for row in rules_for():
        missing += [name for name in (*row.routes, *filter(None, [row.report.route])) if name not in ROUTES]
        missing += [name for name in row.files if not (ROOT / name).is_file()]
        for name in row.tests:
            file, _, test = name.partition("::")
            path = ROOT / file
            if not path.is_file() or f"def {test or 'test_'}" not in path.read_text():
                missing.append(name)
    assert missing == []


def test_every_profile_of_the_trading_policy_is_there_with_all_it_asks() -> None:
    for code, profile in trading_policy().jurisdictions.items():
        here = rules_for(code)
        for word in ("identity", "sanctions", "warnings"):
            assert word in {row.code for row in here}
        assert any(row.code.startswith("leverage") for row in here), code
        assert set(profile.reports) <= {report for row in here for report in row.policy_reports}, code
    known = {report for profile in trading_policy().jurisdictions.values() for report in profile.reports}
    assert {report for row in rules_for() for report in row.policy_reports} == known
    assert {code for row in rules_for() for code in row.jurisdictions} == set(jurisdictions())


@pytest.mark.parametrize("word", ["SEC", "MiFID II", "CFTC"])
def test_the_three_named_regimes_are_there(word: str) -> None:
    assert [row.code for row in rules_for() if word in row.source]


# ---- who sees it ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_only_compliance_officers_get_in(client: Client, path: str) -> None:
    assert client.get(path).status_code in {302, 401}
    for user in (client_make(), User.objects.create_user("dealer@example.test", "x", is_staff=True)):
        client.force_login(user)
        factor_given(client, user)
        assert client.get(path).status_code == 403


def test_the_page_shows_and_filters(client: Client, officer: User) -> None:
    page = client.get("/compliance/register").content.decode()
    for row in rules_for():
        assert f'id="{row.code}"' in page
    found = client.get("/compliance/register?jurisdiction=GB&state=in_force").context["rows"]
    assert 'href="/compliance/kyc"' in page
    found = [row["rule"] for row in found]
    assert {row.code for row in found} >= {"crypto_cfd_ban", "appropriateness", "four_eyes"}
    assert all("GB" in row.jurisdictions and row.state == "in_force" for row in found)
    assert client.get("/compliance/register?jurisdiction=XX").status_code == 400
    assert client.get("/compliance/register.csv?state=odd").status_code == 400


def test_rest_and_file_say_the_same(client: Client, officer: User) -> None:
    shown = client.get("/api/v1/compliance/register?jurisdiction=US&state=partly").json()["results"]
    assert [row["code"] for row in shown] == [row.code for row in rules_for("US", "partly")]
    text = b"".join(client.get("/compliance/register.csv?jurisdiction=US&state=partly").streaming_content).decode()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert tuple(lines[0]) == COLUMNS
    assert [(line["code"], line["jurisdictions"], line["left"]) for line in lines] == [
        (row["code"], "; ".join(row["jurisdictions"]), row["left"]) for row in shown
    ]
    assert client.get("/api/v1/compliance/register?jurisdiction=XX").status_code == 400
    assert client.get("/api/v1/compliance/register?colour=red").status_code == 400
