"""``manage.py bench_audit``: chain and verify synthetic acts; the figures as JSON.

In one transaction that is rolled back, which only one session of the database can read; with ``--commit`` as it is in service: the acts stay.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from brokerage.platform.audit import Actor
from brokerage.platform.models import AuditPending
from compliance.audit.export import export_lines
from compliance.audit.recorder import Recorder
from compliance.audit.signing import signer
from compliance.audit.verifier.verify_audit import Checkpoint, export_verify
from compliance.audit.verify import trail_verify
from compliance.models import AuditCheckpoint, AuditEntry


def _median_of(work: Callable[[], Any], times: int = 5) -> float:
    """Seconds of the run in the middle: each is a tenth of a second, which the machine's other work can double."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


class Command(BaseCommand):
    """Measure the audit trail."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many acts."""
        parser.add_argument("--acts", type=int, default=20_000)
        parser.add_argument(
            "--commit", action="store_true", help="leave them in the trail: on a database of its own only"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; on a trail with entries of its own the figures would be of both, so it must be empty."""
        if AuditEntry.objects.exists():
            self.stderr.write("The trail is not empty: measure on a database of its own.")
            raise SystemExit(2)
        count = options["acts"]
        with contextlib.ExitStack() as stack:
            if not options["commit"]:
                stack.enter_context(transaction.atomic())
                stack.callback(transaction.set_rollback, True)
            actor = Actor("staff", "17")
            AuditPending.objects.bulk_create(
                AuditPending(
                    action="listing.changed", actor_type=actor.type, actor_id=actor.id, object_type="instrument",
                    object_id=str(number), before={"n": number}, after={"n": number + 1}, ip="10.0.0.1",
                )
                for number in range(count)
            )  # fmt: skip
            started = time.perf_counter()
            Recorder(folders=()).drain()
            chained = time.perf_counter() - started
            # As autovacuum does it for tables that were not filled a second ago.
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE audit_entry, audit_node")
            in_tables = _median_of(lambda: trail_verify(signer().public))
            size = AuditCheckpoint.objects.order_by("-size").values_list("size", flat=True)[0]
            lines = list(export_lines(size))
            points = [Checkpoint(AuditCheckpoint.objects.get(size=size).note, signer().public)]
            offline = _median_of(lambda: export_verify(lines, points))
        rates = {"chained": chained, "verified_in_tables": in_tables, "verified_offline": offline}
        result = {"entries": count, **{f"{name}_per_s": round(count / took) for name, took in rates.items()}}
        self.stdout.write(json.dumps(result, indent=2))
