"""What Meta's error codes mean to us: which of our error words, and one line for a manager.

Meta says to decide by the code alone: titles and HTTP statuses change. The same code may come as the answer to a call,
later in a status webhook, or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels.base import BLOCKED, OPTED_OUT, WINDOW
from foundation import http
from foundation.errors import RecipientBusy, Rejected, Retry, Unauthorized, Unconfirmed


class Word(Enum):
    """Which error a code becomes."""

    RETRY = "retry"
    RECIPIENT = "recipient"
    """Too much for one recipient: a pause of the whole channel would punish all the others."""
    UNSURE = "unsure"
    """It may have been done: Unconfirmed for what writes, else Retry."""
    STOP = "stop"
    """Nothing leaves until somebody repairs the account or the token: Unauthorized."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`code` replaces Meta's where the core knows a word for it; `after` are seconds, and pause the whole channel."""

    word: Word
    text: str | Promise
    code: str = ""
    after: float | None = None


_TOKEN = Meaning(Word.STOP, _("Meta refuses the access token: it has expired or was revoked."))
_PERMISSION = Meaning(Word.STOP, _("The access token lacks the permission for this number or account."))
_BUSY = Meaning(Word.RETRY, _("WhatsApp is temporarily overloaded or under maintenance."))
_RATE = Meaning(Word.RETRY, _("Too many calls to Meta from this app or account."), after=60.0)
_PARAMETER = Meaning(Word.REJECTED, _("WhatsApp does not accept a part of the request."))
_UNSURE = Meaning(Word.UNSURE, _("WhatsApp failed and does not say whether the message has left."))
_SPAM = Meaning(Word.RETRY, _("WhatsApp limits this number because of its quality: stop mass messages."), after=900.0)
_BLOCKED = Meaning(
    Word.REJECTED,
    _("It cannot be delivered: the customer is not on WhatsApp, or has blocked us."),
    code=BLOCKED,
)
_WINDOW = Meaning(
    Word.REJECTED,
    _("More than 24 hours since the customer's last message: only a template may be sent."),
    code=WINDOW,
)
_LOCKED = Meaning(Word.STOP, _("Meta has blocked this WhatsApp account."))
_NUMBER = Meaning(Word.STOP, _("The number is not registered with the WhatsApp Cloud API."))
_USER_ID = Meaning(Word.REJECTED, _("This message cannot go to a hidden number."))


def _template(text: str | Promise) -> Meaning:
    return Meaning(Word.REJECTED, text, code="template")


MEANINGS: dict[int, Meaning] = {
    1: _UNSURE,
    2: _BUSY,
    3: _PERMISSION,
    4: _RATE,
    10: _PERMISSION,
    17: _RATE,
    33: _PARAMETER,
    100: _PARAMETER,
    102: _TOKEN,
    104: _TOKEN,
    190: _TOKEN,
    368: _LOCKED,
    613: _RATE,
    803: Meaning(Word.REJECTED, _("Meta does not know this number or account.")),
    80007: _RATE,
    130429: Meaning(Word.RETRY, _("The number sends too many messages a second."), after=5.0),
    130472: Meaning(Word.REJECTED, _("WhatsApp withholds marketing from this customer as an experiment.")),
    130497: Meaning(Word.REJECTED, _("This account may not write to the customer's country.")),
    131000: _UNSURE,
    131005: _PERMISSION,
    131008: _PARAMETER,
    131009: _PARAMETER,
    131016: _BUSY,
    131021: Meaning(Word.REJECTED, _("The recipient is the number itself.")),
    131026: _BLOCKED,
    131030: Meaning(Word.REJECTED, _("The recipient is not on the list of this test number.")),
    131031: _LOCKED,
    131037: Meaning(Word.STOP, _("Meta has not approved the display name of this number.")),
    131042: Meaning(Word.STOP, _("Meta could not charge for WhatsApp: check the payment method.")),
    131045: _NUMBER,
    131047: _WINDOW,
    131048: _SPAM,
    131049: Meaning(Word.REJECTED, _("WhatsApp withholds marketing from this customer: not again for 24 hours.")),
    131050: Meaning(Word.REJECTED, _("The customer has refused marketing messages on WhatsApp."), code=OPTED_OUT),
    131051: Meaning(Word.REJECTED, _("WhatsApp does not support this kind of message.")),
    131052: Meaning(Word.REJECTED, _("WhatsApp could not fetch the customer's file.")),
    131053: Meaning(Word.REJECTED, _("WhatsApp does not accept the file: its type or size.")),
    131056: Meaning(Word.RECIPIENT, _("Too many messages to this customer within a short time.")),
    131057: _BUSY,
    131062: _USER_ID,
    131063: _USER_ID,
    131064: _SPAM,
    132000: _template(_("The template has another number of placeholders.")),
    132001: _template(_("There is no such template in this language.")),
    132005: _template(_("The template became too long with these values.")),
    132007: _template(_("The template violates WhatsApp's rules.")),
    132012: _template(_("A value has another format than the template's placeholder.")),
    132015: _template(_("WhatsApp has paused the template because of its quality.")),
    132016: _template(_("WhatsApp has disabled the template.")),
    132018: _template(_("A value of the template is not allowed.")),
    132068: _template(_("The template's form is blocked.")),
    132069: _BUSY,
    133004: _BUSY,
    133010: _NUMBER,
    133016: Meaning(Word.REJECTED, _("The number was registered too often: wait three days.")),
    2494100: _BUSY,
}


def meaning_of(code: int, status: int = 0, transient: bool = False) -> Meaning:
    """What a code means; of unknown codes the HTTP status and Meta's own mark of passing errors decide."""
    found = MEANINGS.get(code)
    if found is not None:
        return found
    if 200 <= code <= 299 or (code == 0 and status == 401):
        return _PERMISSION if code else _TOKEN
    if transient and status < 500:
        return _BUSY
    if status >= 500:
        return _UNSURE
    return Meaning(Word.REJECTED, _("WhatsApp refused it."))


def error_of(table: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The error object in an answer, or None."""
    error = (table or {}).get("error")
    return error if isinstance(error, dict) else None


def number(value: Any) -> int:
    """A code as Meta writes it: a number, sometimes in quotes. -1 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 12 else -1


def said(meaning: Meaning, code: int) -> str:
    """One line for a manager, with the code by which Meta's documentation explains it."""
    return _("%(text)s (WhatsApp %(code)d)") % {"text": meaning.text, "code": code}


def raise_error(answer: http.Answer, table: Mapping[str, Any] | None, label: str, *, writes: bool) -> None:
    """Raise what an answer's error means; returns where it has none. Nothing of Meta's own text, which may quote ours."""
    error = error_of(table)
    if error is None:
        http.raise_for_status(answer, label, writes=writes)
        return
    code = number(error.get("code"))
    meaning = meaning_of(code, answer.status, error.get("is_transient") is True)
    text = said(meaning, code)
    match meaning.word:
        case Word.RETRY:
            told = http.retry_after(answer) if meaning.after is not None else None
            raise Retry(text, code=str(code), after=told if told is not None else meaning.after)
        case Word.RECIPIENT:
            raise RecipientBusy(text, code=str(code))
        case Word.UNSURE:
            raise (Unconfirmed if writes else Retry)(text, code=str(code))
        case Word.STOP:
            raise Unauthorized(text, code=str(code))
        case Word.REJECTED:
            raise Rejected(text, code=meaning.code or str(code))
