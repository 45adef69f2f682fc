"""Promises of discounts, gifts and free things in running text, in Russian, Kazakh and English.

A promise is a word of such a family (`бесплатно`, `тегін`, `discount`) that is neither denied, nor asked for by the
customer, nor left to somebody else to decide. What is promised is the service or thing named nearest to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import promised_things
from .currencies import currency_at
from .tokens import Token, clauses, words

#: Tokens looked at around a promise, and parts of its sentence before and after its own.
PIECE = 60
NEAR = 8


@dataclass(frozen=True, slots=True)
class Promise:
    """A free thing, gift or discount. `things` are services by their English name, or stems of nouns; may be empty.

    `codes` are the product codes (`dk200`) of its sentence.
    """

    family: str
    things: frozenset[str]
    first: int
    last: int
    codes: frozenset[str] = frozenset()

    @property
    def value(self) -> str:
        return f"{self.family}:{'+'.join(sorted(self.things))}" if self.things else self.family


_FAMILIES = {
    "free": re.compile(
        r"бесплатн\w*|безвозмездн\w*|задаром|нахаляву|халяв\w*|тегін\w*|ақысыз|complimentary|gratis|free|freebie\w*|даром"
    ),
    "gift": re.compile(
        r"подар(?:ок|ка|ку|ки|ков|ком|ками|им|ю|ит|ить|ен|ена|ены)|дар(?:им|ю|ит)|презент\w{0,2}|бонус\w{0,3}"
        r"|кэшбэк\w{0,2}|кешбэк\w{0,2}"
        r"|сыйлық\w*|сыйға|сыйла\w*|тарту|gifts?|bonus(?:es)?|cashback|freebies?"
    ),
    "discount": re.compile(
        r"скид(?:к|ок|оч)\w*|скин(?:ем|у|ете|уть|ул|ули)|скидыва\w+|уступ(?:им|лю|ить|ка|ку|ки)|сброс(?:им|ить)|сбавим"
        r"|акци[яиюей]\w{0,2}"
        r"|спеццен\w{1,2}|распродаж\w{1,3}|промокод\w{0,3}|жеңілдік\w*|арзандат\w*|discount(?:s|ed)?|promo\w*|coupon\w*"
        r"|voucher\w*|sale"
    ),
}
#: `feel free`, `sugar-free`, `free time`: no gifts.
_NOT_FREE = words("feel sugar interest risk duty hands caffeine gluten trouble stress lactose hassle toll commission")
_NOT_FREE_AFTER = words("time slot slots to at on hour hours window windows day days tomorrow today")
_DISCOUNT_VERBS = re.compile(
    r"отда(?:м|дим)|сдела(?:ю|ем)|прода(?:м|дим)|дадим|дам|будет|поставим|посчита\w+|оформ\w+|make|give|sell"
    r"|береміз|беремін"
)
_CHEAPER = words("дешевле подешевле cheaper арзанырақ арзандау арзанға")

# ── Whether it is promised ───────────────────────────────────────────────────────────────────────────────────────────

_DENIAL = re.compile(
    r"нет|нету|нельзя|невозможн\w*|отсутству\w+|исключен\w*|отказ\w*|жоқ|емес|мүмкін-емес|алмай\w*|алмаймы\w+"
    r"|\w*(?:ма|ме|ба|бе|па|пе)й(?:ды|ді|мыз|міз|мын|мін|сыз|сіз)|\w*(?:ма|ме|ба|бе|па|пе)ған|\w*(?:ма|ме|ба|бе|па|пе)ген"
    r"|not|no|cannot|never|unable|without|none|nor|neither|don't|doesn't|can't|won't|isn't|aren't|didn't|couldn't|haven't"
    r"|hasn't"
)
_NO_DENIAL = words("проблем проблемы problem problems вопросов сомнений")
_NEGATED_VERBS = re.compile(
    r""
    r"(?:да|дё|де|пред|мог|смог|смож|може|можем|дела|сдела|быва|действ|обеща|вход|полож|план|буд|дар|подар|распростран|провод|получ|име|примен"
    r"|явля|став|вправе|упоминал|говор|указан|вижу|наш|знаю|готов|занима|раздa|разда|оформ|назнач|решаю|реша|полага"
    r"|уполномоч|подтвер|сто[ия]|суммир)\w*"
)
_EXHORTATION = re.compile(r"(?:упуст|пропуст|забуд|сомнева|пережива|волнуй|беспокой|пожале|тольк|miss|forget|worry|only)\w*")
_LEFT_OPEN = re.compile(
    r"уточн\w+|спрос\w+|узна\w+|согласу\w+|согласов\w+|переда\w+|подскаж\w+|провер\w+|реша\w+|решит|рассмотр\w*|обсуд\w+"
    r"|обсужда\w+|зависит|вопрос\w*"
    r"|просите|просили|просьб\w*|хотите|хотели|хочется|ожида\w+|ждете|рассчитыва\w+|спрашива\w+|интересу\w+|насчет|поводу"
    r"|понимаю|возможн(?:а|ы|ости|ость)|бы"
    r"|ли|check|ask|clarify|confirm|whether|if|decides?|discuss|approv\w+|manager|wish|want|wanted|understand|asked"
    r"|asking|about|regarding"
    r"|сұра\w*|нақтыла\w*|анықта\w*|туралы|менеджер\w*|келіс\w*|шеш\w*"
)
_CHOICE = re.compile(
    r"себе|себя|берете|ищете|выбираете|кому|жене|маме|мужу|подруге|коллег\w+|ребенку|ищешь|looking|yourself|someone"
    r"|іздеп|өзіңізге"
)

_BREAKS = words(", — – ( ) : -")
_CONTRAST = words("но а однако зато but however бірақ ал")


def promises(tokens: Sequence[Token]) -> list[Promise]:
    """The promises of a text, in order."""
    found: list[Promise] = []
    text = list(tokens)
    earlier: list[range] = []
    for sentence in clauses(text):
        pieces = _pieces(text, sentence)
        for number, piece in enumerate(pieces):
            said = [text[at].text for at in piece]
            for at in piece:
                family = _family(text, at, said)
                if family and not _denied(said, at - piece.start, family) and not _is_left_open(text, at, sentence, family):
                    before, after = pieces[max(0, number - NEAR) : number], pieces[number + 1 : number + 1 + NEAR]
                    about = promised_things.about(text, at, piece, before, after, earlier[-3:], discount=family == "discount")
                    codes = promised_things.codes(text, _near(at, sentence))
                    found.append(Promise(family, about, at, at, codes))
        earlier.append(sentence)
    return found


def _near(at: int, sentence: range) -> range:
    """The part of a sentence around a word; no sentence is longer, but a text without marks may be."""
    return range(max(sentence.start, at - PIECE), min(sentence.stop, at + PIECE))


def _pieces(tokens: Sequence[Token], sentence: range) -> list[range]:
    """The parts of a sentence; what is parted only by `, к сожалению,` is one."""
    pieces: list[range] = []
    joining = False
    for piece in _cut(tokens, sentence):
        aside = " ".join(tokens[at].text for at in piece if tokens[at].sort == "word") in _ASIDES
        if pieces and (aside or joining) and len(pieces[-1]) + len(piece) <= PIECE:
            pieces[-1] = range(pieces[-1].start, piece.stop)
        else:
            pieces.append(piece)
        joining = aside
    return pieces


_ASIDES = frozenset(
    (
        "к сожалению",
        "увы",
        "боюсь",
        "простите",
        "извините",
        "unfortunately",
        "sorry",
        "i'm afraid",
        "өкінішке орай",
        "кешіріңіз",
    )
)


def _cut(tokens: Sequence[Token], sentence: range) -> list[range]:
    """A sentence cut at commas, spaced dashes and contrasting words."""
    pieces, start = [], sentence.start
    for at in sentence:
        token = tokens[at]
        breaks = token.text in _CONTRAST or token.text in (",", "(", ")") or (token.text in _BREAKS and not token.glued)
        if at - start >= PIECE or (at > start and breaks):
            pieces.append(range(start, at))
            start = at
    pieces.append(range(start, sentence.stop))
    return pieces


def _family(tokens: Sequence[Token], at: int, said: Sequence[str]) -> str:
    """The family of the word at `at` of a piece with the words `said`; empty if it is no such word here."""
    token = tokens[at]
    if token.sort == "number":
        zero = token.value == 0 and not token.spelled and currency_at(tokens, at + 1) is not None
        return "free" if zero else "gift" if _is_deal(tokens, at) else ""
    if token.sort != "word":
        return ""
    word = token.text
    if word in _CHEAPER:
        return "discount" if any(_DISCOUNT_VERBS.fullmatch(other) for other in said) else ""
    for family, pattern in _FAMILIES.items():
        if pattern.fullmatch(word):
            return "" if _means_otherwise(tokens, at, family, said) else family
    if word == "price" and [other.text for other in tokens[max(0, at - 2) : at]] == ["for", "the"]:
        return "gift" if at + 1 < len(tokens) and tokens[at + 1].text == "of" else ""
    before = [other.text for other in tokens[max(0, at - 2) : at + 1]]
    return "free" if before in _AT_NO_COST or before[-2:] == ["no", "charge"] else ""


_AT_NO_COST = (["at", "no", "cost"], ["at", "no", "charge"], ["за", "наш", "счет"])


def _is_deal(tokens: Sequence[Token], at: int) -> bool:
    """`1+1`, `2 по цене 1`."""
    following = [token.text for token in tokens[at + 1 : at + 4]]
    if following[:2] == ["+", "1"] and tokens[at + 1].glued:
        return tokens[at].text in ("1", "2")
    return following[:2] == ["по", "цене"] and len(following) > 2 and tokens[at + 3].whole in range(1, 9)


def _means_otherwise(tokens: Sequence[Token], at: int, family: str, said: Sequence[str]) -> bool:
    before = tokens[at - 1].text if at else ""
    if before == "-" and at > 1:
        before = tokens[at - 2].text
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    word = tokens[at].text
    if word == "free":
        return before in _NOT_FREE or after in _NOT_FREE_AFTER or before in ("am", "you", "you're", "i'm")
    if word == "даром":
        return before in ("не", "таки")
    if family == "gift":
        if word == "gift" and after.startswith(("wrap", "card", "certificate", "box", "set", "shop", "bag")):
            return True
        return word in ("тарту", "бонусн") or any(_CHOICE.fullmatch(other) for other in said) or before in ("на", "для")
    return word == "sale" and before in ("for", "on") and after not in ("now",)


def _denied(said: Sequence[str], place: int, family: str) -> bool:
    """Whether the promise at `place` of a piece is denied, left to others, or only repeats what the customer asked for."""
    if "без" in said[max(0, place - 2) : place] or (place and said[place - 1] in ("не", "ни")):
        return True
    for number, word in enumerate(said):
        following = said[number + 1] if number + 1 < len(said) else ""
        exhorts = _EXHORTATION.fullmatch(following) is not None
        if word == "не" and not exhorts and _NEGATED_VERBS.fullmatch(following):
            return True
        if word == "ни" or (word == "without" and number > place):
            return word == "ни"
        if _DENIAL.fullmatch(word) and following not in _NO_DENIAL and not exhorts:
            return True
        if _LEFT_OPEN.fullmatch(word) and not (word in ("if", "about", "manager", "бы") and family == "free"):
            return True
    return False


def _is_left_open(tokens: Sequence[Token], at: int, sentence: range, family: str) -> bool:
    """Whether somebody else will decide on a discount."""
    return family == "discount" and any(_DECIDED_ELSEWHERE.fullmatch(tokens[place].text) for place in _near(at, sentence))


_DECIDED_ELSEWHERE = re.compile(
    r"уточн\w+|согласу\w+|решает|решит|передам|спрошу|узнаю|нақтылай\w*|анықтай\w*|сұрай\w*|check|ask|decides?"
    r"|clarify"
)


def backed(promise: Promise, known: Sequence[Promise]) -> bool:
    """Whether facts make this promise: the same family, about the same things. A gift is free, and what is free a gift."""
    known = [other for other in known if not promise.codes or not other.codes or promise.codes & other.codes]
    if promise.family == "discount":
        same = [other for other in known if other.family == "discount"]
        return any(not promise.things or not other.things or promise.things & other.things for other in same)
    same = [other for other in known if other.family != "discount"]
    if not promise.things:
        return bool(same)
    services = {thing for thing in promise.things if thing.isascii() and thing in promised_things.SERVICE_NAMES}
    held = frozenset(thing for other in same for thing in other.things)
    if not services:
        return bool(promise.things & held)
    return all(any(promised_things.agree(service, promise.things, other.things) for other in same) for service in services)
