"""Background jobs: services name a Celery task, it is sent when their transaction commits. They never import tasks.

With ``CELERY_TASK_ALWAYS_EAGER`` (tests) the task runs in place instead, after the commit as well.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from brokerage.celery import app


def enqueue(name: str, **arguments: Any) -> None:
    """Run the task ``app.tasks.name`` after the current transaction; arguments must be plain JSON values."""
    transaction.on_commit(lambda: _send(name, arguments), robust=True)


def _send(name: str, arguments: dict[str, Any]) -> None:
    # The named application, not Celery's current one: that is a variable of the thread, and unset in those that serve requests.
    if app.conf.task_always_eager:
        app.loader.import_default_modules()
        app.tasks[name].apply(kwargs=arguments, throw=True)
    else:
        app.send_task(name, kwargs=arguments, retry=False)
