"""Pages of programs that act for a user: their sign-ins."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.selectors.credentials import families_of
from accounts.services.token_families import families_revoke_all, family_revoke
from brokerage.kernel.errors import RejectedError


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def sign_ins(request: HttpRequest) -> HttpResponse:
    """List the sign-ins of programs; end one or all."""
    if request.method == "POST":
        chosen = request.POST.get("sign_in", "")
        try:
            if chosen == "all":
                count = families_revoke_all(user=request.user, reason="ended by the user")
                messages.success(request, f"{count} sign-ins ended." if count != 1 else "One sign-in ended.")
            else:
                family_revoke(user=request.user, family_id=UUID(chosen))
                messages.success(request, "The sign-in was ended; its tokens stop working within seconds.")
        except (ValueError, RejectedError):
            messages.error(request, "There is no such sign-in any more.")
        return redirect("profile-api")
    return render(request, "accounts/api_sign_ins.html", {"sign_ins": families_of(request.user), "page": "profile"})
