"""Encryption keys: stored values open with the keys that are configured, and a rotation that was begun is finished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import Error, connection, transaction
from django.utils.translation import gettext as _

from foundation.crypto import CannotOpen, key_prefix, open_sealed
from foundation.db import execute, row, rows
from foundation.fields import EncryptedField

from .findings import Finding, fail, ok, warn

#: Values of each column that are opened: the newest and the oldest.
OPENED = 10
#: Files whose first bytes are looked at, the newest folders first.
FILES = 500
#: Seconds for which a column is searched for values of an older key.
PATIENCE = 20
NAMED = 5


@dataclass(frozen=True, slots=True)
class Column:
    field: EncryptedField
    table: str
    name: str
    pk: str

    @property
    def label(self) -> str:
        return self.field.context


def look() -> Iterator[Finding]:
    columns = list(_columns())
    closed = [column.label for column in columns if not _opens(column)]
    prefixes = [key_prefix(key_id) for key_id in settings.ENCRYPTION_KEYS]
    heads = _file_heads(max(map(len, prefixes)))
    if any(not head.startswith(tuple(prefixes)) for head in heads):
        closed.append("MEDIA_ROOT")
    if closed:
        yield fail(
            "ENCRYPTION_KEYS",
            _("Stored values do not open with the configured keys: %(places)s.") % {"places": _some(closed)},
            _("Put the old keys back (secrets.env, or your copy of them): add them behind the present one, k2:…,k1:…"),
        )
    else:
        yield ok("ENCRYPTION_KEYS", _("stored values open"))
    if len(prefixes) > 1:
        yield _rotation(columns, heads, prefixes[0])


def _columns() -> Iterator[Column]:
    quote = connection.ops.quote_name
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, EncryptedField):
                names = (model._meta.db_table, str(field.column), str(model._meta.pk.column))
                yield Column(field, *map(quote, names))


def _opens(column: Column) -> bool:
    select = f"SELECT {column.name} AS value FROM {column.table} WHERE {column.name} IS NOT NULL"  # noqa: S608  quoted names
    sql = " UNION ALL ".join(f"({select} ORDER BY {column.pk} {way} LIMIT {OPENED})" for way in ("DESC", "ASC"))
    try:
        for found in rows(sql, {}):
            open_sealed(bytes(found.value), column.field.context)
    except CannotOpen:
        return False
    return True


def _file_heads(size: int) -> list[bytes]:
    """The first bytes of sealed files."""
    heads: list[bytes] = []
    for folder in sorted(Path(settings.MEDIA_ROOT).glob("[0-9]*/[0-9]*"), reverse=True):
        for path in folder.iterdir():
            if len(heads) >= FILES:
                return heads
            if path.suffix or not path.is_file():
                continue
            with path.open("rb") as file:
                heads.append(file.read(size))
    return heads


def _rotation(columns: list[Column], heads: list[bytes], prefix: bytes) -> Finding:
    """Only where several keys are configured: with one, what another key sealed does not open at all."""
    left: list[str] = []
    for column in columns:
        try:
            if _carries_another(column, prefix):
                left.append(column.label)
        except Error:
            told = _("%(place)s is too large to be searched for values of the old key.") % {"place": column.label}
            return warn(_("rotation"), told, _("Run “manage.py rotate_keys”: it does nothing where nothing is left to do."))
    if any(not head.startswith(prefix) for head in heads):
        left.append("MEDIA_ROOT")
    if left:
        told = _("Values of an older key are left: %(places)s.") % {"places": _some(left)}
        return warn(
            _("rotation"), told, _("Run “manage.py rotate_keys”, and drop the old key from ENCRYPTION_KEYS afterwards.")
        )
    return ok(_("rotation"), _("finished: the older keys may be dropped, once no backup needs them"))


def _carries_another(column: Column, prefix: bytes) -> bool:
    sql = (
        f"SELECT EXISTS (SELECT FROM {column.table} WHERE {column.name} IS NOT NULL "  # noqa: S608  quoted names
        f"AND substring({column.name} FROM 1 FOR {len(prefix)}) <> %(prefix)s) AS left_over"
    )
    with transaction.atomic():
        execute("SELECT set_config('statement_timeout', %(limit)s, true)", {"limit": f"{PATIENCE}s"})
        found = row(sql, {"prefix": prefix})
    return found is not None and bool(found.left_over)


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
