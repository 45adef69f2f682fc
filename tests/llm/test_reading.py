from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel

from llm import schemas
from llm.reading import NotAnAnswer, read

from .conftest import Reply

PLAIN = '{"reply": "да", "confidence": 0.5}'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\ufeff \n{PLAIN}\n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```",
        f"Конечно! Вот ответ: {PLAIN} Что-нибудь ещё?",
        f'<think>Может, {{"reply": "нет"}}?</think>{PLAIN}',
        f'мысли {{"reply": "нет"}} без начала</think>\n{PLAIN}',
        f'{{"thoughts": {{"a": 1}}}}\n{PLAIN}',
        f"{{{{ набросок {PLAIN}",
    ],
)
def test_the_answer_is_found(text: str) -> None:
    assert read(text, Reply).reply == "да"


@pytest.mark.parametrize("text", ["", "да", "[]", "null", '{"reply": ""}', '{"reply": "да', '{"other": 1}', "{" * 10_000])
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(NotAnAnswer) as caught:
        read(text, Reply)
    assert not str(caught.value)


def test_the_strict_dialect() -> None:
    schema, wholly = schemas.strict(Reply)
    assert wholly
    assert schema["required"] == list(Reply.model_fields)
    step = schema["$defs"]["Step"]
    assert step["additionalProperties"] is False
    assert step["required"] == ["kind", "why"]
    assert "default" not in str(schema)
    assert "minimum" not in str(schema)


def test_a_property_called_title_or_default_survives() -> None:
    class Named(BaseModel):
        title: str
        default: Literal["a"]

    assert set(schemas.plain(Named)["properties"]) == {"title", "default"}
    assert schemas.strict(Named)[0]["properties"]["default"] == {"enum": ["a"], "type": "string"}


def test_free_keys_cannot_be_said_strictly() -> None:
    class Free(BaseModel):
        facts: dict[str, str]

    assert schemas.strict(Free)[1] is False
