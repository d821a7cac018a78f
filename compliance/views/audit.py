"""The audit trail for compliance officers: search, a record with what it changed, downloads with the same filters, proofs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from brokerage.platform.api import Page
from brokerage.platform.audit import record
from brokerage.platform.pdf import pdf_make, pdf_response
from brokerage.platform.reporting import csv_response
from brokerage.platform.throttling import throttle_demand
from brokerage.platform.web import refusing_page
from compliance.forms import AuditFilterForm
from compliance.models import AuditCheckpoint, AuditEntry
from compliance.selectors import audit
from compliance.selectors.audit_proof import entry_checks, inclusion_get, proofs_for
from compliance.selectors.papers import record_paper, trail_paper
from compliance.views.common import filters_demand, made_for

ROWS = 50
#: Most rows of one download; the filters choose which. Proofs cost a walk in the tree each.
CSV_MAX = 50_000
PROOFS_MAX = 10_000
#: A document is laid out in one go, about two milliseconds a row.
PDF_MAX = 1_000
CURSOR = Page("audit-page", 1)
HEADER = (
    "seq", "time", "actor_type", "actor", "on_behalf_of", "action", "object_type", "object_id", "subject", "request_id", "entry_hash",
)  # fmt: skip


def _found(form: AuditFilterForm) -> Any:
    asked = dict(form.cleaned_data)
    return audit.entries_for(**asked | {"actor": audit.actor_find(asked["actor"])})


def _filters(form: AuditFilterForm) -> dict[str, str]:
    return {name: str(value) for name, value in form.cleaned_data.items() if value}


def _named(rows: list[AuditEntry]) -> list[dict[str, Any]]:
    names = audit.actor_names(rows)
    return [
        {"entry": row, "who": names.get(row.actor_id, row.actor_id), "client": names.get(row.on_behalf_of, row.on_behalf_of)}
        for row in rows
    ]  # fmt: skip


@refusing_page
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """A page of entries, the newest first."""
    form = AuditFilterForm(request.GET or None)
    query = request.GET.copy()
    cursor = "".join(query.pop("cursor", [""])[-1:])
    rows: list[AuditEntry] = []
    later, status = False, 200
    if form.is_bound and not form.is_valid():
        status = 400
    else:
        found = _found(form) if form.is_bound else audit.entries_for()
        if cursor:
            found = found.filter(seq__lt=CURSOR.decode(cursor)[0])
            later = True
        rows = list(found.defer("payload")[: ROWS + 1])
    more, rows = len(rows) > ROWS, rows[:ROWS]
    first = query.urlencode()
    if more:
        query["cursor"] = CURSOR.encode([rows[-1].seq])
    context = {
        "page": "audit",
        "form": form,
        "rows": _named(rows),
        "shown": len(rows),
        "filtered": any(form.data.get(name) for name in form.fields),
        "point": AuditCheckpoint.objects.order_by("-size").first(),
        "query": first,
        "csv_max": CSV_MAX,
        "proofs_max": PROOFS_MAX,
        "pdf_max": PDF_MAX,
        "next_url": f"?{query.urlencode()}" if more else "",
        "first_url": f"?{first}",
        "is_later_page": later,
    }
    return render(request, "compliance/audit_search.html", context, status=status)


@refusing_page
@require_safe
def entry(request: HttpRequest, seq: int) -> HttpResponse:
    """One record: what it changed, its place in the chain, what its hashes come to. Opening it is recorded."""
    found = audit.entry_get(seq)
    record("audit_entry.opened", object_type="audit_entry", object_id=seq)
    around = {row.seq: row for row in AuditEntry.objects.filter(seq__in=(seq - 1, seq + 1)).defer("payload")}
    before, behind = around.get(seq - 1), around.get(seq + 1)
    detail = audit.entry_detail(found)
    checks = entry_checks(found, before, behind)
    context = {
        "page": "audit",
        "row": _named([found])[0],
        "detail": detail,
        "changes": audit.changes_of(detail["before"], detail["after"]),
        "checks": checks,
        "broken": any(check.holds is False for check in checks),
        # The newest record has none behind it that could name it, and is verified by its signature all the same.
        "verified": all(check.holds or (check.holds is None and check.title == "Link on") for check in checks),
        "chain": [
            {"title": title, "entry": row, "here": row is found}
            for title, row in (("Before", before), ("This record", found), ("Behind", behind))
        ],
    }
    return render(request, "compliance/audit_entry.html", context)


@refusing_page
@require_safe
def proof(request: HttpRequest, seq: int) -> HttpResponse:
    """The inclusion proof as the stand-alone verifier takes it."""
    found = inclusion_get(audit.entry_get(seq))
    answer = HttpResponse(
        json.dumps(found, ensure_ascii=False, indent=1), content_type="application/json; charset=utf-8"
    )
    answer["Content-Disposition"] = f'attachment; filename="audit-{seq}-proof.json"'
    return answer


@refusing_page
@require_safe
def entry_paper(request: HttpRequest, seq: int) -> HttpResponse:
    """One record with its checks and its proof as PDF."""
    throttle_demand("download", str(request.user.pk))
    made = pdf_make(record_paper(audit.entry_get(seq), **made_for(request)))
    record("audit_entry.exported", object_type="audit_entry", object_id=seq, after=made.named())
    return pdf_response(f"audit-{seq}.pdf", made)


def _download(request: HttpRequest, form: str) -> Any:
    throttle_demand("download", str(request.user.pk))
    filters = filters_demand(AuditFilterForm(request.GET))
    record("audit.exported", object_type="audit_entry", object_id="search", after={"form": form, **_filters(filters)})
    return _found(filters)


@refusing_page
@require_safe
def table(request: HttpRequest) -> HttpResponseBase:
    """What was found as CSV; sealed parts are not in it."""
    found = _download(request, "csv")
    rows = (list(audit.entry_row(row).values()) for row in audit.entries_walk(found, CSV_MAX))
    return csv_response("audit.csv", HEADER, rows, HEADER[2:])


@refusing_page
@require_safe
def paper(request: HttpRequest) -> HttpResponse:
    """What was found as PDF, with the checkpoint it is proved against; sealed parts are not in it."""
    throttle_demand("download", str(request.user.pk))
    form = filters_demand(AuditFilterForm(request.GET))
    filters, rows = _filters(form), list(audit.entries_walk(_found(form), PDF_MAX))
    made = pdf_make(trail_paper(rows, filters=filters, most=PDF_MAX, **made_for(request)))
    record("audit.exported", object_type="audit_entry", object_id="search", after={**made.named(), **filters})
    return pdf_response("audit.pdf", made)


@refusing_page
@require_safe
def proofs(request: HttpRequest) -> HttpResponseBase:
    """What was found and is signed, each with its proof: a line a record, the first line the note they lead to."""
    point = audit.checkpoint_latest()
    found = _download(request, "proofs").filter(seq__lte=point.size)

    def lines() -> Iterator[bytes]:
        yield json.dumps({"checkpoint": point.note}, ensure_ascii=False).encode() + b"\n"
        for each in proofs_for(audit.entries_walk(found, PROOFS_MAX), point.size):
            yield json.dumps(each, ensure_ascii=False).encode() + b"\n"

    answer = StreamingHttpResponse(lines(), content_type="application/jsonl; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="audit-proofs.jsonl"'
    return answer
