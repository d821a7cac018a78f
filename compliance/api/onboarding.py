"""REST twins of the onboarding pages: the case, its steps, documents, submitting, appealing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import ApiView, listing
from brokerage.platform.api_fields import StrictSerializer
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.problems import ApiProblem
from compliance.api import schemas
from compliance.models import KycCase, KycDocument
from compliance.selectors.checklist import checklist_of
from compliance.services.answers import answer_save
from compliance.services.documents import document_add
from compliance.services.kyc import case_appeal, case_open, case_submit

DOCUMENTS_MAX = 60


def case_json(case: KycCase) -> dict[str, Any]:
    """A case for the client: no score, no notes, no hits."""
    return {
        "state": case.state,
        "tier": case.tier,
        "trading_allowed": case.account.entity_allowed
        if case.account is not None
        else User.objects.values_list("trading_allowed", flat=True).get(pk=case.user_id),
        "text": case.client_text,
        "actions": case.actions,
        "steps": [
            {
                "name": row.step.name,
                "title": row.step.title,
                "why": row.step.why,
                "state": row.state,
                "needed_for_tier": row.needed_for,
            }
            for row in checklist_of(case)
        ],
        "grace_until": case.grace_until,
        "updated_at": case.updated_at,
    }


def document_json(row: KycDocument) -> dict[str, Any]:
    """A document for its owner."""
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "state": row.state,
        "reason": row.reason if row.state != KycDocument.State.QUARANTINED else "",
        "media_type": row.media_type,
        "size": row.size,
        "created_at": row.created_at,
    }


def step_answer(
    view: ApiView,
    request: Request,
    step: str,
    bodies: Mapping[str, type[StrictSerializer]],
    case: KycCase | None = None,
) -> KycCase:
    """Store what the request's body answers to a step; 2014 for a step that is none of answers. ``case``: of an entity."""
    shape = bodies.get(step)
    if shape is None:
        raise ApiProblem(RejectCode.NOT_FOUND, "There is no such step.", needed=", ".join(bodies))
    data = {name: value.isoformat() if isinstance(value, date) else value for name, value in view.body(shape).items()}
    return answer_save(user=request.user, step=step, data=data, case=case)


def documents_listed(case: KycCase) -> dict[str, Any]:
    """A case's documents, the newest first, replaced ones left out."""
    return listing(
        [document_json(row) for row in case.documents.exclude(state=KycDocument.State.REPLACED)[:DOCUMENTS_MAX]]
    )


def document_take(request: Request, case: KycCase | None = None) -> KycDocument:
    """Take the request's file in. ``case``: of an entity."""
    body = schemas.DocumentBody(data=request.data)
    body.is_valid(raise_exception=True)
    data = body.validated_data
    return document_add(
        user=request.user,
        kind=data["kind"],
        data=data["file"].read(),
        issued_on=data.get("issued_on"),
        expires_on=data.get("expires_on"),
        case=case,
    )


class CaseView(ApiView):
    """The caller's case."""

    @documented(
        answer=schemas.Case, tag="onboarding", operation="onboarding_get", summary="Your case and its checklist"
    )
    def get(self, request: Request) -> Response:
        """State, tier, what is asked for and every step."""
        return Response(case_json(case_open(user=request.user)))


class StepView(ApiView):
    """One step of answers."""

    @documented(
        answer=schemas.Case, body={"application/json": OpenApiTypes.OBJECT}, problems=(404, 409, 422, 451), tag="onboarding",
        operation="onboarding_step_put", summary="Answer a step",
    )  # fmt: skip
    def put(self, request: Request, step: str) -> Response:
        """Store the answers of a step; the same again changes nothing but the time."""
        return Response(case_json(step_answer(self, request, step, schemas.BODIES)))


class DocumentsView(ApiView):
    """The caller's documents."""

    parser_classes = (MultiPartParser,)
    throttle_scopes = {"POST": "upload"}

    @documented(
        answer=list_of("KycDocumentList", schemas.Document),
        tag="onboarding",
        operation="onboarding_documents",
        summary="Your documents",
    )
    def get(self, request: Request) -> Response:
        """Newest first, replaced ones left out."""
        return Response(documents_listed(case_open(user=request.user)))

    @documented(
        answer=schemas.Document, body={"multipart/form-data": schemas.DocumentBody}, status=201, problems=(409, 422),
        tag="onboarding", operation="onboarding_document_add", summary="Upload a document",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Take a file in: cleaned, scanned, sealed. A new one of the same step replaces the earlier."""
        return Response(document_json(document_take(request)), status=201)


class SubmitView(ApiView):
    """Hand in."""

    @documented(
        answer=schemas.Case, status=202, problems=(409, 422), tag="onboarding", operation="onboarding_submit",
        summary="Submit for checking",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Begin the checks."""
        return Response(case_json(case_submit(user=request.user)), status=202)


class AppealView(ApiView):
    """Appeal."""

    @documented(
        answer=schemas.Case, body=schemas.AppealBody, problems=(409,), tag="onboarding", operation="onboarding_appeal",
        summary="Appeal a refusal",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Ask for a person to look again."""
        return Response(case_json(case_appeal(user=request.user, text=self.body(schemas.AppealBody)["text"])))
