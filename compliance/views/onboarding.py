"""The onboarding pages: the checklist, one page for each step, submitting, appealing, opening one's own documents."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from brokerage.kernel.errors import RejectedError
from brokerage.platform.problems import problem_document
from brokerage.platform.throttling import throttle_demand
from compliance.forms import FORMS, AppealForm, DocumentForm
from compliance.models import KycCase
from compliance.policy import policy
from compliance.selectors.checklist import BY_NAME, answer_of, checklist_of, steps_done
from compliance.services.answers import answer_save
from compliance.services.documents import document_add, link_make, link_open
from compliance.services.kyc import CLIENT_STATES, case_appeal, case_open, case_submit

#: Nothing in a document may run, load or be framed, whatever it turns out to be.
DOCUMENT_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
STATE_KINDS = {"approved": "ok", "rejected": "bad", "restricted": "bad", "offboarded": "bad", "more_info": "warn"}


def refusal_text(request: HttpRequest, error: RejectedError) -> str:
    """What a refusal says, with its next step."""
    document = problem_document(error, getattr(request, "request_id", "-"))
    return f"{document['detail']} {document['next_step']}"


def _frame(case: KycCase) -> dict[str, Any]:
    done = steps_done(case)
    reachable = policy().tier_of(done)
    open_now = case.state in CLIENT_STATES
    return {
        "page": "onboarding",
        "case": case,
        "tiers": policy().tiers,
        "tier": policy().tiers[case.tier],
        "checklist": checklist_of(case),
        "open_now": open_now,
        "missing": [BY_NAME[name].title for name in policy().missing(1, done)],
        "can_submit": open_now
        and reachable >= 1
        and not any(row["step"] not in done for row in case.actions)
        and (case.state != "approved" or reachable > case.tier),
        "reachable": policy().tiers[reachable],
        "state_kind": STATE_KINDS.get(case.state, ""),
        "running": case.state in {"submitted", "checking"},
    }


@never_cache
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The checklist: what is done, what is open, and why each is asked."""
    case = case_open(user=request.user)
    return render(request, "compliance/onboarding.html", _frame(case) | {"appeal": AppealForm()})


@never_cache
@require_safe
def status(request: HttpRequest) -> JsonResponse:
    """The state of the case, for the page that waits for a change."""
    case = case_open(user=request.user)
    return JsonResponse({"state": case.state, "tier": case.tier, "updated_at": case.updated_at.isoformat()})


@never_cache
@require_http_methods(["GET", "POST"])
def step(request: HttpRequest, name: str) -> HttpResponse:
    """One step: its reason, its form."""
    found = BY_NAME.get(name)
    if found is None or found.kind == "account":
        raise Http404
    case = case_open(user=request.user)
    if found.kind == "document":
        return _document_step(request, case, name)
    form = FORMS[name](request.POST or None, initial=answer_of(case, name))
    code = 400 if form.is_bound else 200
    if request.method == "POST" and form.is_valid():
        data = {
            key: value.isoformat() if isinstance(value, date) else value for key, value in form.cleaned_data.items()
        }
        try:
            answer_save(user=request.user, step=name, data=data)
        except RejectedError as error:
            form.add_error(error.field if error.field in form.fields else None, refusal_text(request, error))
            code = problem_document(error, "-")["status"]
        else:
            messages.success(request, f"Saved: {found.title}.")
            return redirect("onboarding")
    context = {"page": "onboarding", "case": case, "step": found, "form": form, "open_now": case.state in CLIENT_STATES}
    return render(request, "compliance/onboarding_step.html", context, status=code)


def _document_step(request: HttpRequest, case: KycCase, name: str) -> HttpResponse:
    form = DocumentForm(request.POST or None, request.FILES or None, step=name)
    code = 400 if form.is_bound else 200
    if request.method == "POST":
        form = DocumentForm(request.POST, request.FILES, step=name)
        code = 400
        if form.is_valid():
            data = form.cleaned_data
            try:
                throttle_demand("upload", str(request.user.pk))
                document_add(
                    user=request.user,
                    kind=data["kind"],
                    data=data["file"].read(),
                    issued_on=data.get("issued_on"),
                    expires_on=data.get("expires_on"),
                )
            except RejectedError as error:
                form.add_error(error.field if error.field in form.fields else None, refusal_text(request, error))
                code = problem_document(error, "-")["status"]
            else:
                messages.success(request, f"Received: {BY_NAME[name].title}.")
                return redirect("onboarding")
    kinds = BY_NAME[name].kinds
    documents = case.documents.filter(kind__in=kinds).exclude(state__in=("replaced", "infected"))[:10]
    context = {
        "page": "onboarding",
        "case": case,
        "step": BY_NAME[name],
        "form": form,
        "open_now": case.state in CLIENT_STATES,
        "documents": [
            (row, link_make(row, request.user) if row.state not in {"quarantined"} else "") for row in documents
        ],
        "upload": True,
    }
    return render(request, "compliance/onboarding_step.html", context, status=code)


@require_POST
def submit(request: HttpRequest) -> HttpResponse:
    """Hand everything in."""
    try:
        case_submit(user=request.user)
    except RejectedError as error:
        messages.error(request, refusal_text(request, error))
    return redirect("onboarding")


@require_POST
def appeal(request: HttpRequest) -> HttpResponse:
    """Ask for a person."""
    form = AppealForm(request.POST)
    if not form.is_valid():
        context = _frame(case_open(user=request.user)) | {"appeal": form}
        return render(request, "compliance/onboarding.html", context, status=400)
    try:
        case_appeal(user=request.user, text=form.cleaned_data["text"])
    except RejectedError as error:
        messages.error(request, refusal_text(request, error))
    else:
        messages.success(request, "Thank you. A person will look at it again.")
    return redirect("onboarding")


@never_cache
@require_safe
def document(request: HttpRequest, token: str) -> HttpResponse:
    """Send a document as a download that can do nothing; the client's own, or a case's for an officer."""
    try:
        row, data = link_open(token=token, viewer=request.user)
    except RejectedError as error:
        context = {"status": 403, "title": "This link cannot be used", "text": refusal_text(request, error)}
        return render(request, "errors/error.html", context, status=403)
    answer = HttpResponse(data, content_type=row.media_type)
    ending = "pdf" if row.media_type == "application/pdf" else "jpg"
    answer["Content-Disposition"] = f'attachment; filename="{row.kind}-{str(row.pk)[:8]}.{ending}"'
    answer["Content-Security-Policy"] = DOCUMENT_POLICY
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
