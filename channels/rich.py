"""One outgoing message for every channel: our marks rendered into a channel's, long texts cut, choices paged and read back.

Our marks are three of Markdown's, which is what language models write: `**bold**`, `_italic_` and `[words](https://…)`.
Everything else is left exactly as it was written. Lengths are UTF-16 units, in which Telegram and WhatsApp count.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _

from .base import Choice, Markup

#: The action behind «more»: `more:2` asks for the second page.
MORE = "more:"
MENU_NUMBER = re.compile(r"\s*(?:№\s*)?(\d{1,2})\s*[.)]?\s*\Z")

_MARKS = re.compile(
    r"\[(?P<words>[^\[\]\n]+)\]\((?P<url>https?://[^\s()<>\"]+)\)"
    r"|\*\*(?=\S)(?P<bold>[^\n]+?)(?<=\S)\*\*"
    r"|(?<![\w_])_(?=[^\s_])(?P<italic>[^_\n]+?)(?<=\S)_(?![\w_])"
)
#: Where a text may be cut, the best place first: between paragraphs, lines, sentences, words.
_CUTS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?…])\s+"), re.compile(r"\s+"))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style."""

    text: str
    bold: bool = False
    italic: bool = False
    url: str = ""


def spans(text: str, *, bold: bool = False, italic: bool = False) -> Iterator[Span]:
    """The text cut where its style changes; the marks themselves are gone."""
    place = 0
    for mark in _MARKS.finditer(text):
        if mark.start() > place:
            yield Span(text[place : mark.start()], bold, italic)
        place = mark.end()
        if mark["url"]:
            yield Span(mark["words"].replace("**", ""), bold, italic, mark["url"])
        elif mark["bold"]:
            yield from spans(mark["bold"], bold=True, italic=italic)
        else:
            yield from spans(mark["italic"], bold=bold, italic=True)
    if place < len(text):
        yield Span(text[place:], bold, italic)


def render(text: str, markup: Markup) -> str:
    """A text with our marks as a channel wants it written."""
    write = {Markup.PLAIN: _plain, Markup.WHATSAPP: _whatsapp, Markup.HTML: _html}[markup]
    return "".join(write(span) for span in spans(text))


def _plain(span: Span) -> str:
    # A channel without links makes the address itself one.
    return f"{span.text}: {span.url}" if span.url and span.url != span.text else span.text


def _whatsapp(span: Span) -> str:
    text = _plain(span)
    if span.url:
        return text
    # WhatsApp knows no way to write a literal mark, so one within marked words would end them early.
    if span.italic and "_" not in text:
        text = _around(text, "_")
    if span.bold and "*" not in text:
        text = _around(text, "*")
    return text


def _around(text: str, mark: str) -> str:
    """Marks must touch the words they mark."""
    inner = text.strip()
    if not inner:
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{mark}{inner}{mark}{after}"


def _html(span: Span) -> str:
    text = html.escape(span.text, quote=False)
    if span.url:
        text = f'<a href="{html.escape(span.url)}">{text}</a>'
    if span.italic:
        text = f"<i>{text}</i>"
    if span.bold:
        text = f"<b>{text}</b>"
    return text


# ── Length ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _shown_length(text: str, markup: Markup) -> int:
    """What counts against a channel's limit: Telegram counts after reading its HTML."""
    if markup is Markup.HTML:
        return sum(units(span.text) for span in spans(text))
    return units(render(text, markup))


def split(text: str, limit: int, markup: Markup = Markup.PLAIN) -> list[str]:
    """The text in pieces that each fit `limit` once rendered, cut between paragraphs, else lines, sentences, words.

    Marks that a cut would tear are closed before it and opened after it only where the whole line is too long for one
    message; a link is never cut. Nothing but white space at the cuts is left out. An empty text has no pieces.
    """
    pieces, rest = [], text.strip()
    while rest:
        if _shown_length(rest, markup) <= limit:
            pieces.append(rest)
            break
        piece, rest = _cut(rest, limit, markup)
        pieces.append(piece)
    return pieces


def _cut(text: str, limit: int, markup: Markup) -> tuple[str, str]:
    torn = [(mark.start(), mark.end()) for mark in _MARKS.finditer(text)]
    for pattern in _CUTS:
        best = None
        for cut in pattern.finditer(text):
            if any(begin < cut.start() < end for begin, end in torn):
                continue
            if _shown_length(text[: cut.start()], markup) > limit:
                break
            if text[: cut.start()].strip():
                best = cut
        # A piece far shorter than it might be is worse than a cut at a lesser place.
        if best is not None and (best.start() * 3 >= _reach(text, limit) or pattern is _CUTS[-1]):
            return text[: best.start()].rstrip(), text[best.end() :].lstrip()
    return _cut_anywhere(text, limit, markup)


def _reach(text: str, limit: int) -> int:
    return min(len(text), limit)


def _cut_anywhere(text: str, limit: int, markup: Markup) -> tuple[str, str]:
    """One unbroken word, or one marked stretch, longer than a message: its marks are given up."""
    plain = "".join(_plain(span) for span in spans(text))
    if plain != text:
        return _cut(plain, limit, markup) if _shown_length(plain, markup) > limit else (plain, "")
    end = min(len(text), limit)
    while units(text[:end]) > limit:
        end -= 1
    return text[:end], text[end:]


def clip(title: str, most: int) -> str:
    """A title shortened to `most` UTF-16 units, with an ellipsis where something is gone."""
    title = " ".join(title.split())
    if units(title) <= most:
        return title
    while title and units(title) > most - 1:
        title = title[:-1]
    return f"{title.rstrip(' ,.;:-')}…"


# ── Choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(choices: Sequence[Choice], number: int, most: int) -> list[Choice]:
    """The choices of one page (from 1) of at most `most`, the last of which leads on where more follow.

    From the last page it leads back to the first. `most` of 1 or less leaves no room to lead on: raises ValueError.
    """
    if len(choices) <= most:
        return list(choices)
    if most < 2:
        raise ValueError("a page needs room for one choice and the way on")
    room = most - 1
    pages = -(-len(choices) // room)
    number = min(max(number, 1), pages)
    shown = list(choices[(number - 1) * room : number * room])
    last = number == pages
    return [*shown, Choice(f"{MORE}{1 if last else number + 1}", _("Back to the beginning") if last else _("More"))]


def page_asked(action: str) -> int | None:
    """The page that a tapped action asks for, or None."""
    number = action.removeprefix(MORE)
    return int(number) if action.startswith(MORE) and number.isdecimal() and len(number) < 4 else None


def numbered(text: str, choices: Sequence[Choice]) -> str:
    """The text with its choices written out, for channels that have nothing to tap."""
    lines = [
        f"{number}. {choice.title}" + (f" — {choice.description}" if choice.description else "")
        for number, choice in enumerate(choices, 1)
    ]
    return "\n".join([*([text, ""] if text else []), *lines])


def chosen(text: str, choices: Sequence[Choice]) -> Choice | None:
    """The choice that a customer typed instead of tapping: its number, or its title word for word."""
    typed = MENU_NUMBER.match(text)
    if typed and 1 <= int(typed[1]) <= len(choices):
        return choices[int(typed[1]) - 1]
    said = " ".join(text.split()).strip(".!").casefold()
    return next((choice for choice in choices if said and choice.title.casefold() == said), None)


def with_titles(choices: Sequence[Choice], title: int, description: int = 0) -> list[Choice]:
    """The choices with titles and descriptions shortened to a provider's limits, and titles told apart.

    What a title lost goes before its description where the provider shows one. Providers refuse equal titles.
    """
    fitted: list[Choice] = []
    seen: set[str] = set()
    for choice in choices:
        short = clip(choice.title, title) or "…"
        lost = choice.title if short.endswith("…") and not choice.title.endswith("…") else ""
        for number in range(2, 100):
            if short.casefold() not in seen:
                break
            short = f"{clip(choice.title, title - 3)} {number}"
        seen.add(short.casefold())
        more = clip(" · ".join(filter(None, (lost, choice.description))), description) if description else ""
        fitted.append(replace(choice, title=short, description=more))
    return fitted
