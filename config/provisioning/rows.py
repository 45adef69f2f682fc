"""Bringing one row in line with the file: compared, validated as the admin would, saved only where something differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, ProtectedError

from .reading import ProvisionError
from .report import Change, Report, shown

Row = TypeVar("Row", bound=Model)

SECRET_FIELDS = frozenset({"api_key", "credentials", "address", "title", "code"})


def put(
    report: Report,
    kind: str,
    row: Row,
    name: str,
    values: Mapping[str, Any],
    *,
    remark: str = "",
    extra: list[Change] | None = None,
    whole: bool = True,
) -> Row:
    """Give a row (new or stored) these values and save it if it is new or they differ.

    `extra` are differences outside of the row that belong to it in the report. With `whole=False` the model's own
    `clean` is left out: what is switched off may be incomplete. Raises ProvisionError.
    """
    new = row._state.adding
    changes: list[Change] = []
    for field, value in values.items():
        old = getattr(row, field)
        if old != value:
            changes += _differences(field, old, value)
            setattr(row, field, value)
    if new or changes:
        try:
            row.clean_fields()
            if whole:
                row.clean()
            row.validate_unique()
            row.validate_constraints()
        except ValidationError as error:
            raise ProvisionError(f"{kind} {name}: {_told(error)}") from None
        row.save()
    changes += extra or []
    report.add(kind, name, "created" if new else "changed" if changes else "unchanged", changes, remark)
    return row


def _differences(field: str, old: Any, new: Any) -> list[Change]:
    secret = field in SECRET_FIELDS
    if isinstance(new, dict) and isinstance(old, dict | None):
        old = old or {}
        names = [name for name in (*old, *(n for n in new if n not in old)) if old.get(name) != new.get(name)]
        return [Change(f"{field}.{n}", shown(old.get(n), secret=secret), shown(new.get(n), secret=secret)) for n in names]
    return [Change(field, shown(old, secret=secret), shown(new, secret=secret))]


def _told(error: ValidationError) -> str:
    if hasattr(error, "error_dict"):
        return "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
    return " ".join(error.messages)


def remove(report: Report, kind: str, row: Model | None, name: str) -> None:
    """Delete a row that the file wants absent. Raises ProvisionError where other rows stand on it."""
    if row is None:
        report.add(kind, name, "absent")
        return
    try:
        row.delete()
    except ProtectedError as error:
        users = ", ".join(sorted({str(used._meta.verbose_name) for used in error.protected_objects}))
        raise ProvisionError(f"{kind} {name} cannot be deleted, it is in use by: {users}.") from None
    report.add(kind, name, "deleted")
