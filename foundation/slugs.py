"""Identifiers made of names: `Support Bot` → `support-bot`, `Кофе на Абая` → `kofe-na-abaya`."""

from __future__ import annotations

from collections.abc import Callable

from django.utils.text import slugify

#: Russian and Kazakh letters as passports and addresses write them.
_LETTERS = str.maketrans(
    {
        "а": "a", "ә": "a", "б": "b", "в": "v", "г": "g", "ғ": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z",
        "и": "i", "й": "y", "к": "k", "қ": "q", "л": "l", "м": "m", "н": "n", "ң": "n", "о": "o", "ө": "o", "п": "p",
        "р": "r", "с": "s", "т": "t", "у": "u", "ұ": "u", "ү": "u", "ф": "f", "х": "kh", "һ": "h", "ц": "ts", "ч": "ch",
        "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "і": "i", "ь": "", "э": "e", "ю": "yu", "я": "ya",
    }
)  # fmt: skip


def slug_of(name: str, most: int = 60) -> str:
    """Latin letters, digits and hyphens, at most so many; `bot` where a name has none of them."""
    return slugify(name.lower().translate(_LETTERS))[:most].strip("-_") or "bot"


def free_slug(name: str, taken: Callable[[str], bool], most: int = 60) -> str:
    """The slug of a name, with a number behind it where it is taken already."""
    first = slug_of(name, most)
    slug, number = first, 1
    while taken(slug):
        number += 1
        tail = f"-{number}"
        slug = first[: most - len(tail)].rstrip("-_") + tail
    return slug
