"""What a customer's message says, by rules: for the offline model, and where a decision may not wait for a model.

Pure functions of one text. They never raise; what they do not recognise is "none", "other", "calm" or False.
"""

from __future__ import annotations

import re
from typing import Literal

from foundation.words import Clause, Reading, Vocabulary, read

from . import mood, refusals
from . import phrasebook as say
from .wishes import cancels_call, opts_out, wants_call, wants_person

__all__ = [
    "Commitment", "Emotion", "Intent", "cancels_call", "commitment", "emotion", "intent", "opts_out", "wants_call",
    "wants_person",
]  # fmt: skip

Commitment = Literal["yes", "no", "vague", "none"]
Emotion = Literal["calm", "interested", "doubting", "annoyed", "happy"]
Intent = Literal[
    "greeting", "question", "price", "order", "objection", "complaint", "call", "handoff", "opt_out", "thanks", "other"
]

_ASSENT = Vocabulary(say.ASSENT)
_BESIDE_ASSENT = Vocabulary(say.BESIDE_ASSENT)
_DISSENT = Vocabulary(refusals.DISSENT)
_BESIDE_DISSENT = Vocabulary(refusals.BESIDE_DISSENT)
#: "Да" also answers questions of fact ("да, у нас есть"); "хорошо" and "ок" hardly ever do.
_ANSWERS = Vocabulary("да ага угу иа ия yes yeah yep yup 👍 точно верно")

_DEEDS = Vocabulary(say.DEEDS)
_NO_DEED = Vocabulary(say.NO_DEED)
_NO_REQUEST = Vocabulary("сайте лимите здравствуйте извините простите")
_MAY = Vocabulary(say.MAY)
_UNABLE = Vocabulary(say.UNABLE)
#: "Оплачу", "созвонимся", "аламыз", "бастайик".
_FIRST_PERSON = re.compile(r"(?:(?:у|(?<!у)ю|[зи]р?ую|ем|им)(?:сь|ся|с|са)?|[аеи]м[ыи][нз]|[ае]йи?к|[ае]й[ыи][нк])$")
#: "Алмаймын", "қатыспаймыз".
_KAZAKH_REFUSAL = re.compile(r"[мпб][ае]й(?:м[ыи][нз]|м)$")
_NOT_REFUSED = Vocabulary("билмей* тусинбей* танымай* табалмай* есте*")


def commitment(text: str) -> Commitment:
    """What a message says to our proposal. Opting out is a refusal; a condition asked before agreeing is nothing yet."""
    if opts_out(text):
        return "no"
    whole = read(text)
    greeted = whole.without(mood.GREETING)
    reading = greeted.without(say.DOUBLE_NEGATION).without(refusals.DELIBERATED)
    told, questions = _told_and_asked(reading)
    told = told.without(refusals.SUPPOSED)
    if refusals.UNDECIDED in told:
        return "vague"
    asked = questions.without(say.ARRANGING)
    if refusals.FINAL_NO in told:
        return "no"
    if refusals.VAGUE in told or _postpones_by_asking(asked):
        return "vague"
    if refusals.PLAIN_NO in told:
        return "no"
    if say.CONDITION in asked:
        return "yes" if say.FIRM in told else "none"
    if say.DEED in told or say.PROPOSED in questions or (greeted is not reading and not asked.words):
        return "yes"
    if refusals.HEDGED in told:
        return "vague"
    if say.INTEREST in told and not asked.words:
        return "yes"
    said = _by_first_word(told, asks=bool(asked.words))
    return said if said != "none" or asked.words else _by_verbs(told)


def _told_and_asked(reading: Reading) -> tuple[Reading, Reading]:
    """What a message states, and what it asks, with or without a question mark."""
    told: list[Clause] = []
    asked: list[Clause] = []
    for clause in reading.clauses:
        asks = clause.asks or say.ASKED_TOO in Reading((clause,))
        (asked if asks else told).append(clause)
    return Reading(tuple(told)), Reading(tuple(asked))


def _postpones_by_asking(asked: Reading) -> bool:
    return len(asked.words) <= 6 and refusals.VAGUE in asked and say.CONDITION not in asked


def _by_first_word(told: Reading, *, asks: bool) -> Commitment:
    """What a message that starts with "yes" or "no" is worth: beside words of courtesy everything, beside a fact nothing."""
    words = told.words
    start = _first(words)
    if start is None or not all(_courteous(word) for word in words[:start]):
        return "none"
    rest = words[start + 1 :]
    fact = say.FACT in told or say.UNDERSTOOD in told
    if words[start] in _DISSENT:
        return "no" if all(word in _BESIDE_DISSENT for word in rest) and not asks and not fact else "none"
    if all(_courteous(word) for word in rest) and not fact:
        return "none" if asks else "yes"
    if words[start] in _ANSWERS or asks or fact:
        return "yes" if not asks and any(_requests(word) for word in rest) and not fact else "none"
    return "yes"


def _by_verbs(told: Reading) -> Commitment:
    """What verbs in the first person or the imperative say, where no phrase is known: "стартуем", "катыспаймын"."""
    last = told.clauses[-1].words if len(told.clauses) > 1 else ("",)
    if last[0] in _DISSENT and all(word in _BESIDE_DISSENT for word in last) and say.FACT not in told:
        return "no"
    for words in (clause.words for clause in told.clauses):
        if any(_declines(words[:n], word) for n, word in enumerate(words)):
            return "no"
    for words in (clause.words for clause in told.clauses):
        if say.FACT not in told and not any(word in _NO_DEED for word in words) and any(_goes_on(words, w) for w in words):
            return "yes"
    return "none"


def _declines(before: tuple[str, ...], word: str) -> bool:
    if _KAZAKH_REFUSAL.search(word):
        return word not in _NOT_REFUSED
    return before[-1:] == ("не",) and bool(_FIRST_PERSON.search(word)) and word not in _UNABLE and len(word) > 3


def _goes_on(clause: tuple[str, ...], word: str) -> bool:
    if word not in _DEEDS:
        return False
    if word.endswith(("ть", "т", "тся")):
        return any(before in _MAY for before in clause[: clause.index(word)])
    return _requests(word) or (len(clause) <= 4 and bool(_FIRST_PERSON.search(word)))


def _first(words: tuple[str, ...]) -> int | None:
    """Where yes or no is said: the "нет" of "да нет" and "ой, пожалуй нет" is meant, not the "да" before it."""
    no = next((n for n, word in enumerate(words[:4]) if word in _DISSENT), None)
    if no is not None and all(_courteous(word) for word in words[:no]):
        return no
    return next((n for n, word in enumerate(words) if word in _ASSENT), None)


def _courteous(word: str) -> bool:
    return word in _BESIDE_ASSENT or word[:1].isdigit()


def _requests(word: str) -> bool:
    """Whether a word asks us to do something: "присылайте", "скиньте", "жазыңыз"."""
    return (
        len(word) > 4
        and word not in _NO_REQUEST
        and word.endswith(("йте", "ите", "вте", "нте", "дте", "сте", "жте", "ныз", "низ", "ныздар", "низдер"))
    )


def emotion(text: str) -> Emotion:
    """The tone of a message."""
    reading = read(text)
    if mood.ANNOYED in reading or opts_out(text):
        return "annoyed"
    if mood.DOUBTING in reading or commitment(text) == "vague":
        return "doubting"
    if mood.HAPPY in reading:
        return "happy"
    if mood.INTERESTED in reading or commitment(text) == "yes":
        return "interested"
    return "calm"


def intent(text: str) -> Intent:
    """What a message is about, by its weightiest part: a complaint before a price, a price before a greeting."""
    reading = read(text)
    if opts_out(text):
        return "opt_out"
    if mood.COMPLAINT in reading:
        return "complaint"
    if wants_person(text):
        return "handoff"
    if wants_call(text) or cancels_call(text):
        return "call"
    if mood.PRICE in reading and (reading.asks or mood.OBJECTION not in reading):
        return "price"
    if mood.OBJECTION in reading:
        return "objection"
    if mood.ORDER in reading:
        return "order"
    if reading.asks:
        return "question"
    if mood.THANKS in reading:
        return "thanks"
    if mood.GREETING in reading:
        return "greeting"
    return "other"
