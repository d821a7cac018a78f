"""The public page on the audit trail's newest checkpoint, and the verifier as a download."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from compliance.audit.signing import signer
from compliance.audit.verifier import verify_audit
from compliance.models import AuditCheckpoint


@never_cache
@require_safe
def proof(request: HttpRequest) -> HttpResponse:
    """Show what was signed last and how anybody checks it."""
    point = AuditCheckpoint.objects.order_by("-size").first()
    return render(request, "compliance/proof.html", {"page": "proof", "point": point, "keys": signer()})


@require_safe
def verifier(request: HttpRequest) -> HttpResponse:
    """The one file."""
    answer = HttpResponse(Path(verify_audit.__file__).read_bytes(), content_type="text/x-python; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="verify_audit.py"'
    return answer
