"""Contacts and their identities, conversations, messages and turns.

Nobody assigns `mode`, `stage` or `state` outside the modules whose subject they are: `takeover`, `turns`, `outbox`,
`evidence` (what providers say later) and `attention` (what managers decide).
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channels.models import Channel
from foundation.fields import EncryptedJSONField, EncryptedTextField

from .contact_models import Contact as Contact
from .contact_models import ContactIdentity as ContactIdentity
from .contact_models import ContactMerge as ContactMerge
from .contact_models import source_index as source_index
from .manager_models import ManagerChat as ManagerChat
from .manager_models import ManagerNotice as ManagerNotice

#: Conversations whose last word is the customer's.
UNANSWERED = Q(last_inbound_at__isnull=False) & (Q(last_outbound_at=None) | Q(last_inbound_at__gt=F("last_outbound_at")))


class Conversation(models.Model):
    """The running exchange with one contact on one channel, and its fence.

    The row's lock orders everything in it: `last_seq` numbers messages in both directions, `epoch` rises when a person
    takes over (what the bot composed in an older epoch is never claimed), `cycle` rises with each message of the
    customer (touches planned in an older cycle are void).
    """

    class Mode(models.TextChoices):
        BOT = "bot", _("assistant")
        MANAGER = "manager", _("manager")
        CLOSED = "closed", _("closed")

    identity = models.OneToOneField(
        ContactIdentity, models.CASCADE, related_name="conversation", verbose_name=_("identity")
    )
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="conversations", verbose_name=_("contact"))
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="conversations", verbose_name=_("channel"))
    mode = models.CharField(_("led by"), max_length=10, choices=Mode, default=Mode.BOT, db_default=Mode.BOT)
    epoch = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    cycle = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    last_seq = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    taken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("manager")
    )
    taken_at = models.DateTimeField(_("taken over"), null=True, editable=False)
    resumes_at = models.DateTimeField(_("assistant resumes"), null=True, editable=False)
    needs_attention = models.BooleanField(_("needs attention"), default=False, db_default=False)
    attention_reason = models.CharField(_("why"), max_length=200, blank=True, default="", db_default="")
    attention_at = models.DateTimeField(_("since"), null=True, editable=False)
    last_inbound_at = models.DateTimeField(_("last message of the customer"), null=True, editable=False)
    last_outbound_at = models.DateTimeField(_("our last message"), null=True, editable=False)
    source = models.CharField(
        _("source"), max_length=60, blank=True, default="", db_default="", help_text=_("Where the customer came from.")
    )
    about = EncryptedJSONField(verbose_name=_("what it is about"), null=True, blank=True, editable=False)
    """What the chat began with, such as an advertisement: `{"title", "price", "currency", "url", "id"}`."""
    blocked_at = models.DateTimeField(_("blocked"), null=True, editable=False)
    """Since when a manager lets nobody answer this customer. While it is set the assistant never leads."""
    blocked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("blocked by"),
        db_index=False,
    )  # fmt: skip
    unreachable_since = models.DateTimeField(_("unreachable since"), null=True, editable=False)
    """Since when the customer shuts the channel out, as far as the provider says. Nothing unasked is sent meanwhile."""
    window_started_at = models.DateTimeField(null=True, editable=False)
    window_turns = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    """Bot replies in the hour that began at `window_started_at`: two bots that talk to each other are cut off by it."""
    created_at = models.DateTimeField(_("created"), db_default=Now())

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [
            models.Index(F("last_inbound_at").desc(nulls_last=True), name="conversation_recent"),
            models.Index(fields=["attention_at"], name="conversation_attention", condition=Q(needs_attention=True)),
            models.Index(fields=["resumes_at"], name="conversation_resumes", condition=Q(mode="manager")),
            models.Index(
                fields=["last_outbound_at"], name="conversation_silent", condition=Q(mode="bot", needs_attention=False)
            ),
            models.Index(fields=["last_inbound_at"], name="conversation_unanswered", condition=UNANSWERED),
            models.Index(fields=["blocked_by"], name="conversation_blocked", condition=Q(blocked_by__isnull=False)),
            models.Index(
                F("last_inbound_at").desc(nulls_last=True), name="conversation_closed", condition=Q(mode="closed")
            ),
        ]

    def __str__(self) -> str:
        return str(_("Conversation %(number)s") % {"number": self.pk})


class Turn(models.Model):
    """One unit of the bot's work in one conversation: what came in since the last reply, and the reply."""

    class Trigger(models.TextChoices):
        INBOUND = "inbound", _("message")
        FOLLOW_UP = "follow_up", _("follow-up")
        ORDER = "order", _("order")
        MANUAL = "manual", _("by hand")

    class Stage(models.TextChoices):
        TRANSCRIBE = "transcribe", _("transcription")
        CLASSIFY = "classify", _("classification")
        ANSWER = "answer", _("answer")
        DELIVER = "deliver", _("delivery")
        DONE = "done", _("done")
        IGNORED = "ignored", _("ignored")
        SUPERSEDED = "superseded", _("superseded")
        FAILED = "failed", _("needs attention")
        DISMISSED = "dismissed", _("dismissed")

    OPEN = (Stage.TRANSCRIBE, Stage.CLASSIFY, Stage.ANSWER, Stage.DELIVER)

    class Reason(models.TextChoices):
        """Why a turn was ignored, or why it needs attention."""

        NOT_CLIENT = "not_client", _("not a client")
        UNSURE = "unsure", _("not clear yet whether a client")
        MANAGER = "manager", _("a manager leads the conversation")
        CLOSED = "closed", _("the conversation is closed")
        BLOCKED = "blocked", _("blocked by a manager")
        NOT_ALLOWED = "not_allowed", _("number is not on the allowed list")
        STOPPED = "stopped", _("the channel is stopped")
        OLD = "old", _("too old to answer")
        RATE_LIMIT = "rate_limit", _("message limit reached")
        LOOP = "loop", _("looks like two bots talking")
        EMPTY = "empty", _("nothing to answer")
        NO_ASSISTANT = "no_assistant", _("no assistant is attached to the channel")
        ATTEMPTS = "attempts", _("failed too often")
        UNDELIVERED = "undelivered", _("the reply could not be delivered")
        UNCONFIRMED = "unconfirmed", _("the reply may not have arrived")
        HANDOFF = "handoff", _("handed over to a manager")
        REPLIED = "replied", _("the customer wrote first")
        LATE = "late", _("its hours were over")
        OPTED_OUT = "opted_out", _("the customer does not want to be written to")
        UNREACHABLE = "unreachable", _("the customer shuts the channel out")
        UNHEARD = "unheard", _("a voice message could not be understood")
        UNTRACEABLE = "untraceable", _("the answer stated what no source confirms")

    class Intent(models.TextChoices):
        """What the customer's last message wants."""

        GREETING = "greeting", _("greeting")
        QUESTION = "question", _("question")
        PRICE = "price", _("price")
        ORDER = "order", _("order")
        OBJECTION = "objection", _("objection")
        COMPLAINT = "complaint", _("complaint")
        CALL = "call", _("call")
        HANDOFF = "handoff", _("wants a person")
        OPT_OUT = "opt_out", _("asks not to be written to")
        THANKS = "thanks", _("thanks")
        OTHER = "other", _("other")

    class Emotion(models.TextChoices):
        CALM = "calm", _("calm")
        INTERESTED = "interested", _("interested")
        DOUBTING = "doubting", _("doubting")
        ANNOYED = "annoyed", _("annoyed")
        HAPPY = "happy", _("happy")

    class Commitment(models.TextChoices):
        """What the customer's last message says to our proposal."""

        YES = "yes", _("agrees")
        NO = "no", _("declines")
        VAGUE = "vague", _("hesitates")
        NONE = "none", _("nothing")

    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="turns", verbose_name=_("conversation"), db_index=False
    )
    trigger = models.CharField(
        _("trigger"), max_length=10, choices=Trigger, default=Trigger.INBOUND, db_default=Trigger.INBOUND
    )
    stage = models.CharField(_("stage"), max_length=10, choices=Stage)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason, blank=True, default="", db_default="")
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    """Rises with each message that joins; a result computed for an older version is thrown away, once."""
    redone = models.BooleanField(default=False, db_default=False, editable=False)
    from_seq = models.PositiveIntegerField(editable=False)
    upto_seq = models.PositiveIntegerField(editable=False)
    opened_at = models.DateTimeField(_("opened"), db_default=Now())
    due_at = models.DateTimeField(_("due"), db_default=Now())
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    swept_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(_("error"), max_length=300, blank=True, default="", db_default="")
    timeline = models.JSONField(_("timeline"), default=list, db_default=models.Value([], models.JSONField()))
    """What happened when: `[{"at": ISO time, "what": stage or event, "ms": duration}, …]`, oldest first."""
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)
    intent = models.CharField(_("intent"), max_length=10, choices=Intent, blank=True, default="", db_default="", editable=False)
    emotion = models.CharField(
        _("mood"), max_length=10, choices=Emotion, blank=True, default="", db_default="", editable=False
    )
    commitment = models.CharField(
        _("commitment"), max_length=5, choices=Commitment, blank=True, default="", db_default="", editable=False
    )
    language = models.CharField(_("language"), max_length=5, blank=True, default="", db_default="", editable=False)
    outcome = EncryptedJSONField(verbose_name=_("what the model decided"), null=True, editable=False)
    """SPIN stage, what was learnt, actions, times offered: the rest of the structured answer."""
    knowledge_used = models.JSONField(
        _("knowledge used"), default=list, db_default=models.Value([], models.JSONField()), editable=False
    )
    """`[{"chunk": id, "source": title, "page": n, "score": x}, …]`"""
    model = models.CharField(_("model"), max_length=60, blank=True, default="", db_default="", editable=False)
    degraded = models.BooleanField(_("answered without a language model"), default=False, db_default=False, editable=False)
    input_tokens = models.PositiveIntegerField(_("input tokens"), default=0, db_default=0, editable=False)
    output_tokens = models.PositiveIntegerField(_("output tokens"), default=0, db_default=0, editable=False)
    cost = models.DecimalField(_("cost, $"), max_digits=12, decimal_places=6, default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("turn")
        verbose_name_plural = _("turns")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(stage__in=["transcribe", "classify", "answer", "deliver"]),
                name="one_open_turn",
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="turn_open", condition=Q(stage__in=["transcribe", "classify", "answer", "deliver"])
            ),
            models.Index(fields=["-finished_at"], name="turn_failed", condition=Q(stage="failed")),
            models.Index(fields=["conversation", "-id"], name="turn_of_conversation"),
            models.Index(fields=["-opened_at"], name="turn_recent"),
            models.Index(fields=["finished_at"], name="turn_called_off", condition=Q(stage="superseded", reason="late")),
        ]

    def __str__(self) -> str:
        return str(_("Turn %(number)s") % {"number": self.pk})

    @property
    def is_open(self) -> bool:
        return self.stage in self.OPEN


class Message(models.Model):
    """One utterance in a conversation, in either direction. The rows with direction `out` are the outbox."""

    class Direction(models.TextChoices):
        IN = "in", _("in")
        OUT = "out", _("out")

    class Author(models.TextChoices):
        CUSTOMER = "customer", _("customer")
        BOT = "bot", _("assistant")
        MANAGER = "manager", _("manager")
        SYSTEM = "system", _("system")

    class Kind(models.TextChoices):
        TEXT = "text", _("text")
        VOICE = "voice", _("voice message")
        IMAGE = "image", _("image")
        VIDEO = "video", _("video")
        DOCUMENT = "document", _("document")
        STICKER = "sticker", _("sticker")
        LOCATION = "location", _("location")
        CONTACT = "contact", _("contact card")
        BUTTON = "button", _("button")
        OTHER = "other", _("other")

    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        QUEUED = "queued", _("queued")
        SENDING = "sending", _("sending")
        UNCONFIRMED = "unconfirmed", _("unconfirmed")
        SENT = "sent", _("sent")
        DELIVERED = "delivered", _("delivered")
        READ = "read", _("read")
        FAILED = "failed", _("failed")
        SUPPRESSED = "suppressed", _("withdrawn")

    #: A receipt moves a message forward by rank, never back.
    RECEIPT_RANK = {State.SENT: 1, State.DELIVERED: 2, State.READ: 3}

    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="messages", verbose_name=_("conversation"), db_index=False
    )
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="+", verbose_name=_("channel"))
    turn = models.ForeignKey(
        Turn, models.SET_NULL, null=True, related_name="messages", verbose_name=_("turn"), db_index=False
    )
    seq = models.PositiveIntegerField(_("number"))
    direction = models.CharField(_("direction"), max_length=3, choices=Direction)
    author = models.CharField(_("author"), max_length=10, choices=Author)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("manager"), db_index=False
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.TEXT, db_default=Kind.TEXT)
    text = EncryptedTextField(verbose_name=_("text"), blank=True, default="")
    transcribed = models.BooleanField(_("transcribed"), default=False, db_default=False)
    unheard = models.BooleanField(default=False, db_default=False, editable=False)
    """A voice message whose words are still to be written down."""
    details = EncryptedJSONField(verbose_name=_("details"), null=True)
    """Media, location, card, tapped action, quoted id: `{"media": [{"ref", "mime", "name", …}], "reply_to": …}`."""
    external_id = models.CharField(_("provider's id"), max_length=255, null=True)
    state = models.CharField(_("state"), max_length=12, choices=State)
    state_changed_at = models.DateTimeField(_("state since"), db_default=Now())
    epoch = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    cycle = models.PositiveIntegerField(null=True, editable=False)
    """Set on what nobody asked for (a touch): it leaves only while the customer has not written since."""
    valid_until = models.DateTimeField(null=True, editable=False)
    """Until when it may leave; what nobody asked for must not arrive at night."""
    sent_at = models.DateTimeField(_("time"), db_default=Now())
    """When it was said: the provider's time for a customer's message, the time of acceptance for ours."""
    created_at = models.DateTimeField(_("stored"), db_default=Now())
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now(), editable=False)
    swept_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(_("error"), max_length=300, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["conversation", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_number_once"),
            models.UniqueConstraint(
                fields=["channel", "external_id"], condition=Q(external_id__isnull=False), name="message_once_per_channel"
            ),
        ]
        indexes = [
            models.Index(fields=["channel", "created_at"], name="outbox_waiting", condition=Q(state="queued")),
            models.Index(
                fields=["valid_until"], name="outbox_valid", condition=Q(state="queued", valid_until__isnull=False)
            ),
            models.Index(fields=["conversation", "seq"], name="outbox_pending", condition=Q(state__in=["queued", "sending"])),
            models.Index(fields=["leased_until"], name="outbox_sending", condition=Q(state="sending")),
            models.Index(fields=["state_changed_at"], name="outbox_doubtful", condition=Q(state__in=["unconfirmed", "failed"])),
            models.Index(fields=["conversation"], name="message_waiting", condition=Q(direction="in", turn__isnull=True)),
            models.Index(fields=["turn"], name="message_of_turn"),
            models.Index(fields=["-created_at"], name="message_recent"),
            models.Index(fields=["user"], name="message_of_manager", condition=Q(user__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}/{self.seq}"


class Takeover(models.Model):
    """Who led a conversation from when to when: the audit trail of handing over and back."""

    class Cause(models.TextChoices):
        ADMIN = "admin", _("taken in the admin")
        REPLY = "reply", _("answered in the admin")
        PHONE = "phone", _("written on the phone")
        GIVEN_BACK = "given_back", _("given back")
        TIMEOUT = "timeout", _("resumed after the pause")
        CLOSED = "closed", _("closed")

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="takeovers", verbose_name=_("conversation"))
    mode = models.CharField(_("led by"), max_length=10, choices=Conversation.Mode)
    cause = models.CharField(_("cause"), max_length=12, choices=Cause)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("manager"), related_name="+")
    after_seq = models.PositiveIntegerField()
    at = models.DateTimeField(_("time"), db_default=Now())

    class Meta:
        verbose_name = _("handover")
        verbose_name_plural = _("handovers")
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["conversation", "-at"], name="takeover_recent"),
            models.Index(fields=["-at"], name="takeover_journal"),
        ]

    def __str__(self) -> str:
        return f"{self.get_mode_display()} · {self.get_cause_display()}"


class Notice(models.Model):
    """Something about the installation itself that a person has to look at; one row for each subject, as long as it holds.

    Whoever may view notices may see the status page.
    """

    key = models.SlugField(max_length=60, unique=True, editable=False)
    text = models.CharField(_("what is wrong"), max_length=300)
    page = models.CharField(max_length=100, blank=True, default="", db_default="", editable=False)
    """The name of the address that tells more, such as `admin:status`."""
    since = models.DateTimeField(_("since"), db_default=Now())
    at = models.DateTimeField(_("last seen"), db_default=Now())

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.key
