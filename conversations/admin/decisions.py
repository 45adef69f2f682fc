"""List actions that decide about single rows: each on its own, with the number of those done and the reasons of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from .. import attention
from . import attention_page


def carry_out(
    request: HttpRequest, rows: QuerySet[Any], do: Callable[[int], object], told: Callable[[int], str]
) -> None:
    """Do it for every row, the oldest first; what `do` refuses (attention.Refused) is said once for each reason."""
    done, refusals = 0, set[str]()
    for pk in rows.order_by("pk").values_list("pk", flat=True):
        try:
            do(pk)
        except attention.Refused as error:
            refusals.add(str(error))
        else:
            done += 1
    attention_page.waiting.forget()
    messages.add_message(request, messages.SUCCESS if done else messages.WARNING, told(done) % {"n": done})
    for refusal in sorted(refusals):
        messages.warning(request, refusal)
