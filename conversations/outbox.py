"""The outbox: messages written in the commit of their cause, sent later in order, each at most once.

queued → sending → sent → delivered → read, or failed. *Sending* is committed before the first byte leaves. Where the
answer of the provider was lost, the message is *unconfirmed*: its history is asked, then a manager; it is never
silently sent twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels import breaker, directory, log
from channels.base import WINDOW, Capabilities, OutboundFile, OutboundMessage, SendResult
from channels.models import Channel
from foundation import faults, leases, live, sealed_files, steps
from foundation.db import execute, row
from foundation.errors import ProviderError, RecipientBusy, Rejected, Retry, Unauthorized, Unconfirmed
from foundation.leases import LEASE

from . import drafts, reach, speaking, turns, window
from .bulkhead import Bulkhead, Place
from .drafts import Draft
from .models import ContactIdentity, Message, Turn

logger = logging.getLogger(__name__)

#: A message that certainly did not leave is tried again for so long, with growing pauses, then fails.
GIVE_UP_AFTER = timedelta(hours=6)
SLOWEST_RETRY_SECONDS = 60.0
#: When the provider's history is asked for an unconfirmed message, in seconds after it was lost.
CONFIRM_AFTER = (10.0, 60.0)
#: A history that cannot be read is asked again for so long; one that was read in vain is not asked any more.
CONFIRM_FOR = timedelta(hours=6)
NEVER_SECONDS = CONFIRM_FOR.total_seconds()
#: Threads of one process that may send on the same channel at a time: half of those that the Procfile gives to sending.
MOST_PER_CHANNEL = 8
#: Seconds after which a thread that goes on with what waited for its channel gives the rest back to the broker.
LONGEST_STAY = 5.0

_text = Message._meta.get_field("text")
_details = Message._meta.get_field("details")
_source_id = ContactIdentity._meta.get_field("source_id")

_INSERT = """
INSERT INTO conversations_message
    (conversation_id, channel_id, turn_id, seq, direction, author, user_id, kind, text, details, state, epoch, cycle,
    valid_until)
VALUES (%(conversation)s, %(channel)s, %(turn)s, %(seq)s, 'out', %(author)s, %(user)s, %(kind)s, %(text)s, %(details)s,
    'queued', %(epoch)s, %(cycle)s, %(valid_until)s)
"""


#: Two bots that talk to each other are found by the replies of ours within an hour.
_NUMBER = """
UPDATE conversations_conversation
SET last_seq = last_seq + %(n)s, last_outbound_at = now(),
    window_turns = CASE WHEN NOT %(bot)s THEN window_turns
        WHEN window_started_at > now() - interval '1 hour' THEN window_turns + 1 ELSE 1 END,
    window_started_at = CASE WHEN NOT %(bot)s OR window_started_at > now() - interval '1 hour' THEN window_started_at
        ELSE now() END
WHERE id = %(id)s
"""


def queue(
    conversation: Any, channel_id: int, draft: Draft, *, author: str, turn_id: int | None = None, user: Any = None,
    cycle: int | None = None, valid_until: datetime | None = None,
) -> None:  # fmt: skip
    """Put what a draft says into the outbox of a conversation, whose lock the caller holds (`id`, `last_seq`, `epoch`), in as
    many messages as the channel needs for it.

    With a `cycle` they leave only while the customer has not written since, with `valid_until` only before that time.
    """
    parts = drafts.parts(draft, directory.entry(channel_id).adapter.capabilities)
    for number, part in enumerate(parts, start=1):
        execute(
            _INSERT,
            {
                "conversation": conversation.id,
                "channel": channel_id,
                "turn": turn_id,
                "seq": conversation.last_seq + number,
                "author": author,
                "user": getattr(user, "pk", None),
                "kind": part.kind,
                "text": _text.seal(part.text),
                "details": _details.seal(part.details) if part.details else None,
                "epoch": conversation.epoch,
                "cycle": cycle,
                "valid_until": valid_until,
            },
        )
    execute(_NUMBER, {"id": conversation.id, "n": len(parts), "bot": author == Message.Author.BOT})
    steps.start("deliver", conversation.id)


_CLAIM = f"""
UPDATE conversations_message m
SET state = 'sending', state_changed_at = now(), lease_token = gen_random_uuid(), leased_until = now() + {LEASE},
    attempts = attempts + 1, swept_at = NULL
FROM conversations_conversation c
JOIN conversations_contactidentity i ON i.id = c.identity_id
JOIN channels_channel ch ON ch.id = c.channel_id
LEFT JOIN channels_channelbreaker b ON b.channel_id = ch.id
WHERE m.id = (
        SELECT id FROM conversations_message
        WHERE conversation_id = %(conversation)s AND direction = 'out' AND state IN ('queued', 'sending')
        ORDER BY seq LIMIT 1)
  AND m.state = 'queued' AND m.next_attempt_at <= now()
  AND c.id = m.conversation_id AND ch.enabled AND NOT {breaker.OPEN}
  AND (m.author <> 'bot' OR (c.mode = 'bot' AND c.epoch = m.epoch))
  AND (m.cycle IS NULL OR m.cycle = c.cycle) AND (m.valid_until IS NULL OR m.valid_until > now())
RETURNING m.id, m.conversation_id, m.channel_id, m.turn_id, m.kind, m.text, m.details, m.lease_token, m.attempts,
  m.created_at, i.source_id, b.failures, (
    SELECT external_id FROM conversations_message
    WHERE conversation_id = m.conversation_id AND direction = 'in' ORDER BY seq DESC LIMIT 1) AS answers
"""  # noqa: S608


class Outcome(Enum):
    """What came of the attempt to send one message."""

    LEFT = "it left"
    LAST = "it left, and nothing waits behind it"
    OVER = "it did not leave, and is not tried again by itself"
    WAITS = "it is tried again later, and what follows it waits"
    PAUSED = "it waits, and so does everything on its channel"


#: After these the next message of the conversation may leave.
GOES_ON = (Outcome.LEFT, Outcome.OVER)

bulkhead = Bulkhead(MOST_PER_CHANNEL)


def deliver(conversation_id: int) -> int:
    """Send the queued messages of a conversation in order. Safe to run twice. Returns how many left or were given up.

    Where too many threads are busy on its channel already, the conversation is remembered, and the next of them that is
    done goes on with it.
    """
    sent, until = 0, time.monotonic() + LONGEST_STAY
    waiting: int | None = conversation_id
    with bulkhead.place() as place:
        while waiting is not None:
            sent += _send_all(waiting, place)
            waiting = place.next()
            if waiting is not None and time.monotonic() > until:
                for other in (waiting, *place.leave()):
                    steps.start("deliver", other)
                break
    return sent


def _send_all(conversation_id: int, place: Place) -> int:
    sent = 0
    while (claimed := claim(conversation_id)) is not None:
        if not place.take(claimed.channel_id):
            requeue(claimed, uncounted=True)
            if not place.take(claimed.channel_id, conversation_id):
                break
            continue
        outcome = attempt(claimed)
        sent += outcome is Outcome.LAST or outcome in GOES_ON
        if outcome not in GOES_ON:
            break
    return sent


def claim(conversation_id: int, drain: UUID | None = None) -> Any | None:
    """Claim what is first in a conversation's outbox, if it may leave now. `drain` is the lease on its paused channel."""
    return row(_CLAIM, {"conversation": conversation_id, "drain": drain})


def attempt(claimed: Any, drain: UUID | None = None) -> Outcome:
    """Hand one claimed message to its channel and record what came of it, for the message and for the channel."""
    with leases.held(Message, claimed.lease_token):
        return _send(claimed, drain)


def _send(claimed: Any, drain: UUID | None) -> Outcome:
    entry = directory.entry(claimed.channel_id)
    faults.point("claimed")
    try:
        outbound = speaking.spoken(claimed) or _outbound(claimed, entry.adapter.capabilities)
        result = entry.adapter.send(outbound)
    except (Retry, Unauthorized) as error:
        # An account that is refused has sent nothing: what waits leaves when its owner has repaired it.
        if isinstance(error, Unauthorized):
            log.set_health(claimed.channel_id, Channel.Health.NEEDS_ATTENTION, str(error))
        seconds = _postpone(claimed, error)
        if not isinstance(error, RecipientBusy) and breaker.failed(claimed.channel_id, error, drain=drain):
            return Outcome.PAUSED
        if seconds is not None and seconds <= SLOWEST_RETRY_SECONDS:
            steps.start("deliver", claimed.conversation_id, delay=seconds)
        return Outcome.WAITS
    except Unconfirmed as error:
        hold(claimed, error)
        return Outcome.PAUSED if breaker.failed(claimed.channel_id, error, drain=drain) else Outcome.OVER
    except speaking.Unspoken as error:
        withdraw_voice(claimed, error)
        return Outcome.OVER
    except Rejected as error:
        told = window.closed_words(claimed.channel_id) if error.code == WINDOW else str(error)
        withdraw_voice(claimed, error) if speaking.is_ours(claimed) else _fail(claimed, told, error.code)
        return Outcome.OVER
    faults.point("sent")
    last = _mark_sent(claimed, result)
    faults.point("recorded")
    if claimed.failures is not None:
        breaker.succeeded(claimed.channel_id, drain=drain)
    if entry.adapter.capabilities.read_marks and claimed.answers:
        _mark_read(entry, claimed, outbound.to)
    # A drain looks for itself whether more waits.
    return Outcome.LAST if last and drain is None else Outcome.LEFT


def _outbound(claimed: Any, capabilities: Capabilities) -> OutboundMessage:
    """What the adapter is given. Raises Rejected where a file of ours is gone."""
    text, to = _text.open(claimed.text), _source_id.open(claimed.source_id)
    details = _details.open(claimed.details) if claimed.details is not None else None
    if not details:
        return OutboundMessage(key=str(claimed.id), to=to, text=text)
    return OutboundMessage(
        key=str(claimed.id), to=to, text=text, files=_files(details.get("files", ())),
        choices=drafts.shown_choices(details, capabilities), menu=details.get("menu", ""),
        template=drafts.template_of(details), asks_phone=bool(details.get("asks_phone")) and capabilities.asks_phone,
    )  # fmt: skip


def _files(stored: Sequence[Mapping[str, str]]) -> list[OutboundFile]:
    files = []
    for file in stored:
        content = sealed_files.read(file["path"])
        if content is None:
            raise Rejected(_("The file to send is gone from our disk."), code="file")
        files.append(OutboundFile(file["name"], file["mime"], content))
    return files


def _mark_sent(claimed: Any, result: SendResult) -> bool:
    """Record the provider's acceptance; a late one also settles a message that was given up as unconfirmed.

    Returns whether certainly nothing waits behind it. Whoever queues a message holds the conversation's lock: what is not
    there while we hold it comes with a hint of its own.
    """
    last = False
    with transaction.atomic():
        moved = execute(
            """
            WITH locked AS MATERIALIZED (SELECT id FROM conversations_conversation WHERE id = %(conversation)s FOR UPDATE)
            UPDATE conversations_message m
            SET state = 'sent', state_changed_at = now(), sent_at = now(), leased_until = NULL, lease_token = NULL, error = '',
                external_id = coalesce(%(external)s, external_id)
            FROM locked
            WHERE m.id = %(id)s AND m.conversation_id = locked.id AND m.lease_token = %(token)s
              AND m.state IN ('sending', 'unconfirmed')
            """,
            {
                "conversation": claimed.conversation_id, "id": claimed.id, "token": claimed.lease_token,
                "external": result.external_id or None,
            },
        )  # fmt: skip
        if moved and claimed.turn_id is not None:
            ended = _done(claimed)
            last = ended is not None and not ended.more
            if ended is None:
                settle_turn(claimed)
    live.ring(f"conversation:{claimed.conversation_id}", what="message")
    return last


def _done(claimed: Any) -> Any | None:
    """End the turn in the ordinary case: all of it was sent. None where that is not so. The caller holds the lock."""
    ended = row(
        f"""
        UPDATE conversations_turn t
        SET stage = 'done', leased_until = NULL, lease_token = NULL, finished_at = now(),
            timeline = timeline || {turns.mark("done")}
        WHERE t.id = %(turn)s AND t.stage = 'deliver' AND NOT EXISTS (
            SELECT 1 FROM conversations_message m WHERE m.turn_id = t.id AND m.direction = 'out'
              AND m.state IN ('queued', 'sending', 'failed', 'unconfirmed'))
        RETURNING EXISTS (
            SELECT 1 FROM conversations_message m WHERE m.conversation_id = t.conversation_id AND m.direction = 'in'
              AND m.turn_id IS NULL) AS waiting,
          EXISTS (
            SELECT 1 FROM conversations_message m WHERE m.conversation_id = t.conversation_id AND m.direction = 'out'
              AND m.state IN ('queued', 'sending')) AS more
        """,  # noqa: S608
        {"turn": claimed.turn_id},
    )
    if ended is not None and ended.waiting:
        turns.open_next(claimed.conversation_id)
    return ended


def lock(conversation_id: int) -> None:
    """Lock a conversation's row until the transaction ends."""
    execute("SELECT 1 FROM conversations_conversation WHERE id = %(id)s FOR UPDATE", {"id": conversation_id})


def settle_turn(message: Any) -> None:
    """End the turn whose last message has left, or failed, and let waiting messages open the next one.

    The caller holds the conversation's lock.
    """
    if message.turn_id is None:
        return
    left = row(
        """
        SELECT count(*) FILTER (WHERE state IN ('queued', 'sending')) AS pending,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE state = 'unconfirmed') AS unconfirmed
        FROM conversations_message WHERE turn_id = %(turn)s AND direction = 'out'
        """,
        {"turn": message.turn_id},
    )
    if left is None or left.pending:
        return
    if left.failed:
        stage, reason = Turn.Stage.FAILED, Turn.Reason.UNDELIVERED
    elif left.unconfirmed:
        stage, reason = Turn.Stage.FAILED, Turn.Reason.UNCONFIRMED
    else:
        stage, reason = Turn.Stage.DONE, None
    ended = turns.end(message.turn_id, stage, str(reason or ""))
    if ended and reason is not None:
        turns.call_manager(message.conversation_id, str(reason.label))
    if not ended and stage == Turn.Stage.DONE:
        _absolve(message.turn_id)
    turns.open_next(message.conversation_id)


def _absolve(turn_id: int) -> None:
    """A turn that waited for attention because its reply was unconfirmed is done once the reply is found."""
    execute(
        """
        UPDATE conversations_turn SET stage = 'done', reason = ''
        WHERE id = %(turn)s AND stage = 'failed' AND reason IN ('unconfirmed', 'undelivered')
        """,
        {"turn": turn_id},
    )


def _postpone(claimed: Any, error: ProviderError) -> float | None:
    """It certainly did not leave: queued again, not before the provider allows, until it is too late to be of use.

    Returns after how many seconds it may leave, or None where it may not any more.
    """
    if timezone.now() - claimed.created_at > GIVE_UP_AFTER:
        _fail(claimed, str(error))
        return None
    after = error.after if isinstance(error, Retry) else None
    seconds = after if after is not None else min(2.0**claimed.attempts, SLOWEST_RETRY_SECONDS)
    if not requeue(claimed, str(error), seconds):
        return None
    logger.info("send postponed", extra={"message_id": claimed.id, "code": error.code, "seconds": seconds})
    return seconds


def requeue(claimed: Any, error: str = "", seconds: float = 0.0, *, uncounted: bool = False) -> bool:
    """Give a claimed message back for later; `uncounted`: nothing was attempted. False: it is not ours, or void by now."""
    with transaction.atomic():
        lock(claimed.conversation_id)
        # Who took over or wrote while it was on its way has voided it: it must not stand before a manager's words.
        moved = row(
            """
            UPDATE conversations_message m
            SET state = CASE WHEN (m.author = 'bot' AND (c.mode <> 'bot' OR c.epoch <> m.epoch)) OR m.cycle <> c.cycle
                    THEN 'suppressed' ELSE 'queued' END,
                state_changed_at = now(), leased_until = NULL, lease_token = NULL, error = %(error)s,
                attempts = m.attempts - %(uncounted)s::int, next_attempt_at = now() + make_interval(secs => %(seconds)s)
            FROM conversations_conversation c
            WHERE m.id = %(id)s AND m.lease_token = %(token)s AND m.state = 'sending' AND c.id = m.conversation_id
            RETURNING m.state
            """,
            {
                "id": claimed.id, "token": claimed.lease_token, "error": error[:300], "seconds": seconds,
                "uncounted": int(uncounted),
            },
        )  # fmt: skip
        if moved is not None and moved.state == Message.State.SUPPRESSED:
            settle_turn(claimed)
            steps.start("deliver", claimed.conversation_id)
    return moved is not None and bool(moved.state == Message.State.QUEUED)


def hold(claimed: Any, error: ProviderError) -> None:
    """The answer was lost: unconfirmed until the provider's history, a receipt or a manager says more."""
    _conclude(claimed, Message.State.UNCONFIRMED, str(error))
    if directory.entry(claimed.channel_id).adapter.capabilities.history:
        steps.start("confirm", claimed.id, delay=CONFIRM_AFTER[0])


def withdraw_voice(claimed: Any, error: Exception) -> None:
    """Spoken words that cannot leave: the written ones have, so nobody is called and the turn ends as if there were none."""
    with transaction.atomic():
        lock(claimed.conversation_id)
        withdrawn = execute(
            """
            UPDATE conversations_message
            SET state = 'suppressed', state_changed_at = now(), leased_until = NULL, error = %(error)s
            WHERE id = %(id)s AND lease_token = %(token)s AND state = 'sending'
            """,
            {"id": claimed.id, "token": claimed.lease_token, "error": str(error)[:300]},
        )
        if withdrawn:
            settle_turn(claimed)
            speaking.note(claimed, error)
    live.ring(f"conversation:{claimed.conversation_id}", what="message")


def _fail(claimed: Any, error: str, code: str = "") -> None:
    _conclude(claimed, Message.State.FAILED, error, code)


def _conclude(claimed: Any, state: str, error: str, code: str = "") -> None:
    with transaction.atomic():
        lock(claimed.conversation_id)
        reach.heed(claimed, code)
        # A copy of it that the provider showed meanwhile has left its id: then it did leave, whatever became of the answer.
        moved = row(
            """
            UPDATE conversations_message
            SET state = CASE WHEN external_id IS NULL THEN %(state)s::text ELSE 'sent' END,
                error = CASE WHEN external_id IS NULL THEN %(error)s::text ELSE '' END,
                sent_at = CASE WHEN external_id IS NULL THEN sent_at ELSE now() END,
                state_changed_at = now(), leased_until = NULL, next_attempt_at = now() + make_interval(secs => %(check)s)
            WHERE id = %(id)s AND lease_token = %(token)s AND state = 'sending'
            RETURNING state
            """,
            {
                "id": claimed.id, "token": claimed.lease_token, "state": str(state), "error": error[:300],
                "check": CONFIRM_AFTER[0],
            },
        )  # fmt: skip
        if moved is not None:
            if moved.state != Message.State.SENT:
                turns.call_manager(claimed.conversation_id, error or str(Message.State(state).label))
            settle_turn(claimed)
    logger.warning("send did not succeed", extra={"message_id": claimed.id, "state": moved.state if moved else str(state)})
    live.ring(f"conversation:{claimed.conversation_id}", what="message")


def _mark_read(entry: Any, claimed: Any, to: str) -> None:
    """Show the customer that what was answered was read; only a courtesy, so a failure is logged and forgotten."""
    try:
        entry.adapter.mark_read(to, claimed.answers)
    except ProviderError as error:
        logger.info("not marked read", extra={"message_id": claimed.id, "code": error.code})


# ── What managers decide ─────────────────────────────────────────────────────────────────────────────────────────────


def resend(message_id: int, *, user: Any) -> bool:
    """A manager says that a failed or unconfirmed message shall go out (again)."""
    with transaction.atomic():
        message = Message.objects.filter(pk=message_id, direction=Message.Direction.OUT).first()
        if message is None:
            return False
        lock(message.conversation_id)
        moved = Message.objects.filter(pk=message_id, state__in=(Message.State.FAILED, Message.State.UNCONFIRMED)).update(
            state=Message.State.QUEUED, author=Message.Author.MANAGER, user=user, attempts=0, error="", lease_token=None,
            cycle=None, valid_until=None,
            created_at=timezone.now(), next_attempt_at=timezone.now(), state_changed_at=timezone.now(),
        )  # fmt: skip
        if moved:
            steps.start("deliver", message.conversation_id)
    return bool(moved)
