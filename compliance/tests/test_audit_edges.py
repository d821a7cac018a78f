"""REST and pages of the audit trail: who may see what, and that what is handed out verifies."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from compliance.audit.signing import signer
from compliance.audit.verifier import verify_audit
from compliance.tests.factories import factor_given
from compliance.tests.test_audit_recorder import acts, trail  # noqa: F401 - the fixture

OFFICERS_ONLY = ("entries", "entries/1", "entries/1/proof", "export")


def user_make(*, staff, permitted):
    user = get_user_model().objects.create_user("o@b.test", "x", is_staff=staff)
    if permitted:
        user.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    return user


@pytest.fixture
def officer(client, trail):  # noqa: F811
    user = user_make(staff=True, permitted=True)
    client.force_login(user)
    factor_given(client, user)
    return client


def points(*texts):
    return [verify_audit.Checkpoint(text, signer().public) for text in texts]


@pytest.mark.parametrize("path", OFFICERS_ONLY)
@pytest.mark.parametrize(("staff", "permitted"), [(True, False), (False, True), (False, False)])
def test_others_than_officers_are_refused(client, trail, path, staff, permitted):  # noqa: F811
    client.force_login(user_make(staff=staff, permitted=permitted))
    answer = client.get(f"/api/v1/audit/{path}")
    assert (answer.status_code, answer.json()["code"]) == (403, 2012)


@pytest.mark.parametrize("path", OFFICERS_ONLY)
def test_without_signing_in_nothing_is_shown(client, trail, path):  # noqa: F811
    assert client.get(f"/api/v1/audit/{path}").status_code == 401


def test_the_checkpoint_is_public_and_its_signature_holds(client, trail):  # noqa: F811
    assert client.get("/api/v1/audit/checkpoint").json()["code"] == 2014
    acts(3)
    trail.drain()
    answer = client.get("/api/v1/audit/checkpoint").json()
    assert answer["size"] == "3"
    assert answer["public_key"] == signer().public_text
    assert points(answer["note"])[0].size == 3


def test_consistency_is_public_and_verifies_between_two_notes(client, trail):  # noqa: F811
    notes = []
    for count in (3, 4):
        acts(count)
        trail.drain()
        notes.append(client.get("/api/v1/audit/checkpoint").json()["note"])
    proof = client.get("/api/v1/audit/consistency?older=3&newer=7").json()
    assert verify_audit.consistency_verify(proof, points(*notes)) == (3, 7)
    for asked in ("older=4&newer=3", "older=1&newer=8"):
        assert client.get(f"/api/v1/audit/consistency?{asked}").json()["code"] == 1014


def test_an_officer_searches_reads_and_takes_proofs_away(officer, trail):  # noqa: F811
    acts(5)
    trail.drain()
    first = officer.get("/api/v1/audit/entries?action=listing.changed&limit=3").json()
    second = officer.get(f"/api/v1/audit/entries?limit=3&cursor={first['next_cursor']}").json()
    assert [row["seq"] for row in first["results"] + second["results"]] == ["5", "4", "3", "2", "1"]
    assert second["next_cursor"] is None
    assert officer.get("/api/v1/audit/entries?object_id=2").json()["results"][0]["seq"] == "3"
    assert officer.get("/api/v1/audit/entries?actor=nobody").json()["results"] == []
    assert officer.get("/api/v1/audit/entries/3").json()["after"] == {"n": 2}
    assert officer.get("/api/v1/audit/entries/9").json()["code"] == 2014
    proof = officer.get("/api/v1/audit/entries/3/proof").json()
    assert verify_audit.inclusion_verify(proof, points(proof["checkpoint"])) == 3
    acts(1)
    trail.run_once()
    assert officer.get("/api/v1/audit/entries/6/proof").json()["code"] == 2014
    lines = b"".join(officer.get("/api/v1/audit/export").streaming_content).splitlines()
    assert verify_audit.export_verify(lines, points(proof["checkpoint"])) == 5
    assert json.loads(lines[0])["entry"]["seq"] == 1


def test_an_officer_searches_by_time_from_included_to_not(officer, trail):  # noqa: F811
    acts(3)
    trail.drain()
    rows = officer.get("/api/v1/audit/entries").json()["results"]
    times = {row["seq"]: row["time"] for row in rows}
    assert len(set(times.values())) == 3, "three acts at three times"

    def found(**asked):
        return [row["seq"] for row in officer.get("/api/v1/audit/entries", asked).json()["results"]]

    assert found(**{"from": times["2"]}) == ["3", "2"]
    assert found(to=times["2"]) == ["1"]
    assert found(**{"from": times["1"], "to": times["3"]}) == ["2", "1"]
    assert found(**{"from": times["2"], "to": times["3"], "object_id": "9"}) == []
    # A nanosecond behind an entry is behind it: entries have microseconds, what is asked for need not.
    behind = times["2"].removesuffix("Z") + "001Z"
    assert found(**{"from": behind}) == ["3"]
    assert found(to=behind) == ["2", "1"]


@pytest.mark.parametrize(
    ("_case", "asked", "code", "field"),
    [
        ("no time", {"from": "yesterday"}, 1001, "from"),
        ("no zone", {"to": "2026-01-31T12:00:00"}, 1001, "to"),
        ("before time", {"from": "1969-12-31T23:59:59Z"}, 1014, "from"),
        ("the other way round", {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 1014, "to"),
        ("nothing between", {"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}, 1014, "to"),
        ("a name of the page's", {"since": "2026-02-01T00:00:00Z"}, 1010, "since"),
    ],
)
def test_times_that_cannot_be_are_refused(officer, trail, _case, asked, code, field):  # noqa: F811
    answer = officer.get("/api/v1/audit/entries", asked)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, code, field)


def test_the_proof_page_shows_the_note_and_hands_out_the_verifier(client, trail):  # noqa: F811
    assert "Nothing was signed yet" in client.get("/proof").content.decode()
    acts(1)
    trail.drain()
    assert signer().public_text in client.get("/proof").content.decode().replace("&#x2B;", "+")
    assert b"def ed25519_verify" in client.get("/proof/verify_audit.py").content
