"""Entities as clients: the case of an entity's account, its tree of owners. Everything else of a case is as for a person (``kyc.py``)."""

from __future__ import annotations

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


def _keep(case: KycCase, nodes: list[dict[str, Any]], last: int) -> None:
    found = ownership_of(nodes, owner_from=policy().body["entity"]["owner_from_percent"])
    answer_store(case, "owners", {"nodes": nodes, "last": last, "complete": not found.missing})
