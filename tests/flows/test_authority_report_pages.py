"""The page of reports to authorities, REST and files of them: the same figures, recorded, bounded, for officers alone."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import timedelta

import pytest
from django.test import Client

from brokerage.kernel.clock import utc_now
from brokerage.platform.models import AuditPending
from brokerage.platform.reporting import text_uncell
from compliance.models import AuditEntry
from compliance.reporting.outcome import REASONS
from compliance.selectors import reports
from compliance.selectors.reports import DAYS_MAX
from compliance.tests.factories import factor_given, officer_make
from tests.authority_reports import World, known_firm, made, officer, world

__all__ = ["known_firm", "officer", "world"]


def query(world: World, **more: str) -> str:
    return "&".join(f"{name}={value}" for name, value in {"first": world.first, "last": world.last, **more}.items())


@pytest.mark.parametrize("code", ["rts22", "cat"])
def test_page_rest_and_files_say_the_same(world: World, officer: Client, code: str) -> None:
    figures = officer.get(f"/api/v1/compliance/reports/{code}?{query(world)}").json()
    assert figures["produced"] + figures["rejected"] + figures["not_reportable"] == figures["total"]
    assert figures["reportable"] == figures["produced"] + figures["rejected"]
    page = officer.get(f"/compliance/reports?report={code}&{query(world)}&references=")
    assert page.status_code == 200
    assert page.context["shown"]["sha256"] == figures["sha256"]
    file = officer.get(f"/api/v1/compliance/reports/{code}/file?{query(world)}")
    assert hashlib.sha256(file.content).hexdigest() == figures["sha256"]
    assert len(file.content.decode().splitlines()) == figures["lines"] + (code == "rts22")
    rejects = b"".join(
        officer.get(f"/api/v1/compliance/reports/{code}/rejects.csv?{query(world)}").streaming_content
    ).decode()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(rejects)))
    assert len(lines) == figures["rejected"]
    assert (
        {reason for line in lines for reason in text_uncell(line["reasons"]).split("; ")}
        == {row["code"] for row in figures["reasons"]}
        <= set(REASONS)
    )
    paper = officer.get(f"/api/v1/compliance/reports/{code}/summary.pdf?{query(world)}")
    assert paper.content.startswith(b"%PDF-")


def test_each_time_it_is_recorded_with_the_digest_of_the_bytes(world: World, officer: Client) -> None:
    def acts() -> int:
        return (
            AuditPending.objects.filter(action="authority_report.made").count()
            + AuditEntry.objects.filter(action="authority_report.made").count()
        )

    before = acts()
    for place in ("", "/file", "/rejects.csv", "/summary.pdf"):
        assert officer.get(f"/api/v1/compliance/reports/rts22{place}?{query(world)}").status_code == 200
    assert acts() == before + 4


@pytest.mark.parametrize(
    ("code", "days", "number"),
    [
        ("rts22", (0, 10), 1014), ("rts22", (1, 1), 1014), ("rts22", (-2, -3), 1014), ("rts22", (-DAYS_MAX, 0), 1014), ("mifid", (0, 0), 2014),
    ],
)  # fmt: skip
def test_days_that_cannot_be_are_refused(
    world: World, officer: Client, code: str, days: tuple[int, int], number: int
) -> None:
    today = utc_now().date()
    first, last = (today + timedelta(days=day) for day in days)
    answer = officer.get(f"/api/v1/compliance/reports/{code}?first={first}&last={last}")
    assert answer.json()["code"] == number
    page = officer.get(f"/compliance/reports?report={code}&first={first}&last={last}&references=")
    assert page.status_code == 400
    assert officer.get(f"/api/v1/compliance/reports/rts22?first={today}").status_code == 400
    assert officer.get(f"/api/v1/compliance/reports/rts22?first={today}&last=tomorrow").status_code == 400


def test_at_the_bound_of_days_it_is_made_and_today_is_so_far(world: World, officer: Client) -> None:
    today = utc_now().date()
    answer = officer.get(
        f"/api/v1/compliance/reports/rts22?first={today - timedelta(days=DAYS_MAX - 1)}&last={today}"
    ).json()
    assert answer["so_far"]
    nothing = officer.get(f"/compliance/reports?report=cat&first={today}&last={today}&references=")
    assert "Nothing in these days" in nothing.content.decode()


def test_references_belong_to_rts22(world: World, officer: Client) -> None:
    assert officer.get(f"/api/v1/compliance/reports/cat?{query(world, references='A')}").json()["code"] == 1001
    assert officer.get(f"/api/v1/compliance/reports/rts22?{query(world, references='A')}").json()["code"] == 1014
    many = ",".join(f"A{number}" for number in range(51))
    assert officer.get(f"/api/v1/compliance/reports/rts22?{query(world, references=many)}").json()["code"] == 1014


def test_too_many_rows_are_refused_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made(world, "rts22").outcome
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", asked.produced + len(asked.rejected))
    made(world, "rts22")
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", asked.produced + len(asked.rejected) - 1)
    monkeypatch.setattr(reports, "holders_of", None)
    with pytest.raises(Exception, match="at most"):
        made(world, "rts22")
    monkeypatch.setattr(reports, "CSV_ROWS_MAX", 10)
    with pytest.raises(Exception, match="at most"):
        made(world, "cat")


def test_only_who_decides_cases_gets_in(world: World, client: Client) -> None:
    paths = [
        f"/compliance/reports?report=rts22&{query(world)}",
        f"/api/v1/compliance/reports/rts22/file?{query(world)}",
    ]
    assert [client.get(path).status_code for path in paths] == [302, 401]
    for user in (world.traders["german"].user, officer_make("view_auditentry")):
        client.force_login(user)
        factor_given(client, user)
        assert [client.get(path).status_code for path in paths] == [403, 403]
