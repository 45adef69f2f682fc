"""Meta's Graph API for one WhatsApp number, in memory: the real protocol for everything the adapter calls.

Drive it from Python (`FakeCloud` in a thread) or over HTTP under `/_sandbox/` (`python -m tests.sandbox.whatsapp_cloud
--port N`). Every send it accepts is in `ledger` before the answer leaves, so a lost answer never hides what a customer
received. Webhooks are signed, and posted until they are answered.
"""

from __future__ import annotations

import base64
import time
from dataclasses import fields
from typing import Any

from .server import Request, Response, as_json, run_as_process
from .speech import recording
from .whatsapp_cloud_graph import Graph
from .whatsapp_cloud_rows import APP_SECRET, OWN_NUMBER, TOKEN, Number, contact, encoded, status, user_id, wamid


class FakeCloud(Graph):
    """One app with one number. Methods may be called from any thread."""

    def __init__(self, token: str = TOKEN, app_secret: str = APP_SECRET) -> None:
        super().__init__(token, app_secret)
        self._routes()

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    def customer_writes(self, phone: str, text: str = "", **more: Any) -> str:
        """A message from a customer, posted as a webhook; returns its id. `more` is as in `customer_sends`."""
        return self.customer_sends(phone, {"type": "text", "text": {"body": text}}, **more)

    def customer_sends(
        self, phone: str, item: dict[str, Any], *, name: str = "Aigul", hidden: bool = False, at: float = 0.0, id: str = ""
    ) -> str:
        """Any message object. `hidden`: the customer has a user name and shows no phone."""
        self.closed.discard(phone)
        self.people[user_id(phone)] = phone
        identifier = id or wamid(phone, f"{self._run}{next(self._serial):08X}")
        row = {"id": identifier, "timestamp": str(int(at or time.time())), **item}
        if not hidden:
            row["from"] = phone
        if self.number.user_ids or hidden:
            row["from_user_id"] = user_id(phone)
        self.post({"contacts": [contact(self.number, phone, name, hidden)], "messages": [row]})
        return identifier

    def customer_speaks(self, phone: str, words: str = "", *, content: bytes = b"", seconds: int = 2, **more: Any) -> str:
        """A voice message: these bytes, or a recording in which the fake model hears `words`."""
        content, mime = (content, "audio/ogg; codecs=opus") if content else (recording(words, seconds=seconds), "audio/wav")
        return self.customer_sends_file(phone, "audio", content, mime, voice=True, **more)

    def customer_sends_file(self, phone: str, kind: str, content: bytes, mime: str, **more: Any) -> str:
        """`caption`, `filename` and `voice` go into the message; the rest is as in `customer_sends`."""
        about: dict[str, Any] = {key: more.pop(key) for key in ("caption", "filename", "voice") if key in more}
        media = {**about, "id": self.keep(content, mime), "mime_type": mime, "sha256": "AA=="}
        return self.customer_sends(phone, {"type": kind, kind: media}, **more)

    def customer_taps(self, phone: str, message_id: str, choice: str) -> str:
        """A tap on the choice with this id (or title) of a message that was sent. Raises LookupError."""
        body = self.sent[message_id].body
        context = {"from": OWN_NUMBER, "id": message_id}
        if body["type"] == "template":
            buttons = [part for part in body["template"].get("components", []) if part["type"] == "button"]
            payload: str = next(
                part["parameters"][0]["payload"] for part in buttons if choice in part["parameters"][0].values()
            )
            return self.customer_sends(
                phone, {"type": "button", "context": context, "button": {"payload": payload, "text": choice}}
            )
        action = body["interactive"]["action"]
        kind = "button_reply" if "buttons" in action else "list_reply"
        rows = [button["reply"] for button in action.get("buttons", ())] or action["sections"][0]["rows"]
        tapped = next((row for row in rows if choice in (row["id"], row["title"])), None)
        if tapped is None:
            raise LookupError(choice)
        reply = {"type": "interactive", "context": context, "interactive": {"type": kind, kind: tapped}}
        return self.customer_sends(phone, reply)

    def owner_types_on_phone(self, phone: str, text: str) -> str:
        """A message that the owner typed in the WhatsApp Business app, of a number that is used in both."""
        identifier = wamid(phone, f"{self._run}{next(self._serial):08X}")
        echo = {"from": self.number.phone, "to": phone, "id": identifier, "timestamp": str(int(time.time()))}
        if self.number.user_ids:
            echo["to_user_id"] = user_id(phone)
        people = [contact(self.number, phone, "", False)]
        told = {"contacts": people, "message_echoes": [{**echo, "type": "text", "text": {"body": text}}]}
        self.post(told, "smb_message_echoes")
        return identifier

    def reports_status(self, message_id: str, word: str, code: int = 131026) -> None:
        self.post({"statuses": [status(self.sent[message_id], self.number, word, int(time.time()), code)]})

    def reports_account(self, change: str, value: dict[str, Any]) -> None:
        """A notice of the account, which names no number."""
        about = {"id": self.number.account, "time": int(time.time()), "changes": [{"field": change, "value": value}]}
        self.post_body(encoded({"object": "whatsapp_business_account", "entry": [about]}))

    def approve(self, name: str, language: str, body: str, *, status: str = "APPROVED", **more: Any) -> None:
        """Add a template. `buttons` are its quick replies; `components` replace everything."""
        components = more.pop("components", None) or [{"type": "BODY", "text": body}]
        if "buttons" in more:
            replies = [{"type": "QUICK_REPLY", "text": text} for text in more.pop("buttons")]
            components = [*components, {"type": "BUTTONS", "buttons": replies}]
        row = {"id": str(next(self._serial)), "name": name, "language": language, "status": status, "category": "UTILITY"}
        self.templates[name, language] = {**row, **more, "components": components}

    # ── Control over HTTP ────────────────────────────────────────────────────────────────────────────────────────────
    def _control(self, method: Any) -> Any:
        """A method called with the fields of a JSON body; a file's content comes as `content_b64`."""

        async def control(request: Request) -> Response:
            wanted: dict[str, Any] = request.json() or {}
            if "content_b64" in wanted:
                wanted["content"] = base64.b64decode(wanted.pop("content_b64"))
            return as_json({"id": method(**wanted)})

        return control

    async def _control_number(self, request: Request) -> Response:
        """Change fields of the number."""
        wanted = request.json()
        for name in {item.name for item in fields(Number)} & wanted.keys():
            setattr(self.number, name, wanted[name])
        return as_json({item.name: getattr(self.number, item.name) for item in fields(Number)})

    async def _control_rules(self, request: Request) -> Response:
        """`{"refused": {phone: code}, "closed": [phone], "holding": bool}`, each where given."""
        wanted = request.json()
        self.refused.update(wanted.get("refused", {}))
        self.closed.update(wanted.get("closed", []))
        self.holding = wanted.get("holding", self.holding)
        return as_json({})

    async def _control_ledger(self, request: Request) -> Response:
        """Accepted sends from number `since` on."""
        return as_json(self.ledger[int(request.query.get("since", 0)) :])

    async def _control_state(self, request: Request) -> Response:
        return as_json({
            "sends": len(self.ledger), "calls": self.calls, "posted": self.posted[-1000:], "typed": len(self.typed),
            "marked": len(self.read), "held": len(self.held),
        })  # fmt: skip

    def _routes(self) -> None:
        for method, path, control in (
            ("POST", "/_sandbox/message", self._control(self.customer_writes)),
            ("POST", "/_sandbox/object", self._control(self.customer_sends)),
            ("POST", "/_sandbox/voice", self._control(self.customer_speaks)),
            ("POST", "/_sandbox/file", self._control(self.customer_sends_file)),
            ("POST", "/_sandbox/tap", self._control(self.customer_taps)),
            ("POST", "/_sandbox/owner", self._control(self.owner_types_on_phone)),
            ("POST", "/_sandbox/receipt", self._control(self.reports_status)),
            ("POST", "/_sandbox/account", self._control(self.reports_account)),
            ("POST", "/_sandbox/template", self._control(self.approve)),
            ("POST", "/_sandbox/release", self._control(self.release)),
            ("POST", "/_sandbox/reset", self._control(self.reset)),
            ("POST", "/_sandbox/number", self._control_number),
            ("POST", "/_sandbox/rules", self._control_rules),
            ("GET", "/_sandbox/ledger", self._control_ledger),
            ("GET", "/_sandbox/state", self._control_state),
        ):
            self.route(method, path)(control)


if __name__ == "__main__":
    run_as_process(FakeCloud())
