"""`manage.py rotate_keys`: seal everything anew with the first key of ENCRYPTION_KEYS.

Put a new key first (`ENCRYPTION_KEYS=k2:…,k1:…`), restart, run this while the product works, then drop the old key.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection

from foundation import sealed_files
from foundation.crypto import key_prefix, open_sealed, seal
from foundation.db import execute, rows
from foundation.fields import EncryptedField

BATCH = 500


class Command(BaseCommand):
    help = "Seal every encrypted value and file anew with the first key of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        key_id = next(iter(settings.ENCRYPTION_KEYS))
        for model in apps.get_models():
            for field in model._meta.local_fields:
                if isinstance(field, EncryptedField):
                    count = rotate(field, key_prefix(key_id))
                    self.stdout.write(f"{field.context}: {count}")
        self.stdout.write(f"files: {sealed_files.rotate(key_prefix(key_id))}")


def rotate(field: EncryptedField, prefix: bytes) -> int:
    """Rewrite the values of one column that carry another key. Returns how many. Raises CannotOpen.

    A value that changes meanwhile is left alone: whoever changed it used the new key already.
    """
    quote = connection.ops.quote_name
    table, column, pk = quote(field.model._meta.db_table), quote(str(field.column)), quote(str(field.model._meta.pk.column))
    size, last, count = len(prefix), None, 0
    while True:
        found = rows(
            f"SELECT {pk} AS id, {column} AS value FROM {table} WHERE {column} IS NOT NULL "  # noqa: S608  quoted names
            f"AND substring({column} FROM 1 FOR {size}) <> %(prefix)s AND (%(last)s::bigint IS NULL OR {pk} > %(last)s) "
            f"ORDER BY {pk} LIMIT {BATCH}",
            {"prefix": prefix, "last": last},
        )
        if not found:
            return count
        for item in found:
            old = bytes(item.value)
            new = seal(open_sealed(old, field.context), field.context)
            count += execute(
                f"UPDATE {table} SET {column} = %(new)s WHERE {pk} = %(id)s AND {column} = %(old)s",  # noqa: S608
                {"new": new, "old": old, "id": item.id},
            )
        last = found[-1].id
