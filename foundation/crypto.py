"""Encryption at rest and blind indexes.

A sealed value is bytes: `version (1) | length of key id (1) | key id | nonce (12) | AES-256-GCM ciphertext and tag`.
The associated data is the `table.column` it was written for, so a value moved to another column does not open.
Keys come from `settings.ENCRYPTION_KEYS` (ordered mapping of key id to 32 bytes; the first one seals, all open) and
`settings.INDEX_KEY` (a separate 32-byte key for the keyed hashes by which sealed values are found).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.utils.translation import gettext_lazy as _

VERSION = 1
NONCE_SIZE = 12


class CannotOpen(Exception):
    """A sealed value does not open: unknown key, wrong column, or altered bytes."""


@lru_cache(maxsize=16)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


def seal(plain: bytes, context: str) -> bytes:
    """Encrypt `plain` for `context` (`table.column`) with the first configured key."""
    key_id, key = next(iter(settings.ENCRYPTION_KEYS.items()))
    nonce = os.urandom(NONCE_SIZE)
    name = key_id.encode("ascii")
    return bytes((VERSION, len(name))) + name + nonce + _cipher(key).encrypt(nonce, plain, context.encode())


def open_sealed(sealed: bytes, context: str) -> bytes:
    """Decrypt a value made by `seal` for the same context. Raises CannotOpen."""
    name, body = split(sealed)
    key = settings.ENCRYPTION_KEYS.get(name)
    if key is None:
        raise CannotOpen(_("no encryption key with id %(id)s is configured") % {"id": name})
    try:
        return _cipher(key).decrypt(body[:NONCE_SIZE], body[NONCE_SIZE:], context.encode())
    except InvalidTag as error:
        raise CannotOpen(_("a sealed value of %(context)s does not open") % {"context": context}) from error


def split(sealed: bytes) -> tuple[str, bytes]:
    """The key id of a sealed value, and its nonce with ciphertext."""
    if len(sealed) < 2 + NONCE_SIZE or sealed[0] != VERSION:
        raise CannotOpen(_("not a sealed value"))
    end = 2 + sealed[1]
    return sealed[2:end].decode("ascii", "replace"), sealed[end:]


def key_prefix(key_id: str) -> bytes:
    """The first bytes of every value sealed with this key, to find what a rotation still has to rewrite."""
    name = key_id.encode("ascii")
    return bytes((VERSION, len(name))) + name


def blind_index(value: str, kind: str) -> str:
    """A keyed hash by which an encrypted value is found. `kind` keeps phones, names and source ids apart."""
    text = unicodedata.normalize("NFKC", value).strip().casefold()
    return hmac.new(settings.INDEX_KEY, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()


def name_hashes(*names: str) -> list[str]:
    """Blind indexes of every word of the given names, so that a person is found by any part of a name."""
    words = {word for name in names for word in name.replace("-", " ").split() if len(word) > 1}
    return sorted(blind_index(word, "name") for word in words)


def matches(given: str, secret: str) -> bool:
    """Compare what was given with a secret without telling by the time how much was right. Nothing matches an empty one."""
    return bool(secret) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))
