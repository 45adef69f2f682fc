"""Reading a model's answer: whatever is wrapped around the JSON, the schema decides whether it is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from .base import Answer

THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
THINKING_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
FENCED = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL | re.IGNORECASE)
LONGEST = 200_000
MOST_STARTS = 50


class NotAnAnswer(ValueError):
    """No JSON object in the text fits the schema. Carries nothing of the text."""


def read(text: str, schema: type[Answer]) -> Answer:
    """The answer in `text`: bare JSON, or JSON in a code fence, after `<think>` tags or amid other words.

    Raises NotAnAnswer.
    """
    try:
        return schema.model_validate_json(text)
    except ValidationError:
        pass
    for found in _objects(text[:LONGEST]):
        try:
            return schema.model_validate(found)
        except ValidationError:
            continue
    raise NotAnAnswer


def _objects(text: str) -> Iterator[Any]:
    """JSON objects in the text, the likeliest first."""
    said = THINKING.sub("", text)
    if unopened := THINKING_END.split(said)[1:]:
        said = unopened[-1]
    for block in (*FENCED.findall(said), said):
        yield from _scan(block)


def _scan(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), -1
    for _attempt in range(MOST_STARTS):
        position = text.find("{", position + 1)
        if position < 0:
            return
        try:
            found, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            continue
        yield found
        position = end - 1
