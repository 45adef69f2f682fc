"""Admin pages of rows that are written by the product alone: read, filtered, never edited."""

from __future__ import annotations

from typing import Any


class Journal:
    """For model admins whose rows nobody adds, changes or deletes."""

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False
