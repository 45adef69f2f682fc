"""Phone numbers as people and providers write them, in one canonical form."""

from __future__ import annotations

import phonenumbers

# RU and KZ share country code 7; a national number starting with 8 ("8 701 …") means either of them.
DEFAULT_REGION = "KZ"


def canonical(raw: str) -> str | None:
    """Digits with country code and no plus (`77011234567`), or None where `raw` is no possible phone number.

    Accepts `+7 701 123-45-67`, `8 701 123 45 67`, `77011234567`, `7011234567` and foreign numbers with their country
    code, with or without a plus.
    """
    text = raw.strip()
    digits = "".join(c for c in text if c.isdigit())
    if not 7 <= len(digits) <= 15 or any(c.isalpha() for c in text):
        return None
    candidates = [f"+{digits}"] if text.startswith("+") else []
    if not candidates:
        if len(digits) == 11 and digits[0] == "8":
            candidates = [f"+7{digits[1:]}"]
        elif len(digits) == 10 and digits[0] in "3479":
            candidates = [f"+7{digits}"]
        else:
            candidates = [f"+{digits}"]
    for candidate in candidates:
        try:
            number = phonenumbers.parse(candidate, DEFAULT_REGION)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return f"{number.country_code}{number.national_number}"
    return None


def found_in(text: str) -> str | None:
    """The first phone number that somebody wrote among other words, in canonical form."""
    for match in phonenumbers.PhoneNumberMatcher(text, DEFAULT_REGION):
        return f"{match.number.country_code}{match.number.national_number}"
    return None


def shown(phone: str) -> str:
    """`77011234567` as people read it: `+7 701 123 4567`."""
    try:
        number = phonenumbers.parse(f"+{phone}", None)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def masked(phone: str) -> str:
    """`77011234567` as it may appear in a log: `7701…67`."""
    return f"{phone[:4]}…{phone[-2:]}" if len(phone) > 7 else "…"
