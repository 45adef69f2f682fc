"""Finding people whose phones and names are stored encrypted: by keyed hashes."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from channels.owners import visible_channels
from foundation.crypto import blind_index, name_hashes
from foundation.phones import canonical

from ..models import Contact, ContactIdentity, source_index


def people(term: str, user: Any, path: str = "") -> Q:
    """Contacts with this phone (in any spelling), with any of these words in a name, or with this id on a channel.

    `path` leads from the searched model to the contact (`contact__`).
    """
    phone = canonical(term)
    every = Contact.objects.order_by().values("pk")
    named = every.filter(name_hashes__overlap=name_hashes(term))
    called = every.filter(phone_index=blind_index(phone or term, "phone"))
    known = ContactIdentity.objects.order_by().filter(
        channel__in=visible_channels(user), source_index__in={source_index(term), source_index(phone or term)}
    )
    # A union, not an OR: each part is answered from its own index.
    return Q(**{f"{path}pk__in": named.union(called, known.values("contact"), all=True)})
