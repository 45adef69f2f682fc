"""Notices about the installation itself on the attention page: one for each subject, until it is well again or dismissed."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from foundation.db import execute

from .models import Notice

#: Who may see notices, and the status page that most of them lead to.
VIEW = "conversations.view_notice"


def put(key: str, text: str, page: str = "") -> None:
    """Show a notice, or renew the one of the same subject. `text` holds no personal data."""
    execute(
        """
        INSERT INTO conversations_notice (key, text, page) VALUES (%(key)s, %(text)s, %(page)s)
        ON CONFLICT (key) DO UPDATE SET text = EXCLUDED.text, page = EXCLUDED.page, at = statement_timestamp()
        """,
        {"key": key, "text": text[:300], "page": page},
    )


def withdraw(key: str) -> bool:
    """What the notice spoke of is well again. False: there was none."""
    return bool(Notice.objects.filter(key=key).delete()[0])


def visible_notices(user: Any) -> QuerySet[Notice]:
    """The notices that this person may see."""
    return Notice.objects.all() if user.has_perm(VIEW) else Notice.objects.none()


def dismiss(pk: int) -> bool:
    """Take a notice off the page; it comes back when its cause is seen again. False: it was gone already."""
    return bool(Notice.objects.filter(pk=pk).delete()[0])
