"""What rules hear in a customer's words, by tables of lines and by the tuning sets in evals/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales import understanding
from sales.understanding import cancels_call, commitment, emotion, intent, opts_out, wants_call, wants_person

EVALS = Path(__file__).resolve().parent.parent.parent / "evals"

#: Chat-like texts: words that the tables know, in any order, beside anything at all.
WORDS = st.sampled_from(
    [
        "да", "нет", "не", "пишите", "сколько", "стоит", "а", "ок", "жоқ", "керек", "емес", "позвоните", "мне", "завтра",
        ",", "?", ".", "!", "👍", "+", "stop", "me", "http://a.b", "12:30", "ё",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=12).map(" ".join))


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (EVALS / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Да, готов", "yes"),
        ("давайте созвонимся", "yes"),
        ("ок, оформляйте", "yes"),
        ("ok davaite", "yes"),
        ("келістік", "yes"),
        ("ия болады", "yes"),
        ("sounds good, let's do it", "yes"),
        ("почему бы и нет", "yes"),
        ("не возражаю, присылайте", "yes"),
        ("согласна, куда платить?", "yes"),
        ("давайте завтра, во сколько вам удобно?", "yes"),
        ("👍", "yes"),
        ("ну что, стартуем", "yes"),
        ("посоветовались с женой, берём", "yes"),
        ("всё понятно, можем начинать", "yes"),
        ("шеф сказал брать", "yes"),
        ("ойланып көрдік, алмаймыз", "no"),
        ("посоветовалась с мужем, он сказал не надо", "no"),
        ("мы такое не используем", "no"),
        ("дорого, нет", "no"),
        ("ещё не посоветовались", "vague"),
        ("не уверен, что нам это нужно", "vague"),
        ("хорошо, что вы быстро отвечаете", "none"),
        ("ок, а если не подойдёт, можно вернуть", "none"),
        ("окей, понял", "none"),
        ("сайт не открывается", "none"),
        ("нет, спасибо", "no"),
        ("не интересно", "no"),
        ("уже купили у других", "no"),
        ("керек емес", "no"),
        ("жок рахмет", "no"),
        ("not interested", "no"),
        ("не пишите мне больше", "no"),
        ("не готов платить столько, нет", "no"),
        ("подумаю", "vague"),
        ("хорошо, я подумаю", "vague"),
        ("надо посоветоваться с мужем", "vague"),
        ("пока не надо", "vague"),
        ("наверное возьму", "vague"),
        ("позвоните через месяц", "vague"),
        ("ойланып көрейін", "vague"),
        ("maybe later", "vague"),
        ("сколько стоит доставка?", "none"),
        ("да а сколько стоит", "none"),
        ("да, у нас есть кофемашина", "none"),
        ("нет, у нас другая модель", "none"),
        ("Да вы что, так дорого!", "none"),
        ("здравствуйте", "none"),
        ("рахмет", "none"),
        ("", "none"),
        ("…", "none"),
    ],
)
def test_commitment(text: str, expected: str) -> None:
    assert commitment(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "не пишите мне больше", "отпишите", "уберите меня из рассылки", "удалите мой номер", "хватит мне писать", "СТОП",
        "запрещаю мне писать", "stop messaging me", "маған жазбаңыз", "ne pishite mne bolshe", "можно меня удалить из рассылки?", "отстаньте уже",
    ],
)  # fmt: skip
def test_opting_out_is_heard_by_intent(text: str) -> None:
    assert opts_out(text)
    assert commitment(text) == "no"
    assert intent(text) == "opt_out"


@pytest.mark.parametrize(
    "text",
    [
        "стоп, я сегодня не приеду", "не пишите адрес, я знаю", "пишите на почту, не в ватсап", "больше не надо сахара",
        "не звоните, лучше пишите", "отпишите как будет готово", "почему вы мне не пишете?", "не пишите мне ночью",
        "удалите позицию из заказа", "мне не пришло ни одного сообщения", "не пишите письма, звоните", "don't call, text me", "керек емес", "не беспокойтесь",
    ],
)  # fmt: skip
def test_what_only_sounds_like_opting_out_is_none(text: str) -> None:
    assert not opts_out(text)


@pytest.mark.parametrize(
    "text",
    ["позовите менеджера", "хочу поговорить с живым человеком", "оператор", "can I talk to a human?", "менеджерге қосыңыз"],
)
def test_a_person_is_asked_for(text: str) -> None:
    assert wants_person(text)
    assert intent(text) == "handoff"


@pytest.mark.parametrize(
    "text", ["ваш менеджер вчера звонил", "я менеджер по закупкам", "столик на 5 человек", "надо обсудить с директором"]
)
def test_people_that_are_only_spoken_of(text: str) -> None:
    assert not wants_person(text)


@pytest.mark.parametrize(
    "text", ["позвоните мне", "давайте созвонимся", "қоңырау шалыңыз", "call me", "жду звонка", "можете набрать меня?"]
)
def test_a_call_is_wanted(text: str) -> None:
    assert wants_call(text)
    assert not cancels_call(text)


@pytest.mark.parametrize("text", ["не звоните", "вы мне вчера звонили?", "сам позвоню", "отмените созвон", "спасибо"])
def test_no_call_is_wanted(text: str) -> None:
    assert not wants_call(text)


@pytest.mark.parametrize(
    "text",
    [
        "отмените созвон", "я не смогу в пятницу, давайте отменим", "перенесите созвон на понедельник", "встречу отменяем",
        "I can't make it tomorrow", "ертең сөйлесе алмаймын", "отмена",
    ],
)  # fmt: skip
def test_a_call_is_called_off(text: str) -> None:
    assert cancels_call(text)


@pytest.mark.parametrize("text", ["отмените заказ", "перенесите доставку на завтра", "не смогу оплатить сегодня", "созвонимся"])
def test_other_things_are_called_off(text: str) -> None:
    assert not cancels_call(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Здравствуйте!", "greeting"),
        ("Сколько стоит доставка?", "price"),
        ("А где вы находитесь?", "question"),
        ("выставьте счет на ТОО", "order"),
        ("слишком дорого", "objection"),
        ("товар пришел сломанный, верните деньги", "complaint"),
        ("давайте созвонимся", "call"),
        ("спасибо!", "thanks"),
        ("у нас кафе", "other"),
    ],
)
def test_intent(text: str, expected: str) -> None:
    assert intent(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("безобразие, верните деньги", "annoyed"),
        ("не уверен, дороговато", "doubting"),
        ("спасибо огромное, всё супер", "happy"),
        ("хочу узнать подробнее", "interested"),
        ("у нас кафе", "calm"),
    ],
)
def test_emotion(text: str, expected: str) -> None:
    assert emotion(text) == expected


def test_the_tuning_sets_are_met() -> None:
    committed, opted = rows("commitment.tuned.jsonl"), rows("opt_out.tuned.jsonl")
    assert len(committed) >= 200
    assert len(opted) >= 120
    right = sum(commitment(str(row["text"])) == row["expected"] for row in committed)
    assert right / len(committed) >= 0.98
    heard = [opts_out(str(row["text"])) for row in opted if row["expected"]]
    mistaken = [row["text"] for row in opted if not row["expected"] and opts_out(str(row["text"]))]
    assert sum(heard) / len(heard) >= 0.99
    assert mistaken == []


@given(TEXTS)
def test_no_text_is_too_strange(text: str) -> None:
    assert commitment(text) in get_args(understanding.Commitment)
    assert emotion(text) in get_args(understanding.Emotion)
    assert intent(text) in get_args(understanding.Intent)
    assert {opts_out(text), wants_person(text), wants_call(text), cancels_call(text)} <= {True, False}
