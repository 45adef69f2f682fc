"""The model of last resort: no network, no key, the same answer to the same facts.

The apps that make requests teach it, one function a purpose, when they start:

    from llm.providers.offline import register
    register("moderate", judge_by_criteria)        # facts → dict that fits the request's schema
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from foundation.errors import Rejected

from ..base import Provider, Raw, Request

Function = Callable[[Mapping[str, Any]], dict[str, Any]]

_functions: dict[str, Function] = {}


def register(purpose: str, function: Function) -> None:
    """Let `function` answer requests of this purpose from their facts. A later registration replaces an earlier one."""
    _functions[purpose] = function


def purposes() -> list[str]:
    """What the offline model can do."""
    return sorted(_functions)


class Offline(Provider):
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        function = _functions.get(request.purpose)
        if function is None:
            raise Rejected(_("%(model)s: cannot do this offline") % {"model": self.model.name}, code="no_function")
        return Raw(json.dumps(function(request.facts), ensure_ascii=False))
