"""Written text made fit for reading aloud: signs and abbreviations in words, nothing that cannot be pronounced.

Numbers stay digits: the engines read them in the voice's language. Word forms follow the number before them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

#: Codes of refusals that say something of one text, not of the engine.
ABOUT_THE_TEXT = frozenset({"empty", "too_long", "language", "no_voice", "too_large"})

_LINK = re.compile(r"\(?\b(?:https?://|www\.)\S+|\S+@\S+\.\w+")
_PHONE = re.compile(r"(?<![\d.,])\+?\d[\d\s()\-‑]{8,16}\d(?![\d.,]*\d)")
_THOUSANDS = re.compile(r"(?<=\d)[   ’'](?=\d{3}(?!\d))")
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_KAZAKH = re.compile("[әғқңөұүһі]", re.IGNORECASE)
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-–—•*▪·]|\d{1,2}[.)])\s+", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_CLAUSE = re.compile(r"(?<=[,;:])\s+|\s+[–—-]\s+")

#: Signs: singular, after 2–4, after others (Russian); other languages have one form, English two.
_SIGNS: dict[str, dict[str, tuple[str, ...]]] = {
    "ru": {
        "₸": ("тенге",), "₽": ("рубль", "рубля", "рублей"), "$": ("доллар", "доллара", "долларов"),
        "€": ("евро",), "%": ("процент", "процента", "процентов"), "°": ("градус", "градуса", "градусов"),
    },
    "kk": {"₸": ("теңге",), "₽": ("рубль",), "$": ("доллар",), "€": ("еуро",), "%": ("пайыз",), "°": ("градус",)},
    "en": {
        "₸": ("tenge",), "₽": ("ruble", "rubles"), "$": ("dollar", "dollars"), "€": ("euro", "euros"), "%": ("percent",),
        "°": ("degree", "degrees"),
    },
}  # fmt: skip
#: How the same money is written in letters.
_LETTERS = {"₸": r"(?:тг|тнг|kzt|тг\.)", "₽": r"(?:руб|р|rub)\.?", "$": r"usd", "€": r"eur"}
_WORDS = {
    "ru": {
        "№": "номер", "&": "и", "+": "плюс", "=": "равно", "×": "на", "т.е.": "то есть", "т. е.": "то есть",
        "т.к.": "так как", "т.д.": "так далее", "т. д.": "так далее", "т.п.": "тому подобное", "напр.": "например",
        "шт.": "штук", "мин.": "минут", "сек.": "секунд", "руб.": "рублей", "тыс.": "тысяч", "млн": "миллионов",
        "кв.м": "квадратных метров", "м²": "квадратных метров", "кг": "килограммов", "км": "километров", "тел.": "телефон",
        "др.": "другое",
    },
    "kk": {
        "№": "нөмір", "&": "және", "+": "плюс", "т.б.": "тағы басқа", "мин.": "минут", "млн": "миллион", "мың.": "мың",
        "м²": "шаршы метр", "кг": "килограмм", "км": "километр", "тел.": "телефон",
    },
    "en": {"№": "number", "&": "and", "+": "plus", "e.g.": "for example", "i.e.": "that is", "etc.": "and so on"},
}  # fmt: skip


def language_of(text: str) -> str:
    """The language of a text by its letters: `kk`, `ru` or `en`."""
    if _KAZAKH.search(text):
        return "kk"
    return "ru" if _CYRILLIC.search(text) else "en"


def readable(text: str, language: str) -> str:
    """The text as it is to be read; empty where there is nothing to pronounce."""
    text = unicodedata.normalize("NFC", text)
    text = _LINK.sub(" ", text)
    text = _PHONE.sub(lambda found: _phone(found[0], language), text)
    text = _THOUSANDS.sub("", text)
    text = _BULLET.sub("", text)
    text = _signs(text, _SIGNS.get(language, _SIGNS["ru"]), language)
    for written, spoken in sorted(_WORDS.get(language, {}).items(), key=lambda pair: -len(pair[0])):
        text = _word(text, written, spoken)
    text = "".join(letter if _pronounced(letter) else " " for letter in text)
    lines = [" ".join(line.split()).replace("( )", "").replace("()", "") for line in text.splitlines()]
    return "\n".join(_ended(re.sub(r"\s+([.,!?;:…])", r"\1", line).strip()) for line in lines if any(map(str.isalnum, line)))


def pieces(text: str, longest: int) -> list[str]:
    """The text in pieces of at most `longest` characters, cut between sentences, else clauses, else words."""
    found: list[str] = []
    for sentence in _parted(text, longest, (_SENTENCE.split, _CLAUSE.split, str.split, lambda word: _chopped(word, longest))):
        if found and len(found[-1]) + 1 + len(sentence) <= longest:
            found[-1] += f" {sentence}"
        else:
            found.append(sentence)
    return found


def _parted(text: str, longest: int, ways: tuple[Callable[[str], list[str]], ...]) -> list[str]:
    """What is too long is cut in the first way, and what is still too long in the next."""
    cut: list[str] = []
    for part in ways[0](text):
        if part.strip():
            cut += [part.strip()] if len(part.strip()) <= longest else _parted(part.strip(), longest, ways[1:])
    return cut


def _chopped(word: str, longest: int) -> list[str]:
    return [word[at : at + longest] for at in range(0, len(word), longest)]


def _signs(text: str, signs: dict[str, tuple[str, ...]], language: str) -> str:
    for sign, forms in signs.items():
        after = re.escape(sign) + (rf"|{_LETTERS[sign]}(?!\w)" if sign in _LETTERS else "")
        text = re.sub(rf"{re.escape(sign)}\s*{_NUMBER}", rf"\1 {sign}", text)
        text = re.sub(
            rf"{_NUMBER}\s*(?:{after})", lambda found, forms=forms: f"{found[1]} {_form(found[1], forms, language)}", text,  # type: ignore[misc]
            flags=re.IGNORECASE,
        )  # fmt: skip
        text = text.replace(sign, f" {forms[-1]} ")
    return text


def _form(number: str, forms: tuple[str, ...], language: str) -> str:
    if len(forms) == 1:
        return forms[0]
    if language != "ru":
        return forms[0 if number == "1" else -1]
    if not number.isdigit():
        return forms[1]
    ones, tens = int(number) % 10, int(number) % 100
    if ones == 1 and tens != 11:
        return forms[0]
    return forms[1] if 2 <= ones <= 4 and not 12 <= tens <= 14 else forms[2]


def _word(text: str, written: str, spoken: str) -> str:
    if not any(map(str.isalpha, written)):
        return text.replace(written, f" {spoken} ")
    return re.sub(rf"(?<![^\W\d]){re.escape(written)}(?![\w/])", f" {spoken} ", text, flags=re.IGNORECASE)


def _phone(written: str, language: str) -> str:
    """A phone number in the groups in which people say it: 7, 701, 123, 45, 67."""
    digits = re.sub(r"\D", "", written)
    if len(digits) not in (10, 11, 12):
        return written
    country, rest = digits[:-10], digits[-10:]
    groups = [country] if country else []
    groups += [rest[:3], rest[3:6], rest[6:8], rest[8:]]
    plus = f"{_WORDS.get(language, {}).get('+', '')} " if written.startswith("+") else ""
    return f" {plus}{', '.join(groups)} "


def _pronounced(letter: str) -> bool:
    """Letters, figures and the marks by which a voice rises, falls and pauses; no emoji, no ornaments."""
    return letter.isspace() or letter.isalnum() or letter in ".,!?;:…-–—()«»\"'%/" or unicodedata.combining(letter) > 0


def _ended(line: str) -> str:
    return line if line[-1:] in ".!?…,;:" else f"{line}."
