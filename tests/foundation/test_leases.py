"""A lease is renewed while the work goes on, and only by its holder."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from channels.models import InboundEvent
from foundation import leases
from tests.conftest import Company

pytestmark = pytest.mark.django_db(transaction=True)


def test_renewing_moves_the_lease_of_the_held_token_only(company: Company) -> None:
    company.says("один")
    company.says("два")
    mine, other = InboundEvent.objects.order_by("id")
    soon = timezone.now() + timedelta(seconds=1)
    token = uuid.uuid4()
    InboundEvent.objects.filter(pk=mine.pk).update(lease_token=token, leased_until=soon)
    InboundEvent.objects.filter(pk=other.pk).update(lease_token=uuid.uuid4(), leased_until=soon)
    leases.renew({InboundEvent._meta.db_table: [token]})
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.leased_until > timezone.now() + timedelta(seconds=leases.LEASE_SECONDS - 5)
    assert other.leased_until == soon


def test_a_lease_that_was_given_back_is_not_renewed(company: Company) -> None:
    company.says("один")
    token = uuid.uuid4()
    InboundEvent.objects.update(lease_token=token, leased_until=None)
    leases.renew({InboundEvent._meta.db_table: [token]})
    assert InboundEvent.objects.get().leased_until is None


def test_held_forgets_the_token_whatever_happens() -> None:
    token = uuid.uuid4()
    with pytest.raises(ZeroDivisionError), leases.held(InboundEvent, token):
        assert token in leases._held
        raise ZeroDivisionError
    assert token not in leases._held
