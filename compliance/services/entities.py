"""Entities as clients: the case of an entity's account, its tree of owners. Everything else of a case is as for a person (``kyc.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from accounts.models import TradingAccount, TradingAccountMember
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from compliance.identity import DetailError
from compliance.models import KycCase
from compliance.ownership import Ownership, node_clean, ownership_of, without
from compliance.policy import policy
from compliance.selectors.checklist import answer_of
from compliance.services.answers import answer_store
from compliance.services.kyc import case_lock

#: The id of no owner.
UNKNOWN = "?"


def entity_case_open(*, user: Any, number: str) -> KycCase:
    """The case of an entity's account, made when there is none; 2014 for who is not one of its owners."""
    member = TradingAccountMember.objects.filter(
        user_id=user.pk,
        role=TradingAccountMember.Role.OWNER,
        account__number=number,
        account__kind=TradingAccount.Kind.ENTITY,
        account__parent=None,
    ).first()
    if member is None:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such account.")
    return KycCase.objects.get_or_create(account_id=member.account_id)[0]


def entities_of(user: Any) -> list[TradingAccount]:
    """The entity accounts a person is an owner of."""
    return list(
        TradingAccount.objects.filter(
            kind=TradingAccount.Kind.ENTITY, parent=None, members__user_id=user.pk, members__role="owner"
        ).select_related("kyc_case")[:20]
    )


def ownership(case: KycCase) -> Ownership:
    """The tree of a case worked out."""
    return ownership_of(
        answer_of(case, "owners").get("nodes", []), owner_from=policy().body["entity"]["owner_from_percent"]
    )


def owner_add(*, case_id: Any, data: dict[str, Any]) -> KycCase:
    """Add a person or company to the tree; 7016 with the field, 7013 when it is not the client's turn."""
    rules = policy().body["entity"]
    with transaction.atomic():
        case = case_lock(case_id)
        held = answer_of(case, "owners")
        nodes, number = list(held.get("nodes", [])), int(held.get("last", 0)) + 1
        try:
            nodes.append(
                node_clean(data, nodes, nodes_max=rules["nodes_max"], depth_max=rules["depth_max"], number=number)
            )
        except DetailError as error:
            raise RejectedError(RejectCode.DETAILS_REFUSED, str(error), field=error.field) from error
        _keep(case, nodes, number)
    return case


def owner_remove(*, case_id: Any, node_id: str) -> KycCase:
    """Take a node and all below it out of the tree."""
    with transaction.atomic():
        case = case_lock(case_id)
        held = answer_of(case, "owners")
        _keep(case, without(held.get("nodes", []), node_id), int(held.get("last", 0)))
    return case


def owners_replace(*, case_id: Any, rows: Sequence[dict[str, Any]]) -> KycCase:
    """Put a whole tree in the place of the one there is; 7016 with the field (``owners.<place>.<field>``), 7013 as for one owner.

    A row's ``id`` is its sender's word for it, ``parent`` the word for a company before it. Who is there already keeps their id; the same tree
    again keeps all of them, whatever words it is sent with.
    """
    rules = policy().body["entity"]
    with transaction.atomic():
        case = case_lock(case_id)
        held = answer_of(case, "owners")
        old, last = list(held.get("nodes", [])), int(held.get("last", 0))
        known = {node["id"]: int(node["id"][1:]) for node in old}
        nodes: list[dict[str, Any]] = []
        ids = {"": ""}
        for place, row in enumerate(rows):
            word = row["id"]
            number = known.get(word) or last + 1
            last = max(last, number)
            try:
                if word in ids:
                    raise DetailError("id", "Each owner needs an id of its own.")
                node = node_clean(
                    {**row, "parent": ids.get(row["parent"], UNKNOWN)}, nodes, nodes_max=rules["nodes_max"],
                    depth_max=rules["depth_max"], number=number,
                )  # fmt: skip
            except DetailError as error:
                raise RejectedError(
                    RejectCode.DETAILS_REFUSED, str(error), field=f"owners.{place}.{error.field}"
                ) from error
            nodes.append(node)
            ids[word] = node["id"]
        if _nameless(nodes) == _nameless(old):
            nodes, last = old, int(held.get("last", 0))
        _keep(case, nodes, last)
    return case


def _nameless(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tree with places for ids."""
    places = {"": -1} | {node["id"]: place for place, node in enumerate(nodes)}
    return [{**node, "id": place, "parent": places[node["parent"]]} for place, node in enumerate(nodes)]


def _keep(case: KycCase, nodes: list[dict[str, Any]], last: int) -> None:
    found = ownership_of(nodes, owner_from=policy().body["entity"]["owner_from_percent"])
    answer_store(case, "owners", {"nodes": nodes, "last": last, "complete": not found.missing})
