"""Model fields whose values are sealed with AES-256-GCM in the database (see `foundation.crypto`).

They cannot be filtered by value (use a blind index beside them); `isnull` works.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from .crypto import open_sealed, seal

if TYPE_CHECKING:
    Field = models.Field[Any, Any]
else:
    Field = models.Field


class EncryptedField(Field):
    """Base: Python value ⇄ bytes by `to_bytes`/`from_bytes`, bytes ⇄ column by sealing."""

    def get_internal_type(self) -> str:
        return "BinaryField"

    @property
    def context(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def to_bytes(self, value: Any) -> bytes:
        raise NotImplementedError

    def from_bytes(self, raw: bytes) -> Any:
        raise NotImplementedError

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None else connection.Database.Binary(self.seal(value))

    def seal(self, value: Any) -> bytes:
        """The column value for `value`, for statements written as SQL."""
        return seal(self.to_bytes(value), self.context)

    def open(self, stored: Any) -> Any:
        """The Python value of a column read by SQL."""
        return None if stored is None else self.from_bytes(open_sealed(bytes(stored), self.context))

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return self.open(value)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name not in ("isnull",):
            return None
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))


class EncryptedTextField(EncryptedField):
    """Text sealed at rest. Empty text is stored as empty text, None as NULL."""

    def to_bytes(self, value: Any) -> bytes:
        return str(value).encode()

    def from_bytes(self, raw: bytes) -> str:
        return raw.decode()

    def to_python(self, value: Any) -> str | None:
        return None if value is None else str(value)

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        widget = {} if self.choices else {"widget": forms.Textarea(attrs={"rows": 3})}
        return super().formfield(**{"form_class": forms.CharField, **widget, **kwargs})


class EncryptedCharField(EncryptedTextField):
    """As EncryptedTextField, with a one-line form field."""

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return super().formfield(**{"widget": forms.TextInput(attrs={"class": "vTextField"}), **kwargs})


class EncryptedJSONField(EncryptedField):
    """A JSON document sealed at rest."""

    def to_bytes(self, value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder).encode()

    def from_bytes(self, raw: bytes) -> Any:
        return json.loads(raw)

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return super().formfield(**{"form_class": forms.JSONField, **kwargs})


class EncryptedBinaryField(EncryptedField):
    """Bytes sealed at rest."""

    def to_bytes(self, value: Any) -> bytes:
        return bytes(value)

    def from_bytes(self, raw: bytes) -> bytes:
        return raw
