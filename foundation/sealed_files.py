"""Files sealed at rest under `MEDIA_ROOT/<yyyy>/<mm>/<random name>`; rows keep their names."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from .crypto import open_sealed, seal

_NAME = re.compile(r"\d{4}/\d{2}/[0-9a-f]{32}")


def write(content: bytes) -> str:
    """Store the sealed bytes under a new random name; whole or not at all. Raises OSError."""
    name = f"{timezone.now():%Y/%m}/{secrets.token_hex(16)}"
    _path(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _put(name, content)
    return name


def read(name: str) -> bytes | None:
    """The bytes under a name, or None where there are none. Raises OSError, and CannotOpen."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return open_sealed(_path(name).read_bytes(), _context(name))
    except FileNotFoundError:
        return None


def remove(name: str) -> None:
    """Forget a file; one that is gone already is no error."""
    if _NAME.fullmatch(name):
        _path(name).unlink(missing_ok=True)


def rotate(prefix: bytes) -> int:
    """Seal the files anew that carry another key than the one with this prefix. Returns how many. Raises CannotOpen."""
    count = 0
    for name in _names():
        try:
            sealed = _path(name).read_bytes()
        except FileNotFoundError:
            continue
        if not sealed.startswith(prefix):
            _put(name, open_sealed(sealed, _context(name)))
            count += 1
    return count


def _names() -> Iterator[str]:
    root = Path(settings.MEDIA_ROOT)
    names = (path.relative_to(root).as_posix() for path in root.glob("[0-9]*/[0-9]*/*"))
    return (name for name in names if _NAME.fullmatch(name))


def _path(name: str) -> Path:
    return Path(settings.MEDIA_ROOT) / name


def _context(name: str) -> str:
    """A file under another one's name does not open."""
    return f"media/{name}"


def _put(name: str, content: bytes) -> None:
    """Write beside the place and rename, so that nobody ever sees half a file."""
    path = _path(name)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(seal(content, _context(name)))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        _sync(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
