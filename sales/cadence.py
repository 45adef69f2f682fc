"""The touches of a follow-up as people see them: a line of dots, each with its sign, its time and its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations.models import Turn

from .models import FollowUp, Touch

#: The sign of each kind of dot (a Material symbol) and its word. Planned ones show their number.
KINDS: dict[str, tuple[str, str | Promise]] = {
    "made": ("check", gettext_lazy("made")),
    "leaving": ("arrow_upward", gettext_lazy("on its way")),
    "lost": ("priority_high", gettext_lazy("did not leave")),
    "planned": ("", gettext_lazy("planned")),
    "moved": ("update", gettext_lazy("planned, moved")),
    "waits": ("hourglass_empty", gettext_lazy("waits for a template")),
    "skipped": ("fast_forward", gettext_lazy("skipped")),
    "cancelled": ("close", gettext_lazy("called off")),
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One touch in the line. `at` is in the zone of the channel; `kind` is one of KINDS."""

    touch: Touch
    kind: str
    is_next: bool
    at: datetime
    word: str
    why: str
    """Why it was moved or skipped, or did not leave; empty where there is nothing to say."""
    count: int
    text: str = ""
    """What was sent, where that is shown."""

    @property
    def icon(self) -> str:
        return KINDS[self.kind][0]

    @property
    def title(self) -> str:
        """Everything about the touch in one line."""
        place = _("Touch %(number)s of %(count)s") % {"number": self.touch.number, "count": self.count}
        return " · ".join(part for part in (place, self.word, self.at.strftime("%d.%m.%Y %H:%M"), self.why) if part)


def dots(touches: Iterable[Touch], zone: ZoneInfo, *, active: bool, texts: dict[int, str] | None = None) -> list[Dot]:
    """The line of a follow-up. The turns of the touches are read as well; `texts` are by turn."""
    ordered = sorted(touches, key=lambda touch: touch.number)
    following = next_touch(ordered) if active else None
    return [
        Dot(
            touch, kind := _kind(touch), touch is following, (touch.fired_at or touch.planned_at).astimezone(zone),
            str(_("next") if touch is following and kind != "waits" else KINDS[kind][1]), _why(touch, kind), len(ordered),
            (texts or {}).get(touch.turn_id or 0, ""),
        )
        for touch in ordered
    ]  # fmt: skip


def next_touch(touches: Sequence[Touch]) -> Touch | None:
    """The one that is made next, or None."""
    planned = (touch for touch in touches if touch.state == Touch.State.PLANNED)
    return min(planned, key=lambda touch: touch.number, default=None)


def _kind(touch: Touch) -> str:
    if touch.state == Touch.State.PLANNED:
        if touch.reason == Touch.Reason.TEMPLATE:
            return "waits"
        return "moved" if touch.reason else "planned"
    if touch.state != Touch.State.FIRED:
        return str(touch.state)
    if touch.turn is None or touch.turn.stage == Turn.Stage.DONE:
        return "made"
    return "leaving" if touch.turn.is_open else "lost"


def _why(touch: Touch, kind: str) -> str:
    if kind == "lost" and touch.turn is not None:
        return touch.turn.get_reason_display()
    return touch.get_reason_display()


#: How the states of a follow-up look: tone and icon of the badge.
STATES = {
    FollowUp.State.ACTIVE: ("info", "schedule_send"),
    FollowUp.State.STOPPED: ("muted", "stop_circle"),
    FollowUp.State.COMPLETED: ("ok", "done_all"),
}
