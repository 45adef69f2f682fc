"""`manage.py provision FILE.yaml`: bring the database in line with a company's file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.provisioning.company import apply
from config.provisioning.reading import ProvisionError, read


class Command(BaseCommand):
    """Idempotent: a second run with the same file changes nothing."""

    help = "Loads a company from a YAML file and prints the difference. What is not in the file is left alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the company's YAML file; its own paths are relative to it")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        file = Path(options["file"])
        try:
            document = read(file, os.environ)
            report = apply(document, file.resolve().parent, dry_run=options["dry_run"])
        except ProvisionError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            for line in report.lines():
                self.stdout.write(line)
            if options["dry_run"]:
                self.stdout.write("Dry run: nothing was written.")
