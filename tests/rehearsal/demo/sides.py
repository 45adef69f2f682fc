"""The other side of each channel: one customer on a fake provider, what they do there, and what reached them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.telegram_rows import TOKEN as TELEGRAM_TOKEN
from tests.sandbox.waha_rows import API_KEY, HMAC_KEY, SESSION
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, VERIFY_TOKEN
from tests.sandbox.whatsapp_cloud_rows import TOKEN as CLOUD_TOKEN

from ..stack import call

#: What `channels.yaml` is filled with.
CREDENTIALS = {
    "FAKE_TELEGRAM_TOKEN": TELEGRAM_TOKEN, "FAKE_CLOUD_TOKEN": CLOUD_TOKEN, "FAKE_CLOUD_SECRET": APP_SECRET,
    "FAKE_CLOUD_VERIFY_TOKEN": VERIFY_TOKEN, "FAKE_CLOUD_NUMBER": NUMBER, "FAKE_CLOUD_ACCOUNT": ACCOUNT,
    "FAKE_WAHA_KEY": API_KEY, "FAKE_WAHA_HMAC_KEY": HMAC_KEY, "FAKE_WAHA_SESSION": SESSION,
    "FAKE_AVITO_ID": CLIENT_ID, "FAKE_AVITO_SECRET": CLIENT_SECRET,
}  # fmt: skip
NAME = "Айгуль"
#: The smallest picture there is: one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Arrived:
    """A message that the provider accepted: to whom, its text, its id there, and what may be tapped as (action, title)."""

    to: str
    text: str
    id: str = ""
    choices: Sequence[tuple[str, str]] = ()
    kind: str = "text"


class Side:
    """One customer, known to the provider under `address`."""

    address: str
    voice = True
    captions = True
    """A picture may carry words."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, what: str) -> Any:
        return call("GET", f"{self.url}/_sandbox/{what}")

    def do(self, what: str, **fields: Any) -> Any:
        """Have something happen on the fake; what it answers."""
        return call("POST", f"{self.url}/_sandbox/{what}", fields)

    # ── What the customer does ───────────────────────────────────────────────────────────────────────────────────────
    def writes(self, text: str) -> None:
        self.do("message", phone=self.address, text=text, name=NAME)

    def speaks(self, words: str) -> None:
        self.do("voice", phone=self.address, words=words, name=NAME)

    def shows(self, caption: str) -> None:
        raise NotImplementedError

    def taps(self, message: Arrived, action: str) -> None:
        raise NotImplementedError

    def owner_types(self, text: str) -> None:
        self.do("owner", phone=self.address, text=text)

    # ── What came of it ──────────────────────────────────────────────────────────────────────────────────────────────
    def ledger(self) -> list[Arrived]:
        """What the provider accepted, for whomever, oldest first."""
        return [self.arrived(row) for row in self.get("ledger")]

    def arrived(self, row: dict[str, Any]) -> Arrived:
        return Arrived(str(row["recipient"]), row["text"], row["message_id"])

    def tell_receipts(self) -> None:
        """Have the provider tell of each message that it was delivered, and read."""

    def webhooks(self) -> list[str]:
        """The addresses to which the provider posts."""
        raise NotImplementedError


class WappiSide(Side):
    address = "77015551101"

    def shows(self, caption: str) -> None:
        picture = {"type": "image", "mime": "image/png", "content_b64": _picture(), "caption": caption}
        self.do("message", phone=self.address, name=NAME, **picture)

    def arrived(self, row: dict[str, Any]) -> Arrived:
        return Arrived(str(row["recipient"]).partition("@")[0], row["text"], row["message_id"])

    def tell_receipts(self) -> None:
        self.do("profile", auto_receipts=["delivered", "read"])

    def webhooks(self) -> list[str]:
        return [self.do("profile")["webhook_url"]]


class TelegramSide(Side):
    address = "5551202"

    def writes(self, text: str) -> None:
        self.do("message", user=self.address, text=text, name=NAME)

    def speaks(self, words: str) -> None:
        self.do("voice", user=self.address, words=words)

    def shows(self, caption: str) -> None:
        self.do("file", user=self.address, content_b64=_picture(), kind="photo", caption=caption)

    def taps(self, message: Arrived, action: str) -> None:
        self.do("tap", user=self.address, action=action, name=NAME)

    def shares_contact(self, phone: str) -> None:
        self.do("contact", user=self.address, phone=phone, name=NAME)

    def unanswered_taps(self) -> int:
        """Taps after which the customer's button still spins."""
        return sum(not answered for answered in self.get("state")["taps"].values())

    def arrived(self, row: dict[str, Any]) -> Arrived:
        choices = [(action, title) for title, action in row["buttons"]]
        return Arrived(str(row["chat_id"]), row["text"], str(row["message_id"]), choices, "buttons" if choices else "text")

    def webhooks(self) -> list[str]:
        return [self.do("bot")["webhook_url"]]


class CloudSide(Side):
    address = "77015551303"
    at = 0.0
    """When the customer writes, in unix seconds; 0: now."""

    def writes(self, text: str) -> None:
        self.do("message", phone=self.address, text=text, name=NAME, at=self.at)

    def shows(self, caption: str) -> None:
        picture = {"kind": "image", "mime": "image/png", "content_b64": _picture(), "caption": caption}
        self.do("file", phone=self.address, name=NAME, **picture)

    def taps(self, message: Arrived, action: str) -> None:
        self.do("tap", phone=self.address, message_id=message.id, choice=action)

    def arrived(self, row: dict[str, Any]) -> Arrived:
        """Buttons and the rows of a list alike, by what the customer would tap."""
        shown = row["body"].get("interactive", {})
        action = shown.get("action", {})
        rows = [button["reply"] for button in action.get("buttons", ())]
        rows += [line for section in action.get("sections", ()) for line in section["rows"]]
        kind = {"button": "buttons", "list": "list"}.get(shown.get("type", ""), row["type"])
        text = row["text"] or (f"[{row['body']['template']['name']}]" if kind == "template" else "")
        return Arrived(row["recipient"], text, row["message_id"], [(line["id"], line["title"]) for line in rows], kind)

    def tell_receipts(self) -> None:
        self.do("number", auto_receipts=["sent", "delivered", "read"])

    def webhooks(self) -> list[str]:
        return [self.do("number")["webhook_url"]]


class WahaSide(Side):
    """The customer is behind a hidden id; the engine knows the phone."""

    address = "240111122223333@lid"
    phone = "77015551404"

    def shows(self, caption: str) -> None:
        self.do("file", phone=self.address, content_b64=_picture(), mime="image/png", text=caption, name=NAME)

    def tell_receipts(self) -> None:
        self.do("session", auto_acks=[1, 2, 3], phones={self.address: self.phone})

    def webhooks(self) -> list[str]:
        return [hook["url"] for hook in self.do("session")["config"].get("webhooks", ())]


class AvitoSide(Side):
    address = "u2i-demo~1"
    captions = False
    TITLE, PRICE = "Кофемашина DK-200 «Демо Офис»", "289 900 ₸"

    def _says(self, what: str, **fields: Any) -> None:
        self.do(what, chat=self.address, name=NAME, title=self.TITLE, price=self.PRICE, **fields)

    def writes(self, text: str) -> None:
        self._says("message", text=text)

    def speaks(self, words: str) -> None:
        self._says("voice", words=words)

    def shows(self, caption: str) -> None:
        self._says("image", content_b64=_picture())

    def owner_types(self, text: str) -> None:
        self._says("owner", text=text)

    def arrived(self, row: dict[str, Any]) -> Arrived:
        return Arrived(row["chat"], row.get("text", ""), row["id"])

    def webhooks(self) -> list[str]:
        return list(self.do("account")["subscriptions"])


def _picture() -> str:
    return base64.b64encode(PICTURE).decode()
