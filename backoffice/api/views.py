"""REST of approvals by two. Only the portal's own session is taken (it carries the second factor); bearer tokens are not."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schemas import NoQuery
from backoffice.api import schemas
from backoffice.models import Approval
from backoffice.services.approvals import approval_decide, approval_list_for, approval_request
from brokerage.kernel.clock import ns_from_datetime, rfc3339
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import PAGE_MAX, ApiView, listing, query_of
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.auth import PortalSessionAuthentication


def approval_json(row: Approval) -> dict[str, Any]:
    """A request as the API shows it."""
    return {
        "id": row.pk,
        "kind": row.kind,
        "subject": row.subject,
        "payload": row.payload,
        "before": row.before,
        "maker": row.maker.email,
        "reason": row.reason,
        "status": row.status,
        "checker": row.checker.email if row.checker else None,
        "decision_reason": row.decision_reason,
        "result": row.result,
        "created_at": rfc3339(ns_from_datetime(row.created_at)),
        "expires_at": rfc3339(ns_from_datetime(row.expires_at)),
    }


class StaffView(ApiView):
    """Takes the session only; who comes here has passed the staff gate."""

    authentication_classes = (PortalSessionAuthentication,)


class ApprovalsView(StaffView):
    """Requests."""

    @documented(
        answer=list_of("Approval", schemas.Approval),
        tag="staff",
        operation="approvals_list",
        summary="Requests of staff",
    )
    def get(self, request: Request) -> Response:
        """The newest ones you may see."""
        status = query_of(request, schemas.ApprovalQuery).get("status")
        rows = approval_list_for(request.user)
        if status:
            rows = rows.filter(status=status)
        return Response(listing([approval_json(row) for row in rows[:PAGE_MAX]]))

    @documented(
        answer=schemas.Approval,
        body=schemas.ApprovalBody,
        status=201,
        problems=(404, 409, 422),
        tag="staff",
        operation="approvals_request",
        summary="Ask for something another decides",
    )
    def post(self, request: Request) -> Response:
        """Ask. The same thing asked again while it waits is the same request."""
        data = self.body(schemas.ApprovalBody)
        row = approval_request(
            maker=request.user,
            kind=data["kind"],
            subject=data["subject"],
            payload=data["payload"],
            reason=data["reason"],
        )
        return Response(approval_json(row), status=201)


class ApprovalView(StaffView):
    """One request."""

    @documented(answer=schemas.Approval, problems=(404,), tag="staff", operation="approvals_get", summary="One request")
    def get(self, request: Request, approval_id: str) -> Response:
        """Show it."""
        query_of(request, NoQuery)
        row = approval_list_for(request.user).filter(pk=approval_id).first()
        if row is None:
            raise RejectedError(RejectCode.NOT_FOUND)
        return Response(approval_json(row))


class DecisionView(StaffView):
    """The decision about a request."""

    @documented(
        answer=schemas.Approval,
        body=schemas.DecisionBody,
        problems=(404, 409, 422),
        tag="staff",
        operation="approvals_decide",
        summary="Approve or refuse a request of another",
    )
    def post(self, request: Request, approval_id: str) -> Response:
        """Decide; what is approved is done at once. One you may not see is not there."""
        if not approval_list_for(request.user).filter(pk=approval_id).exists():
            raise RejectedError(RejectCode.NOT_FOUND)
        data = self.body(schemas.DecisionBody)
        row = approval_decide(
            approval_id=approval_id, checker=request.user, approve=data["approve"], reason=data["reason"]
        )
        return Response(approval_json(row))
