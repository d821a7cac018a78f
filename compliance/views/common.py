"""What the officers' pages share: filters that have to hold before something is made of them, and for whom a document is made."""

from __future__ import annotations

from typing import Any, TypeVar

from django.forms import Form
from django.http import HttpRequest

from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

F = TypeVar("F", bound=Form)


def filters_demand(form: F) -> F:
    """The filters of a download; 1001 with the first thing that is wrong with them."""
    if not form.is_valid():
        field, messages = next(iter(form.errors.items()))
        raise RejectedError(RejectCode.MALFORMED, f"{form.fields[field].label}: {messages[0]}", field=field)
    return form


def made_for(request: HttpRequest) -> dict[str, Any]:
    """For whom and when a document is made; a session's user always has an address."""
    return {"made_for": str(getattr(request.user, "email", "")), "made_at": utc_now()}
