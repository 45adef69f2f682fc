"""`manage.py audit`: do the invariants hold? Says what is broken, and ends with 1 where anything is."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import audit


class Command(BaseCommand):
    help = "Ask the rows whether an invariant is broken. Exit status 1 where one is, or could not be asked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=float, default=1.0, help="how far back to look (default: 1)")
        parser.add_argument("--seconds", type=int, default=60, help="how long one check may take (default: 60)")
        parser.add_argument("--json", action="store_true", help="findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] <= 0 or options["seconds"] <= 0:
            raise CommandError("--days and --seconds are greater than nothing")
        findings = audit.run(options["days"], seconds=options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(audit.as_json(findings), ensure_ascii=False, indent=2))
        else:
            for finding in findings:
                self.stdout.write(_line(finding))
        if not all(finding.ok for finding in findings):
            sys.exit(1)


def _line(finding: audit.Finding) -> str:
    word = finding.error or ("ok" if finding.ok else f"{len(finding.violations)}{'+' if finding.more else ''} broken")
    ids = ", ".join(f"{broken.id} {broken.note}".strip() for broken in finding.violations)
    return f"{finding.name:32} {finding.ms:6} ms  {word}{'  ' + ids if ids else ''}"
