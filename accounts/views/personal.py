"""Personal data, the export of everything kept about a user, and leaving."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.forms import ConfirmForm, PersonalForm
from accounts.models import ChangeRequest, DataExport
from accounts.services.closing import user_close
from accounts.services.exports import export_ask, export_open
from accounts.services.personal import personal_change, personal_get
from accounts.views.common import form_page, refusals_shown
from brokerage.kernel.clock import utc_now

REQUESTS_SHOWN = 10


@never_cache
@require_http_methods(["GET", "POST"])
def personal(request: HttpRequest) -> HttpResponse:
    """Show and change personal data."""
    user: Any = request.user
    form = PersonalForm(request.POST or None, initial=personal_get(user))

    def act() -> HttpResponse:
        values = {name: str(value or "") for name, value in form.cleaned_data.items()}
        now, later = personal_change(user=user, values=values)
        if later:
            messages.info(request, f"Waiting for approval: {', '.join(later).replace('_', ' ')}.")
        if now or not later:
            messages.success(request, "Saved.")
        return redirect("personal")

    return form_page(
        request,
        form=form,
        act=act,
        title="Personal data",
        text="Kept encrypted. What has been given once changes only after our staff have looked at it; the phone number changes at once.",
        button="Save",
        back="profile",
        requests=ChangeRequest.objects.filter(user=user)[:REQUESTS_SHOWN],
    )


@never_cache
@require_GET
def export(request: HttpRequest) -> HttpResponse:
    """The state of the data export."""
    found = DataExport.objects.filter(user=request.user, expires_at__gt=utc_now()).first()
    return render(request, "accounts/export.html", {"export": found})


@require_POST
def export_new(request: HttpRequest) -> HttpResponse:
    """Ask for an export."""
    export_ask(user=request.user)  # type: ignore[arg-type]
    return redirect("export")


@never_cache
@require_GET
@refusals_shown
def export_file(request: HttpRequest, export_id: UUID) -> HttpResponse:
    """Download it."""
    content = export_open(user=request.user, export_id=export_id)  # type: ignore[arg-type]
    response = HttpResponse(content, content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="my-data.zip"'
    return response


@never_cache
@require_http_methods(["GET", "POST"])
def close(request: HttpRequest) -> HttpResponse:
    """Leave: close every account."""
    form = ConfirmForm(request.POST or None)

    def act() -> HttpResponse:
        user_close(user=request.user)  # type: ignore[arg-type]
        logout(request)
        messages.success(request, "Your account is closed. What the law makes us keep, we keep.")
        return redirect("signin")

    return form_page(
        request,
        form=form,
        act=act,
        title="Close your account",
        text="Every account of yours is closed and this sign-in ends. It is possible only when no order, position or money is left.",
        button="Close my account",
        danger=True,
        back="profile",
    )
