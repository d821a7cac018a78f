"""Where KYC vendors tell us that something happened: verified, noted, answered at once. The work is a job's."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem, problem_response
from brokerage.platform.throttling import client_address, throttle_demand
from compliance.providers.base import WebhookRefusedError
from compliance.providers.sandbox import provider
from compliance.services.checks import event_take

BODY_MAX = 64 * 1024


@csrf_exempt
@require_POST
def webhook(request: HttpRequest, vendor: str) -> HttpResponse:
    """204 for every genuine message, new or told before; 7020 for any other."""
    try:
        throttle_demand("anonymous", client_address(request))
        if vendor != provider().name:
            raise ApiProblem(RejectCode.NOT_FOUND)
        if int(request.META.get("CONTENT_LENGTH") or 0) > BODY_MAX:
            raise ApiProblem(RejectCode.PAYLOAD_TOO_LARGE, needed=str(BODY_MAX))
        raw = request.body
        try:
            event = provider().verify_webhook(dict(request.headers), raw)
        except WebhookRefusedError as error:
            raise ApiProblem(RejectCode.WEBHOOK_REFUSED) from error
        event_take(vendor=vendor, event=event, digest=hashlib.sha256(raw).hexdigest())
    except RejectedError as error:
        return problem_response(error)
    return HttpResponse(status=204)
