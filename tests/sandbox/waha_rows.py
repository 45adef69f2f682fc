"""WAHA's messages as its engines write them: the same fields around, each engine's own words in `_data`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SESSION = "shop_17"
API_KEY = "sandbox-waha-key"
HMAC_KEY = "sandbox-waha-hmac-0123456789abcdef"
OWN_NUMBER = "77019990000"
OWN_LID = "99887766554433@lid"
ACKS = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}
MIMES = {"ptt": "audio/ogg; codecs=opus", "image": "image/jpeg", "video": "video/mp4", "document": "application/pdf"}
INNER = {"ptt": "audioMessage", "image": "imageMessage", "video": "videoMessage", "document": "documentMessage"}


@dataclass
class LinkedSession:
    """One session as WAHA keeps it."""

    name: str = SESSION
    status: str = "WORKING"
    config: dict[str, Any] = field(default_factory=dict)
    phone: str = OWN_NUMBER

    @property
    def me(self) -> dict[str, Any] | None:
        if self.status != "WORKING":
            return None
        return {"id": f"{self.phone}@c.us", "lid": OWN_LID, "jid": f"{self.phone}:12@s.whatsapp.net", "pushName": "Shop"}

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name, "status": self.status, "config": self.config, "me": self.me, "presence": "offline",
            "timestamps": {"activity": 1772785677000}, "assignedWorker": "",
        }  # fmt: skip


@dataclass
class Message:
    """One message of a chat (`…@c.us`, `…@lid`, `…@g.us`)."""

    bare: str
    chat: str
    body: str
    time: float
    type: str = "chat"
    mine: bool = False
    by_api: bool = False
    name: str = ""
    mime: str = ""
    file_name: str = ""
    content: bytes = b""
    seconds: int = 0
    quoted: str = ""
    ack: int = 1
    location: dict[str, Any] | None = None
    cards: list[str] = field(default_factory=list)
    behind: str = ""
    """The phone behind a hidden chat, where the engine tells it with the message."""
    file_gone: bool = False
    """The file that the webhook names is deleted already; it has to be asked for anew."""

    @property
    def id(self) -> str:
        return f"{'true' if self.mine else 'false'}_{self.chat}_{self.bare}"


def extension(message: Message) -> str:
    return {"audio": "oga", "image": "jpeg", "video": "mp4"}.get(message.mime.partition("/")[0], "pdf")


def file_url(message: Message, session: str, base_url: str) -> str:
    return f"{base_url}/api/files/{session}/{message.id}.{extension(message)}"


def message_row(message: Message, session: LinkedSession, engine: str, base_url: str, *, media: bool = True) -> dict[str, Any]:
    """A `WAMessage`. `media`: its file was fetched from WhatsApp and can be downloaded."""
    own = f"{session.phone}@c.us"
    row: dict[str, Any] = {
        "id": message.id, "timestamp": int(message.time), "from": own if message.mine else message.chat,
        "fromMe": message.mine, "source": "api" if message.by_api else "app", "to": message.chat if message.mine else own,
        "participant": None, "body": message.body, "hasMedia": bool(message.content), "media": None, "mediaUrl": None,
        "ack": message.ack, "ackName": ACKS[message.ack], "location": message.location, "vCards": message.cards,
        "replyTo": {"id": message.quoted, "hasMedia": False} if message.quoted else None, "_data": inner(message, engine),
    }  # fmt: skip
    if message.content and media:
        row["media"] = {
            "url": file_url(message, session.name, base_url), "mimetype": message.mime,
            "filename": message.file_name or None, "s3": None, "error": None,
        }  # fmt: skip
    return row


def inner(message: Message, engine: str) -> dict[str, Any]:
    """The message in the engine's own words."""
    facts = {"mimetype": message.mime, "seconds": message.seconds, "fileLength": str(len(message.content))}
    jid = message.chat.replace("@c.us", "@s.whatsapp.net")
    if engine in ("WEBJS", "WPP"):
        return {
            "id": {"fromMe": message.mine, "remote": message.chat, "id": message.bare, "_serialized": message.id},
            "type": message.type, "notifyName": message.name, "size": len(message.content), "mimetype": message.mime,
            "duration": str(message.seconds) if message.seconds else None,
        }  # fmt: skip
    content = {INNER.get(message.type, "conversation"): facts if message.content else message.body}
    if message.location:
        content = {"locationMessage": {"degreesLatitude": message.location["latitude"]}}
    if message.type == "ptt":
        facts["ptt" if engine == "NOWEB" else "PTT"] = True
    alternative = f"{message.behind}@s.whatsapp.net" if message.behind else None
    if engine == "NOWEB":
        key = {"remoteJid": jid, "fromMe": message.mine, "id": message.bare, "remoteJidAlt": alternative}
        return {"key": key, "pushName": message.name, "message": content, "messageTimestamp": int(message.time)}
    info = {
        "Chat": jid, "Sender": jid, "IsFromMe": message.mine, "ID": message.bare, "PushName": message.name,
        "SenderAlt": "" if message.mine else alternative or "", "RecipientAlt": alternative or "" if message.mine else "",
    }  # fmt: skip
    return {"Info": info, "Message": content}


def answer_row(message: Message, session: LinkedSession, engine: str, base_url: str) -> dict[str, Any]:
    """What a send is answered with: every engine has its own shape."""
    if engine == "NOWEB":
        return {
            "key": {"remoteJid": message.chat.replace("@c.us", "@s.whatsapp.net"), "fromMe": True, "id": message.bare},
            "message": {"extendedTextMessage": {"text": message.body}}, "messageTimestamp": str(int(message.time)),
            "status": "PENDING",
        }  # fmt: skip
    if engine == "GOWS":
        return {"id": message.id, "_data": inner(message, engine)}
    row = message_row(message, session, engine, base_url)
    return {**row, "id": inner(message, engine)["id"]}
