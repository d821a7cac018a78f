"""What every staff page does: show refusals beside the form, know the tabs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from backoffice.models import Approval
from backoffice.services.approvals import approval_list_for
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import problem_document
from brokerage.platform.web import refused

View = Callable[..., HttpResponse]
PAGE_ROWS = 50


def staff_page(view: View) -> View:
    """A page of staff. The gate (``backoffice/middleware.py``) has seen to second factor and network, the table to the permission."""

    @wraps(view)
    @never_cache
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except RejectedError as error:
            if error.code == RejectCode.NOT_FOUND:
                raise Http404 from error
            return refused(request, error)

    return page


def refusal_text(request: HttpRequest, error: RejectedError) -> str:
    """What was refused, why, and what to do."""
    document = problem_document(error, getattr(request, "request_id", "-"))
    return f"{document['detail']} {document['next_step']}"


def staff_context(request: HttpRequest, tab: str) -> dict[str, Any]:
    """The tabs this member of staff has, and how much waits."""
    user: Any = request.user
    waiting = approval_list_for(user).filter(status=Approval.Status.PENDING)[:100].count()
    return {
        "page": "desk",
        "tab": tab,
        "waiting": waiting,
        "may_clients": user.has_perm("backoffice.view_clients"),
        "may_approvals": user.has_perm("backoffice.view_approval"),
        "may_review": user.has_perm("backoffice.review_access"),
        "may_emergency": user.has_perm("backoffice.break_glass"),
        "may_ask_role": user.has_perm("backoffice.request_role"),
    }
