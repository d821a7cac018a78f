"""What the plumbing listens to: jobs that the fallback app left in the outbox. A job may run twice, as every job may."""

from __future__ import annotations

from kombu.exceptions import OperationalError

from brokerage.platform.jobs import JOB_DUE, job_send
from brokerage.platform.models import OutboxEvent
from brokerage.platform.outbox import RetryLater, on


@on(JOB_DUE)
def job_due(event: OutboxEvent) -> None:
    """Hand the job to the queue."""
    try:
        job_send(event.key, event.payload)
    except OperationalError as error:
        raise RetryLater(str(error)) from error
