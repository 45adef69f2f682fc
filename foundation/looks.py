"""How states, ages and addresses look on the managers' pages. Everything given to these is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

#: Tones of a badge: `ok`, `info`, `warn`, `bad` and `muted`.
TONES = frozenset({"ok", "info", "warn", "bad", "muted"})


def badge(text: object, tone: str = "muted", *, icon: str = "", title: str = "") -> SafeString:
    """A small coloured label; `icon` is the name of a Material symbol."""
    assert tone in TONES
    symbol = format_html('<span class="material-symbols-outlined">{}</span>', icon) if icon else ""
    return format_html('<span class="sd-badge sd-badge--{}" title="{}">{}{}</span>', tone, title, symbol, text)


def badges(all_of_them: Iterable[SafeString]) -> SafeString:
    """Several labels in one cell."""
    joined = format_html_join("", "{}", ((one,) for one in all_of_them))
    return format_html('<span class="sd-badges">{}</span>', joined)


def ago(at: datetime | None) -> str:
    """`5 minutes ago`, in the reader's language; empty where it never happened."""
    if at is None:
        return ""
    if (timezone.now() - at).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(at, depth=1)}


def moment(at: datetime | None) -> SafeString | str:
    """The age of a moment, with the moment itself for whoever points at it."""
    if at is None:
        return "—"
    exact = timezone.localtime(at).strftime("%d.%m.%Y %H:%M:%S")
    return format_html('<time class="sd-nowrap" title="{}">{}</time>', exact, ago(at))


def two_lines(first: object, second: object) -> SafeString:
    """A cell with a main line and a fainter one below it."""
    return format_html('<span class="sd-two"><span>{}</span><span class="sd-faint">{}</span></span>', first, second)


def copyable(text: str) -> SafeString:
    """A text to be copied elsewhere, with a button for that."""
    return format_html(
        '<span class="sd-copy"><code>{}</code><button type="button" class="sd-button sd-button--small" data-copy="{}">'
        '<span class="material-symbols-outlined">content_copy</span>{}</button></span>',
        text, text, _("Copy"),
    )  # fmt: skip
