"""Who may use the HTTP API: the same people, with the same rights, as the admin."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class StaffOnly(BasePermission):
    """Active staff users; reading needs the view permission of the view's model, anything else its change permission.

    A view names the model it is about as `permission_model = "conversations.contact"`. Without one every staff user may
    read, and only superusers may write: a forgotten name closes a door instead of opening it. Where a method needs another
    permission, the view says so: `permission_actions = {"POST": "add", "DELETE": "delete"}`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if not (user and user.is_authenticated and user.is_active and user.is_staff):
            return False
        model = getattr(view, "permission_model", "")
        action = getattr(view, "permission_actions", {}).get(request.method, "")
        if request.method in SAFE_METHODS and not action:
            return not model or may_view(user, model)
        return bool(user.has_perm(_codename(model, action or "change")) if model else user.is_superuser)


def may_view(user: Any, model: str) -> bool:
    """Whether the admin would show rows of `model` (`app.model`) to this user."""
    return any(user.has_perm(_codename(model, action)) for action in ("view", "change"))


def _codename(model: str, action: str) -> str:
    app, _dot, name = model.partition(".")
    return f"{app}.{action}_{name}"
