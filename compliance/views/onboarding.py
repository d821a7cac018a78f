"""The onboarding pages: the checklist, one page for each step, submitting, appealing, opening one's own documents."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.forms import PortalForm
from accounts.trading_policy import trading_policy
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import reject_row
from brokerage.platform.problems import refusal_text
from brokerage.platform.throttling import throttle_demand
from compliance.forms import FORMS, AppealForm, DocumentForm, LivenessForm, OwnerForm
from compliance.models import KycCase
from compliance.policy import policy
from compliance.selectors.checklist import (
    BY_NAME,
    answer_of,
    checklist_of,
    steps_done,
    steps_for,
    steps_missing,
    tier_reachable,
)
from compliance.services.answers import answer_save
from compliance.services.documents import document_add, link_make, link_open
from compliance.services.entities import entities_of, entity_case_open, owner_add, owner_remove, ownership
from compliance.services.kyc import CLIENT_STATES, case_appeal, case_open, case_submit
from compliance.services.liveness import (
    GESTURES,
    challenge_words,
    liveness_answer,
    liveness_begin,
    liveness_last,
)

#: Nothing in a document may run, load or be framed, whatever it turns out to be.
DOCUMENT_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
STATE_KINDS = {"approved": "ok", "rejected": "bad", "restricted": "bad", "offboarded": "bad", "more_info": "warn"}


def case_of(request: HttpRequest, number: str | None) -> KycCase:
    """The signed-in person's case, or that of the entity account they own; 404 for any other."""
    if number is None:
        return case_open(user=request.user)
    try:
        return entity_case_open(user=request.user, number=number)
    except RejectedError as error:
        raise Http404 from error


def base_of(number: str | None) -> str:
    """Where the pages of a case begin."""
    return f"/onboarding/entity/{number}" if number else "/onboarding"


def _frame(case: KycCase, number: str | None) -> dict[str, Any]:
    done = steps_done(case)
    reachable = tier_reachable(case, done)
    missing = steps_missing(case, done)
    open_now = case.state in CLIENT_STATES
    return {
        "page": "onboarding",
        "case": case,
        "number": number,
        "base": base_of(number),
        "tiers": [(row, trading_policy().tiers[row.tier]) for row in policy().tiers],
        "tier": policy().tiers[case.tier],
        "checklist": checklist_of(case),
        "open_now": open_now,
        "missing": [BY_NAME[name].title for name in missing],
        "can_submit": open_now
        and not missing
        and not any(row["step"] not in done for row in case.actions)
        and (case.state != "approved" or reachable > case.tier),
        "reachable": policy().tiers[reachable],
        "state_kind": STATE_KINDS.get(case.state, ""),
        "running": case.state in {"submitted", "checking"},
        "jurisdiction": trading_policy().jurisdictions.get(case.jurisdiction),
    }


@never_cache
@require_safe
def overview(request: HttpRequest, number: str | None = None) -> HttpResponse:
    """The checklist: what is done, what is open, and why each is asked."""
    case = case_of(request, number)
    context = _frame(case, number) | {"appeal": AppealForm()}
    if number is None:
        context["entities"] = entities_of(request.user)
    return render(request, "compliance/onboarding.html", context)


@never_cache
@require_safe
def status(request: HttpRequest, number: str | None = None) -> JsonResponse:
    """The state of the case, for the page that waits for a change."""
    case = case_of(request, number)
    last = liveness_last(case)
    return JsonResponse(
        {
            "state": case.state,
            "tier": case.tier,
            "updated_at": case.updated_at.isoformat(),
            "liveness": last.state if last is not None else "",
        }
    )


@never_cache
@require_http_methods(["GET", "POST"])
def step(request: HttpRequest, name: str, number: str | None = None) -> HttpResponse:
    """One step: its reason, its form."""
    case = case_of(request, number)
    found = next((row for row in steps_for(case) if row.name == name), None)
    if found is None or found.kind == "account":
        raise Http404
    if found.kind == "document":
        return _document_step(request, case, name, number)
    if found.kind == "liveness":
        return _liveness_step(request, case)
    if found.kind == "owners":
        return _owners_step(request, case, str(number))
    form = FORMS[name](request.POST or None, initial=answer_of(case, name))
    code = 400 if form.is_bound else 200
    if request.method == "POST" and form.is_valid():
        data = {
            key: value.isoformat() if isinstance(value, date) else value for key, value in form.cleaned_data.items()
        }
        try:
            answer_save(user=request.user, step=name, data=data, case=case)
        except RejectedError as error:
            code = _told(request, form, error)
        else:
            messages.success(request, f"Saved: {found.title}.")
            return redirect(base_of(number))
    return _step_page(request, case, name, number, code, form=form)


def _told(request: HttpRequest, form: PortalForm, error: RejectedError) -> int:
    """Put a refusal on the form; its status."""
    form.add_error(error.field if error.field in form.fields else None, refusal_text(error))
    return reject_row(error.code).http


def _step_page(
    request: HttpRequest, case: KycCase, name: str, number: str | None, code: int, **more: Any
) -> HttpResponse:
    context = {
        "page": "onboarding", "case": case, "step": BY_NAME[name], "base": base_of(number), "open_now": case.state in CLIENT_STATES,
    } | more  # fmt: skip
    return render(request, "compliance/onboarding_step.html", context, status=code)


def _document_step(request: HttpRequest, case: KycCase, name: str, number: str | None) -> HttpResponse:
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
                    case=case,
                )
            except RejectedError as error:
                code = _told(request, form, error)
            else:
                messages.success(request, f"Received: {BY_NAME[name].title}.")
                return redirect(base_of(number))
    kinds = BY_NAME[name].kinds
    documents = case.documents.filter(kind__in=kinds).exclude(state__in=("replaced", "infected"))[:10]
    shown = [(row, link_make(row, request.user) if row.state not in {"quarantined"} else "") for row in documents]
    return _step_page(request, case, name, number, code, form=form, documents=shown, upload=True)


def _owners_step(request: HttpRequest, case: KycCase, number: str) -> HttpResponse:
    tree = ownership(case)
    companies = [(line.id, line.name) for line in tree.lines if line.kind == "company"]
    form, code = OwnerForm(None, companies=companies), 200
    if request.method == "POST":
        code = 400
        remove = request.POST.get("remove")
        if not remove:
            form = OwnerForm(request.POST, companies=companies)
        try:
            if remove:
                owner_remove(case_id=case.pk, node_id=remove[:12])
                return redirect(request.path)
            if form.is_valid():
                born = form.cleaned_data["birth_date"]
                owner_add(case_id=case.pk, data=form.cleaned_data | {"birth_date": born.isoformat() if born else ""})
                messages.success(request, "Added.")
                return redirect(request.path)
        except RejectedError as error:
            code = _told(request, form, error) if not remove else 409
    return _step_page(
        request,
        case,
        "owners",
        number,
        code,
        form=form,
        tree=tree,
        owner_from=policy().body["entity"]["owner_from_percent"],
        button="Add",
    )


def _liveness_step(request: HttpRequest, case: KycCase) -> HttpResponse:
    last, code = liveness_last(case), 200
    problem = ""
    form = None
    asked = challenge_words(last) if last is not None and last.state in {"open", "retry"} else []
    gestures = list(GESTURES.items())
    try:
        if request.method == "POST" and "begin" in request.POST:
            liveness_begin(case=case)
            return redirect(request.path)
        if request.method == "POST":
            form = LivenessForm(request.POST, gestures=gestures, asked=len(asked))
            code = 400
            if form.is_valid():
                given = [form.cleaned_data[f"gesture_{place}"] for place in range(1, len(asked) + 1)]
                liveness_answer(case=case, gestures=given)
                return redirect(request.path)
    except RejectedError as error:
        problem, code = refusal_text(error), reject_row(error.code).http
        last = liveness_last(case)
    if form is None and asked:
        form = LivenessForm(None, gestures=gestures, asked=len(asked))
    context = {
        "page": "onboarding", "case": case, "step": BY_NAME["liveness"], "check": last, "asked": asked, "form": form, "problem": problem,
        "open_now": case.state in CLIENT_STATES, "most": policy().body["liveness"]["checks_a_day"],
    }  # fmt: skip
    return render(request, "compliance/onboarding_liveness.html", context, status=code)


@require_POST
def submit(request: HttpRequest, number: str | None = None) -> HttpResponse:
    """Hand everything in."""
    try:
        case_submit(user=request.user, case=case_of(request, number))
    except RejectedError as error:
        messages.error(request, refusal_text(error))
    return redirect(base_of(number))


@require_POST
def appeal(request: HttpRequest, number: str | None = None) -> HttpResponse:
    """Ask for a person."""
    case = case_of(request, number)
    form = AppealForm(request.POST)
    if not form.is_valid():
        context = _frame(case, number) | {"appeal": form}
        return render(request, "compliance/onboarding.html", context, status=400)
    try:
        case_appeal(user=request.user, text=form.cleaned_data["text"], case=case)
    except RejectedError as error:
        messages.error(request, refusal_text(error))
    else:
        messages.success(request, "Thank you. Another person will look at it again.")
    return redirect(base_of(number))


@never_cache
@require_safe
def document(request: HttpRequest, token: str) -> HttpResponse:
    """Send a document as a download that can do nothing; the client's own, or a case's for an officer."""
    try:
        row, data = link_open(token=token, viewer=request.user)
    except RejectedError as error:
        context = {"status": 403, "title": "This link cannot be used", "text": refusal_text(error)}
        return render(request, "errors/error.html", context, status=403)
    answer = HttpResponse(data, content_type=row.media_type)
    ending = "pdf" if row.media_type == "application/pdf" else "jpg"
    answer["Content-Disposition"] = f'attachment; filename="{row.kind}-{str(row.pk)[:8]}.{ending}"'
    answer["Content-Security-Policy"] = DOCUMENT_POLICY
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
