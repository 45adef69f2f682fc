"""What managers do to a channel: start, stop, subscribe its webhook, renew its secret, delete it.

Each leaves a line in its log. A channel that runs goes on running over restarts of the server; `auto_start` is what `boot`
makes of it then: set by `start`, cleared by `stop`, and left alone by `restart`.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from foundation.errors import ProviderError, Rejected, Unauthorized

from . import breaker, directory, log
from .base import Adapter, Health, Linked, SessionState
from .models import Channel, ChannelLog, InboundEvent, new_secret
from .registry import adapter_for

logger = logging.getLogger(__name__)


def start(channel_id: int, *, user: Any) -> Health:
    """Prove the credentials with the provider, have it bring messages, and let the assistant answer.

    Returns what the provider says of the connection: a phone that is switched off, or not linked yet, is no reason not to
    start. Raises ProviderError, whose text is for a manager, and changes nothing then.
    """
    channel = Channel.objects.get(pk=channel_id)
    health = _connect(channel, user)
    changed = Channel.objects.filter(pk=channel_id).exclude(running=True, auto_start=True)
    if changed.update(running=True, auto_start=True):
        _note(channel_id, "started", user)
    return health


def stop(channel_id: int, *, user: Any) -> bool:
    """Store what arrives and answer nothing more; replies in hand are finished. False: it was stopped already."""
    changed = Channel.objects.filter(pk=channel_id).exclude(running=False, auto_start=False)
    stopped = bool(changed.update(running=False, auto_start=False))
    if stopped:
        _note(channel_id, "stopped", user)
    return stopped


def restart(channel_id: int, *, user: Any) -> Health:
    """Connect anew, a linked session included, and send what waited; it runs then, and `auto_start` stays as it is.

    Raises ProviderError, and changes nothing then.
    """
    channel = Channel.objects.get(pk=channel_id)
    _refuse_unready(channel)
    adapter = adapter_for(channel)
    if isinstance(adapter, Linked) and adapter.session().state is not SessionState.STOPPED:
        adapter.stop_session()
    health = _connect(channel, user)
    Channel.objects.filter(pk=channel_id).update(running=True)
    breaker.try_now(channel_id)
    _note(channel_id, "restarted", user)
    return health


def boot() -> int:
    """When the server starts: run what starts by itself, and nothing else. Returns how many channels changed."""
    return Channel.objects.filter(archived_at=None).exclude(running=F("auto_start")).update(running=F("auto_start"))


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────────


def _refuse_unready(channel: Channel) -> None:
    if channel.archived_at is not None:
        raise Rejected(_("The channel is archived: restore it first."), code="archived")
    if not channel.enabled:
        raise Rejected(_("The channel is disabled: enable it first."), code="disabled")
    try:
        channel.clean()
    except ValidationError as error:
        raise Rejected(" ".join(error.messages), code="incomplete") from None


def _connect(channel: Channel, user: Any) -> Health:
    """Prove the credentials, start a linked session, and have the provider post to us or be asked."""
    _refuse_unready(channel)
    adapter = adapter_for(channel)
    health = adapter.check()
    if can_subscribe(adapter):
        adapter = _subscribe(channel, adapter, user)
    if isinstance(adapter, Linked) and adapter.session().state in (SessionState.STOPPED, SessionState.FAILED):
        adapter.start_session()
    if can_subscribe(adapter):
        health = adapter.check()
    word = Channel.Health.OK if health.ok else Channel.Health.TROUBLE
    log.set_health(channel.pk, word, health.detail)
    return health


def can_subscribe(adapter: Adapter | type[Adapter]) -> bool:
    """Whether the provider takes a webhook address from us."""
    owner = adapter if isinstance(adapter, type) else type(adapter)
    return owner.subscribe is not Adapter.subscribe


def _subscribe(channel: Channel, adapter: Adapter, user: Any) -> Adapter:
    """Tell the provider where to post; where it takes no such address as ours, messages are asked for instead."""
    try:
        adapter.subscribe(webhook_url(channel))
    except Unauthorized:
        raise
    except Rejected as error:
        if error.code != "url" or not adapter.capabilities.polling or (channel.options or {}).get("polling") is False:
            raise
        channel.options = {**(channel.options or {}), "polling": True}
        channel.save(update_fields=["options", "updated_at"])
        _note(channel.pk, "polling instead of a webhook", user)
        return adapter_for(channel)
    return adapter


def try_now(channel_id: int, *, user: Any) -> bool:
    """Do not wait for the end of a pause of sending. False: sending is not paused."""
    paused = breaker.try_now(channel_id)
    if paused:
        _note(channel_id, "sending tried by hand", user)
    return paused


def webhook_url(channel: Channel) -> str:
    """Where the channel's provider posts. It holds the secret: only for people who may change the channel."""
    path = reverse("webhook", args=(channel.kind, channel.slug, channel.webhook_secret))
    return f"{settings.PUBLIC_URL}{path}"


def subscribe(channel: Channel, *, user: Any) -> None:
    """Tell the provider where to post. Raises ProviderError."""
    adapter_for(channel).subscribe(webhook_url(channel))
    _note(channel.pk, "webhook subscribed", user)


def renew_secret(channel: Channel, *, user: Any) -> None:
    """Make a new webhook address; the old one is refused from now on, so the provider has to be told."""
    channel.webhook_secret = new_secret()
    channel.save(update_fields=["webhook_secret", "updated_at"])
    _note(channel.pk, "new webhook secret", user, ChannelLog.Level.WARNING)


# ── The end of a channel ─────────────────────────────────────────────────────────────────────────────────────────────


def holds_history(channel: Channel) -> bool:
    """Whether customers have written here, or what they wrote has just arrived: such a channel is never deleted."""
    conversations: Any = getattr(channel, "conversations")  # noqa: B009  the relation belongs to a package above this one
    return bool(conversations.exists() or channel.events.filter(state=InboundEvent.State.NEW).exists())


def remove(channel: Channel, *, user: Any) -> bool:
    """Delete a channel that holds no history, and archive one that does. True: it was deleted.

    The provider is asked to post no more; whether it answers does not matter, since we refuse its webhooks from now on.
    """
    try:
        adapter_for(channel).unsubscribe()
    except ProviderError as error:
        logger.warning("webhook not unsubscribed", extra={"channel_id": channel.pk, "code": error.code})
    with transaction.atomic():
        # Whoever begins a conversation at this moment waits for us, and then finds the channel gone.
        locked = Channel.objects.select_for_update().get(pk=channel.pk)
        if not holds_history(locked):
            logger.info("channel deleted", extra={"channel_id": channel.pk})
            locked.delete()
            return True
        gone = {"enabled": False, "running": False, "auto_start": False, "archived_at": timezone.now()}
        Channel.objects.filter(pk=channel.pk).update(**gone)
        _note(channel.pk, "archived", user, ChannelLog.Level.WARNING)
    return False


def restore(channel_id: int, *, user: Any) -> bool:
    """Take a channel back out of the archive, stopped. False: it was not there."""
    restored = bool(
        Channel.objects.filter(pk=channel_id).exclude(archived_at=None).update(archived_at=None, enabled=True)
    )
    if restored:
        _note(channel_id, "restored", user)
    return restored


# ── Linked sessions ──────────────────────────────────────────────────────────────────────────────────────────────────


def linked(channel: Channel) -> Linked:
    """The session behind a channel. Raises Rejected where the channel has none."""
    adapter = adapter_for(channel)
    if not isinstance(adapter, Linked):
        raise Rejected(_("This kind of channel has no session to link."), code="session")
    return adapter


def start_session(channel: Channel, *, user: Any) -> None:
    linked(channel).start_session()
    _note(channel.pk, "session started", user)


def stop_session(channel: Channel, *, user: Any) -> None:
    """Stop it; the phone stays linked."""
    linked(channel).stop_session()
    _note(channel.pk, "session stopped", user)


def log_out(channel: Channel, *, user: Any) -> None:
    """Unlink the phone."""
    linked(channel).log_out()
    _note(channel.pk, "phone unlinked", user, ChannelLog.Level.WARNING)


def _note(channel_id: int, event: str, user: Any, level: str = ChannelLog.Level.INFO) -> None:
    directory.forget()
    log.note(channel_id, event, detail=user.get_username() if user is not None else "", level=level)
    logger.info("channel controlled", extra={"channel_id": channel_id, "event": event})
