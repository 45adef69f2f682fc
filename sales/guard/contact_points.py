"""Links, e-mail addresses, phone and account numbers in running text."""

from __future__ import annotations

import re

from foundation import phones

from .claim import Claim

#: Endings that make a bare name (`example.kz`) a link.
_ENDINGS = (
    "kz|ru|com|net|org|io|info|biz|su|by|uz|kg|az|am|ge|ua|app|dev|shop|store|online|site|pro|ai|xyz|club|tech|market|"
    "gg|ly|cc|pw|vip|finance|cloud|page|website|space|live|de|uk|eu|cn|tr|ae|рф|қаз|рус|москва|онлайн|сайт|example"
)
_LINK = re.compile(
    rf"""
    (?:https?|ftp|tg)://[^\s<>"«»]+
    |(?<![\w@.-])(?:
        www\.[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+(?:[:/?\#][^\s<>"«»]*)?
        |(?:[\w-]{{1,63}}\.){{1,8}}(?:{_ENDINGS})(?![\w-])(?!\.\w)(?:[:/?\#](?=\S)[^\s<>"«»]*)?
        |(?:[a-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,12}}/[^\s<>"«»]+
    )
    """,
    re.VERBOSE,
)
_TRAILING = ".,;:!?)]}'*_…"
_NO_LINKS = frozenset(("asp.net", "vb.net", "node.js", "socket.io"))
_HANDLE = re.compile(r"(?<![\w@./-])@[a-z][\w.]{2,31}(?![\w@])")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_PHONE = re.compile(
    r"""
    (?<![\w+.,])(?:
        \+\d[\d\ ().–-]{6,22}\d
        |[78][ -]{0,2}\(?\d{3}\)?[ -]{0,2}\d{3}[ -]?\d{2}[ -]?\d{2}
        |\(\d{3,5}\)[ -]?\d{1,3}[ -]?\d{2}[ -]?\d{2}
        |\d{3}-\d{2}-\d{2}
        |\d{3}[ ]\d{3}-\d{2}-\d{2}
        |\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}
        |\d{10,30}
    )(?!\d)
    |\bkz\d{2}(?:[ ]?[a-z0-9]{4}){4}\b
    |(?:(?:по|на)\ (?:короткому\ )?номеру?|телефон\w{0,3}|тел\.?|phone(?:\ number)?|call)[:\ ]{1,3}
        (?P<short>\*?\d{3,6}\#?)(?![\w:.,]\d|\w|\ ?[%₸₽$])
    """,
    re.VERBOSE,
)
_GROUPED = re.compile(r"\d{1,3}(?: \d{3})+")
_CURRENCY_NEXT = re.compile(r" ?(?:₸|₽|\$|€|тг|тен|тең|руб|kzt|usd|млн|тыс)")


def find(clean: str, folded: str) -> tuple[list[Claim], str]:
    """The links, e-mails and numbers of a text (cleaned, and folded to the same length), and the folded text without them."""
    claims: list[Claim] = []
    rest = folded
    if "@" in rest:
        rest = _take(_EMAIL, "email", clean, rest, claims)
    if "." in rest or "://" in rest:
        rest = _take(_LINK, "link", clean, rest, claims)
    if "@" in rest:
        rest = _take(_HANDLE, "link", clean, rest, claims)
    return claims, _take(_PHONE, "phone", clean, rest, claims)


def _take(pattern: re.Pattern[str], kind: str, clean: str, folded: str, claims: list[Claim]) -> str:
    """Add what `pattern` finds to `claims`; return `folded` with a blank mark of the same length in its place."""

    def blank(found: re.Match[str]) -> str:
        text = found["short"] if kind == "phone" and found["short"] else found[0]
        start = found.start("short") if kind == "phone" and found["short"] else found.start()
        text = text.rstrip(_TRAILING) if kind == "link" else text.rstrip(".-")
        made = _claim(kind, text, clean[start : start + len(text)], found)
        if made is None:
            return found[0]
        claims.append(made)
        end = start + len(text) - found.start()
        return found[0][: start - found.start()] + "\ufffc" + " " * (len(text) - 1) + found[0][end:]

    return pattern.sub(blank, folded)


def _claim(kind: str, text: str, written: str, found: re.Match[str]) -> Claim | None:
    if kind == "email":
        return Claim("email", text, written)
    if kind == "link":
        value = link(text)
        return Claim("link", value, written) if value and value not in _NO_LINKS else None
    if _GROUPED.fullmatch(text) or _CURRENCY_NEXT.match(found.string, found.end()):
        return None
    value = number(text)
    return Claim("phone", value, written) if value else None


def link(text: str) -> str:
    """A link without scheme, `www.`, fragment and closing slash."""
    bare = re.sub(r"^(?:[a-z]{2,5}://)?(?:www\.)?", "", text.strip())
    return bare.partition("#")[0].rstrip("/")


def number(text: str) -> str:
    """The digits of a phone or account number; phone numbers with their country code."""
    digits = "".join(character for character in text if character.isdigit())
    if len(digits) in (10, 11) or text.startswith("+"):
        return phones.canonical(text if text.startswith("+") else digits) or digits
    if text.startswith("kz"):
        return text.replace(" ", "")
    return digits
