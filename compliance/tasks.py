"""Background jobs of compliance: each calls one service; all may run twice."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.core.mail import send_mail

from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.platform.audit import acting
from brokerage.platform.jobs import enqueue
from compliance.demo import demo_round
from compliance.models import KycCase, KycDocument
from compliance.providers.base import ProviderError
from compliance.services import checks, clock, documents, liveness, retention, sanctions
from compliance.services.kyc import SYSTEM
from trading.management.commands.seed_reference import DEMO_PASSWORD

log = logging.getLogger(__name__)
BATCH = 100
#: A submission whose first task was lost is begun again after this.
STUCK_S = 60

MAILS = {
    "more_info": ("Your account: one thing is missing", "Something is needed to go on."),
    "approved": ("Your account is verified", "You can place orders now."),
    "rejected": ("About your application", "We could not open your account. You can see why, and appeal."),
    "restricted": ("Your account is restricted", "New orders are stopped for now."),
}


@shared_task(
    name="compliance.tasks.kyc_checks_start",
    autoretry_for=(ProviderError,),
    retry_backoff=True,
    retry_jitter=True,
    max_retries=6,
)
def kyc_checks_start(case_id: str) -> None:
    """Begin the checks of a submission."""
    with acting(SYSTEM):
        checks.checks_start(case_id)


@shared_task(
    name="compliance.tasks.kyc_event",
    autoretry_for=(ProviderError,),
    retry_backoff=True,
    retry_jitter=True,
    max_retries=6,
)
def kyc_event(event_id: str) -> None:
    """Do what a webhook asks for."""
    with acting(SYSTEM):
        checks.event_process(event_id)


@shared_task(name="compliance.tasks.kyc_tell")
def kyc_tell(case_id: str, state: str) -> None:
    """Mail the client that their case moved, without saying what was found."""
    subject, text = MAILS.get(state, ("", ""))
    case = KycCase.objects.select_related("user", "account__owner").filter(pk=case_id).first()
    if case is None or not subject:
        return
    send_mail(subject, f"{text}\n\nSee {get_config().base_url}/onboarding\n", None, [case.person.email])


@shared_task(name="compliance.tasks.rescreen_delta")
def rescreen_delta(ent_nums: list[int]) -> None:
    """Screen all clients against the parties that are new or changed on the list."""
    with acting(SYSTEM):
        sanctions.clients_rescreen(ent_nums)


@shared_task(name="compliance.tasks.retention")
def retention_apply() -> None:
    """Let go of what is past its time of keeping; what does not fit into the time goes the next night."""
    try:
        found = retention.retention_run(now=utc_now())
    except retention.RetentionRunningError:
        return
    for row in found:
        if row.count or not row.finished:
            log.info("retention: %d of %s%s", row.count, row.name, "" if row.finished else ", more is left")


@shared_task(name="compliance.tasks.kyc_clock")
def kyc_clock() -> None:
    """What time does: polls for lost webhooks, submissions that got stuck, expiry, grace, reviews, quarantine."""
    now = utc_now()
    with acting(SYSTEM):
        for case_id in KycCase.objects.filter(state="checking", poll_at__lte=now).values_list("pk", flat=True)[:BATCH]:
            try:
                checks.results_fetch(case_id)
            except ProviderError as error:
                log.warning("the KYC vendor is away: %s", error)
                break
        try:
            liveness.liveness_poll(BATCH)
        except ProviderError as error:
            log.warning("the KYC vendor is away: %s", error)
        stuck = KycCase.objects.filter(state="submitted", submitted_at__lte=now - timedelta(seconds=STUCK_S))
        for case_id in stuck.values_list("pk", flat=True)[:BATCH]:
            enqueue("compliance.tasks.kyc_checks_start", case_id=str(case_id))
        if get_config().demo:
            demo_round(DEMO_PASSWORD)
        clock.documents_expire()
        clock.grace_end()
        clock.reviews_begin()
        for document_id in KycDocument.objects.filter(state="quarantined").values_list("pk", flat=True)[:BATCH]:
            if documents.quarantine_rescan(document_id).state == KycDocument.State.QUARANTINED:
                # The scanner is still away: asking a hundred times more would only take a hundred time-outs.
                break
