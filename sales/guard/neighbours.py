"""What stands beside a number: whether it counts something, or may be an amount or an hour of its own."""

from __future__ import annotations

from collections.abc import Sequence

from .tokens import Token, words

#: What may stand after an amount without a currency: anything else is a noun that is counted.
FUNCTION_WORDS = words("""
    за на по с со в во и или либо а но да до от при без для из у к ко об о вместо если когда то как что чтобы это этот
    эта эту всего только сразу вам вас вы вами мы я он она оно они нам нас мне наш наша ваш ваша ваше уже еще тоже также
    же ли бы не нет ни плюс минус примерно около под итого каждый каждая каждую каждое ежемесячно единоразово сейчас
    сегодня завтра можно могу можем будет будут было была есть ок хорошо спасибо пожалуйста стоит стоят выйдет отдам
    отдадим обещал обещали обещала говорили говорил сказали сказал назвали назвал писали просили платили заплатили
    предлагали предложили никто никогда ведь так раз с-учетом включая вместе который которые который-то потому поэтому
    зато тогда ровно или-же там тут здесь for per each a an and or but if is are was were will would we you i it to from
    with at by in on off only total monthly as that the not no plus including instead then today now has have had can
    could never just so because our your үшін бойынша және немесе болады тұрады бар жоқ ғана емес біз сіз сізге мен
    береміз беремін бастап дейін деп бірақ ал шығады еді болса болып сатамыз ақысы
    """)
_VERB_ENDINGS = (
    "ем", "им", "ете", "ите", "ает", "яет", "ует", "ются", "ется", "ится", "ать", "ить", "ешь", "ишь", "лось", "лись",
    "аю", "яю", "майды", "мейді", "маймыз", "мейміз", "ймыз", "йміз", "амыз", "еміз",
)  # fmt: skip
_AFTER_NOT = words("/ % : × № # ° ² ³ ' \"")


def stands_alone(tokens: Sequence[Token], at: int) -> bool:
    """Whether what stands at `at`, after a number, is no thing that is counted."""
    if at >= len(tokens):
        return True
    token = tokens[at]
    if token.sort == "mark":
        if token.text == "/":
            return at + 1 < len(tokens) and tokens[at + 1].sort == "word"
        if token.text == "-" and token.glued:
            return not (at + 1 < len(tokens) and tokens[at + 1].glued)
        return token.text not in _AFTER_NOT
    if token.sort == "word":
        return not token.glued and (token.text in FUNCTION_WORDS or _is_verb(token.text))
    return token.sort in ("date", "time", "code")


def _is_verb(word: str) -> bool:
    return len(word) > 4 and word.endswith(_VERB_ENDINGS)
