"""REST twins of an entity's onboarding pages, for its owners: its case, its tree of owners, its steps, documents, submitting, appealing.

The account's number is in the address; for who is not one of its owners there is no such account (2014). Leaves every rule to the services
that the pages call too. What is put is put whole, so that sending it again changes nothing.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from brokerage.kernel.units import format_plain
from brokerage.platform.api import ApiView, idempotency_key, listing
from brokerage.platform.api_schema import IDEMPOTENCY, documented, list_of
from compliance.api import schemas
from compliance.api.onboarding import case_json, document_json, document_take, documents_listed, step_answer
from compliance.models import KycCase
from compliance.selectors.checklist import answer_of
from compliance.services.entities import entities_of, entity_case_open, owners_replace, ownership
from compliance.services.kyc import case_appeal, case_submit


def entity_json(case: KycCase) -> dict[str, Any]:
    """An entity's case for its owners: that of a person, and who stands behind it."""
    tree, account = ownership(case), case.account
    if account is None:
        raise ValueError("the case of a person has no owners")
    return {
        "account": account.number,
        "name": account.name,
        **case_json(case),
        "owners": {
            "nodes": answer_of(case, "owners").get("nodes", []),
            "people": [
                {
                    "name": row.name,
                    "birth_date": row.birth_date,
                    "share": format_plain(row.share),
                    "direct": format_plain(row.direct),
                    "controls": row.controls,
                    "beneficial": row.beneficial,
                }
                for row in tree.owners
            ],
            "unknown": format_plain(tree.unknown),
            "missing": list(tree.missing),
        },
    }


class EntitiesView(ApiView):
    """The caller's entities."""

    @documented(
        answer=list_of("EntityList", schemas.EntityRow), tag="onboarding", operation="onboarding_entities",
        summary="Entities you are an owner of",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Those the caller is an owner of, with the state of each case; ``draft`` before anything was answered."""
        rows = []
        for account in entities_of(request.user):
            case = getattr(account, "kyc_case", None)
            rows.append(
                {
                    "account": account.number,
                    "name": account.name,
                    "state": case.state if case else KycCase.State.DRAFT,
                    "tier": case.tier if case else 0,
                    "trading_allowed": account.entity_allowed,
                }
            )
        return Response(listing(rows))


class EntityView(ApiView):
    """An entity's case."""

    @documented(
        answer=schemas.EntityCase, problems=(404,), tag="onboarding", operation="onboarding_entity_get",
        summary="An entity's case, its checklist and its owners",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        """State, tier, what is asked for, every step, and the tree of owners worked out."""
        return Response(entity_json(entity_case_open(user=request.user, number=number)))


class EntityOwnersView(ApiView):
    """Who owns and controls an entity."""

    @documented(
        answer=schemas.EntityCase, body=schemas.OwnersBody, problems=(404, 409, 422), parameters=(IDEMPOTENCY,), tag="onboarding",
        operation="onboarding_entity_owners_put", summary="Say who owns and controls an entity",
    )  # fmt: skip
    def put(self, request: Request, number: str) -> Response:
        """Replace the whole tree; the same again changes nothing but the time."""
        case = entity_case_open(user=request.user, number=number)
        idempotency_key(request)
        rows = [
            {**row, "birth_date": row["birth_date"].isoformat() if row.get("birth_date") else ""}
            for row in self.body(schemas.OwnersBody)["owners"]
        ]
        owners_replace(case_id=case.pk, rows=rows)
        return Response(entity_json(entity_case_open(user=request.user, number=number)))


class EntityStepView(ApiView):
    """One step of answers about an entity."""

    @documented(
        answer=schemas.EntityCase, body={"application/json": OpenApiTypes.OBJECT}, problems=(404, 409, 422, 451), tag="onboarding",
        operation="onboarding_entity_step_put", summary="Answer a step for an entity",
    )  # fmt: skip
    def put(self, request: Request, number: str, step: str) -> Response:
        """Store the answers of a step; the same again changes nothing but the time."""
        case = entity_case_open(user=request.user, number=number)
        return Response(entity_json(step_answer(self, request, step, schemas.ENTITY_BODIES, case)))


class EntityDocumentsView(ApiView):
    """An entity's documents."""

    parser_classes = (MultiPartParser,)
    throttle_scopes = {"POST": "upload"}

    @documented(
        answer=list_of("EntityDocumentList", schemas.Document), problems=(404,), tag="onboarding",
        operation="onboarding_entity_documents", summary="An entity's documents",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        """Newest first, replaced ones left out."""
        return Response(documents_listed(entity_case_open(user=request.user, number=number)))

    @documented(
        answer=schemas.Document, body={"multipart/form-data": schemas.DocumentBody}, status=201, problems=(404, 409, 422),
        tag="onboarding", operation="onboarding_entity_document_add", summary="Upload a document of an entity",
    )  # fmt: skip
    def post(self, request: Request, number: str) -> Response:
        """Take a file in: cleaned, scanned, sealed. A new one of the same step replaces the earlier."""
        case = entity_case_open(user=request.user, number=number)
        return Response(document_json(document_take(request, case)), status=201)


class EntitySubmitView(ApiView):
    """Hand in."""

    @documented(
        answer=schemas.EntityCase, status=202, problems=(404, 409, 422), tag="onboarding", operation="onboarding_entity_submit",
        summary="Submit an entity for checking",
    )  # fmt: skip
    def post(self, request: Request, number: str) -> Response:
        """Begin the checks."""
        case = entity_case_open(user=request.user, number=number)
        return Response(entity_json(case_submit(user=request.user, case=case)), status=202)


class EntityAppealView(ApiView):
    """Appeal."""

    @documented(
        answer=schemas.EntityCase, body=schemas.AppealBody, problems=(404, 409), tag="onboarding",
        operation="onboarding_entity_appeal", summary="Appeal a refusal of an entity",
    )  # fmt: skip
    def post(self, request: Request, number: str) -> Response:
        """Ask for a person to look again."""
        case = entity_case_open(user=request.user, number=number)
        text = self.body(schemas.AppealBody)["text"]
        return Response(entity_json(case_appeal(user=request.user, text=text, case=case)))
