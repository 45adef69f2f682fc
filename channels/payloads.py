"""JSON as providers post it, and as raw events keep it."""

from __future__ import annotations

import json
from typing import Any

from foundation.errors import Unreadable


def loaded(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Unreadable for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("not a JSON object")
    return value


def dumped(value: Any) -> bytes:
    """Compact JSON in UTF-8; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
