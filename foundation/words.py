"""Words as people type them in chats, brought to one form, and phrases to look for in them.

Russian, Kazakh and English, without punctuation, with typos, in Latin letters: `read` makes all of it comparable,
`Phrases` is a table of phrases written the way people would write them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

#: Longer texts are no chat messages; what they want is said at their start or end.
MAX_LENGTH = 4000

# People without a Kazakh keyboard write the nearest Russian letter.
_LETTERS = str.maketrans("ёқғңәөұүһіїє", "екгнаоуухиие")
_LOOKALIKES = str.maketrans("acekmoptxyhib", "асекмортхунив")
_TRANSLITERATION = (
    ("shch", "щ"), ("sch", "щ"), ("sh", "ш"), ("ch", "ч"), ("zh", "ж"), ("kh", "х"), ("ts", "ц"), ("yu", "ю"), ("ju", "ю"),
    ("ya", "я"), ("ja", "я"), ("yo", "е"), ("ye", "е"), ("iy", "ий"), ("yy", "ый"),
)  # fmt: skip
_LATIN = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абкдефгхижклмнопкрстуввхыз")
_SIGNS = {
    "👍": "👍👌✅🤝💯🙌☑✔🆗🫡",
    "👎": "👎❌🙅🚫⛔",
    "🤔": "🤔🤷😕",
    "😡": "😡🤬😠💩🖕😤",
    "🙂": "😊😍❤🥰😘😄😁🔥💋🌹🎉🎂🥳💐😂🤣😅",
}
_SIGN_OF = {sign: shown for shown, signs in _SIGNS.items() for sign in signs}
OTHER_SIGN = "💬"
LINK = "🔗"

_TOKEN = re.compile(
    r"(?P<link>https?://\S+|www\.\S+|t\.me/\S+|wa\.me/\S+|\b[\w-]+\.(?:ru|kz|com|net|org|info|xyz|site|top|me)\b(?:/\S*)?)"
    r"|(?P<number>\d+(?:[.,:]\d+)*)|(?P<word>[^\W\d_]+(?:['’`ʼ][^\W\d_]+)*)|(?P<smile>[)]{2,}|[:;=]-?[)D])"
    r"|(?P<end>[.!?…;\n]+)|(?P<comma>[,:—–]|\s-\s)|(?P<sign>[^\w\s])",
    re.IGNORECASE,
)
#: Forms of companies, which would lose their letters.
_KEPT = frozenset({"тоо", "ооо"})
_REPEATED = re.compile(r"([^\W\d])\1+")
_INNER_SOFT = re.compile(r"[ьъ](?=\w)")


def fold(word: str) -> str:
    """One spelling of a word: lower case, ё as е, Kazakh letters as their Russian neighbours, no doubled letters.

    Soft signs inside words go too, so that "ться" and "тся", "сколько" and "skolko" are one.
    """
    word = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", word).casefold()).translate(_LETTERS)
    if re.search("[а-я]", word):
        word = word.translate(_LOOKALIKES)
    if word in _KEPT:
        return word
    return _REPEATED.sub(r"\1", _INNER_SOFT.sub("", re.sub("['’`ʼ]", "", word)))


def transliterated(word: str) -> str:
    """A folded word in Latin letters as the Russian or Kazakh word it may stand for: `skolko` → `сколко`."""
    for latin, cyrillic in _TRANSLITERATION:
        word = word.replace(latin, cyrillic)
    word = re.sub("(?<=[аеиоуыэюяaeiou])y", "й", word)
    return fold(word.replace("y", "ы").translate(_LATIN))


@dataclass(frozen=True, slots=True)
class Clause:
    """Folded words up to a punctuation mark, which is `,`, `.` or `?` (a question, whether marked as one or not)."""

    words: tuple[str, ...]
    mark: str

    @property
    def asks(self) -> bool:
        return self.mark == "?"


@dataclass(frozen=True)
class Reading:
    """A text as `Phrases` look at it."""

    clauses: tuple[Clause, ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(word for clause in self.clauses for word in clause.words)

    @cached_property
    def asks(self) -> bool:
        """Whether anything in it is a question."""
        return any(clause.asks for clause in self.clauses)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text as one line of words and marks; a second one where Latin letters may stand for Cyrillic ones."""
        line = " . " + "".join(f"{word} " for c in self.clauses for word in (*c.words, c.mark))
        if not re.search("[a-z]", line):
            return (line,)
        return line, re.sub("[a-z]+", lambda found: transliterated(found[0]), line)

    def statements(self) -> Reading:
        """Only what is no question."""
        return Reading(tuple(clause for clause in self.clauses if not clause.asks))

    def questions(self) -> Reading:
        """Only what is a question."""
        return Reading(tuple(clause for clause in self.clauses if clause.asks))

    def without(self, phrases: Phrases) -> Reading:
        """The text with every one of these phrases taken out."""
        if phrases not in self:
            return self
        marks = {",", ".", "?"}
        clauses: list[Clause] = []
        words: list[str] = []
        kept = phrases.pattern.sub(" ", next(line for line in self.lines if phrases.pattern.search(line)))
        for token in kept.split():
            if token not in marks:
                words.append(token)
            elif words:
                clauses.append(Clause(tuple(words), token))
                words = []
        return Reading((*clauses, Clause(tuple(words), ".")) if words else tuple(clauses))

    def __contains__(self, phrases: Phrases) -> bool:
        return any(phrases.pattern.search(line) for line in self.lines)


class Vocabulary:
    """A list of single words, with `stem*` for any ending: `word in vocabulary`, in either script."""

    def __init__(self, words: str) -> None:
        self._pattern = re.compile(_one_of("|".join(words.split()), {}).replace("(?:, )?+", ""))

    def __contains__(self, word: str) -> bool:
        latin = re.search("[a-z]", word)
        return bool(
            self._pattern.fullmatch(f"{word} ") or (latin and self._pattern.fullmatch(f"{transliterated(word)} "))
        )


_NEGATIONS = "не ни нет not dont never"
_BOUNDS = {
    "^": r"(?<=[.?,] )",
    "$": r"(?=[.?,] |(?<=[.?,] ))",
    "<": r"(?<=^ \. )",
    ">": r"(?=[.?,] $|$)",
    "?": r"\? ",
}


class Phrases:
    """A table of phrases, one a line or parted by `;`, that are looked for in a `Reading` (`phrases in reading`).

    A phrase is words in their order, in any spelling that `fold` makes equal, with these signs:

    - `купи*` any ending, `да|ага|так_и_быть` one of them, `очень?` may be missing, `~2` up to two words more,
      `!не` no such word here;
    - `{name}` the words of a list given by that keyword;
    - `^` start and `$` end of a clause, `<` and `>` of the whole text, a lone `?` a question ends here.

    A row that ends with `|` goes on in the next one; `#` starts a comment. Phrases may cross a comma, but not a full stop.
    With `affirmed`, a phrase does not count after a negation, nor after any word of `not_after`.
    """

    def __init__(self, table: str, *, affirmed: bool = False, not_after: str = "", **lists: str) -> None:
        rows = (row.split("#")[0].split(";") for row in re.sub(r"\|\s+", "|", table).splitlines())
        phrases = [phrase.split() for row in rows for phrase in row if phrase.strip()]
        before = [fold(word) for word in ((_NEGATIONS if affirmed else "") + " " + not_after).split()]
        start = r"(?<= )" + "".join(f"(?<! {word} )" for word in before)
        self.pattern = re.compile(start + "(?:" + "|".join(_compiled(words, lists) for words in phrases) + ")")


def _compiled(words: list[str], lists: dict[str, str]) -> str:
    return "".join(_element(word, lists) for word in words)


def _element(word: str, lists: dict[str, str]) -> str:
    if word in _BOUNDS:
        return _BOUNDS[word]
    if word.startswith("~"):
        return rf"(?:[^\s.?,]+ (?:, )?+){{0,{int(word[1:])}}}?"
    if word.startswith("!"):
        return f"(?!{_one_of(word[1:], lists)})"
    if word.endswith("?"):
        return f"(?:{_one_of(word[:-1], lists)})?"
    return _one_of(word, lists)


def _one_of(word: str, lists: dict[str, str]) -> str:
    word = re.sub(r"\{(\w+)\}", lambda found: "|".join(lists[found[1]].split()), word)
    return f"(?:{'|'.join(_form(form) for form in word.split('|'))})"


def _form(form: str) -> str:
    if form in _BOUNDS:
        return _BOUNDS[form]
    return "".join(f"{_spelled(word)} (?:, )?+" for word in form.split("_"))


def _spelled(word: str) -> str:
    return rf"{re.escape(fold(word[:-1]))}[^\s.?,]*" if word.endswith("*") else re.escape(fold(word))


_ASKING = Phrases(
    """
    сколько|скока|скоко|скок !угодно|раз|лет; почем; какой|какая|какие|какое|каков*|каким|какую|каких; где; куда; откуда
    почему !бы|нет; зачем; чей|чья|чьи; чем !могу|раньше|больше|скорее; во сколько; на сколько; за сколько; от чего
    как !будут|раз|нибудь|скажете|хотите|будет|получится|только|решу|решим|всегда|то|можно|я|мы|и|договаривались|бы|вам|
        зарплат*|получу|появ*|освобо*|смогу|вернусь|приеду|буду|узнаю|деньги|время|раньше|обычно|раз|насчет_созвона|
        договорились|вариант|минимум|обсуждали
    как можно !скорее|быстрее|раньше; как вам|вы|вас|бы !удобн*|угодно|хотите|скажете; что !то|ж|бы|нибудь|вы|я|если|мы|до
    кто; когда !буд*|смогу|нибудь|получу|освобожусь|надумаю|решу|решим|надо|понадоб*
    когда будет|будут !время|деньги|возможность|можно|нужно; а если; можно|могу ли|узнать|спросить|уточнить|поинтересоваться
    подскажите|скажите|подскажи|скажи ~2 сколько|как*|есть|где|когда|можно|что; есть ли; а есть; у вас|вас есть
    how !about|ever; what !ever; where; when !ever|i; why !not; which; who
    do|does|is|are|can|could|would|will you|it|there|i|we|this|that; канша|қанша; қалай; қайда; қашан; неше; қандай; кім
    неге !жоқ; нешеде
    """
)
#: Words that may stand before a question: "да а сколько стоит".
_BEFORE_ASKING = frozenset(
    {
        "а", "и", "но", "ну", "да", "нет", "ок", "хорошо", "ладно", "так", "тогда", "здравствуйте", "привет", "добрый", "день",
        "сначала", "только", "еще", "скажите", "подскажите", "жаксы", "ия", "иа", "жок", "салем", "and", "but", "so",
    }
)  # fmt: skip
#: What ends a Kazakh question.
_PARTICLES = frozenset({"ма", "ме", "ба", "бе", "па", "пе"})


def _is_question(words: tuple[str, ...]) -> bool:
    """Whether words without a question mark ask something: people leave it out in half of their questions."""
    if len(words) > 1 and (words[-1] in _PARTICLES or ("ли" in words and "вряд" not in words)):
        return True
    first = next((n for n, word in enumerate(words) if word not in _BEFORE_ASKING), 0)
    return _starts_asking(words[first:])


def _starts_asking(words: tuple[str, ...]) -> bool:
    reading = Reading((Clause(words, "."),))
    return any(_ASKING.pattern.match(line, 3) for line in reading.lines)


@lru_cache(64)
def read(text: str) -> Reading:
    """Bring a text into the form that `Phrases` look at. Never raises."""
    if len(text) > MAX_LENGTH:
        text = f"{text[: MAX_LENGTH // 2]}\n{text[-MAX_LENGTH // 2 :]}"
    clauses: list[Clause] = []
    words: list[str] = []
    for found in _TOKEN.finditer(text):
        if found["end"] or found["comma"]:
            mark = "?" if "?" in found[0] else "," if found["comma"] else "."
            _close(clauses, words, mark)
            words = []
        elif token := _token(found):
            words.append(token)
    _close(clauses, words, ".")
    return Reading(tuple(clauses))


def _token(found: re.Match[str]) -> str:
    if found["link"]:
        return LINK
    if found["smile"]:
        return "🙂"
    if sign := found["sign"]:
        if sign in _SIGN_OF:
            return _SIGN_OF[sign]
        return "👍" if sign == "+" and set(found.string.strip()) == {"+"} else OTHER_SIGN * (unicodedata.category(sign) == "So")
    return found["number"] or fold(found[0])


def _close(clauses: list[Clause], words: list[str], mark: str) -> None:
    """End a clause; a question that starts in its middle ("да а сколько стоит") becomes a clause of its own."""
    if not words:
        if clauses and mark != ",":
            clauses[-1] = Clause(clauses[-1].words, "?" if "?" in (mark, clauses[-1].mark) else mark)
        return
    for n in range(1, len(words) - 1):
        if words[n] in ("а", "но", "and", "but") and _starts_asking(tuple(words[n + 1 :])):
            clauses.append(Clause(tuple(words[:n]), ","))
            words = words[n:]
            break
    clauses.append(Clause(tuple(words), "?" if _is_question(tuple(words)) else mark))
