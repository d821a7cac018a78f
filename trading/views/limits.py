"""The page of what a client may trade: limits and what is left of them today, products, the risk warnings to accept."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.services.rules import disclosures_accept
from accounts.trading_policy import trading_policy
from brokerage.kernel.errors import RejectedError
from brokerage.platform.problems import problem_document, refusal_text
from trading.selectors.limits import limits_of
from trading.views.state import page_account, page_accounts


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def limits(request: HttpRequest) -> HttpResponse:
    """Show them; POST accepts the warnings named."""
    account = page_account(request)
    if request.method == "POST":
        try:
            disclosures_accept(user=request.user, codes=request.POST.getlist("code"))  # type: ignore[arg-type]
        except RejectedError as error:
            messages.error(request, str(problem_document(error, "-")["detail"]))
        else:
            messages.success(request, "Accepted. Orders in these products are possible now.")
        product = request.GET.get("product", "")
        suffix = f"?product={product}" if product in trading_policy().products else ""
        return redirect(reverse("limits") + suffix)
    shown, problem = None, ""
    if account is not None:
        try:
            shown = limits_of(account)
        except RejectedError as error:
            problem = refusal_text(error)
    wanted = request.GET.get("product", "")
    texts: dict[str, dict[str, object]] = {}
    for row in shown["products"] if shown else []:
        if row["refused"] in (7022, 7023, 7025, 7029):
            continue
        for item in row["disclosures"]:
            text = trading_policy().disclosures[item["code"]]
            found = texts.setdefault(
                text.code, {"text": text, "accepted": item["accepted"], "products": [], "wanted": False}
            )
            found["products"].append(row["name"])  # type: ignore[attr-defined]
            found["wanted"] = found["wanted"] or row["product"] == wanted
    # What the order was refused for comes first, then what is open, then what is done.
    ordered = sorted(texts.values(), key=lambda row: (bool(row["accepted"]), not row["wanted"]))
    context = {
        "page": "limits",
        "account": account,
        "accounts": page_accounts(request),
        "limits": shown,
        "problem": problem,
        "texts": ordered,
        "own": account is not None and account.owner_id == request.user.pk,
    }
    return render(request, "trading/limits.html", context)
