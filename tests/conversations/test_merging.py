"""One person by phone across channels is one contact; a wrong merge leaves no trace once undone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from channels.base import Sender
from conversations import contacts, merging
from conversations.models import Contact, ContactMerge, Conversation
from sales.models import Qualification

from .rows import a_channel, a_conversation, a_manager, english  # noqa: F401

pytestmark = pytest.mark.django_db
PHONE = "77011234567"


@pytest.fixture
def pair() -> tuple[Conversation, Conversation]:
    """A client with a phone, and the same person without one on another channel."""
    known = a_conversation(a_channel(), phone=PHONE, name="Азамат")
    hidden = a_conversation(a_channel(), full_name="Азамат Оспанов")
    return known, hidden


def _row(contact: Contact) -> dict[str, Any]:
    fields = Contact.objects.values().get(pk=contact.pk)
    return {name: value for name, value in fields.items() if name != "updated_at"}


def test_everything_of_the_gone_one_is_the_kept_ones(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    Qualification.objects.create(contact=hidden.contact, stage="problem")
    merging.merge(known.contact_id, hidden.contact_id, user=a_manager())
    hidden.refresh_from_db()
    hidden.identity.refresh_from_db()
    kept = Contact.objects.get(pk=known.contact_id)
    assert hidden.contact == hidden.identity.contact == kept
    assert (kept.name, kept.full_name, kept.phone) == ("Азамат", "Азамат Оспанов", PHONE)
    assert kept.qualification.stage == "problem"


def test_what_only_one_can_have_stays_behind(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    for conversation, stage in ((known, "situation"), (hidden, "problem")):
        Qualification.objects.create(contact=conversation.contact, stage=stage)
    merging.merge(known.contact_id, hidden.contact_id)
    assert Qualification.objects.get(contact=known.contact_id).stage == "situation"
    assert Qualification.objects.get(contact=hidden.contact_id).stage == "problem"


def test_the_phone_goes_along(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    merging.merge(hidden.contact_id, known.contact_id)
    hidden.contact.refresh_from_db()
    known.contact.refresh_from_db()
    assert (hidden.contact.phone, known.contact.phone) == (PHONE, None)


def test_who_opted_out_once_has_opted_out(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    Contact.objects.filter(pk=hidden.contact_id).update(opted_out_at=timezone.now())
    merging.merge(known.contact_id, hidden.contact_id)
    known.contact.refresh_from_db()
    assert known.contact.opted_out_at is not None


def test_a_managers_verdict_wins(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    Contact.objects.filter(pk=known.contact_id).update(is_client=False, confidence=0.9)
    Contact.objects.filter(pk=hidden.contact_id).update(is_client=True, verdict_final=True)
    merging.merge(known.contact_id, hidden.contact_id)
    known.contact.refresh_from_db()
    assert (known.contact.is_client, known.contact.verdict_final) == (True, True)


@pytest.mark.parametrize("kept_first", [True, False])
def test_undone_it_leaves_no_trace(pair: tuple[Conversation, Conversation], kept_first: bool) -> None:
    known, hidden = pair
    kept, gone = (known, hidden) if kept_first else (hidden, known)
    Qualification.objects.create(contact=gone.contact, stage="problem")
    Contact.objects.filter(pk=gone.contact_id).update(
        is_client=True, verdict_final=True, opted_out_at=timezone.now() - timedelta(days=2), last_message_at=timezone.now()
    )
    before = _row(kept.contact), _row(gone.contact)
    done = merging.merge(kept.contact_id, gone.contact_id)
    assert (_row(kept.contact), _row(gone.contact)) != before
    assert merging.undo(done.pk, user=None)
    assert (_row(kept.contact), _row(gone.contact)) == before
    gone.refresh_from_db()
    gone.identity.refresh_from_db()
    assert gone.contact_id == gone.identity.contact_id == before[1]["id"] == Qualification.objects.get().contact_id
    assert not merging.undo(done.pk, user=None)


def test_what_a_manager_changed_since_stays(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    done = merging.merge(known.contact_id, hidden.contact_id)
    kept = Contact.objects.get(pk=known.contact_id)
    kept.full_name = "Азамат О."
    kept.save(update_fields=["full_name"])
    merging.undo(done.pk, user=None)
    kept.refresh_from_db()
    assert kept.full_name == "Азамат О."


def test_merges_are_undone_in_the_opposite_order(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    third = a_conversation(a_channel(), name="Азамат из Алматы")
    first = merging.merge(known.contact_id, hidden.contact_id)
    second = merging.merge(third.contact_id, known.contact_id)
    with pytest.raises(ValidationError):
        merging.undo(first.pk, user=None)
    assert merging.undo(second.pk, user=None)
    assert merging.undo(first.pk, user=None)


def test_nobody_is_merged_twice_or_with_themselves(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    with pytest.raises(ValidationError):
        merging.merge(known.contact_id, known.contact_id)
    merging.merge(known.contact_id, hidden.contact_id)
    third = a_conversation(a_channel())
    with pytest.raises(ValidationError):
        merging.merge(third.contact_id, hidden.contact_id)
    with pytest.raises(ValidationError):
        merging.merge(hidden.contact_id, third.contact_id)
    with pytest.raises(ValidationError):
        merging.merge(known.contact_id, 10**9)


def test_an_attested_phone_of_another_contact_shows_that_they_are_one(pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    learnt = contacts.learn(hidden.contact, Sender("123@lid", phone=PHONE, name="Аза"))
    assert learnt.pk == known.contact_id
    hidden.refresh_from_db()
    assert hidden.contact_id == known.contact_id
    assert ContactMerge.objects.get().cause == ContactMerge.Cause.PHONE


def test_a_phone_that_nobody_has_is_learnt(pair: tuple[Conversation, Conversation]) -> None:
    _known, hidden = pair
    assert contacts.learn(hidden.contact, Sender("123@lid", phone="77770001122")).phone == "77770001122"
    assert not ContactMerge.objects.exists()


# ── The pages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_manager_merges_two_and_tells_them_apart_again(client: Any, pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    manager = a_manager()
    for channel in {known.channel, hidden.channel}:
        channel.team.add(manager)
    client.force_login(manager)
    lists = "/admin/conversations/contact/"
    chosen = {"action": "merge_two", "_selected_action": [hidden.contact_id, known.contact_id]}
    page = client.post(lists, chosen, follow=True).content.decode()
    assert "Merged into Азамат" in page
    assert f"/admin/conversations/contact/{hidden.contact_id}/change/" not in page
    done = ContactMerge.objects.get()
    assert (done.kept_id, done.gone_id) == (known.contact_id, hidden.contact_id)
    undo = f"{lists}{known.contact_id}/merges/{done.pk}/undo/"
    assert undo in client.get(f"{lists}{known.contact_id}/change/").content.decode()
    assert "The contacts are two again." in client.post(undo, follow=True).content.decode()
    assert f"/admin/conversations/contact/{hidden.contact_id}/change/" in client.get(lists).content.decode()


def test_merging_needs_exactly_two(client: Any, pair: tuple[Conversation, Conversation]) -> None:
    client.force_login(a_manager())
    chosen = {"action": "merge_two", "_selected_action": [pair[0].contact_id]}
    page = client.post("/admin/conversations/contact/", chosen, follow=True).content.decode()
    assert "Choose exactly two contacts" in page
    assert not ContactMerge.objects.exists()


def test_who_may_not_see_a_contact_cannot_undo_its_merge(client: Any, pair: tuple[Conversation, Conversation]) -> None:
    known, hidden = pair
    known.channel.owner = a_manager()
    known.channel.save()
    hidden.channel.owner = known.channel.owner
    hidden.channel.save()
    done = merging.merge(known.contact_id, hidden.contact_id)
    client.force_login(a_manager())
    answer = client.post(f"/admin/conversations/contact/{known.contact_id}/merges/{done.pk}/undo/")
    assert answer.status_code == 404
    done.refresh_from_db()
    assert done.undone_at is None
