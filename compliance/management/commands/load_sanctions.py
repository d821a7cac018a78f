"""``manage.py load_sanctions PATH``: load official OFAC files from a folder; ``--made-up`` generates and loads the demo's list instead."""

import tempfile
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from brokerage.platform.audit import Actor, acting
from compliance.aml.generator import list_write
from compliance.aml.lists import ListError
from compliance.models import SanctionsList
from compliance.services.sanctions import list_load


class Command(BaseCommand):
    """Load a list."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the files are, or that they are to be made up."""
        parser.add_argument(
            "path", nargs="?", help="folder with sdn.csv (add.csv, alt.csv, sdn_comments.csv) or sdn_advanced.xml"
        )
        parser.add_argument("--made-up", action="store_true", help="generate made-up names in the official form")

    def handle(self, *args: object, **options: object) -> None:
        """Load and say what changed. A made-up list never replaces a real one."""
        with acting(Actor("system", "load_sanctions")), tempfile.TemporaryDirectory() as made:
            folder = Path(str(options["path"] or made))
            if options["made_up"]:
                if SanctionsList.objects.filter(active=True, made_up=False).exists():
                    self.stdout.write("a real list is loaded: nothing made up")
                    return
                list_write(folder)
            elif not options["path"]:
                raise CommandError("Give the folder of the files, or --made-up.")
            try:
                done = list_load(folder=folder, made_up=bool(options["made_up"]))
            except (ListError, OSError) as error:
                raise CommandError(str(error)) from error
        state = "loaded" if done.fresh else "was loaded already"
        self.stdout.write(
            f"{done.entries} entries ({state}): {len(done.added)} added, {len(done.changed)} changed, {len(done.removed)} removed"
        )
