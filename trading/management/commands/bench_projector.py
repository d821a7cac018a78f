"""``manage.py bench_projector``: store a synthetic feed in tables of its own and print the figures as JSON."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from trading.projection.bench import bench_run


class Command(BaseCommand):
    """Measure the projector."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Size and seed."""
        parser.add_argument("--trades", type=int, default=20_000)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: object, **options: int) -> None:
        """Run."""
        self.stdout.write(json.dumps(bench_run(options["trades"], options["seed"]), indent=2))
