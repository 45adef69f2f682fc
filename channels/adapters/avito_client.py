"""Avito's HTTP API for one account: its token, calls, error mapping, chats, histories and files.

A token lives a day; all processes share it (`foundation.tokens`). One that is refused is replaced once within a call.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from django.utils.translation import gettext as _
from urllib3.filepost import encode_multipart_formdata

from channels import links
from channels.base import Access, OutboundFile
from foundation import http, tokens
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed

BASE_URL = "https://api.avito.ru"
#: A token is renewed so many seconds before its end.
EARLY = 3600.0
#: A 403 may speak of a stale token, but not twice within so many seconds.
FORBIDDEN_REST = 600.0
CHATS_PAGE = 50
MESSAGES_PAGE = 100
#: Avito reaches no farther into a list.
FARTHEST = 1000
CHAT_TYPES = "u2i,u2u"
FILE_TIMEOUT = 60.0
MAX_FILE_BYTES = 24 * 1024 * 1024
REDIRECTS = (301, 302, 307, 308)

#: When a 403 last made an account's token be fetched anew (monotonic seconds), by the token's key.
_renewed_at: dict[str, float] = {}
#: The ids of accounts, by the token's key.
_accounts: dict[str, int] = {}


class AvitoClient:
    """Speaks for one account. Raises the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.slug = access.slug
        self.base = (access.base_url or BASE_URL).strip().rstrip("/")
        self._client_id = str(access.credentials.get("client_id") or "").strip()
        self._client_secret = str(access.credentials.get("client_secret") or "").strip()
        self._named = _account_id(access.options.get("user_id"))

    # ── Who we are ───────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def known_account(self) -> int | None:
        """The account's id as the channel's option `user_id` names it, or as it was last asked for; None: not known yet."""
        return self._named or _accounts.get(self._token_key)

    @property
    def account(self) -> int:
        """The account's id, asked for where it is not known yet."""
        return self.known_account or self.whoami()[0]

    def whoami(self) -> tuple[int, str]:
        """The id and the phone (as Avito writes it) of whom the keys belong to."""
        found = self.table("GET", "/core/v1/accounts/self", label="accounts/self")
        account = _account_id(found.get("id"))
        if account is None:
            raise Retry("avito accounts/self: no id in the answer", code="unreadable")
        _accounts[self._token_key] = account
        phone = found.get("phone")
        return account, phone if isinstance(phone, str) else ""

    @cached_property
    def _token_key(self) -> str:
        """Changes with the credentials."""
        secret = "\0".join((self.base, self._client_id, self._client_secret))
        return f"avito:{hashlib.sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"

    def _token(self) -> str:
        if not self._client_id or not self._client_secret:
            raise Unauthorized(_("Avito's client id or client secret is missing."), code="credentials")
        return tokens.shared(self._token_key, self._fetch_token, early=EARLY)

    def _fetch_token(self) -> tuple[str, float]:
        answer = self._ask_token("/token")
        if answer.status in REDIRECTS:
            answer = self._ask_token("/token/")
        if 400 <= answer.status < 500 and answer.status != 429:
            raise Unauthorized(_("Avito refuses the client id and client secret."), code=str(answer.status))
        http.raise_for_status(answer, "avito token", writes=False)
        table = _json(answer)
        table = table if isinstance(table, dict) else {}
        token, life = table.get("access_token"), table.get("expires_in")
        if isinstance(token, str) and re.fullmatch(r"[!-~]+", token):
            return token, float(life) if isinstance(life, int | float) and life > 0 else EARLY
        if "error" in table:
            raise Unauthorized(_("Avito refuses the client id and client secret."), code="credentials")
        raise Retry("avito token: no token in the answer", code="unreadable")

    def _ask_token(self, path: str) -> http.Answer:
        form = {"grant_type": "client_credentials", "client_id": self._client_id, "client_secret": self._client_secret}
        return http.call(
            "POST", f"{self.base}{path}", data=urlencode(form).encode(), writes=False, label="avito token",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        )  # fmt: skip

    # ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def call(
        self,
        method: str,
        path: str,
        *,
        label: str,
        chat: str = "",
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        upload: OutboundFile | None = None,
        writes: bool = False,
        read_timeout: float = http.READ_TIMEOUT,
        deadline: float = http.DEADLINE,
    ) -> Any:
        """Call `<base><path>` and return its JSON; None where an answer has no body. `label` names the call in logs.

        `chat` says that the call concerns one chat only: a refusal may then speak of that chat instead of the account.
        """
        label = f"avito {label}"
        data, content_type = _multipart(upload) if upload else (None, "")
        for attempt in (1, 2):
            token = self._token()
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            answer = http.call(
                method, self.base + path, params=params, json=body, data=data, writes=writes, label=label,
                headers=headers | ({"Content-Type": content_type} if content_type else {}),
                read_timeout=read_timeout, deadline=deadline,
            )  # fmt: skip
            if attempt == 1 and self._may_be_stale(answer.status):
                tokens.forget(self._token_key, token)
                continue
            break
        if answer.status < 300:
            return _read(answer, label, writes)
        raise self._refusal(answer, label, chat, writes)

    def table(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object of an answer."""
        found = self.call(method, path, **options)
        if isinstance(found, dict):
            return found
        raise (Unconfirmed if options.get("writes") else Retry)("avito: an unreadable answer", code="unreadable")

    def messenger(self, method: str, version: int, path: str, **options: Any) -> Any:
        """A call of the messenger, within this account."""
        return self.call(method, f"/messenger/v{version}/accounts/{self.account}/{path}", **options)

    def _may_be_stale(self, status: int) -> bool:
        """Whether a refusal is worth a new token: 401 always, 403 (mostly a missing right) once in a while."""
        if status == 403:
            last = _renewed_at.get(self._token_key)
            if last is not None and time.monotonic() - last < FORBIDDEN_REST:
                return False
            _renewed_at[self._token_key] = time.monotonic()
        return status in (401, 403)

    def _refusal(self, answer: http.Answer, label: str, chat: str, writes: bool) -> ProviderError:
        status = answer.status
        if status == 401:
            return Unauthorized(_("Avito refuses its own access token: check the client id and client secret."), code="401")
        if status == 402:
            return Unauthorized(
                _("Avito's messenger is not in the account's tariff: it needs “Extended” or “Maximum”."), code="402"
            )
        if status == 403 and chat and self._reads_chats():
            return Rejected(_("Avito does not let this account into the chat."), code="blocked")
        if status == 403:
            return Unauthorized(
                _("Avito does not allow it: the tariff lacks access to the API, or the keys lack the right."), code="403"
            )
        if status == 404 and chat:
            return Rejected(_("Avito knows no such chat."), code="blocked")
        try:
            http.raise_for_status(answer, label, writes=writes, detail=_said(_json(answer)))
        except ProviderError as error:
            return error
        return Rejected(f"{label}: HTTP {status}", code=str(status))

    def _reads_chats(self) -> bool:
        """Whether the account may use the messenger at all. Raises Retry where that cannot be asked."""
        try:
            self.prove_messenger()
        except Rejected:
            return False
        return True

    def prove_messenger(self) -> None:
        """Raises Unauthorized where the account's tariff or keys do not reach the messenger."""
        self._page(limit=1, offset=0)

    # ── Chats ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def chats(self, since: float) -> Iterator[dict[str, Any]]:
        """Chats in which something happened since then (unix seconds), as far as Avito's list reaches.

        That the most recent come first is seen, not promised: reading ends with a page on which nothing is recent.
        """
        for offset in range(0, FARTHEST + 1, CHATS_PAGE):
            page = self._page(limit=CHATS_PAGE, offset=offset)
            recent = [chat for chat in page if activity(chat) >= since]
            yield from recent
            if len(page) < CHATS_PAGE or not recent:
                return

    def _page(self, *, limit: int, offset: int) -> list[dict[str, Any]]:
        params = {"limit": limit, "offset": offset, "chat_types": CHAT_TYPES}
        found = self.messenger("GET", 2, "chats", label="chats", params=params)
        chats = found.get("chats") if isinstance(found, dict) else None
        if not isinstance(chats, list):
            raise Retry("avito chats: an unreadable answer", code="unreadable")
        return [chat for chat in chats if isinstance(chat, dict) and isinstance(chat.get("id"), str)]

    def chat(self, chat_id: str) -> dict[str, Any]:
        found = self.messenger("GET", 2, f"chats/{in_path(chat_id)}", label="chat", chat=chat_id)
        if not isinstance(found, dict):
            raise Retry("avito chat: an unreadable answer", code="unreadable")
        return found

    def messages(self, chat_id: str, since: float) -> list[dict[str, Any]]:
        """A chat's messages since then, oldest first. Their order in Avito's answers is not documented."""
        found: dict[str, dict[str, Any]] = {}
        for offset in range(0, FARTHEST + 1, MESSAGES_PAGE):
            page = self._messages(chat_id, offset)
            recent = [row for row in page if not 0 < created(row) < since]
            # Something new may push a row onto the next page while we read: it is still one row.
            found |= {str(row["id"]): row for row in recent}
            if len(page) < MESSAGES_PAGE or not recent:
                break
        return sorted(found.values(), key=lambda row: (created(row), str(row["id"])))

    def _messages(self, chat_id: str, offset: int) -> list[dict[str, Any]]:
        """One page, which is a bare list by the documentation and was seen within an object."""
        params = {"limit": MESSAGES_PAGE, "offset": offset}
        path = f"chats/{in_path(chat_id)}/messages/"
        found = self.messenger("GET", 3, path, label="messages", chat=chat_id, params=params)
        rows = found.get("messages") if isinstance(found, dict) else found
        if not isinstance(rows, list):
            raise Retry("avito messages: an unreadable answer", code="unreadable")
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"]]

    # ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def upload(self, file: OutboundFile) -> str:
        """Hand a picture over and return its id; nothing is sent by that, so it may be repeated."""
        found = self.messenger(
            "POST", 1, "uploadImages", label="uploadImages", upload=file, read_timeout=FILE_TIMEOUT, deadline=FILE_TIMEOUT
        )
        identifier = next(iter(found), "") if isinstance(found, dict) else ""
        if not identifier:
            raise Retry("avito uploadImages: no id in the answer", code="unreadable")
        return str(identifier)

    def voice(self, voice_id: str) -> bytes:
        """A voice message: Opus in an mp4 container. Its link lives an hour, so a new one is asked for each time."""
        found = self.messenger("GET", 1, "getVoiceFiles", label="getVoiceFiles", params={"voice_ids": voice_id})
        links = found.get("voices_urls") if isinstance(found, dict) else None
        link = links.get(voice_id) if isinstance(links, dict) else None
        if not isinstance(link, str) or not link:
            raise Rejected(_("Avito no longer has this voice message."), code="no_file")
        return self.follow(link)

    def follow(self, link: str) -> bytes:
        """Fetch a link to a file, without our token."""
        label = "avito file"
        if not link.startswith(("https://", f"{urlsplit(self.base).scheme}://")):
            raise Rejected(f"{label}: not a link to follow", code="foreign_link")
        return links.fetch(link, label=label, seconds=FILE_TIMEOUT, max_bytes=MAX_FILE_BYTES, public_only=not self._private)

    @cached_property
    def _private(self) -> bool:
        return self.base != BASE_URL and links.in_private_network(self.base)


def in_path(identifier: str) -> str:
    """An opaque id as a part of a path."""
    if not identifier.strip() or identifier.strip(".") == "":
        raise Rejected(_("This is no Avito chat."), code="recipient")
    return quote(identifier, safe="")


def created(row: Mapping[str, Any]) -> float:
    """When a message was written, in unix seconds; 0 where that is not told."""
    return _seconds(row.get("created"))


def activity(chat: Mapping[str, Any]) -> float:
    """When something last happened in a chat, in unix seconds."""
    last = chat.get("last_message")
    return max(_seconds(chat.get("updated")), created(last) if isinstance(last, dict) else 0.0)


def _seconds(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value < 1e11 else 0.0


def _account_id(value: Any) -> int | None:
    """A number, or its digits as somebody typed them."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,19}", value.strip()):
        return int(value) or None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _multipart(file: OutboundFile) -> tuple[bytes, str]:
    field = ("uploadfile[]", (file.name or "image", file.content, file.mime))
    return encode_multipart_formdata([field])


def _read(answer: http.Answer, label: str, writes: bool) -> Any:
    if not answer.body.strip():
        return None
    found = _json(answer)
    if found is None:
        raise (Unconfirmed if writes else Retry)(f"{label}: an unreadable answer", code="unreadable")
    return found


def _json(answer: http.Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _said(table: Any) -> str:
    """What Avito says of a failure, without numbers, addresses and quotations."""
    error = table.get("error", table) if isinstance(table, dict) else None
    text = error.get("message") if isinstance(error, dict) else None
    if not isinstance(text, str):
        return ""
    text = re.sub(r"\"[^\"]*\"|'[^']*'|«[^»]*»|\S*[@/]\S*|\S*\d\S*", "…", text)
    return " ".join(re.sub(r"[^\w\s….,:;-]", " ", text).split())[:80]
