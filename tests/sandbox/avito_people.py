"""What buyers, the owner and Avito itself do on the fake Avito: each becomes a message of a chat, and webhooks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from .avito_rows import ACCOUNT, BUYER, Account, Chat, Message, listing
from .speech import recording


class People:
    """Part of `FakeAvito`."""

    base_url: str
    accounts: dict[str, Account]
    chats: dict[str, Chat]
    files: dict[str, bytes]
    voices: dict[str, str]
    """Voice id → name of its file."""
    _serial: Iterator[int]

    def announce(self, message: Message, chat: Chat) -> None:
        raise NotImplementedError

    def chat(
        self, chat_id: str = "u2i-abc~1", *, buyer: int = BUYER, name: str = "Guldan", account: int = ACCOUNT, about: bool = True,
        title: str = "Mazda 3 2008", price: str = "300 000 ₽", created: int = 0,
    ) -> Chat:  # fmt: skip
        """The chat with this id, made where there is none; those of type `u2i` are about a listing."""
        if chat_id not in self.chats:
            at = created or int(time.time())
            item = listing(title=title, price=price) if about and chat_id.startswith("u2i") else None
            self.chats[chat_id] = Chat(chat_id, account, buyer, name, at, item, updated=at)
        return self.chats[chat_id]

    def customer_writes(self, chat: str = "u2i-abc~1", text: str = "", **more: Any) -> str:
        """A text, or a message of another `type` and `content`. Returns its id.

        `deliver` says whether a webhook tells of it ("both") or only the history ("history"); `lag` after how many
        seconds the history shows it; `at` when it was written; `quote` what it quotes. The rest makes the chat.
        """
        return self._say(chat, None, text, **more)

    def owner_writes(self, chat: str = "u2i-abc~1", text: str = "", **more: Any) -> str:
        """The account's owner answers in Avito's own app."""
        return self._say(chat, self.chats[chat].account, text, **more)

    def customer_speaks(self, chat: str = "u2i-abc~1", words: str = "", *, content: bytes = b"", **more: Any) -> str:
        """A voice message: these bytes, or a recording in which the fake model hears `words`."""
        identifier, name = f"voice-{next(self._serial)}", f"{next(self._serial)}.mp4"
        self.files[name] = content or recording(words)
        self.voices[identifier] = name
        return self._say(chat, None, type="voice", content={"voice": {"voice_id": identifier}}, **more)

    def customer_sends_image(self, chat: str = "u2i-abc~1", content: bytes = b"\xff\xd8\xff picture", **more: Any) -> str:
        return self._say(chat, None, type="image", content={"image": {"sizes": self.sizes(content)}}, **more)

    def customer_shares_location(self, chat: str = "u2i-abc~1", lat: float = 43.2, lon: float = 76.9, **more: Any) -> str:
        place = {"lat": lat, "lon": lon, "kind": "house", "text": "Абая, 10", "title": "Абая, 10"}
        return self._say(chat, None, type="location", content={"location": place}, **more)

    def deletes(self, chat: str, message_id: str) -> None:
        """A message becomes its own tombstone."""
        [message] = [message for message in self.chats[chat].messages if message.id == message_id]
        message.type, message.content = "deleted", {}

    def sizes(self, content: bytes) -> dict[str, str]:
        """The addresses of a picture in its sizes; only the largest holds its bytes."""
        found = {}
        for size in ("32x32", "1280x960", "140x105"):
            name = f"{next(self._serial)}-{size}.jpg"
            self.files[name] = content if size == "1280x960" else b"small"
            found[size] = f"{self.base_url}/files/{name}"
        return found

    def _say(
        self, chat: str, author: int | None, text: str = "", *, type: str = "text", content: dict[str, Any] | None = None,
        deliver: str = "both", lag: float = 0.0, at: int = 0, quote: str = "", **more: Any,
    ) -> str:  # fmt: skip
        where = self.chat(chat, **more)
        said = Message(
            id=f"{next(self._serial):032x}", author=where.buyer if author is None else author, type=type,
            content={"text": text} if content is None else content, created=at or int(time.time()), quote=quote,
            listed_at=time.time() + lag,
        )  # fmt: skip
        self.add(said, where, deliver=deliver)
        return said.id

    def add(self, message: Message, chat: Chat, *, deliver: str = "both") -> None:
        chat.messages.append(message)
        chat.updated = max(chat.updated, message.created)
        if deliver == "both":
            self.announce(message, chat)


def serial() -> Iterator[int]:
    return itertools.count(int(time.time()) % 10**6 * 10**6)
