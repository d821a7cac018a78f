"""Background jobs: services name a Celery task, it is sent when their transaction commits. They never import tasks."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.db import transaction


def enqueue(name: str, **arguments: Any) -> None:
    """Run the task ``app.tasks.name`` after the current transaction; arguments must be plain JSON values."""
    transaction.on_commit(lambda: current_app.send_task(name, kwargs=arguments, retry=False), robust=True)
