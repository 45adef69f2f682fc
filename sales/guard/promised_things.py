"""What a promise is about: services by one name in all three languages, or stems of the nouns beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from .neighbours import FUNCTION_WORDS
from .tokens import Token, words

_SERVICES = """
delivery достав привез привоз отправ курьер довез жеткіз deliver shipping ship
installation установ монтаж инсталл орнат install
setup настро наладк пусконалад баптау setup configur
connection подключ қосу қосып connect
consultation консульт кеңес consult
measurement замер обмер өлшеу өлшем measur
training обуч тренинг инструктаж оқыт үйрет train
warranty гарант кепіл warrant guarant
pickup самовывоз алып pickup
sample образ пробник үлгі сынама sample
tasting дегустац дәм tasting
testdrive тест-драйв тестдрайв test-drive
trial пробн тестов сынақ trial
diagnostics диагност diagnos
repair ремонт починк жөнде repair
maintenance обслуж сервис техобслуж қызмет maintenance servic
return возврат обмен қайтар return exchange
fitting примерк fitting
packaging упаков қаптам орау packag wrap
replacement подменн замен алмастыр replac
visit выезд визит visit
demo демонстрац показ презентац демо demo
lesson урок заняти вебинар сабақ lesson webinar
lifting подъем занос разгруз көтер lift unload
assembly сборк құрастыр assembl
parking парков тұрақ parking
storage хранен сақтау storage
calculation расчет просчет смет есепт calculat estimate
design дизайн проект визуализац design
selection подбор іріктеу selection
subscription подписк жазылым subscription
rent аренд прокат жалға rent
updates обновлен жаңарту update
support поддержк қолдау support
cleaning чистк уборк мойк клининг тазала clean
cutting раскрой распил нарезк cutting
"""
_STARTS = tuple(
    (start, service) for line in _SERVICES.strip().splitlines() for service, *starts in [line.split()] for start in starts
)
SERVICE_NAMES = frozenset(service for _start, service in _STARTS)
_PREPOSITIONS = words(
    """
    по для о об на с со к ко в во при от до за из без после about for on with at by during under кезінде үшін
    """
)
_NO_THINGS = words("""
    предлага предост получит получае сделае сдела дадим дарим даем можем могу може будет буде есть действ заказ заказа
    заказе покупк покупке клиент клиенто клиента вам вас вы мы наш ваш все всем всех это этот тоже также сейчас сегодн
    завтра только город алматы астана астане казахст кг шт сум сумма акци цен цена стоит входит включе абсолют полност
    совершен условия хорош отличн радост конечн добр можно нужно каждый каждом перв вторы день дня месяц год рабоч мин
    your our the we you all this that order orders purchase will are get with from and for any free gift tenge city
    today now can also when over above each have has сізге бізде біз сіз бойынша бар және тапсырыс жоғары кейін барлық
    алғанда тек подар подаро скидк скидка бесплат тегін жеңілд приятн небольш специал дополн постоян ура супер да если
    более свыше ждет ваших нашей нашего любой любом любую сами само тенге теңге рублей
    """)


def about(
    tokens: Sequence[Token], at: int, piece: range, before: Sequence[range], after: Sequence[range],
    earlier: Sequence[range], *, discount: bool = False,
) -> frozenset[str]:  # fmt: skip
    """What the promise at `at` of `piece` is about: the nearest named service, else the nouns beside it.

    `before` and `after` are the pieces of the same sentence, `earlier` the sentences before it.
    """
    if discount:
        return frozenset(service for place in piece if _objects(tokens, place) and (service := service_of(tokens[place].text)))
    own = _services(tokens, piece) or _listed(tokens, at, after)
    if own:
        own = own | _enumerated(tokens, before) | _durations(tokens, piece)
        return own - {"visit"} if len(own & SERVICE_NAMES) > 1 else own
    lasting = _durations(tokens, piece)
    stems = (_stems(tokens, piece, at) or codes(tokens, piece)) | lasting
    if stems and (lasting or not _is_condition(tokens, piece)):
        return stems
    for other in [*reversed(before), *([] if stems else reversed(earlier))]:
        found = _services(tokens, other)
        if found:
            return found
    return stems


_PERIODS = re.compile(
    r"(?P<day>д(?:ень|ня|ней|ні)|күн\w*|days?)|(?P<week>недел\w*|апта\w*|weeks?)|(?P<month>месяц\w{0,2}|мес|ай|айы|months?)"
    r"|(?P<year>год\w{0,2}|лет|жыл\w*|years?)|(?P<lesson>урок\w*|заняти\w*|сабақ\w*|lessons?|class\w*)"
)
_FIRST = re.compile(r"перв\w+|first|алғашқы|бірінші")


#: `за 2 дня` is when it will be done, not for how long it is free.
_SPANS = words("за через течение до в within до по от")


def agree(service: str, said: frozenset[str], known: frozenset[str]) -> bool:
    """Whether a fact about `known` things promises a service for the time that is said."""
    if service not in known:
        return False
    lasting, held = ({thing for thing in things if ":" in thing} for things in (said, known))
    return not lasting or not held or not lasting.isdisjoint(held)


def _durations(tokens: Sequence[Token], piece: range) -> frozenset[str]:
    """`14 дней`, `первый месяц` as `14:day`, `1:month`: what is free for a while."""
    found = set()
    for at in piece:
        period = _PERIODS.fullmatch(tokens[at].text) if at > piece.start and tokens[at].sort == "word" else None
        if period is None:
            continue
        before = at - 2 if tokens[at - 1].text == "-" and at - 2 >= piece.start else at - 1
        if before > piece.start and tokens[before - 1].text in _SPANS:
            continue
        count = tokens[before].whole
        if count is None and _FIRST.fullmatch(tokens[at - 1].text):
            count = 1
        if count is not None:
            found.add(f"{count}:{period.lastgroup}")
    return frozenset(found)


def _is_condition(tokens: Sequence[Token], piece: range) -> bool:
    """`от 30 000 ₸ бесплатно`: what is free was named before."""
    start = [tokens[at].text for at in piece][:3]
    return any(word in _CONDITIONS for word in start) or any(tokens[at].sort == "number" for at in piece)


_CONDITIONS = words("при от если для свыше выше более over if from above when болса")


def _objects(tokens: Sequence[Token], at: int) -> bool:
    return at > 0 and (tokens[at - 1].text in ("на", "on", "for") or (at > 1 and tokens[at - 2].text in ("на", "on", "for")))


@lru_cache(maxsize=8192)
def service_of(word: str) -> str | None:
    """The service that a word of any of the languages names."""
    return next((service for start, service in _STARTS if word.startswith(start)), None)


def _services(tokens: Sequence[Token], piece: range) -> frozenset[str]:
    """The services of a piece; those behind a preposition (`консультация по доставке`) only where there are no others."""
    heads: set[str] = set()
    others: set[str] = set()
    for at in piece:
        service = service_of(tokens[at].text) if tokens[at].sort == "word" else None
        if service:
            led = at > piece.start and tokens[at - 1].text in _PREPOSITIONS
            led = led or (at > piece.start + 1 and tokens[at - 2].text in _PREPOSITIONS and tokens[at - 1].text != "и")
            (others if led else heads).add(service)
    conditional = any(tokens[at].text in ("при", "кезінде", "when") for at in piece)
    return frozenset(heads) or (frozenset() if conditional else frozenset(others))


def _listed(tokens: Sequence[Token], at: int, following: Sequence[range]) -> frozenset[str]:
    """`Бесплатно: доставка, установка`: what stands behind the colon."""
    if at + 1 < len(tokens) and tokens[at + 1].text == ":":
        return frozenset(service for piece in following for service in _services(tokens, piece))
    return frozenset()


def _enumerated(tokens: Sequence[Token], before: Sequence[range]) -> frozenset[str]:
    """The services of `доставка, установка и настройка бесплатно` that stand before the last comma."""
    found: set[str] = set()
    for piece in reversed(before):
        words = [tokens[at] for at in piece if tokens[at].sort != "mark" and tokens[at].text not in ("и", "а")]
        services = [service_of(word.text) for word in words]
        if not words or len(words) > 2 or not any(services) or any(word.sort != "word" for word in words):
            break
        found |= {service for service in services if service}
    return frozenset(found)


def _stems(tokens: Sequence[Token], piece: range, at: int) -> frozenset[str]:
    """Stems of the content words within a few words of the promise."""
    stems = set()
    for place in piece:
        token = tokens[place]
        if place == at or abs(place - at) > 5 or not _is_content(token):
            continue
        if place > piece.start and tokens[place - 1].text in ("при", "от", "from", "for", "для", "по", "до", "за"):
            continue
        stem = token.text[:5]
        if not any(token.text.startswith(word) and len(token.text) - len(word) < 5 for word in _NO_THINGS):
            stems.add(stem)
    return frozenset(stems)


def _is_content(token: Token) -> bool:
    return token.sort == "word" and len(token.text) > 2 and not token.glued and token.text not in FUNCTION_WORDS


def codes(tokens: Sequence[Token], places: range) -> frozenset[str]:
    """The product codes at `places`, without hyphens: `dk200`."""
    return frozenset(tokens[at].text.replace("-", "") for at in places if tokens[at].sort == "code")
