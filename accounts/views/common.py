"""What the identity pages share: where to go next, what a refusal looks like, the page with one form, the page a mailed link opens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.forms import PortalForm
from accounts.selectors.sessions import SESSION_ID
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import reject_row
from brokerage.platform.problems import refusal_text

View = Callable[..., HttpResponse]


def next_url(request: HttpRequest) -> str:
    """The page of ours the request wants to go on to, else the first one."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if safe else "/"


def own_session(request: HttpRequest) -> UUID | None:
    """The row of the session of this browser."""
    found = request.session.get(SESSION_ID)
    return UUID(found) if found else None


def refused_page(request: HttpRequest, error: RejectedError) -> HttpResponse:
    """A page that says why not and what to do."""
    row = reject_row(error.code)
    context = {"title": row.title, "text": refusal_text(error), "refused": True}
    page = render(request, "accounts/form.html", context, status=row.http)
    page.refusal_code = int(row.code)  # type: ignore[attr-defined]
    return page


def refusals_shown(view: View) -> View:
    """Answer the view's refusals with ``refused_page``."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except RejectedError as error:
            return refused_page(request, error)

    return page


def form_page(
    request: HttpRequest,
    *,
    form: PortalForm | None,
    act: Callable[[], HttpResponse],
    title: str,
    text: str = "",
    button: str = "Go on",
    weak_field: str = "password",
    **context: Any,
) -> HttpResponse:
    """Show one form (or only a button), and on POST do the act; its refusals are shown on the form."""
    form = form if form is not None else PortalForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 400
        # A form without fields is bound to nothing but the protection token.
        if not form.fields or form.is_valid():
            try:
                return act()
            except ValidationError as error:
                form.add_error(weak_field, error)
            except RejectedError as error:
                if not form.fields:
                    return refused_page(request, error)
                form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
                status = reject_row(error.code).http
    shown = {"form": form, "title": title, "text": text, "button": button, **context}
    return render(request, "accounts/form.html", shown, status=status)
