"""`manage.py evaluate commitment|moderation|booking|guard|opt_out FILE.jsonl [--provider NAME] [--json]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from foundation.errors import ProviderError
from llm.models import LanguageModel
from sales.evaluation import SUBJECTS, BadLine, NotAsked, Score, evaluate


class Command(BaseCommand):
    help = "Decide labelled lines by the assistant's own rules, or with a language model, and say how many are right."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", choices=SUBJECTS)
        parser.add_argument("file", type=Path, help="one JSON object a line; see sales/evaluation.py")
        parser.add_argument("--provider", metavar="NAME", help="a language model's name; without it the rules decide")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--wrong", action="store_true", help="list the lines that were decided otherwise")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open(encoding="utf-8") as lines:
                score = evaluate(options["subject"], lines, self._model(options["provider"]))
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from None
        except (BadLine, NotAsked, ProviderError) as error:
            raise CommandError(str(error)) from None
        if not score.total:
            raise CommandError(f"{options['file']}: no labelled line in it")
        told = score.as_json() | ({"wrong": score.wrong} if options["wrong"] else {})
        self.stdout.write(json.dumps(told, ensure_ascii=False) if options["json"] else self._table(score, options["wrong"]))

    def _model(self, name: str | None) -> LanguageModel | None:
        if name is None or name == LanguageModel.Kind.OFFLINE:
            return None
        model = LanguageModel.objects.filter(name=name).first()
        if model is None:
            known = ", ".join(LanguageModel.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"no language model is called {name}; there are: {known}")
        return model

    def _table(self, score: Score, wrong: bool) -> str:
        rows = sorted({expected for expected, _decided in score.confusion})
        columns = sorted({decided for _expected, decided in score.confusion} | set(rows))
        width = max(len(word) for word in (*rows, *columns, "expected")) + 2
        lines = ["".join(word.rjust(width) for word in ("expected", *columns))]
        counts = {row: [score.confusion[row, column] for column in columns] for row in rows}
        lines += ["".join(str(cell).rjust(width) for cell in (row, *counts[row])) for row in rows]
        lines += [json.dumps(entry, ensure_ascii=False) for entry in score.wrong] if wrong else []
        return "\n".join([*lines, json.dumps({"accuracy": round(score.accuracy, 4), "total": score.total})])
