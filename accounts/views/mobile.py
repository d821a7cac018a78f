"""Where else than by mail a user is told of changes to security: the mobile number, and devices that programs registered."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import MobileCodeForm, MobileForm
from accounts.services.mobile import (
    mobile_ask,
    mobile_confirm,
    mobile_notices_set,
    mobile_number,
    mobile_of,
    mobile_remove,
)
from accounts.services.push_devices import push_device_remove
from accounts.views.common import form_page, refusals_shown
from brokerage.platform.messaging import number_masked


@never_cache
@require_http_methods(["GET", "POST"])
def mobile(request: HttpRequest) -> HttpResponse:
    """Give a number, or have another code sent."""
    form = MobileForm(request.POST or None)

    def act() -> HttpResponse:
        mobile_ask(user=request.user, number=form.cleaned_data["number"])  # type: ignore[arg-type]
        messages.success(request, "A code is on its way to this number.")
        return redirect("mobile-confirm")

    return form_page(
        request,
        form=form,
        act=act,
        title="Your mobile number",
        text="We tell it of changes to your security, beside the mails. It does not sign you in and is no second factor.",
        button="Send a code",
        back="security",
    )


@never_cache
@require_http_methods(["GET", "POST"])
def mobile_code(request: HttpRequest) -> HttpResponse:
    """Confirm the number with the code that was sent to it."""
    form = MobileCodeForm(request.POST or None)
    user: Any = request.user
    row = mobile_of(user)

    def act() -> HttpResponse:
        mobile_confirm(user=user, code=form.cleaned_data["code"])
        messages.success(request, "The number is confirmed. It is told of changes to your security.")
        return redirect("security")

    return form_page(
        request,
        form=form,
        act=act,
        title="Confirm your mobile number",
        text=f"Type the code we sent to {number_masked(mobile_number(row))}." if row else "",
        button="Confirm the number",
        instead=("mobile", "Another code or number"),
        back="security",
    )


@require_POST
@refusals_shown
def mobile_notices(request: HttpRequest) -> HttpResponse:
    """Switch notices by text message on or off."""
    on = request.POST.get("on") == "1"
    mobile_notices_set(user=request.user, on=on)  # type: ignore[arg-type]
    messages.success(request, f"Notices by text message are {'on' if on else 'off'}.")
    return redirect("security")


@require_POST
@refusals_shown
def mobile_end(request: HttpRequest) -> HttpResponse:
    """Remove the number."""
    mobile_remove(user=request.user)  # type: ignore[arg-type]
    messages.success(request, "There is no mobile number any more.")
    return redirect("security")


@require_POST
@refusals_shown
def push_device_end(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """Remove a device."""
    push_device_remove(user=request.user, device_id=device_id)  # type: ignore[arg-type]
    messages.success(request, "The device is removed.")
    return redirect("security")
