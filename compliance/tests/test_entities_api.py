"""An entity's onboarding over REST: as the pages, for its owners alone; the tree of owners is put whole and may be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import TradingAccount, TradingAccountMember, User
from accounts.services.token_families import family_begin
from accounts.services.trading_accounts import account_open
from compliance.models import KycCase
from compliance.tests.factories import client_make
from compliance.tests.test_entities import COMPANY
from compliance.tests.test_ownership import company, person
from compliance.tests.test_uploads import picture

pytestmark = pytest.mark.django_db(transaction=True)


class Caller:
    """A person with a token."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.headers = {"Authorization": f"Bearer {family_begin(user=user)['access']}"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, answer) of a call below the onboarding of entities."""
        answer = Client().generic(
            method, f"/api/v1/onboarding/entities{path}", json.dumps(body).encode() if body is not None else b"",
            content_type="application/json", headers=self.headers | headers,
        )  # fmt: skip
        return answer.status_code, json.loads(answer.content)

    def upload(self, path: str, kind: str) -> tuple[int, Any]:
        file = SimpleUploadedFile("p.jpg", picture(), "image/jpeg")
        answer = Client().post(f"/api/v1/onboarding/entities{path}", {"kind": kind, "file": file}, headers=self.headers)
        return answer.status_code, json.loads(answer.content)


@pytest.fixture
def owner() -> Caller:
    return Caller(client_make(kyc_tier=2, trading_allowed=True, right_answers=3))


@pytest.fixture
def firm(owner: Caller) -> TradingAccount:
    return account_open(user=owner.user, kind="entity", name="Harbour Trading Ltd")


def rows(*owners: dict[str, Any]) -> dict[str, Any]:
    """The body that puts these owners, named n1, n2 … as ``parent`` says."""
    return {"owners": [{"id": f"n{place}", **row} for place, row in enumerate(owners, 1)]}


TREE = rows(person("Ann Ash", "60", controls=True), company("Holding", "40"), person("Bob Birch", "70", "n2"))


def test_an_entity_is_onboarded_from_nothing_to_submitted(owner: Caller, firm: TradingAccount) -> None:
    status, listed = owner.call("GET", "")
    assert status == 200
    assert listed["results"] == [
        {"account": firm.number, "name": "Harbour Trading Ltd", "state": "draft", "tier": 0, "trading_allowed": False}
    ]
    at = f"/{firm.number}"
    status, case = owner.call("GET", at)
    assert (status, case["state"], case["owners"]["nodes"], case["trading_allowed"]) == (200, "draft", [], False)
    assert [row["name"] for row in case["steps"]] == ["company", "owners", "registry_document", "ownership_document"]
    assert owner.call("POST", f"{at}/submit")[1]["code"] == 7012
    assert owner.call("PUT", f"{at}/steps/company", COMPANY)[0] == 200
    status, case = owner.call("PUT", f"{at}/owners", TREE)
    assert status == 200
    people = {row["name"]: (row["share"], row["direct"], row["beneficial"]) for row in case["owners"]["people"]}
    assert people == {"Ann Ash": ("60", "60", True), "Bob Birch": ("28", "0", True)}
    assert (case["owners"]["unknown"], case["owners"]["missing"]) == ("12", [])
    for kind in ("registry_extract", "ownership"):
        assert owner.upload(f"{at}/documents", kind)[0] == 201
    assert len(owner.call("GET", f"{at}/documents")[1]["results"]) == 2
    status, case = owner.call("POST", f"{at}/submit")
    assert (status, case["state"]) == (202, "submitted")
    # It is the client's turn no longer.
    assert owner.call("PUT", f"{at}/owners", TREE)[1]["code"] == 7013
    KycCase.objects.filter(account=firm).update(state="rejected")
    status, case = owner.call("POST", f"{at}/appeal", {"text": "The extract is attached now."})
    assert (status, case["state"]) == (200, "review")
    # The person's own case is another one.
    assert KycCase.objects.filter(user=owner.user).count() == 0


def test_the_same_tree_again_changes_nothing(owner: Caller, firm: TradingAccount) -> None:
    path = f"/{firm.number}/owners"
    first = owner.call("PUT", path, TREE, **{"Idempotency-Key": "once"})[1]["owners"]
    assert owner.call("PUT", path, TREE, **{"Idempotency-Key": "once"})[1]["owners"] == first
    # What was read can be put as it is, and words of the sender's own make no new owners of the same ones.
    assert owner.call("PUT", path, {"owners": first["nodes"]})[1]["owners"] == first
    words = {"": "", "n1": "ann", "n2": "holding", "n3": "bob"}
    renamed = [row | {"id": words[row["id"]], "parent": words[row["parent"]]} for row in TREE["owners"]]
    assert owner.call("PUT", path, {"owners": renamed})[1]["owners"] == first
    assert owner.call("PUT", path, TREE, **{"Idempotency-Key": "a b"})[1]["code"] == 1001


def test_who_stays_keeps_their_id_and_no_id_is_used_twice(owner: Caller, firm: TradingAccount) -> None:
    path = f"/{firm.number}/owners"
    owner.call("PUT", path, TREE)
    kept = [row for row in TREE["owners"] if row["id"] == "n1"]
    new = {"id": "n2", **person("Cara Cedar", "10")}
    nodes = owner.call("PUT", path, {"owners": kept})[1]["owners"]["nodes"]
    assert [node["id"] for node in nodes] == ["n1"]
    nodes = owner.call("PUT", path, {"owners": [*kept, new]})[1]["owners"]["nodes"]
    assert [(node["id"], node.get("last_name")) for node in nodes] == [("n1", "Ash"), ("n4", "Cedar")]
    assert owner.call("PUT", path, {"owners": []})[1]["owners"]["nodes"] == []


@pytest.mark.parametrize(
    ("_case", "owners", "status", "code", "field"),
    [
        ("an id twice", [{"id": "a", **person("Ann Ash", "1")}, {"id": "a", **person("Bob Birch", "1")}], 422, 7016, "owners.1.id"),
        ("below nobody", [{"id": "a", **person("Ann Ash", "1", "n9")}], 422, 7016, "owners.0.parent"),
        ("below a person", [{"id": "a", **person("Ann Ash", "1")}, {"id": "b", **person("Bob Birch", "1", "a")}], 422, 7016, "owners.1.parent"),
        ("below a later one", [{"id": "a", **person("Ann Ash", "1", "b")}, {"id": "b", **company("Holding", "1")}], 422, 7016, "owners.0.parent"),
        ("more than all", [{"id": "a", **person("Ann Ash", "60")}, {"id": "b", **person("Bob Birch", "40.01")}], 422, 7016, "owners.1.share"),
        ("five decimals", [{"id": "a", **person("Ann Ash", "1.00001")}], 422, 7016, "owners.0.share"),
        ("a company without a name", [{"id": "a", "kind": "company", "share": "1", "country": "GB"}], 422, 7016, "owners.0.name"),
        ("no number", [{"id": "a", **person("Ann Ash", "half")}], 400, 1012, "owners.0.share"),
        ("no country", [{"id": "a", **person("Ann Ash", "1", nationality="XX")}], 400, 1024, "owners.0.nationality"),
        ("a field nobody knows", [{"id": "a", **person("Ann Ash", "1", effective="1")}], 400, 1010, "owners.0.effective"),
        ("no id", [person("Ann Ash", "1")], 400, 1016, "owners.0.id"),
        ("too many for one structure", [{"id": f"p{n}", **person("Ann Ash", "1")} for n in range(31)], 422, 7016, "owners.30.kind"),
        ("too many to be read", [{"id": f"p{n}", **person("Ann Ash", "0.1")} for n in range(101)], 400, 1014, "owners"),
        ("no list", {"a": 1}, 400, 1001, "owners"),
        ("rows that are none", ["a"], 400, 1016, "owners.0.id"),
    ],
)  # fmt: skip
def test_a_tree_that_cannot_be_is_refused_whole(
    owner: Caller, firm: TradingAccount, _case: str, owners: Any, status: int, code: int, field: str
) -> None:
    owner.call("PUT", f"/{firm.number}/owners", TREE)
    before = owner.call("GET", f"/{firm.number}")[1]["owners"]
    found, problem = owner.call("PUT", f"/{firm.number}/owners", {"owners": owners})
    assert (found, problem["code"], problem["field"]) == (status, code, field), problem
    assert owner.call("GET", f"/{firm.number}")[1]["owners"] == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("PUT", "/owners", TREE), ("PUT", "/owners", {"nonsense": 1}), ("PUT", "/steps/company", COMPANY),
        ("PUT", "/steps/identity", {}), ("GET", "/documents", None), ("POST", "/submit", None), ("POST", "/appeal", {"text": "Please look again."}),
    ],
)  # fmt: skip
def test_for_who_is_no_owner_there_is_no_such_account(
    owner: Caller, firm: TradingAccount, method: str, path: str, body: Any
) -> None:
    stranger, trader = Caller(client_make()), Caller(client_make())
    TradingAccountMember.objects.create(account=firm, user=trader.user, role="trader")
    own = TradingAccount.objects.filter(owner=owner.user).exclude(pk=firm.pk).first() or account_open(user=owner.user)
    for caller, number in ((stranger, firm.number), (trader, firm.number), (owner, own.number), (owner, "ZZZZZZ")):
        status, problem = caller.call(method, f"/{number}{path}", body)
        assert (status, problem["code"]) == (404, 2014), problem
    assert stranger.call("GET", "")[1]["results"] == trader.call("GET", "")[1]["results"] == []


def test_a_persons_steps_are_none_of_an_entitys_and_the_other_way_round(owner: Caller, firm: TradingAccount) -> None:
    assert owner.call("PUT", f"/{firm.number}/steps/identity", {})[1]["code"] == 2014
    answer = Client().put(
        "/api/v1/onboarding/steps/company", json.dumps(COMPANY), content_type="application/json", headers=owner.headers
    )
    assert answer.json()["code"] == 2014


@pytest.mark.parametrize(
    ("_case", "change", "status", "code"),
    [
        ("a country that is none", {"country": "XX"}, 400, 1024),
        ("not served", {"country": "IR"}, 451, 7017),
        ("check digits of the LEI", {"lei": "213800WAVVOPS85N2206"}, 422, 7016),
        ("founded tomorrow", {"founded_on": "2999-01-01"}, 422, 7016),
        ("no business", {"business": ""}, 400, 1016),
    ],
)
def test_what_a_company_says_of_itself_is_checked_as_on_the_page(
    owner: Caller, firm: TradingAccount, _case: str, change: dict[str, str], status: int, code: int
) -> None:
    found, problem = owner.call("PUT", f"/{firm.number}/steps/company", COMPANY | change)
    assert (found, problem["code"]) == (status, code), problem
