"""Meta's Graph API for one WhatsApp number: calls, errors, and files, which are uploaded and fetched in two steps."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from channels import links
from channels.base import Access, OutboundFile
from foundation import http
from foundation.errors import Rejected, Retry, Unauthorized, Unconfirmed

from .whatsapp_cloud_errors import error_of, number, raise_error

logger = logging.getLogger(__name__)

BASE_URL = "https://graph.facebook.com"
VERSION = "v25.0"
#: Where Meta keeps files. The token goes nowhere else.
MEDIA_DOMAINS = ("fbsbx.com", "graph.facebook.com")
MAX_FILE_BYTES = 100 * 1024 * 1024
FILE_TIMEOUT = 60.0
#: Meta's largest download we take.
MAX_DOWNLOAD_BYTES = 25 * 1024 * 1024
PAGE = 100
MAX_PAGES = 50


class CloudClient:
    """Speaks to one number of one account. Raises the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.slug = access.slug
        self.base = (access.base_url or BASE_URL).rstrip("/")
        self.version = str(access.options.get("graph_version") or VERSION).strip()
        self.number = str(access.options.get("phone_number_id") or "").strip()
        self.account = str(access.options.get("waba_id") or "").strip()
        self._token = str(access.credentials.get("access_token") or "").strip()
        self.media_hosts = _hosts(access.options.get("media_hosts"))
        """Hosts beside Meta's own (`files.example.kz`, with a port where it is not 443) that may hold files."""

    def call(
        self,
        method: str,
        path: str,
        *,
        label: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | None = None,
        content_type: str = "",
        writes: bool = False,
        read_timeout: float = http.READ_TIMEOUT,
        deadline: float = http.DEADLINE,
    ) -> dict[str, Any]:
        """Call `/{version}/{path}` and return the answer's object. `label` names the call in logs, without any id."""
        self._require_credentials()
        label = f"whatsapp {label}"
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Content-Type": content_type} if content_type else {})
        answer = http.call(
            method,
            f"{self.base}/{self.version}/{path}",
            params=params,
            json=body,
            data=data,
            headers=headers,
            writes=writes,
            label=label,
            read_timeout=read_timeout,
            deadline=deadline,
        )
        table = _object(answer)
        if answer.status >= 300 or error_of(table) is not None:
            self._note(table, label, answer.status)
            raise_error(answer, table, label, writes=writes)
        if table is None or answer.status >= 300:
            raise (Unconfirmed if writes else Retry)(f"{label}: an unreadable answer", code="unreadable")
        return table

    def _require_credentials(self) -> None:
        if not re.fullmatch(r"[!-~]+", self._token):
            raise Unauthorized(_("The WhatsApp access token is missing or malformed."), code="credentials")
        if not re.fullmatch(r"\d{1,40}", self.number) or not re.fullmatch(r"\d{1,40}", self.account):
            raise Unauthorized(_("The id of the WhatsApp number or account is missing or malformed."), code="credentials")
        if not re.fullmatch(r"v\d{1,3}\.\d", self.version):
            raise Unauthorized(_("The version of Meta's API looks like v25.0."), code="credentials")

    def _note(self, table: Mapping[str, Any] | None, label: str, status: int) -> None:
        """The trace id is what Meta's support asks for."""
        error = error_of(table) or {}
        trace = error.get("fbtrace_id")
        told = {"channel": self.slug, "call": label, "status": status, "code": number(error.get("code"))}
        safe = isinstance(trace, str) and re.fullmatch(r"[\w-]{1,60}", trace)
        logger.info("whatsapp refused a call", extra=told | {"trace": trace if safe else ""})

    # ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def upload(self, file: OutboundFile) -> str:
        """Hand a file to Meta, which keeps it for 30 days; returns its id. Nobody sees a file uploaded twice."""
        if len(file.content) > MAX_FILE_BYTES:
            raise Rejected(_("The file is too large for WhatsApp."), code="too_large")
        mime = bare_mime(file.mime)
        data, content_type = _form({"messaging_product": "whatsapp", "type": mime}, file.content, mime)
        answer = self.call(
            "POST",
            f"{self.number}/media",
            label="media upload",
            data=data,
            content_type=content_type,
            read_timeout=FILE_TIMEOUT,
            deadline=FILE_TIMEOUT + 10,
        )
        identifier = answer.get("id")
        if not isinstance(identifier, str | int) or not str(identifier):
            raise Retry("whatsapp media upload: no id in the answer", code="no_id")
        return str(identifier)

    def download(self, media_id: str) -> bytes:
        """A file that a message refers to. Its address lives five minutes, so it is asked for anew each time."""
        if not re.fullmatch(r"\d{1,64}", media_id):
            raise Rejected(_("This is no file of WhatsApp."), code="no_file")
        answer = self.call("GET", media_id, label="media", params={"phone_number_id": self.number})
        link = answer.get("url")
        if not isinstance(link, str) or not link:
            raise Rejected("whatsapp media: no address in the answer", code="no_file")
        if number(answer.get("file_size")) > MAX_DOWNLOAD_BYTES:
            raise Rejected(_("The file is too large."), code="too_large")
        if not self._trusted(link):
            raise Rejected("whatsapp media: the link leads to a foreign host", code="foreign_link")
        return self._follow(link)

    def _follow(self, link: str) -> bytes:
        label = "whatsapp media download"
        try:
            return links.fetch(
                link, label=label, seconds=FILE_TIMEOUT, max_bytes=MAX_DOWNLOAD_BYTES, public_only=not self._private,
                headers={"Authorization": f"Bearer {self._token}"},
            )  # fmt: skip
        except Rejected as error:
            if error.code != "404":
                raise
            # The address has run out; the next attempt asks for a new one.
            raise Retry(f"{label}: HTTP 404", code="404") from None

    def _trusted(self, link: str) -> bool:
        return links.leads_to(link, self.base, hosts=self.media_hosts, domains=MEDIA_DOMAINS)

    @cached_property
    def _private(self) -> bool:
        return links.in_private_network(self.base)

    # ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def rows(self, path: str, *, label: str, fields: str) -> list[dict[str, Any]]:
        """All rows of a list that comes in pages."""
        found: list[dict[str, Any]] = []
        after = ""
        for _page in range(MAX_PAGES):
            params = {"fields": fields, "limit": PAGE} | ({"after": after} if after else {})
            table = self.call("GET", path, label=label, params=params)
            page = table.get("data")
            if not isinstance(page, list):
                raise Retry(f"whatsapp {label}: data of an unknown shape", code="unreadable")
            found += [row for row in page if isinstance(row, dict)]
            following = _next_page(table.get("paging"))
            if not page or not following or following == after:
                break
            after = following
        return found


def bare_mime(mime: str) -> str:
    """A MIME type without its parameters; something Meta refuses politely where it is none."""
    bare = mime.partition(";")[0].strip().lower()
    return bare if re.fullmatch(r"[\w.+-]+/[\w.+-]+", bare) else "application/octet-stream"


def _form(fields: Mapping[str, str], content: bytes, mime: str) -> tuple[bytes, str]:
    """A multipart body and its content type. The name of the file is told when it is sent, not here."""
    boundary = f"saudager-{secrets.token_hex(16)}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\nContent-Type: {mime}\r\n\r\n'
    return b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]), (
        f"multipart/form-data; boundary={boundary}"
    )


def _next_page(paging: Any) -> str:
    """The cursor after which the next page begins; empty at the end."""
    if not isinstance(paging, dict) or not isinstance(paging.get("cursors"), dict):
        return ""
    after = paging["cursors"].get("after")
    return after if isinstance(after, str) else ""


def _object(answer: http.Answer) -> dict[str, Any] | None:
    try:
        table = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def _hosts(value: Any) -> frozenset[str]:
    """Host names from a channel's option: a list, or words with commas or spaces between them."""
    words = value if isinstance(value, list) else re.split(r"[\s,;]+", value) if isinstance(value, str) else []
    return frozenset(word.strip().lower().removesuffix(":443") for word in words if isinstance(word, str) and word.strip())
