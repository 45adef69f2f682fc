"""How people say where they are, in Russian, Kazakh and English: cues, cases and what speaks against a cue.

All patterns are for folded text (`cities.folded`): lower case, one alphabet without ё and the letters of Kazakh alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Case(Enum):
    """The form in which a cue wants the name of a city."""

    NAME = auto()
    WHERE = auto()
    FROM = auto()


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that end right before a city.

    `here` is where somebody is now, which outweighs where they come from; `capital` asks for a capital letter, `may_ask`
    allows a question, `then` is all that may follow the city, and `alone` wants a text of this one clause.
    """

    pattern: re.Pattern[str]
    case: Case
    here: bool = False
    capital: bool = False
    may_ask: bool = True
    then: re.Pattern[str] | None = None
    alone: bool = False


def _cue(words: str, case: Case, *, then: str | None = None, here: bool = False, capital: bool = False,
         may_ask: bool = True, alone: bool = False) -> Cue:  # fmt: skip
    pattern = re.compile(rf"(?:^|(?<= ))(?:{words}) (?:(?:г|гор|город[еа]) )?")
    return Cue(pattern, case, here, capital, may_ask, None if then is None else re.compile(then), alone)


_SELF = (
    r"сам|сама|сами|сейчас|щас|тут|здесь|пока|временно|уже|еще|вообще|же|то|просто|лично|физически|территориально"
    r"|нахожусь|находимся|живу|живем|проживаю|проживаем|работаю|работаем|базируемся|сижу|сидим"
)
_DWELL = r"нахожусь|находимся|живу|живем|проживаю|проживаем|базируемся"
_WRITE = r"пишу|пишем|звоню|звоним|обращаюсь|обращаемся"
_FIRM = r"(?:головной |главный |основной |центральный )?офис|компания|фирма|команда|магазин|салон|производство|предприятие"
_OUR = r"наша?|наше|мой|моя|у нас|у меня"
_STANDS = r"находится|расположена?|расположено"
_BE = r"i am|i'm|im|we are|we're"

CUES = (
    _cue(rf"(?:я|мы)(?: (?:{_SELF}))* во?", Case.WHERE, here=True),
    _cue(rf"(?:{_DWELL})(?: (?:{_SELF}))* во?", Case.WHERE, here=True),
    _cue(rf"(?:{_WRITE})(?: (?:вам|к вам|вас|сам|сама|сейчас))* из", Case.FROM, here=True),
    _cue(rf"(?:я|мы)(?: (?:{_SELF}|{_FIRM}))* из|^(?:сам|сама|сами) из", Case.FROM),
    _cue(rf"(?:я|мы)(?: (?:{_SELF}))* с", Case.FROM, capital=True),
    _cue(rf"(?:{_OUR}) (?:{_FIRM})(?: (?:{_STANDS}))? во?", Case.WHERE, may_ask=False),
    _cue(rf"^офис(?: (?:{_STANDS}))? во?", Case.WHERE, may_ask=False),
    _cue(r"^(?:(?:мой|наш|это) )*(?:город|г)", Case.NAME, then="", may_ask=False),
    _cue(r"^из", Case.FROM, then=rf"(?:{_WRITE})(?: вам)?", here=True),
    _cue(r"^из", Case.FROM, then="", may_ask=False, alone=True),
    _cue(rf"(?:{_BE})(?: (?:currently|now|right now|here|based|located|living|staying))* in", Case.NAME, here=True),
    _cue(r"(?:i|we)(?: currently)? (?:live|work) in|^(?:based|located|living) in", Case.NAME, here=True),
    _cue(r"(?:writing|calling|texting|messaging)(?: to)?(?: you)? from", Case.NAME, here=True),
    _cue(rf"(?:{_BE}) from", Case.NAME),
    _cue(r"^from", Case.NAME, then="", may_ask=False, alone=True),
    _cue(r"(?:my|our) (?:office|company|team|shop|store|business)(?: is)?(?: based| located)? in", Case.NAME, may_ask=False),
    _cue(r"^(?:(?:my|our) )?city(?: is)?", Case.NAME, then="", may_ask=False),
)

# Before a cue: a wish, a plan, a memory or a question of place instead of a statement.
SUPPOSED = re.compile(
    r"(?:^|(?<= ))(?:если|когда|бы|раньше|ранее|завтра|послезавтра|вчера|потом|скоро|будто|буду|будем|где|куда|откуда|чтобы"
    r"|представ\w*|допустим|кажется|if|when|where|will|was|were|unless|suppose|pretend)(?= |$)"
)
# Before a colon: what follows are the words of somebody else.
QUOTES = re.compile(r"(?:^|(?<= ))(?:сказа\w*|говор\w*|пишет|пишут|спрашива\w*|спросил\w*|said|says|asks)(?= |$)")
# After a city: not now.
NOT_NOW = re.compile(
    r"буд(?:у|ем)|быва\w+|планиру\w+|собира\w+|завтра|послезавтра|вчера|раньше|проездом|скоро|\w{2,}(?:л|ла|ли|лся|лась|лись)"
    r"|tomorrow|yesterday|next|last|soon|болдым|боламын|боламыз|болдык"
)
# Said by somebody who has not left: verbs of the past that say nothing of place.
STILL = re.compile(
    r"(?:хоте|увиде|наш|узна|прочита|услыша|реши|писа|написа|смотре|посмотре|иска|дума|забы|поня|мог|ста)\w*|или|если"
)
# After a city that somebody is "from": goods and travellers leave it.
LEAVING = re.compile(
    r"(?:по|вы|при|у|пере|за|от|до)?(?:ед|еха|езж|лет|леч|воз|вез)\w*|достав\w*|отправ\w*|получ\w*|верн\w*|закуп\w*|заказыва\w*"
    r"|переезжа\w*|родом|moving|flying|shipping|going|traveling|travelling|coming"
)
ONWARD = frozenset({"в", "во", "до", "to"})
# "In the Kirov district" is not in Kirov.
PART_OF = re.compile(r"(?:район|област|кра[йеюя]|округ|улиц|проспект|переул|микрорайон|мкр|шоссе|площад|бульвар|набережн)\w*")
AND = frozenset({"и", "или", "либо", "and", "or", "жане"})
# What may stand between "and" and one more city.
AGAIN = frozenset({"в", "во", "из", "с", "in", "from"})

_WHERE = (
    ("е", ("", "а", "я", "о", "ь", "й", "е")),
    ("це", ("ец",)), ("ьце", ("ец",)), ("йце", ("ец",)), ("ле", ("ел",)),
    ("и", ("ь", "я")),
    ("ах", ("ы", "и", "а")), ("ях", ("и", "ы")),
)  # fmt: skip
_FROM = (
    ("а", ("", "о")), ("я", ("ь", "й", "е")),
    ("ца", ("ец",)), ("ьца", ("ец",)), ("йца", ("ец",)), ("ла", ("ел",)),
    ("ы", ("а",)), ("и", ("ь", "а", "я")),
    ("ов", ("ы",)), ("ев", ("и",)), ("ок", ("ки",)), ("ек", ("ьки", "йки")), ("ец", ("цы",)), ("", ("ы", "и")),
)  # fmt: skip
_COMMON = (("ой", ("ая",)), ("ей", ("яя", "ая")), ("ых", ("ые",)), ("их", ("ие",)))
_ADJECTIVE = {
    Case.WHERE: (("ом", ("ый", "ий", "ой", "ое")), ("ем", ("ий", "ее")), *_COMMON),
    Case.FROM: (("ого", ("ый", "ий", "ой", "ое")), ("его", ("ий", "ее")), *_COMMON),
}
_NOUN = {Case.WHERE: _WHERE, Case.FROM: _FROM}


def nominatives(word: str, case: Case) -> Iterator[tuple[str, bool]]:
    """What `word` may be called in the dictionary when it stands in `case`, and whether as an adjective."""
    if case is Case.NAME:
        return
    for table, adjective in ((_NOUN[case], False), (_ADJECTIVE[case], True)):
        for ending, originals in table:
            stem = word.removesuffix(ending)
            if len(stem) < 2 or (ending and stem == word):
                continue
            for original in originals:
                yield stem + original, adjective


# Names that have no case stay as they are; so do abbreviations.
INDECLINABLE = re.compile(r".*[иыуюэое]|[бвгджзклмнпрстфхцчшщ]+")

_KAZAKH = re.compile(r"(?P<stem>\w{2,}?)(?:[дтн][ае]н|(?P<place>[дт][ае]))(?P<person>мын|мин|мыз|миз|быз|биз|пыз|пиз)?")
_KAZAKH_SELF = frozenset({"мен", "биз"})
_KAZAKH_OUR = frozenset({"биздин", "менин"})
_KAZAKH_FIRM = re.compile(r"(?:кенсе|офис|компания|дукен|салон)\w*")
# First person only: "Aigul lives in Astana" says nothing of who writes.
_KAZAKH_VERB = re.compile(
    r"(?:(?:жазып|хабарласып|турып) )?(?:отыр|тур|жатыр)(?:мын|мыз)|тура(?:мын|мыз)|жаза(?:мын|мыз)|омир суре(?:мин|миз)"
)
_KAZAKH_ASKS = frozenset({"ма", "ме", "ба", "бе", "па", "пе", "емес", "емеспин", "емеспиз"})


@dataclass(frozen=True, slots=True)
class Suffixed:
    """A Kazakh word apart: the name, and whether its endings say "in", and "I am" or "we are"."""

    stem: str
    place: bool
    person: bool


def kazakh(word: str) -> Suffixed | None:
    """The parts of a word with an ending of place or origin; None for any other word."""
    match = _KAZAKH.fullmatch(word)
    return Suffixed(match["stem"], bool(match["place"]), bool(match["person"])) if match else None


def kazakh_own_place(word: Suffixed, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether somebody says of themselves that they are in, or from, the city of `word`."""
    if _KAZAKH_ASKS & {*before, *after}:
        return False
    if word.person or _KAZAKH_VERB.match(" ".join(after)):
        return True
    if after:
        return False
    owns = bool(_KAZAKH_OUR & set(before)) and any(_KAZAKH_FIRM.fullmatch(w) for w in before)
    return bool(_KAZAKH_SELF & set(before)) or owns or (not before and not word.place)
