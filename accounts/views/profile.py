"""The profile page: name and time zone of the user; look of the pages on this device."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.forms import ProfileForm
from accounts.selectors.access import accounts_of
from accounts.services.personal import profile_change


@never_cache
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change what a user may change about themselves."""
    user = request.user
    initial = {"display_name": user.display_name, "time_zone": user.time_zone}  # type: ignore[union-attr]
    form = ProfileForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        profile_change(user=user, **form.cleaned_data)  # type: ignore[arg-type]
        messages.success(request, "Saved.")
        return redirect("profile")
    context = {"form": form, "accounts": accounts_of(user.pk), "page": "profile"}  # type: ignore[arg-type]
    return render(request, "accounts/profile.html", context, status=400 if form.is_bound else 200)
