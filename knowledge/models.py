"""What the assistant knows: bases, the documents in them, and the passages that answers quote."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from foundation.fields import EncryptedBinaryField


class KnowledgeBase(models.Model):
    """A shelf of documents that one or several assistants answer from."""

    slug = models.SlugField(
        _("identifier"), max_length=60, unique=True, help_text=_("Also the name of its subfolder of the documents folder.")
    )
    name = models.CharField(pgettext_lazy("of a thing", "name"), max_length=100)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("knowledge base")
        verbose_name_plural = _("knowledge bases")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Problem(models.TextChoices):
    """Why a document could not be read, in words a manager can act on."""

    EMPTY = "empty", _("The file is empty.")
    NOT_PDF = "not_pdf", _("This is not a PDF file.")
    TOO_LARGE = "too_large", _("The file is larger than MAX_PDF_SIZE_MB allows.")
    TOO_MANY_PAGES = "too_many_pages", _("The document has more than 300 pages. Split it into parts.")
    PASSWORD = "password", _("The document is protected by a password. Save it without one.")
    NO_TEXT = "no_text", _("No text was found: it is a scan or pictures. Recognise the text, or export the original.")
    BROKEN = "broken", _("The file is damaged. Export it once more.")
    TOO_COMPLEX = "too_complex", _("Reading the document takes too much memory or time. Simplify it or split it into parts.")
    TOO_SLOW = "too_slow", _("Reading the document took too long. Try again, or split it into parts.")
    INTERRUPTED = "interrupted", _("Reading was interrupted several times. Try again.")


class SourceManager(models.Manager["Source"]):
    """Leaves the document itself in the database until somebody asks for it: it is megabytes to fetch and decrypt."""

    def get_queryset(self) -> models.QuerySet[Source]:
        return super().get_queryset().defer("content")


class Source(models.Model):
    """One document of a base. A new version of the file takes the same row; the old passages answer until it is read.

    A source has live passages when `active` and `generation > 0`, whatever `state` says: the state is that of the newest
    file, which may still wait, or may have failed.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        PARSING = "parsing", _("being read")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    class Origin(models.TextChoices):
        UPLOAD = "upload", _("uploaded")
        FOLDER = "folder", _("folder")
        PROVISION = "provision", _("configuration")

    base = models.ForeignKey(KnowledgeBase, models.CASCADE, related_name="sources", verbose_name=_("knowledge base"))
    title = models.CharField(_("title"), max_length=200, help_text=_("Shown beside quotes."))
    file_name = models.CharField(_("file"), max_length=200)
    content = EncryptedBinaryField(verbose_name=_("document"), editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    size = models.PositiveIntegerField(_("size, bytes"), editable=False)
    pages = models.PositiveIntegerField(_("pages"), default=0, editable=False)
    language = models.CharField(_("language"), max_length=2, blank=True, editable=False)
    origin = models.CharField(_("origin"), max_length=10, choices=Origin, default=Origin.UPLOAD, editable=False)
    path = models.CharField(_("path in the folder"), max_length=300, blank=True, editable=False)
    stamp = models.CharField(max_length=60, blank=True, editable=False)
    """Size and modification time of the folder's file when it was last looked into."""
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+",
        verbose_name=_("uploaded by"),
    )  # fmt: skip
    active = models.BooleanField(_("in use"), default=True, help_text=_("Answers are given only from documents in use."))

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED, editable=False)
    error = models.CharField(_("error"), max_length=20, choices=Problem, blank=True, editable=False)
    generation = models.PositiveIntegerField(_("reading"), default=0, editable=False)
    """Number of the reading whose passages are live; 0: none yet."""
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(null=True, editable=False)
    parsed_at = models.DateTimeField(_("read"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = SourceManager()

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        ordering = ["base", "title"]
        constraints = [models.UniqueConstraint(fields=["base", "file_name"], name="one_source_per_file")]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="source_unread", condition=Q(state__in=("queued", "parsing"))),
            models.Index(fields=["base", "sha256"], name="source_content"),
        ]

    def __str__(self) -> str:
        return self.title


class Chunk(models.Model):
    """A passage of a document, small enough to quote. Written by `knowledge.index`, found by `knowledge.search`."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="chunks", verbose_name=_("document"))
    generation = models.PositiveIntegerField(_("reading"))
    position = models.PositiveIntegerField(_("number"))
    page = models.PositiveIntegerField(_("page"))
    heading = models.CharField(_("heading"), max_length=300, blank=True)
    text = models.TextField(_("text"))
    vector = SearchVectorField(editable=False)
    """Stems of heading, text and title: Russian, English (the Russian configuration stems Latin words), Kazakh roots."""
    typos = SearchVectorField(editable=False)
    """Every word with each one of its letters left out: equal keys mean that two words differ by a slip."""

    class Meta:
        verbose_name = _("passage")
        verbose_name_plural = _("passages")
        ordering = ["source", "position"]
        constraints = [models.UniqueConstraint(fields=["source", "generation", "position"], name="chunk_position")]
        # Read in every reply, written seldom: no list of pending entries that each search would have to walk.
        indexes = [
            GinIndex(fields=["vector"], name="chunk_vector", fastupdate=False),
            GinIndex(fields=["typos"], name="chunk_typos", fastupdate=False),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}:{self.position}"
