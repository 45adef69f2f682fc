"""Wappi's two dialects at the edge: webhook rows (snake_case) and rows of the polled history (camelCase), ids and times.

Each dialect has one model with the same attributes, so whoever reads them need not know which it is. Fields may be
missing, null or of another type than documented: they then read as empty.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from foundation.errors import Unreadable

#: Wappi writes Moscow time wherever it leaves the zone out.
MOSCOW = timezone(timedelta(hours=3))
#: The MAX twin of this API gives milliseconds; seconds pass this number in the year 33658.
MILLISECONDS_FROM = 10**12
PERSONAL = ("", "c.us", "s.whatsapp.net")


# ── The edge: whatever type a field has, it arrives as ours ──────────────────────────────────────────────────────────
def text_of(value: Any) -> str:
    if isinstance(value, str):
        # A lone surrogate or a NUL is legal JSON and cannot be stored.
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def number_of(value: Any) -> float | None:
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < 10**15 else None


def table_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _labels(value: Any) -> list[str]:
    """The words of a list of options, which come as strings or as objects with a name."""
    if not isinstance(value, list):
        return []
    found = (text_of(item.get("name") or item.get("text")) if isinstance(item, dict) else text_of(item) for item in value)
    return [label for label in found if label]


Text = Annotated[str, BeforeValidator(text_of)]
Number = Annotated[float | None, BeforeValidator(number_of)]
Flag = Annotated[bool, BeforeValidator(lambda value: value is True or value in (1, "true"))]
Table = Annotated[dict[str, Any], BeforeValidator(table_of)]
Labels = Annotated[list[str], BeforeValidator(_labels)]


class Row(BaseModel):
    """One message or report, in the fields that both dialects spell alike."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    shape: ClassVar[str]

    id: Text = ""
    type: Text = ""
    wh_type: Text = ""
    body: Any = None
    chat: Text = Field("", validation_alias=AliasChoices("chatId", "chat_id"))
    author: Text = Field("", validation_alias="from")
    to: Text = ""
    sender_name: Text = Field("", validation_alias="senderName")
    contact_name: Text = ""
    time: Any = None
    timestamp: Any = None
    caption: Text = ""
    mimetype: Text = ""
    file_name: Text = ""
    title: Text = ""
    media_info: Table = {}
    length_seconds: Number = None
    from_where: Text = ""
    chat_type: Text = ""
    is_reply: Flag = Field(False, validation_alias="isReply")
    location: Table = {}
    contact: Table = {}
    button: Text = Field("", validation_alias=AliasChoices("selectedButtonId", "selected_button_id"))
    list_row: Text = Field("", validation_alias=AliasChoices("selected_list_id", "selectedListId"))
    votes: Labels = Field([], validation_alias=AliasChoices("selected_poll_variant", "poll_votes"))
    poll_options: Labels = []
    mine: Flag = False
    edited: Flag = False
    deleted: Flag = False
    quoted: Text = ""

    @property
    def content(self) -> dict[str, Any]:
        """The body where it is an object: polled media, contacts and locations."""
        return table_of(self.body)

    @property
    def link(self) -> str:
        """A signed address of the file, where the provider still keeps a copy."""
        return ""

    @property
    def by_person(self) -> bool:
        """Whether an outgoing message was typed on the phone."""
        return self.from_where != "api"

    @property
    def peer(self) -> str:
        """The chat, as the provider writes it."""
        return self.chat or (self.to if self.mine else self.author)

    @property
    def original(self) -> str:
        """The id of the message whose text an edit replaces."""
        return self.quoted if self.quoted and not self.is_reply else self.id


class WebhookRow(Row):
    """An element of a webhook's `messages`."""

    shape = "webhook"
    mine: Flag = Field(False, validation_alias="is_me")
    edited: Flag = Field(False, validation_alias="is_edited")
    deleted: Flag = Field(False, validation_alias="is_deleted")
    quoted: Text = Field("", validation_alias="stanza_id")
    file_link: Text = ""
    status: Text = ""
    reason: Text = ""
    number: Text = ""

    @property
    def link(self) -> str:
        return self.file_link

    @property
    def by_person(self) -> bool:
        return self.wh_type != "outgoing_message_api" and self.from_where != "api"


class PolledRow(Row):
    """An element of `messages/get`."""

    shape = "poll"
    mine: Flag = Field(False, validation_alias="fromMe")
    edited: Flag = Field(False, validation_alias="isEdited")
    deleted: Flag = Field(False, validation_alias="isDeleted")
    quoted: Text = Field("", validation_alias="stanzaId")
    from_api: Flag = Field(False, validation_alias="isFromAPI")
    s3: Table = Field({}, validation_alias="s3Info")

    @property
    def link(self) -> str:
        return text_of(self.s3.get("url"))

    @property
    def by_person(self) -> bool:
        return not self.from_api and self.from_where != "api"


# ── Chats and times ──────────────────────────────────────────────────────────────────────────────────────────────────
def chat_key(chat_id: str) -> str:
    """One spelling of a chat: digits for a personal chat in any of its forms, the whole id for every other."""
    local, _at, domain = chat_id.strip().partition("@")
    if domain.lower() in PERSONAL:
        digits = re.match(r"\+?(\d+)(?:[.:][\d.:]*)?$", local)
        if digits:
            return digits[1]
    return chat_id.strip().lower()


def is_group(chat_id: str) -> bool:
    return chat_id.strip().lower().endswith("@g.us")


def is_hidden(chat_id: str) -> bool:
    """Whether the id hides the person's phone; its digits are not a phone."""
    return chat_id.strip().lower().endswith("lid") and "@" in chat_id


def is_customer(chat_id: str) -> bool:
    """False for groups, status posts, newsletters and WhatsApp's own account `0@s.whatsapp.net`."""
    key = chat_key(chat_id)
    return is_hidden(chat_id) or (key.isdigit() and len(key) >= 5)


def moment(*values: Any) -> datetime:
    """The first of the values that is a time: unix seconds, milliseconds, or RFC 3339. Raises Unreadable."""
    for value in values:
        number = number_of(value)
        try:
            if number is not None:
                return datetime.fromtimestamp(number / 1000 if number > MILLISECONDS_FROM else number, UTC)
            if isinstance(value, str) and value:
                found = datetime.fromisoformat(value)
                return (found if found.tzinfo else found.replace(tzinfo=MOSCOW)).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            continue
    raise Unreadable("no time")


def unix(*values: Any) -> float | None:
    """The same as unix seconds, or None."""
    try:
        return moment(*values).timestamp()
    except Unreadable:
        return None
