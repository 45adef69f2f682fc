"""What managers are told in their own chats: planned within the commit that gives cause, sent from a list, swept if lost.

A notice carries no words until it is sent; then it says who, on which channel, about what, and where to look, and never
what was written. It leaves at least once: an alert that is missing is worse than one that comes twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from foundation import leases, steps
from foundation.db import execute, row, rows
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized
from foundation.leases import LEASE

from . import manager_chats, manager_ways, notices, signals
from .models import Conversation, ManagerChat, ManagerNotice

logger = logging.getLogger(__name__)

#: Attempts that failed in whatever way, and seconds between two.
MOST_ATTEMPTS = 12
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0
#: Longer waits are left to the sweeper.
LONGEST_HINT = 60.0
#: Whoever hears of it later than this has seen it elsewhere.
GIVE_UP_AFTER = "24 hours"


# ── Planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _appeared(conversation_id: int, **_more: Any) -> None:
    """A conversation began, its source became known, or its contact was found to be a client."""
    found = Conversation.objects.select_related("channel", "contact").get(pk=conversation_id)
    wanted = Q(leads=True) if found.source else Q(every_client=True)
    if not found.source and found.channel.moderation and found.contact.is_client is not True:
        return
    _plan(found, ManagerNotice.Kind.LEAD, wanted)


def _wanted(conversation_id: int, **_more: Any) -> None:
    """A conversation that did well so far needs a person."""
    found = Conversation.objects.get(pk=conversation_id)
    _plan(found, ManagerNotice.Kind.CALL, Q(calls=True), number=found.last_seq)


signals.customer_appeared.connect(_appeared)
signals.person_wanted.connect(_wanted)


def _plan(conversation: Conversation, kind: str, wanted: Q, number: int = 0) -> None:
    """Put the notice on the list of every chat that is told of this channel, unless it is there already."""
    for chat in manager_chats.told_of(conversation.channel_id, wanted):
        planned = row(
            """
            INSERT INTO conversations_managernotice (chat_id, kind, conversation_id, number)
            VALUES (%(chat)s, %(kind)s, %(conversation)s, %(number)s)
            ON CONFLICT (chat_id, conversation_id, kind, number) DO NOTHING RETURNING id
            """,
            {"chat": chat.pk, "kind": str(kind), "conversation": conversation.pk, "number": number},
        )
        if planned is not None:
            steps.start("tell", planned.id)


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_CLAIM = f"""
UPDATE conversations_managernotice
SET lease_token = gen_random_uuid(), leased_until = now() + {LEASE}, attempts = attempts + 1, swept_at = NULL
WHERE id = %(id)s AND state = 'queued' AND next_attempt_at <= now() + interval '20 milliseconds'
  AND (leased_until IS NULL OR leased_until < now())
RETURNING id, lease_token, attempts, error, created_at < now() - interval '{GIVE_UP_AFTER}' AS late
"""  # noqa: S608


def tell(notice_id: int) -> None:
    """Send one notice. Safe to run twice."""
    claimed = row(_CLAIM, {"id": notice_id})
    if claimed is None:
        return
    notice = ManagerNotice.objects.select_related(
        "chat", "conversation__contact", "conversation__channel"
    ).get(pk=notice_id)  # fmt: skip
    if claimed.late or claimed.attempts > MOST_ATTEMPTS:
        _fail(claimed, notice.chat, claimed.error or _("It failed too often."))
        return
    if _is_void(notice):
        _end(claimed, ManagerNotice.State.VOID)
        return
    with leases.held(ManagerNotice, claimed.lease_token):
        try:
            _send(claimed, notice)
        except Exception as error:
            # The top of the step: whatever it was is logged, and tried again from the row.
            logger.exception("notice failed", extra={"notice": notice_id})
            _later(claimed, type(error).__name__)


def _send(claimed: Any, notice: ManagerNotice) -> None:
    try:
        manager_ways.send(notice.chat, f"notice-{notice.pk}", text(notice))
    except Rejected as error:
        if not isinstance(error, Unauthorized):
            _fail(claimed, notice.chat, str(error))
            return
        _later(claimed, str(error), after=LONGEST_WAIT)
    except ProviderError as error:
        # An answer that was lost, too: twice is better than never.
        _later(claimed, str(error), after=error.after if isinstance(error, Retry) else None)
    else:
        _end(claimed, ManagerNotice.State.SENT)
        if notice.chat.error:
            _note_trouble(notice.chat, "")


def _is_void(notice: ManagerNotice) -> bool:
    """Somebody looked after it meanwhile, or the chat is not to be told any more."""
    if not notice.chat.enabled:
        return True
    needed = notice.conversation is None or notice.conversation.needs_attention
    return notice.kind == ManagerNotice.Kind.CALL and not needed


def _later(claimed: Any, error: str, *, after: float | None = None) -> None:
    wait = after if after is not None else min(FIRST_WAIT * 2 ** (claimed.attempts - 1), LONGEST_WAIT)
    moved = execute(
        """
        UPDATE conversations_managernotice
        SET lease_token = NULL, leased_until = NULL, error = %(error)s,
            next_attempt_at = now() + make_interval(secs => %(wait)s)
        WHERE id = %(id)s AND lease_token = %(token)s
        """,
        {"id": claimed.id, "token": claimed.lease_token, "error": error[:300], "wait": wait},
    )
    if moved and wait <= LONGEST_HINT:
        steps.start("tell", claimed.id, delay=wait)


def _fail(claimed: Any, chat: ManagerChat, error: str) -> None:
    if _end(claimed, ManagerNotice.State.FAILED, error):
        _note_trouble(chat, error)


def _end(claimed: Any, state: str, error: str = "") -> bool:
    return bool(
        execute(
            """
            UPDATE conversations_managernotice
            SET state = %(state)s, error = %(error)s, ended_at = now(), lease_token = NULL, leased_until = NULL
            WHERE id = %(id)s AND lease_token = %(token)s
            """,
            {"id": claimed.id, "token": claimed.lease_token, "state": str(state), "error": error[:300]},
        )
    )


def _note_trouble(chat: ManagerChat, error: str) -> None:
    """Say on the chat's page, and on that of what needs attention, why managers are not told; or no longer."""
    ManagerChat.objects.filter(pk=chat.pk).update(error=error[:300])
    key = f"managers-chat-{chat.pk}"
    if error:
        told = _("Managers are not told in %(chat)s: %(error)s") % {"chat": chat.name, "error": error}
        notices.put(key, told, "admin:conversations_managerchat_changelist")
    else:
        notices.withdraw(key)


def sweep(limit: int = 200) -> int:
    """Start again what was lost on the way: due notices that nobody holds. Returns how many."""
    lost = rows(
        """
        WITH k AS MATERIALIZED (
            SELECT id FROM conversations_managernotice
            WHERE state = 'queued' AND next_attempt_at < now() - interval '2 seconds'
              AND (leased_until IS NULL OR leased_until < now())
              AND (swept_at IS NULL OR swept_at < now() - interval '30 seconds')
            ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE conversations_managernotice n SET swept_at = now() FROM k WHERE n.id = k.id RETURNING n.id
        """,
        {"limit": limit},
    )
    for notice in lost:
        steps.start("tell", notice.id)
    return len(lost)


def purge(days: int, batch: int = 5000) -> int:
    """Delete notices that ended longer than so many days ago, at most `batch` at a time. Returns how many.

    They are all that keeps a lead from being told twice: one that the moderator judges anew after so long may be told again.
    """
    return execute(
        """
        DELETE FROM conversations_managernotice WHERE id IN (
            SELECT id FROM conversations_managernotice
            WHERE state <> 'queued' AND ended_at < now() - make_interval(days => %(days)s) ORDER BY id LIMIT %(batch)s)
        """,
        {"days": days, "batch": batch},
    )


# ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def text(notice: ManagerNotice) -> str:
    """What the notice says now, with our own marks."""
    if notice.conversation is None:
        return _("**Connected.** Here managers are told: %(chat)s.") % {"chat": plain(notice.chat.name)}
    return "\n".join(_lines(notice.kind, notice.conversation))


def _lines(kind: str, conversation: Conversation) -> Iterator[str]:
    heading = _("New lead") if kind == ManagerNotice.Kind.LEAD else _("A conversation needs a person")
    yield f"**{heading}** · {plain(conversation.channel.name)}"
    if kind == ManagerNotice.Kind.CALL and conversation.attention_reason:
        yield plain(conversation.attention_reason)
    contact = conversation.contact
    # Where no name is known, the phone stays here: the chat belongs to another company.
    name = contact.full_name or contact.name or contact.business_name
    yield plain(name) or _("Visitor %(number)s") % {"number": contact.pk}
    if about := _about(conversation.about or {}):
        yield about
    if conversation.source:
        yield plain(conversation.source)
    address = reverse("admin:conversations_conversation_change", args=(conversation.pk,))
    opening = _("Open the conversation")
    yield f"[{opening}]({settings.PUBLIC_URL}{address})"


def _about(about: Mapping[str, Any]) -> str:
    """What it is about, with its price and a link, as far as they are known."""
    title, url = plain(str(about.get("title") or "")), str(about.get("url") or "")
    price = plain(" ".join(filter(None, (str(about.get("price") or ""), str(about.get("currency") or "")))))
    linked = f"[{title}]({url})" if title and url.startswith("https://") and not set(url) & set(' ()<>"\n') else title
    return ", ".join(filter(None, (linked, price)))


def plain(words: str) -> str:
    """Words of others on one line, without what would be read as our marks: nobody hides a link in a name."""
    return " ".join(words.split()).replace("[", "(").replace("]", ")").replace("**", "*")[:200]
