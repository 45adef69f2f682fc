"""One person, one contact: two that turned out to be the same are merged, and told apart again where that was wrong.

By itself this happens only where a channel attests the phone that another contact has. Whatever points at a contact moves
along, whichever app it belongs to; a row of which a contact can have only one stays behind where the kept one has its own.
"""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OneToOneRel
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from foundation.crypto import name_hashes

from .models import Contact, ContactMerge

logger = logging.getLogger(__name__)

#: What the kept contact takes over where it has none of its own.
_TAKEN = ("phone", "phone_index", "name", "full_name", "business_name", "language", "time_zone")
_VERDICT = ("is_client", "confidence", "reasoning", "classified_at", "verdict_by_id", "verdict_final")
_MOMENTS = ("classified_at", "opted_out_at", "last_message_at")


def merge(kept_id: int, gone_id: int, *, cause: str = ContactMerge.Cause.MANAGER, user: Any = None) -> ContactMerge:
    """Make two contacts one: all that is known of the gone one becomes the kept one's. Raises ValidationError."""
    if kept_id == gone_id:
        raise ValidationError(_("Choose two different contacts."))
    with transaction.atomic():
        kept, gone = _lock(kept_id, gone_id)
        if ContactMerge.objects.filter(gone__in=(kept, gone), undone_at=None).exists():
            raise ValidationError(_("One of the contacts has been merged already."))
        before = _values(kept), _values(gone)
        moved = _move(kept, gone)
        # The phone is unique: the gone one gives it up before the kept one takes it.
        taken = _taken(kept, gone)
        if "phone" in taken:
            _write(gone, {"phone": None, "phone_index": None})
        _write(kept, taken)
        done = ContactMerge.objects.create(
            kept=kept, gone=gone, cause=cause, user=user, moved=moved,
            before={"kept": _changes(before[0], kept), "gone": _changes(before[1], gone)},
        )  # fmt: skip
    logger.info("contacts merged", extra={"kept": kept_id, "gone": gone_id, "cause": str(cause)})
    return done


def undo(merge_id: int, *, user: Any) -> bool:
    """Tell two merged contacts apart again; False where that was done already. What both learnt since stays with the kept
    one. Raises ContactMerge.DoesNotExist, and ValidationError where a later merge has to be undone first."""
    with transaction.atomic():
        done = ContactMerge.objects.select_for_update().get(pk=merge_id)
        if done.undone_at is not None:
            return False
        if ContactMerge.objects.filter(gone_id=done.kept_id, undone_at=None).exists():
            raise ValidationError(_("This contact has been merged into another since: undo that first."))
        kept, gone = _lock(done.kept_id, done.gone_id)
        _restore(kept, done.before["kept"])
        _restore(gone, done.before["gone"])
        for label, field, rows in _moved_rows(done.moved):
            logger.debug("given back", extra={"label": label, "rows": rows.count()})
            rows.filter(**{f"{field}_id": kept.pk}).update(**{f"{field}_id": gone.pk})
        done.undone_at, done.undone_by = timezone.now(), user
        done.save(update_fields=["undone_at", "undone_by"])
    logger.info("merge of contacts undone", extra={"kept": kept.pk, "gone": gone.pk})
    return True


def _lock(kept_id: int, gone_id: int) -> tuple[Contact, Contact]:
    """Both rows, locked in the order of their ids."""
    rows = {row.pk: row for row in Contact.objects.select_for_update().filter(pk__in=(kept_id, gone_id)).order_by("pk")}
    if len(rows) != 2:
        raise ValidationError(_("One of the contacts does not exist any more."))
    return rows[kept_id], rows[gone_id]


def _pointing() -> list[Any]:
    """Every relation of whatever app that points at a contact."""
    return [
        relation for relation in Contact._meta.related_objects
        if relation.related_model is not ContactMerge and not relation.many_to_many
    ]  # fmt: skip


def _move(kept: Contact, gone: Contact) -> dict[str, list[int]]:
    moved = {}
    for relation in _pointing():
        model, field = relation.related_model, relation.field.name
        rows = model._base_manager.filter(**{field: gone})
        if isinstance(relation, OneToOneRel) and model._base_manager.filter(**{field: kept}).exists():
            continue
        ids = list(rows.values_list("pk", flat=True))
        if ids:
            model._base_manager.filter(pk__in=ids).update(**{field: kept})
            moved[f"{model._meta.label_lower}.{field}"] = ids
    return moved


def _moved_rows(moved: dict[str, list[int]]) -> list[tuple[str, str, Any]]:
    known = {f"{r.related_model._meta.label_lower}.{r.field.name}": r for r in _pointing()}
    return [
        (label, known[label].field.name, known[label].related_model._base_manager.filter(pk__in=ids))
        for label, ids in moved.items()
        if label in known
    ]


def _values(contact: Contact) -> dict[str, Any]:
    return {name: getattr(contact, name) for name in (*_TAKEN, *_VERDICT, "opted_out_at", "last_message_at")}


def _taken(kept: Contact, gone: Contact) -> dict[str, Any]:
    """What the kept contact learns from the gone one."""
    taken = {name: getattr(gone, name) for name in _TAKEN if not getattr(kept, name) and getattr(gone, name)}
    if not kept.verdict_final and (gone.verdict_final or (kept.is_client is None and gone.is_client is not None)):
        taken |= {name: getattr(gone, name) for name in _VERDICT}
    # Who asked once not to be written to has asked it of us, on whatever channel.
    taken["opted_out_at"] = min(filter(None, (kept.opted_out_at, gone.opted_out_at)), default=None)
    taken["last_message_at"] = max(filter(None, (kept.last_message_at, gone.last_message_at)), default=None)
    return taken


def _write(contact: Contact, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(contact, name, value)
    contact.name_hashes = name_hashes(contact.name, contact.full_name, contact.business_name)
    contact.save(update_fields=[*values, "name_hashes", "updated_at"])


def _changes(before: dict[str, Any], contact: Contact) -> dict[str, list[Any]]:
    def plain(name: str, value: Any) -> Any:
        return value.isoformat() if name in _MOMENTS and value is not None else value

    after = _values(contact)
    return {name: [plain(name, before[name]), plain(name, after[name])] for name in before if before[name] != after[name]}


def _restore(contact: Contact, changes: dict[str, list[Any]]) -> None:
    """Put back what the merge changed, unless somebody has changed it since."""
    values = {}
    for name, (before, after) in changes.items():
        if name in _MOMENTS:
            before, after = (parse_datetime(value) if value else None for value in (before, after))
        if getattr(contact, name) == after:
            values[name] = before
    if values:
        _write(contact, values)
