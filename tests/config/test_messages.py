"""The catalogues: everything people read is translated, whole, and compiled. `script/messages` brings them up to date."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext, ngettext

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("config", "sales", "conversations", "knowledge", "channels", "llm", "foundation")
LANGUAGES = ("ru", "kk", "en")
PLURALS = {"ru": 3, "kk": 2, "en": 2}
#: `%(name)s`, `%d`, `%%` and `{name}`.
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z%]|\{[^{}]*\}")
#: Which arguments of a call are texts; `_` is whatever the module imported under that name.
CALLS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2, "ngettext_lazy": 2}


def catalogue(language: str) -> polib.POFile:
    return polib.pofile(str(ROOT / "locale" / language / "LC_MESSAGES" / "django.po"))


def key(entry: Any) -> tuple[str, str]:
    return entry.msgctxt or "", entry.msgid


def forms(entry: Any) -> list[str]:
    """All translations of an entry: one, or one for each plural form."""
    return [entry.msgstr_plural[n] for n in sorted(entry.msgstr_plural)] if entry.msgid_plural else [entry.msgstr]


def test_the_catalogues_are_those_of_the_settings() -> None:
    assert {code for code, _name in settings.LANGUAGES} == set(LANGUAGES)
    assert settings.LOCALE_PATHS == [ROOT / "locale"]


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_everything_is_translated(language: str) -> None:
    assert [entry.msgid for entry in catalogue(language) if not all(forms(entry))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_guessed_or_left_over(language: str) -> None:
    entries = catalogue(language)
    assert [entry.msgid for entry in entries if entry.fuzzy] == []
    assert [entry.msgid for entry in entries.obsolete_entries()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_plural_form_is_given(language: str) -> None:
    entries = catalogue(language)
    assert entries.metadata["Plural-Forms"].startswith(f"nplurals={PLURALS[language]};")
    counts = {entry.msgid: len(forms(entry)) for entry in entries if entry.msgid_plural}
    assert counts
    assert {text: count for text, count in counts.items() if count != PLURALS[language]} == {}
    assert [entry.msgid for entry in entries if entry.msgid_plural and not all(forms(entry))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_survive_translation(language: str) -> None:
    changed = []
    for entry in catalogue(language):
        wanted = Counter(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        changed += [text for text in forms(entry) if text and Counter(PLACEHOLDER.findall(text)) != wanted]
    assert changed == []


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_line_ends_and_spaces_survive_translation(language: str) -> None:
    def edges(text: str) -> tuple[bool, bool, int]:
        return text.startswith((" ", "\n")), text.endswith((" ", "\n")), text.count("\n")

    assert [
        entry.msgid for entry in catalogue(language) if any(edges(text) != edges(entry.msgid) for text in forms(entry))
    ] == []


def test_every_language_has_the_same_texts() -> None:
    russian, kazakh, english = ({key(entry) for entry in catalogue(language)} for language in LANGUAGES)
    assert russian == kazakh == english


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_is_what_is_written(language: str) -> None:
    written = catalogue(language)
    compiled = polib.mofile(str(ROOT / "locale" / language / "LC_MESSAGES" / "django.mo"))
    assert {key(entry): forms(entry) for entry in compiled} == {
        key(entry): forms(entry) for entry in written.translated_entries()
    }
    assert compiled.metadata["Plural-Forms"] == written.metadata["Plural-Forms"]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("ru", ["Закрыт 1 диалог.", "Закрыты 3 диалога.", "Закрыто 5 диалогов.", "Закрыт 21 диалог."]),
        ("kk", ["1 диалог жабылды.", "3 диалог жабылды.", "5 диалог жабылды.", "21 диалог жабылды."]),
        (
            "en",
            ["1 conversation closed.", "3 conversations closed.", "5 conversations closed.", "21 conversations closed."],
        ),
    ],
)
def test_plurals_in_the_running_product(language: str, expected: list[str]) -> None:
    with translation.override(language):
        told = [ngettext("%(n)d conversation closed.", "%(n)d conversations closed.", n) % {"n": n} for n in (1, 3, 5, 21)]
    assert told == expected


def test_the_default_language_is_russian_and_english_stays_english() -> None:
    assert settings.LANGUAGE_CODE == "ru"
    with translation.override(settings.LANGUAGE_CODE):
        assert gettext("Needs attention") == "Требует внимания"
    with translation.override("kk"):
        assert gettext("Needs attention") == "Назар аударуды қажет етеді"
    with translation.override("en"):
        assert gettext("Needs attention") == "Needs attention"


def texts_in(tree: ast.AST) -> Iterator[str]:
    """The texts that a module hands to gettext, also within f-strings, where xgettext does not look."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            for argument in node.args[: CALLS.get(name, 0)]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def test_every_text_in_the_code_is_in_the_catalogues() -> None:
    known = {text for entry in catalogue("ru") for text in (entry.msgid, entry.msgid_plural) if text}
    missing = [
        f"{path.relative_to(ROOT)}: {text}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in texts_in(ast.parse(path.read_text(encoding="utf-8")))
        if text not in known
    ]
    assert missing == [], "run script/messages and translate what it lists"


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="GNU gettext is not installed")
def test_a_fresh_extraction_finds_nothing_new(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static", "migrations")
        )
    (tmp_path / "locale").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "--locale", "en", "--keep-pot"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = polib.pofile(str(tmp_path / "locale" / "django.pot"))
    assert len(found) > 500
    known = {key(entry) for entry in catalogue("ru")}
    assert [key(entry) for entry in found if key(entry) not in known] == [], "run script/messages and translate what it lists"
