"""The contract between the house and a provider: normalised events in both directions, and the adapter class.

An adapter translates between one provider and our words. It is pure I/O: it reads no table and knows no conversation.
All times are aware datetimes. All failures are the words of `foundation.errors`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from foundation.crypto import matches
from foundation.errors import Forged

#: Codes of a refusal, or of a failed receipt, that the core understands: the customer cannot be written to until they write
#: or let us in again; the customer wants nothing unasked; the reply window is closed.
BLOCKED, OPTED_OUT, WINDOW = "blocked", "opted_out", "window"


class Kind(StrEnum):
    """What a message is made of."""

    TEXT = "text"
    VOICE = "voice"
    IMAGE = "image"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACT = "contact"
    BUTTON = "button"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Media:
    """A file that a message refers to; `ref` is what `Adapter.fetch_media` takes."""

    ref: str
    mime: str = ""
    name: str = ""
    size: int | None = None
    seconds: float | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote: their id on this channel, and what the provider attests of them."""

    source_id: str
    """The id of the person on this channel: phone digits, a `…@lid` id, a user id, a visitor id."""
    phone: str | None = None
    """Digits with country code, only where the provider vouches for it."""
    name: str = ""
    full_name: str = ""
    business_name: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A customer's message."""

    external_id: str
    sender: Sender
    sent_at: datetime
    kind: Kind = Kind.TEXT
    text: str = ""
    media: Sequence[Media] = ()
    reply_to: str = ""
    """External id of the message it quotes."""
    action: str = ""
    """Id of the button or list row that was tapped."""
    edited: str = ""
    """External id of the message whose text this one replaces, where the provider reports edits."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Location, contact card and the like: `{"latitude": …, "longitude": …}`, `{"name": …, "phone": …}`."""


class Markup(StrEnum):
    """How a channel wants bold, italic and links written; `channels.rich` renders our own marks into it."""

    PLAIN = "plain"
    WHATSAPP = "whatsapp"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a customer may tap. `id` (at most 64 bytes) comes back as `InboundMessage.action`, the same on every channel."""

    id: str
    title: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class ProviderTemplate:
    """A template as the provider lists it, for a manager to choose from."""

    name: str
    language: str
    status: str
    """The provider's word: APPROVED, PENDING, REJECTED, PAUSED, DISABLED."""
    category: str
    """MARKETING, UTILITY or AUTHENTICATION."""
    body: str
    placeholders: int
    """How many values its body takes, in their order."""
    obstacle: str = ""
    """Why it cannot be sent from here, in words for a manager; empty: it can."""

    @property
    def usable(self) -> bool:
        return self.status == "APPROVED" and not self.obstacle


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """A template that the provider has approved, with the values of its placeholders in their order."""

    name: str
    language: str
    values: Sequence[str] = ()


class Receipt(StrEnum):
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """The provider's later word on a message we sent."""

    external_id: str
    status: Receipt
    at: datetime
    reason: str = ""
    key: str = ""
    """Our own id of the message, where the provider gives back what `OutboundMessage.key` told it."""
    code: str = ""
    """Of a failure: one of the codes above, where it means one of them."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The provider's copy of a message that left our side: typed on the phone by a person, or sent by some program."""

    external_id: str
    recipient: Sender
    sent_at: datetime
    text: str = ""
    kind: Kind = Kind.TEXT
    by_person: bool = True
    """True when the provider says it was typed on the phone; False when it was sent through its API."""


@dataclass(frozen=True, slots=True)
class SessionChange:
    """The connection behind the channel came up or went down."""

    online: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reachability:
    """A customer has shut the channel out (blocked the bot), or let it in again."""

    source_id: str
    reachable: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """A genuine event that concerns no customer: group chats, status posts, reactions. `reason` is shown to people."""

    reason: str


@dataclass(frozen=True, slots=True)
class News:
    """Only a ring: the provider has something new, which a poll will bring."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Somebody wants what managers are told to come to this chat, and shows a code from the admin for it."""

    address: str
    """The chat, in the form of a `source_id`: a person's or a group's."""
    code: str
    title: str = ""


Event = InboundMessage | DeliveryReceipt | Echo | SessionChange | Reachability | News | Enrolment | Skipped


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One provider event as it came, with the id by which duplicates are known (unique within the channel)."""

    external_id: str
    payload: bytes
    lane: str = ""
    """The chat it belongs to: events of one lane are processed in the order of their arrival. It is stored hashed."""


@dataclass(frozen=True, slots=True)
class OutboundFile:
    name: str
    mime: str
    content: bytes
    caption: str = ""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """What the outbox hands to `Adapter.send`. `key` is our own id of the message, the same on every attempt.

    The core has cut it to the channel's capabilities already: the text by `rich.split`, the choices by `rich.page`.
    """

    key: str
    to: str
    """The recipient's `source_id`."""
    text: str = ""
    """With our own marks: `**bold**`, `_italic_`, `[words](https://…)`. The adapter renders them (`rich.render`)."""
    reply_to: str = ""
    files: Sequence[OutboundFile] = ()
    voice: OutboundFile | None = None
    """The same words spoken, as OGG/Opus; the text is always sent too, in a message of its own."""
    choices: Sequence[Choice] = ()
    menu: str = ""
    """The words on the control that opens a list of choices, where the channel has one."""
    template: TemplateUse | None = None
    """Sent instead of the text, which is what the template says, for our own records."""
    asks_phone: bool = False
    """Offer a button by which the customer shares their phone number, where `capabilities` say so."""


@dataclass(frozen=True, slots=True)
class SendResult:
    external_id: str


@dataclass(frozen=True, slots=True)
class PollResult:
    """New events, oldest first, and the cursor to store with them in one transaction."""

    events: Sequence[RawEvent]
    cursor: dict[str, Any]
    complete: bool = True
    """False where something was left for the next time, with this cursor."""


@dataclass(frozen=True, slots=True)
class SentRecord:
    """One outgoing message in the provider's history: evidence for an unconfirmed send."""

    external_id: str
    text: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """What `Adapter.check` found: usable or not, and one line for a manager."""

    ok: bool
    detail: str = ""
    own_number: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can carry. The core asks these, never the kind of channel."""

    max_length: int
    voice: bool = False
    """Customers' voice messages arrive."""
    speaks: bool = False
    """Voice messages of ours can be sent."""
    files: bool = False
    markup: Markup = Markup.PLAIN
    choices: int = 0
    """How many choices one message may carry; 0: the core writes them into the text, numbered."""
    templates: bool = False
    """Outside the reply window an approved template may be sent."""
    asks_phone: bool = False
    sessions: bool = False
    """The connection is a session that is linked, started and stopped here: the adapter is a `Linked` one as well."""
    edit: bool = False
    history: bool = False
    """The provider keeps what was said: missed messages and unconfirmed sends can be looked up."""
    receipts: bool = False
    polling: bool = False
    typing: bool = False
    read_marks: bool = False
    blocks: bool = False
    """A customer can be put on the provider's own blacklist."""
    alerts: bool = False
    """Managers can be told things here: their chats are registered by an `Enrolment`."""
    sends_per_second: float | None = None
    """How fast messages that had to wait may leave; the channel's option of this name wins. None: as fast as they can."""
    attests_phone: bool = False
    """The sender's phone is proven by the provider, so the same phone on another such channel is the same person."""
    reply_window: timedelta | None = None
    """So long after the customer's last message anything may be written; None: always."""
    fragile: bool = False
    """An unofficial gateway, whose number may be blocked for writing to people unasked: see `channels.pacing`."""


@dataclass(frozen=True, slots=True)
class Access:
    """A typed view of a channel row, all that an adapter gets to know of it."""

    slug: str
    base_url: str
    credentials: Mapping[str, str]
    options: Mapping[str, Any]
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming request as the provider sent it. `secret` is the last part of the webhook path."""

    secret: str
    headers: Mapping[str, str]
    body: bytes

    def prove_path(self, secret: str) -> None:
        """Raises Forged unless the path ends with the channel's own secret."""
        if not matches(self.secret, secret):
            raise Forged("the webhook path is not ours")


class Adapter(ABC):
    """Translate between one provider and our words."""

    capabilities: ClassVar[Capabilities]
    default_base_url: ClassVar[str] = ""
    credential_names: ClassVar[Sequence[str]] = ()
    """Keys of the channel's credentials that must be set before it can start."""
    option_names: ClassVar[Sequence[str]] = ()
    """Keys of the channel's options that must be set before it can start."""

    def __init__(self, access: Access) -> None:
        self.access = access

    @abstractmethod
    def verify(self, webhook: Webhook) -> None:
        """Raise Forged unless the request comes from the provider. Looks at nothing but the request."""

    @abstractmethod
    def split(self, body: bytes) -> list[RawEvent]:
        """Cut a webhook body into single events, each with its own id. Raises Unreadable."""

    @abstractmethod
    def parse(self, payload: bytes) -> list[Event]:
        """Understand one event made by `split` or `poll`. Raises Unreadable; never a KeyError."""

    @abstractmethod
    def send(self, message: OutboundMessage) -> SendResult:
        """Send one message. Raises Retry, Rejected (with a code of above where it means that), Unauthorized or Unconfirmed."""

    def poll(self, cursor: dict[str, Any]) -> PollResult:
        """What happened since the cursor (`{}` at the very first call)."""
        raise NotImplementedError(f"{type(self).__name__} does not poll")

    def look_back(self, since: datetime, cursor: dict[str, Any]) -> PollResult:
        """Everything the provider's history holds since then, known or not, within seconds.

        Where the result is not complete, the next call with its cursor goes on; `{}` begins. Only where `capabilities`
        say both history and polling.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no history")

    def sent_since(self, recipient: str, since: datetime) -> Sequence[SentRecord]:
        """What left this channel for the recipient since then, where the provider keeps a history."""
        raise NotImplementedError(f"{type(self).__name__} keeps no history")

    def fetch_media(self, ref: str) -> bytes:
        """The bytes of a file a message refers to."""
        raise NotImplementedError(f"{type(self).__name__} has no media")

    def mark_read(self, source_id: str, external_id: str) -> None:
        """Tell the provider that the customer's message was read; does nothing where that is unknown."""

    def block(self, source_id: str) -> None:
        """Put the person on the provider's blacklist; doing it twice does no harm. Only where `capabilities` say blocks."""
        raise NotImplementedError(f"{type(self).__name__} blocks nobody")

    def typing(self, source_id: str, external_id: str = "") -> None:
        """Show the customer that an answer to their message (its external id) is being written; does nothing where that is
        unknown."""

    def resolve(self, sender: Sender) -> Sender:
        """What the provider can tell of a sender beyond the event, such as the phone behind a hidden identity."""
        return sender

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """What to answer to a provider that asks by GET whether the webhook's address is ours; None: it is not."""
        return None

    def templates(self) -> Sequence[ProviderTemplate]:
        """The account's templates in every state, where `capabilities.templates`. Raises the words of `foundation.errors`."""
        raise NotImplementedError(f"{type(self).__name__} knows no templates")

    def check(self) -> Health:
        """Prove the credentials and the connection with the provider."""
        return Health(ok=True)

    def subscribe(self, url: str) -> None:
        """Tell the provider where to post its webhooks; does nothing where there is nothing to tell."""

    def unsubscribe(self) -> None:
        """Ask the provider to post no more webhooks; does nothing where there is nothing to tell."""


class SessionState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    LINKING = "linking"
    """It waits for a phone to scan the QR code, or to enter the pairing code."""
    WORKING = "working"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Session:
    """The linked device behind a channel."""

    state: SessionState
    detail: str = ""
    own_number: str = ""


class Linked(ABC):
    """What an adapter also does where `capabilities.sessions`: it is a linked device of somebody's phone."""

    @abstractmethod
    def session(self) -> Session:
        """How it stands. Raises the words of `foundation.errors`."""

    @abstractmethod
    def start_session(self) -> None:
        """Make it where there is none, and start it."""

    @abstractmethod
    def stop_session(self) -> None:
        """Stop it; the phone stays linked."""

    @abstractmethod
    def log_out(self) -> None:
        """Unlink the phone."""

    @abstractmethod
    def qr(self) -> bytes:
        """The QR code to scan, as PNG. Raises Rejected where none is wanted now."""

    @abstractmethod
    def pairing_code(self, phone: str) -> str:
        """The code to enter on the phone (digits with country code) under its linked devices, instead of a QR code."""
