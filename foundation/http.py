"""One HTTP client for every provider: both timeouts, a wall-clock deadline, a size cap, and our four error words.

Exactly one layer retries, and it is never this one.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import loads
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .addresses import addresses_of, is_public
from .errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 15.0
DEADLINE = 25.0
MAX_BYTES = 25 * 1024 * 1024
POOL_SIZE = 64
#: Failures from before the request left. Other TLS errors may strike while the answer is awaited, after it was carried out.
NEVER_CONNECTED = (
    "NewConnectionError",
    "NameResolutionError",
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
    "HANDSHAKE_FAILURE",
)

#: Told of each call that ended: its label, its HTTP status or a word for what went wrong, and milliseconds. An observer
#: never raises and never waits.
observers: list[Callable[[str, str, int], None]] = []

_local = threading.local()


def _adapter(public_only: bool = False) -> HTTPAdapter:
    """One connection pool a thread. Without a session there are no cookies, proxies or redirects to guard against."""
    name = "public_adapter" if public_only else "adapter"
    adapter: HTTPAdapter | None = getattr(_local, name, None)
    if adapter is None:
        kind = _PublicAdapter if public_only else HTTPAdapter
        adapter = kind(pool_connections=8, pool_maxsize=POOL_SIZE, max_retries=0)
        setattr(_local, name, adapter)
    return adapter


class _PublicOnly(HTTPConnection):
    """Connects to the very address that was looked at: a name that resolves anew in between cannot lead elsewhere."""

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            found = addresses_of(name, self.port or self.default_port)
        except OSError as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        if not found or not all(map(is_public, found)):
            raise Rejected("the link does not lead to a public address", code="private_address")
        self._dns_host = found[0]
        try:
            return super()._new_conn()
        finally:
            # Host header, SNI and certificate go by the name.
            self._dns_host = name


class _PublicOnlyTLS(_PublicOnly, HTTPSConnection):
    pass


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = _PublicOnly


class _PublicTLSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicOnlyTLS


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicTLSPool}


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return loads(self.body)


def call(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    writes: bool,
    label: str,
    read_timeout: float = READ_TIMEOUT,
    deadline: float = DEADLINE,
    max_bytes: int = MAX_BYTES,
    public_only: bool = False,
) -> Answer:
    """Make one request and return whatever answer came, of any status.

    `writes` says whether repeating the request could do something twice: then a lost answer is `Unconfirmed`, otherwise
    `Retry`. `label` names the call in logs; the URL, which may carry secrets, is never logged. Redirects are not
    followed. With `public_only` no address of a private network is connected to: for links that others gave us. Raises
    Retry, Unconfirmed; Rejected for an answer that is too large and a private address.
    """
    started = time.monotonic()
    lost = Unconfirmed if writes else Retry
    try:
        request = requests.Request(
            method, url, params=params, json=json, data=data, headers={"User-Agent": "Saudager", **(headers or {})}
        ).prepare()
        if not (request.url or "").startswith(("http://", "https://")):
            raise requests.exceptions.InvalidSchema(label)
        with _adapter(public_only).send(request, stream=True, timeout=(CONNECT_TIMEOUT, read_timeout)) as response:
            body = _read(response, started + deadline, max_bytes, lost, label)
            answer = Answer(response.status_code, response.headers, body)
    except ProviderError as error:
        _ended(label, error.code, started)
        raise
    except (requests.exceptions.ConnectTimeout, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        _ended(label, type(error).__name__, started)
        raise Retry(f"{label}: no connection", code="connect") from None
    except requests.exceptions.ConnectionError as error:
        never_connected = any(word in repr(error) for word in NEVER_CONNECTED)
        _ended(label, type(error).__name__, started)
        if never_connected:
            raise Retry(f"{label}: no connection", code="connect") from None
        raise lost(f"{label}: connection lost", code="connection") from None
    except requests.exceptions.Timeout as error:
        _ended(label, type(error).__name__, started)
        raise lost(f"{label}: no answer in time", code="timeout") from None
    except requests.exceptions.RequestException as error:
        _ended(label, type(error).__name__, started)
        raise lost(f"{label}: {type(error).__name__}", code="transport") from None
    _ended(label, str(answer.status), started)
    return answer


def _read(response: requests.Response, until: float, max_bytes: int, lost: type[ProviderError], label: str) -> bytes:
    """Read the answer as it comes: `iter_content` waits for a full chunk, without end where a server drips."""
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            chunk = response.raw.read1(64 * 1024, decode_content=True)
        except urllib3.exceptions.HTTPError:
            raise lost(f"{label}: the answer broke off", code="connection") from None
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        if size > max_bytes:
            error = Unconfirmed if lost is Unconfirmed else Rejected
            raise error(f"{label}: the answer is larger than {max_bytes} bytes", code="too_large")
        if time.monotonic() > until:
            raise lost(f"{label}: the answer dripped past its deadline", code="deadline")
        chunks.append(chunk)


def raise_for_status(answer: Answer, label: str, *, writes: bool, detail: str = "") -> None:
    """Turn an HTTP status into our words; a provider overrides what its own error body says otherwise.

    `detail` must be free of personal data.
    """
    status, text = answer.status, f"{label}: HTTP {answer.status}{f' {detail}' if detail else ''}"
    if status < 300:
        return
    if status in (401, 402, 403):
        raise Unauthorized(text, code=str(status))
    if status == 429:
        raise Retry(text, code="429", after=retry_after(answer))
    if status == 503:
        raise Retry(text, code="503", after=retry_after(answer))
    if status >= 500:
        raise (Unconfirmed if writes else Retry)(text, code=str(status))
    raise Rejected(text, code=str(status))


def retry_after(answer: Answer) -> float | None:
    """Seconds of a Retry-After header in its number or date form."""
    value = answer.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime

    from django.utils import timezone

    try:
        return max(0.0, (parsedate_to_datetime(value) - timezone.now()).total_seconds())
    except (ValueError, TypeError):
        return None


def _ended(label: str, outcome: str, started: float) -> None:
    ms = round((time.monotonic() - started) * 1000)
    logger.info("provider call", extra={"call": label, "outcome": outcome, "ms": ms})
    for observer in observers:
        observer(label, outcome, ms)
