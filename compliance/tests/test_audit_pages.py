"""The officers' pages of the audit trail: who gets in, search and its bounds, a record's diff and checks, downloads that verify."""

from __future__ import annotations

import csv
import html
import io
import json
from datetime import timedelta

import pytest

from accounts.roles import ROLES
from brokerage.kernel.clock import utc_now
from brokerage.platform.audit import Actor, record
from brokerage.platform.models import AuditPending
from compliance.audit.signing import signer
from compliance.audit.verifier import verify_audit
from compliance.models import AuditCheckpoint, AuditEntry
from compliance.services.erasure import subject_erase
from compliance.tests.factories import client_make, factor_given, officer_make
from compliance.tests.test_audit_recorder import acts, tampering, trail  # noqa: F401 - the fixture
from compliance.views import audit as views

PATHS = (
    "/compliance/audit", "/compliance/audit/search.csv", "/compliance/audit/proofs.jsonl", "/compliance/audit/1", "/compliance/audit/1/proof.json",
)  # fmt: skip


@pytest.fixture
def officer(client, trail):  # noqa: F811
    user = officer_make("view_auditentry")
    client.force_login(user)
    factor_given(client, user)
    AuditPending.objects.all().delete()
    return user


def seqs(client, query=""):
    return [row["entry"].seq for row in client.get(f"/compliance/audit{query}").context["rows"]]


def body(answer):
    return b"".join(answer.streaming_content).decode()


@pytest.mark.parametrize("path", PATHS)
def test_only_those_who_may_see_the_trail_get_in(client, trail, path):  # noqa: F811
    acts(1)
    trail.drain()
    assert client.get(path).status_code == 302
    for user in (client_make(), officer_make("decide_kyc")):
        client.force_login(user)
        factor_given(client, user)
        answer = client.get(path)
        assert answer.status_code == 403
        assert "You are not permitted to do this." in html.unescape(answer.content.decode()) or not user.is_staff
    assert client.post(path).status_code in {403, 405}


def test_whoever_decides_cases_may_see_the_trail():
    roles = [role for role, codes in ROLES.items() if "compliance.decide_kyc" in codes]
    assert roles
    assert all("compliance.view_auditentry" in ROLES[role] for role in roles)


def test_staff_without_a_second_factor_are_sent_to_it(client, trail):  # noqa: F811
    client.force_login(officer_make("view_auditentry"))
    assert client.get("/compliance/audit").status_code == 302


def test_search_is_by_actor_object_action_and_time(client, officer, trail):  # noqa: F811
    person = client_make()
    acts(2)
    record("fee.changed", object_type="instrument", object_id=1, actor=Actor("staff", str(person.pk)), after={"n": 1})
    record("session.begun", object_type="session", object_id="s-1", actor=Actor("user", str(person.pk)))
    trail.drain()
    assert seqs(client) == [4, 3, 2, 1]
    assert seqs(client, "?action=fee.changed") == [3]
    assert seqs(client, f"?actor={person.pk}") == [4, 3]
    assert seqs(client, f"?actor={person.email}&action=session.begun") == [4]
    assert seqs(client, "?object_type=instrument&object_id=1") == [3, 2]
    assert seqs(client, "?actor=nobody@example.test") == []
    now = utc_now()
    assert seqs(client, f"?since={now - timedelta(hours=1):%Y-%m-%dT%H:%M}") == [4, 3, 2, 1]
    assert seqs(client, f"?until={now - timedelta(hours=1):%Y-%m-%dT%H:%M}") == []
    assert seqs(client, f"?since={now + timedelta(days=1):%Y-%m-%d}") == []
    page = client.get(f"/compliance/audit?actor={person.pk}").content.decode()
    assert person.email in page
    assert "(UTC)" in page


def test_pages_go_by_cursor_and_nothing_is_shown_twice(client, officer, trail, monkeypatch):  # noqa: F811
    monkeypatch.setattr(views, "ROWS", 3)
    acts(7)
    trail.drain()
    first = client.get("/compliance/audit?action=listing.changed")
    seen = [row["entry"].seq for row in first.context["rows"]]
    # New records push nothing over the edge of a page.
    acts(2)
    trail.drain()
    url = first.context["next_url"]
    while url:
        answer = client.get(f"/compliance/audit{url}")
        seen += [row["entry"].seq for row in answer.context["rows"]]
        assert "action=listing.changed" in (answer.context["next_url"] or "action=listing.changed")
        url = answer.context["next_url"]
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert client.get("/compliance/audit?cursor=none").status_code == 400


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2026-02-02&until=2026-01-01", "action=%00", f"actor={'x' * 300}"]
)
def test_filters_that_cannot_be_read_are_told(client, officer, trail, query):  # noqa: F811
    assert client.get(f"/compliance/audit?{query}").status_code == 400
    for path in ("search.csv", "proofs.jsonl"):
        acts(1)
        trail.drain()
        assert client.get(f"/compliance/audit/{path}?{query}").status_code == 400


@pytest.mark.usefixtures("remembered")
def test_search_asks_the_database_a_fixed_number_of_times(client, officer, trail, django_assert_max_num_queries):  # noqa: F811
    people = [client_make() for _ in range(8)]
    for person in people:
        record("a.b", object_type="t", object_id=1, actor=Actor("user", str(person.pk)))
    trail.drain()
    with django_assert_max_num_queries(16):
        client.get("/compliance/audit")


def test_a_record_shows_what_changed_field_by_field_and_opening_it_is_recorded(client, officer, trail):  # noqa: F811
    record(
        "listing.changed", object_type="instrument", object_id="7", reason="ticket 4711", actor=Actor("staff", str(officer.pk)),
        before={"fees": {"maker": 1, "taker": 2}, "state": "active"}, after={"fees": {"maker": 1, "taker": 3}, "state": "active", "note": "<b>"},
    )  # fmt: skip
    acts(1)
    trail.drain()
    answer = client.get("/compliance/audit/1")
    rows = {row["field"]: (row["before"], row["after"], row["changed"]) for row in answer.context["changes"]}
    assert rows == {
        "fees.maker": ("1", "1", False), "fees.taker": ("2", "3", True), "state": ("active", "active", False), "note": (None, "<b>", True),
    }  # fmt: skip
    page = answer.content.decode()
    assert "ticket 4711" in page
    assert "<b>&lt;" not in page
    assert "&lt;b&gt;" in page
    act = AuditPending.objects.get(action__startswith="audit")
    assert (act.action, act.object_id, act.actor_id) == ("audit_entry.opened", "1", str(officer.pk))
    assert client.get("/compliance/audit/99").status_code == 404


def test_a_record_is_called_verified_only_when_everything_was_computed(client, officer, trail):  # noqa: F811
    acts(5)
    trail.drain()
    answer = client.get("/compliance/audit/3")
    assert [check.holds for check in answer.context["checks"]] == [True] * 6
    assert (answer.context["verified"], answer.context["broken"]) == (True, False)
    # The newest has nobody behind it, and is verified all the same.
    assert client.get("/compliance/audit/5").context["verified"] is True
    acts(1)
    trail.run_once()
    newest = AuditEntry.objects.order_by("-seq")[0].seq
    answer = client.get(f"/compliance/audit/{newest}")
    assert (answer.context["verified"], answer.context["broken"]) == (False, False)
    assert "Not signed yet" in answer.content.decode()
    assert client.get(f"/compliance/audit/{newest}/proof.json").status_code == 404


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ("UPDATE audit_entry SET actor_id = 'x' WHERE seq = 3", {"Record", "In the signed tree"}),
        ("UPDATE audit_entry SET payload = payload || '\\x00'::bytea WHERE seq = 3", {"Sealed part"}),
        ("UPDATE audit_entry SET entry_hash = prev_hash WHERE seq = 2", {"Link back"}),
        ("DELETE FROM audit_entry WHERE seq = 2", {"Link back"}),
        ("DELETE FROM audit_entry WHERE seq = 4", {"In the signed tree"}),
        ("UPDATE audit_entry SET prev_hash = entry_hash WHERE seq = 4", {"Link on"}),
        ("UPDATE audit_node SET hash = sha256(hash) WHERE level = 1 AND index = 0", {"In the signed tree"}),
        ("UPDATE audit_checkpoint SET note = replace(note, 'time 2', 'time 3')", {"Signature", "In the signed tree"}),
    ],
)
def test_a_tampered_record_is_not_called_verified(client, officer, trail, change, fails):  # noqa: F811
    acts(5)
    trail.drain()
    with tampering() as cursor:
        cursor.execute(change)
    answer = client.get("/compliance/audit/3")
    assert {check.title for check in answer.context["checks"] if check.holds is False} == fails
    assert answer.context["verified"] is False
    assert "Does not hold" in answer.content.decode()


def test_an_erased_person_is_told_as_such_and_the_record_still_verified(client, officer, trail):  # noqa: F811
    person = client_make()
    acts(1, subject=str(person.pk))
    trail.drain()
    assert "Erased" not in client.get("/compliance/audit/1").content.decode()
    subject_erase(subject=person.pk, reason="asked")
    answer = client.get("/compliance/audit/1")
    assert "Erased" in answer.content.decode()
    assert (answer.context["changes"], answer.context["verified"]) == ([], True)


def test_the_table_has_the_same_filters_is_bounded_and_safe_to_open(client, officer, trail, monkeypatch):  # noqa: F811
    acts(4)
    record("a.b", object_type="t", object_id="=1+1", actor=Actor("user", "+x"))
    trail.drain()
    rows = list(csv.DictReader(io.StringIO(body(client.get("/compliance/audit/search.csv")))))
    assert [row["seq"] for row in rows] == ["5", "4", "3", "2", "1"]
    assert (rows[0]["object_id"], rows[0]["actor"]) == ("'=1+1", "'+x")
    assert rows[0]["time"].endswith("Z")
    monkeypatch.setattr(views, "CSV_MAX", 2)
    rows = list(csv.DictReader(io.StringIO(body(client.get("/compliance/audit/search.csv?action=listing.changed")))))
    assert [row["seq"] for row in rows] == ["4", "3"]
    act = AuditPending.objects.filter(action="audit.exported").last()
    assert act.after == {"form": "csv", "action": "listing.changed"}


def test_the_proof_of_a_record_and_an_export_with_proofs_pass_the_stand_alone_verifier(
    client,
    officer,
    trail,  # noqa: F811
    tmp_path,
):
    acts(9)
    record("fee.changed", object_type="instrument", object_id=1, after={"n": 1})
    acts(3)
    record("fee.changed", object_type="instrument", object_id=2, after={"n": 1})
    trail.drain()
    (tmp_path / "note.txt").write_text(AuditCheckpoint.objects.latest("size").note)
    (tmp_path / "proof.json").write_bytes(client.get("/compliance/audit/7/proof.json").content)
    text = body(client.get("/compliance/audit/proofs.jsonl?action=fee.changed"))
    assert [json.loads(line).get("seq") for line in text.splitlines()] == [None, 14, 10]
    (tmp_path / "proofs.jsonl").write_text(text)

    def run(verb, file):
        return verify_audit.main(
            [verb, str(tmp_path / file), str(tmp_path / "note.txt"), "--key", signer().public_text]
        )

    assert run("inclusion", "proof.json") == 0
    assert run("proofs", "proofs.jsonl") == 0
    for old, new in (("fee.changed", "fee.removed"), ('"path": ["', '"path": ["00'), ('"seq": 10', '"seq": 11')):
        (tmp_path / "proofs.jsonl").write_text(text.replace(old, new))
        assert run("proofs", "proofs.jsonl") in {1, 2}
    (tmp_path / "proofs.jsonl").write_text("no proof\n")
    assert run("proofs", "proofs.jsonl") == 2


@pytest.mark.usefixtures("remembered")
def test_many_proofs_cost_a_fixed_number_of_questions(client, officer, trail, django_assert_max_num_queries):  # noqa: F811
    acts(300)
    trail.drain()
    with django_assert_max_num_queries(18):
        lines = body(client.get("/compliance/audit/proofs.jsonl")).splitlines()
    points = [verify_audit.Checkpoint(json.loads(lines[0])["checkpoint"], signer().public)]
    assert verify_audit.proofs_verify(lines, points) == 300
