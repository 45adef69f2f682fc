"""The groups that every installation has, and the door that keeps guests from writing, whatever else they may do.

Administrators are superusers. Managers work with their own bots, guests read what they were let into; which rows these are,
`channels.owners` says.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q

GUESTS = "Guests"
MANAGERS = "Managers"
#: What managers may view, add, change and delete; of conversations they view and change, and add chats to be told in.
WORK = ("channels", "sales", "knowledge")
SEEN = (*WORK, "conversations", "llm")


class GuestsOnlyRead:
    """Stands before the backend that grants permissions: a member of the group Guests is granted nothing but viewing.

    It has no `get_user`, by which Django knows that nobody is logged in through it.
    """

    def authenticate(self, request: Any, **credentials: Any) -> None:
        """Lets the next backend decide."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Never grants. Raises PermissionDenied, which ends the asking, for a guest who would write."""
        _app, _dot, codename = perm.partition(".")
        if not codename.startswith("view_") and is_guest(user_obj):
            raise PermissionDenied
        return False


def is_guest(user: Any) -> bool:
    """Whether a person is a guest. Asked of the database once for each user object."""
    known = getattr(user, "_saudager_guest", None)
    if known is None:
        known = user._saudager_guest = bool(user.pk) and user.groups.filter(name=GUESTS).exists()
    return bool(known)


def put_groups() -> list[str]:
    """Make the groups that are not there yet, and return their names. One that exists is left as people have made it."""
    viewing = Q(codename__startswith="view_")
    ours = Permission.objects.filter(content_type__app_label__in=SEEN)
    conversing = Q(content_type__app_label="conversations", codename__startswith="change_")
    conversing |= Q(content_type__app_label="conversations", content_type__model="managerchat")
    rights = {
        GUESTS: ours.filter(viewing),
        MANAGERS: ours.filter(viewing | conversing | Q(content_type__app_label__in=WORK)),
    }
    made = []
    for name, permissions in rights.items():
        group, new = Group.objects.get_or_create(name=name)
        if new:
            group.permissions.set(permissions)
            made.append(name)
    return made
