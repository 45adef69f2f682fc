"""The kinds of channel that a rehearsal can stand on: how each is provisioned, and what its provider's webhooks look like."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.sandbox import telegram_rows, wappi_rows, whatsapp_cloud_rows
from tests.sandbox.telegram import SECRET_HEADER

#: Sends a second that no rehearsal reaches: what a channel may pause for is left to the faults.
UNPACED = 1000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel. Addresses of customers are digits, as `77010000001`, on every kind."""

    name: str
    """As the product calls it, and the module of the fake provider under `tests.sandbox`."""
    credentials: Mapping[str, str]
    options: Mapping[str, Any]
    body: Callable[[str, str], bytes]
    """The provider's webhook of one text message, from an address."""
    headers: Callable[[bytes, str], Mapping[str, str]]
    """By which the provider proves a body. The second argument is the secret that it was told when it was subscribed."""
    recipient: Callable[[str], str] = str
    """How the fake provider's record names a customer of whom it was never told."""
    addressed: str = "recipient"
    """The field of that record."""
    customers: int = 64
    """Who keep the machine busy: so many that what the provider allows one chat a second is not what is measured."""

    @property
    def slug(self) -> str:
        return self.name.replace("_", "-")

    def company(self, file: Path, folder: Path) -> Path:
        """The company of a file with a channel of this kind in the place of its Wappi channel, written into `folder`."""
        if self.name == "wappi":
            return file
        document = yaml.safe_load(file.read_text())
        [channel] = document["channels"]
        document["channels"] = [{
            **channel, "slug": self.slug, "name": self.name, "kind": self.name, "base_url": "${FAKE_GATEWAY_URL}",
            "credentials": dict(self.credentials), "options": dict(self.options),
        }]  # fmt: skip
        for base in document.get("knowledge", ()):
            base["files"] = [str(file.parent / pattern) for pattern in base["files"]]
        written = folder / f"company-{self.slug}.yaml"
        written.write_text(yaml.safe_dump(document, allow_unicode=True))
        return written


#: Of what customers write: far from the numbers that the fake providers give.
_numbers = itertools.count(10_000_000)


def _wappi_body(phone: str, text: str) -> bytes:
    row = {
        "wh_type": "incoming_message", "profile_id": wappi_rows.PROFILE, "id": uuid.uuid4().hex[:20].upper(), "body": text,
        "type": "chat", "from": f"{phone}@c.us", "to": f"{wappi_rows.OWN_NUMBER}@c.us", "senderName": "Клиент", "is_me": False,
        "chatId": f"{phone}@c.us", "time": int(time.time()), "from_where": "phone", "chat_type": "dialog",
    }  # fmt: skip
    return json.dumps({"messages": [row]}, ensure_ascii=False).encode()


def _telegram_body(chat: str, text: str) -> bytes:
    number, person = next(_numbers), int(chat)
    message = {
        "message_id": number, "date": int(time.time()), "from": telegram_rows.user_row(person, "Клиент"),
        "chat": telegram_rows.chat_row(person, "Клиент"), "text": text,
    }  # fmt: skip
    return json.dumps({"update_id": number, "message": message}, ensure_ascii=False).encode()


def _cloud_body(phone: str, text: str) -> bytes:
    number = whatsapp_cloud_rows.Number()
    row = {
        "id": whatsapp_cloud_rows.wamid(phone, f"{next(_numbers):016X}"), "timestamp": str(int(time.time())), "type": "text",
        "text": {"body": text}, "from": phone, "from_user_id": whatsapp_cloud_rows.user_id(phone),
    }  # fmt: skip
    value = {"contacts": [whatsapp_cloud_rows.contact(number, phone, "Клиент", hidden=False)], "messages": [row]}
    return whatsapp_cloud_rows.encoded(whatsapp_cloud_rows.envelope(number, value))


WAPPI = Kind(
    "wappi", {"token": wappi_rows.TOKEN}, {"profile_id": wappi_rows.PROFILE},
    body=_wappi_body, headers=lambda body, secret: {},
)  # fmt: skip
TELEGRAM = Kind(
    "telegram", {"token": telegram_rows.TOKEN}, {"sends_per_second": UNPACED},
    body=_telegram_body, headers=lambda body, secret: {SECRET_HEADER: secret}, addressed="chat_id", customers=256,
)  # fmt: skip
WHATSAPP_CLOUD = Kind(
    "whatsapp_cloud",
    {
        "access_token": whatsapp_cloud_rows.TOKEN, "app_secret": whatsapp_cloud_rows.APP_SECRET,
        "verify_token": whatsapp_cloud_rows.VERIFY_TOKEN,
    },
    {
        "phone_number_id": whatsapp_cloud_rows.NUMBER, "waba_id": whatsapp_cloud_rows.ACCOUNT, "sends_per_second": UNPACED,
    },
    body=_cloud_body, headers=lambda body, secret: {"X-Hub-Signature-256": whatsapp_cloud_rows.signature(body)},
    recipient=whatsapp_cloud_rows.user_id,
)  # fmt: skip
KINDS = {kind.name: kind for kind in (WAPPI, TELEGRAM, WHATSAPP_CLOUD)}
