"""What customers do on the fake Telegram: each becomes an update in the bot's queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .speech import recording
from .telegram_rows import TOKEN, Bot, buttons, chat_row, user_row


class People:
    """Part of `FakeTelegram`."""

    bots: dict[str, Bot]
    known: set[int]
    blocked: set[int]
    messages: dict[tuple[int, int], dict[str, Any]]
    files: dict[str, tuple[str, bytes]]
    taps: dict[str, bool]
    _serial: Iterator[int]

    def update(self, what: dict[str, Any], token: str = TOKEN) -> int | None:
        raise NotImplementedError

    def customer_writes(self, user: int, text: str = "", *, token: str = TOKEN, name: str = "Aigul", **more: Any) -> int:
        """A message from a customer, of a text or of the Bot API's own fields in `more`. Returns its number."""
        user = int(user)
        self.known.add(user)
        row = {
            "message_id": next(self._serial),
            "date": int(time.time()),
            "from": user_row(user, name),
            "chat": chat_row(user, name),
        }
        row |= ({"text": text} if text else {}) | more
        if text.startswith("/"):
            row["entities"] = [{"offset": 0, "length": len(text.split()[0]), "type": "bot_command"}]
        self.messages[row["chat"]["id"], row["message_id"]] = row
        self.update({"message": row}, token)
        return int(row["message_id"])

    def customer_speaks(self, user: int, words: str = "", *, content: bytes = b"", seconds: int = 2, **more: Any) -> int:
        """A voice message: these bytes, or a recording in which the fake model hears `words`."""
        mime = "audio/ogg" if content else "audio/wav"
        return self.customer_sends_file(
            user, content or recording(words, seconds=seconds), kind="voice", mime=mime, duration=seconds, **more
        )

    def customer_sends_file(
        self, user: int, content: bytes, *, kind: str = "document", name: str = "", mime: str = "", caption: str = "",
        duration: int = 0, **more: Any,
    ) -> int:  # fmt: skip
        """A document, photo, voice, video, audio or sticker."""
        row = self._file_row(kind, content, name, mime)
        row |= {"duration": duration} if kind in ("voice", "audio", "video", "video_note") else {}
        value: Any = row
        if kind == "photo":
            small = {"width": 90, "height": 60, "file_id": "small" + row["file_id"], "file_unique_id": "s", "file_size": 90}
            value = [small, {**row, "width": 1280, "height": 853}]
        return self.customer_writes(user, **{kind: value}, **({"caption": caption} if caption else {}), **more)

    def customer_shares_contact(self, user: int, phone: str, *, own: bool = True, **more: Any) -> int:
        card = {"phone_number": phone, "first_name": "Aigul"} | ({"user_id": int(user)} if own else {})
        return self.customer_writes(user, contact=card, **more)

    def customer_shares_location(self, user: int, latitude: float, longitude: float, **more: Any) -> int:
        return self.customer_writes(user, location={"latitude": latitude, "longitude": longitude}, **more)

    def customer_taps(self, user: int, action: str, *, token: str = TOKEN, name: str = "Aigul") -> str:
        """A tap on the newest button of the chat with this action. Returns the id of the query."""
        rows = [
            row
            for (chat, _number), row in self.messages.items()
            if chat == int(user) and action in [button.get("callback_data") for button in buttons(row)]
        ]
        identifier = f"tap{next(self._serial)}"
        self.taps[identifier] = False
        query = {"id": identifier, "from": user_row(int(user), name), "chat_instance": "-1", "data": action}
        self.update({"callback_query": query | ({"message": rows[-1]} if rows else {})}, token)
        return identifier

    def customer_edits(self, user: int, number: int, text: str, *, token: str = TOKEN) -> None:
        row = {**self.messages[int(user), number], "text": text, "edit_date": int(time.time())}
        self.update({"edited_message": row}, token)

    def customer_blocks(self, user: int, blocked: bool = True, *, token: str = TOKEN) -> None:
        (self.blocked.add if blocked else self.blocked.discard)(int(user))
        me = self.bots[token].user()
        states = [{"user": me, "status": "member"}, {"user": me, "status": "kicked", "until_date": 0}]
        old, new = states if blocked else states[::-1]
        change = {"chat": chat_row(int(user)), "from": user_row(int(user)), "date": int(time.time())}
        self.update({"my_chat_member": {**change, "old_chat_member": old, "new_chat_member": new}}, token)

    def _file_row(self, kind: str, content: bytes, name: str, mime: str) -> dict[str, Any]:
        number = next(self._serial)
        identifier = f"file-{kind}-{number}"
        self.files[identifier] = (f"{kind}s/file_{number}{'.oga' if kind == 'voice' else '.bin'}", content)
        row = {"file_id": identifier, "file_unique_id": f"u{number}", "file_size": len(content)}
        return row | ({"mime_type": mime} if mime and kind != "photo" else {}) | ({"file_name": name} if name else {})
