"""How the fake model sells: what it answers to wishes rather than to questions, and what it writes to the silent.

As a decent model would, it proposes times word for word as the facts of the prompt state them, books what was agreed,
and lets go who asks for it. Plain rules on plain text: it runs once per call of a benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

GREETING = re.compile(r"здравствуй|добрый (день|вечер)|доброе утро|привет|сәлем|\bhello\b", re.IGNORECASE)
OPT_OUT = re.compile(r"не пишите|не пиши |отпишите|не беспокойте|жазбаңыз|stop writing|unsubscribe", re.IGNORECASE)
VAGUE = re.compile(r"подума[юе]|посмотр(ю|им)|ойланам|think about it", re.IGNORECASE)
NO = re.compile(r"не интересно|неинтересно|не нужно|не актуально|уже купили|not interested", re.IGNORECASE)
YES = re.compile(r"\b(да|подойд[её]т|подходит|хорошо|согласен|согласна|иә|yes|ok)\b", re.IGNORECASE)
THANKS = re.compile(r"спасибо|благодар|рахмет|thank", re.IGNORECASE)
CALL = re.compile(r"созвон|позвон|\bзвон(ок|ка|ите)\b|қоңырау|\bcall\b", re.IGNORECASE)

#: A time in the facts: its words, and its start as `call_at` wants it.
TIME = re.compile(r": ([^=;\n]*?)(?: \(call_at: | = )(\d{4}-\d\d-\d\dT[\d:+]+)")
FREE = " = "
NEAREST = re.compile(r"nearest|ближайш", re.IGNORECASE)
OFFERED = re.compile(r"\boffered\b|предлож(ил|ен)", re.IGNORECASE)
#: So many of the last utterances tell whether a call is the subject.
LOOK_BACK = 4

TOUCH = re.compile(r"касание (\d) из (\d)")
ASKED = re.compile(r"^[^:\n]{1,30}: (?:[^\n]*?[.!] )?([^\n.!?]{6,80}\?)", re.MULTILINE)
SHORTEST_BENEFIT = 20
TOUCHES = (
    "Здравствуйте! Возвращаюсь к Вашему вопросу: «{asked}». Остались вопросы, могу ли я чем-то помочь? 🙂",
    "Здравствуйте! Напомню, что важно в Вашем случае: {benefit} Подготовить для Вас расчёт?",
    "Здравствуйте! Такие вопросы мы решаем каждый день и подскажем, что подойдёт именно Вам. Похоже на Вашу задачу?",
    "Здравствуйте! Мы готовы вернуться к расчёту, как только Вам будет удобно. Стоит ли сделать это сейчас?",
    "Здравствуйте! Понимаю, что сейчас, возможно, не время. Спасибо за разговор: написать нам можно в любой момент. 🤝",
)


def wish(said: str, messages: Sequence[tuple[str, str]], facts: str) -> dict[str, Any] | None:
    """The answer to what the customer wants; None where they only ask something."""
    if OPT_OUT.search(said):
        return {"reply": "Хорошо, больше писать не будем. Всего Вам доброго!", "intent": "opt_out", "commitment": "no"}
    about_call = CALL.search(said) or any(CALL.search(text) for _role, text in messages[-LOOK_BACK:])
    if about_call and (answer := arrange(said, facts)) is not None:
        return {"intent": "call", "commitment": "yes"} | answer
    if NO.search(said):
        return {"reply": "Понимаю, спасибо, что ответили! Если что-то изменится, мы на связи.", "commitment": "no"}
    if VAGUE.search(said):
        return {
            "reply": "Конечно, не торопитесь! Появятся вопросы — напишите, с радостью отвечу.",
            "commitment": "vague", "emotion": "doubting", "intent": "objection",
        }  # fmt: skip
    if THANKS.search(said) and "?" not in said:
        return {"reply": "Рады помочь! Будут вопросы — пишите.", "intent": "thanks", "emotion": "happy"}
    return None


def arrange(said: str, facts: str) -> dict[str, Any] | None:
    """A step towards a call by what the facts say of times; None where they say nothing, or nothing is wanted."""
    free, nearest, offered, named = [""] * 2, [""] * 2, [""] * 2, [""] * 2
    for line in facts.splitlines():
        found = TIME.search(line)
        if found is None:
            continue
        words_and_start = list(found.groups())
        if found[0].endswith(f"{FREE}{found[2]}"):
            free = words_and_start
        elif NEAREST.search(line):
            nearest = words_and_start
        elif OFFERED.search(line):
            offered = words_and_start
        else:
            named = words_and_start
    if named[1]:
        return {"reply": "", "actions": ["book_call"], "call_at": named[1]}
    if nearest[1]:
        return {
            "reply": f"К сожалению, на это время созвон не назначить. Ближайшее свободное: {nearest[0]}. Подойдёт?",
            "commitment": "none",
        }  # fmt: skip
    if offered[1] and YES.search(said):
        return {"reply": "", "actions": ["book_call"], "call_at": offered[1]}
    if free[1] and CALL.search(said):
        return {"reply": f"С удовольствием! Свободно, например, такое время: {free[0]}. Подойдёт, или удобнее другое?"}
    return None


def touch(system: str, history: str, benefit: str) -> str | None:
    """The words of a touch; None where the prompt asks for none."""
    number = TOUCH.search(system)
    if number is None:
        return None
    asked = ASKED.search(history)
    at = len(TOUCHES) if number[1] == number[2] != "1" else min(int(number[1]), len(TOUCHES))
    sentence = next((part for part in benefit.split(". ") if len(part) > SHORTEST_BENEFIT), benefit).rstrip(".")
    return TOUCHES[at - 1].format(asked=asked[1] if asked else "что Вам подойдёт", benefit=f"{sentence}.")
