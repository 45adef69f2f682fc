"""What happens in conversations, for the rooms above. Each is sent inside the transaction that makes it true, under the
conversation's lock: a receiver writes its rows into the same commit, and its failure undoes the whole."""

from __future__ import annotations

from django.dispatch import Signal

#: A customer's message was stored: `conversation_id`.
customer_wrote = Signal()
#: A person leads from now on, or the exchange was closed: `conversation_id`.
person_leads = Signal()
#: A customer wrote for the first time, their source became known, or they were found to be a client: `conversation_id`.
customer_appeared = Signal()
#: A customer has shut the channel out, so nothing unasked reaches them: `conversation_id`.
customer_lost = Signal()
#: A customer told the provider that they want nothing unasked: `contact_id`.
customer_opted_out = Signal()
#: A conversation that did well so far needs a person: `conversation_id`.
person_wanted = Signal()
