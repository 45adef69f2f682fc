"""`manage.py doctor`: what does not work in this installation, and what to do about it. Ends with 1 where anything fails."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import translation

from config.doctor import checkup, report


class Command(BaseCommand):
    """Changes nothing; every enabled model is asked for a tiny completion, which its provider may charge for."""

    help = "Look at everything this installation stands on, and say what to do about what is wrong. Exit status 1 on a failure."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        languages = [code for code, _name in settings.LANGUAGES]
        parser.add_argument("--json", action="store_true", help="findings as JSON")
        parser.add_argument("--language", choices=languages, default=settings.LANGUAGE_CODE, help="of what is printed")
        names = [check.name for check in checkup.CHECKS]
        parser.add_argument("--only", nargs="+", choices=names, metavar="CHECK", default=[], help=f"of: {', '.join(names)}")

    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["language"]), _quiet():
            examined = list(self._printed(options["only"], table=not options["json"]))
            if options["json"]:
                self.stdout.write(json.dumps(report.as_json(examined), ensure_ascii=False, indent=2))
            else:
                self.stdout.write(f"\n{report.summary(examined)}")
        if any(one.failed for one in examined):
            sys.exit(1)

    def _printed(self, only: list[str], *, table: bool) -> Iterator[checkup.Examined]:
        """Each check is shown as soon as it is made: some wait for providers."""
        width = shutil.get_terminal_size((100, 24)).columns
        for examined in checkup.run(only):
            if table:
                for line in report.table(examined, width):
                    self.stdout.write(line)
                self.stdout.flush()
            yield examined


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines between those of the table; what they say is a finding."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
