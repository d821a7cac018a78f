"""Background jobs: services name a Celery task, it is sent when their transaction commits. They never import tasks.

With ``CELERY_TASK_ALWAYS_EAGER`` (tests) the task runs in place instead, after the commit as well. The fallback app, which must not need
Valkey, leaves its jobs in the outbox (``JOBS_BY_OUTBOX``); the relay hands them on when there is a queue again (``handlers.py``).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from brokerage.celery import app
from brokerage.platform.outbox import emit

#: Topic of jobs that wait in the outbox.
JOB_DUE = "job.due"


def enqueue(name: str, **arguments: Any) -> None:
    """Run the task ``app.tasks.name`` after the current transaction; arguments must be plain JSON values."""
    if settings.JOBS_BY_OUTBOX:
        emit(JOB_DUE, name, arguments)
        return
    transaction.on_commit(lambda: _send(name, arguments), robust=True)


def job_send(name: str, arguments: dict[str, Any]) -> None:
    """Give a job to the queue now; kombu's OperationalError when there is none."""
    _send(name, arguments)


def _send(name: str, arguments: dict[str, Any]) -> None:
    # The named application, not Celery's current one: that is a variable of the thread, and unset in those that serve requests.
    if app.conf.task_always_eager:
        app.loader.import_default_modules()
        app.tasks[name].apply(kwargs=arguments, throw=True)
    else:
        app.send_task(name, kwargs=arguments, retry=False)
