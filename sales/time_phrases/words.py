"""The words in which people name a time, in Russian, Kazakh and English, and the tokens made of them.

`tokens` turns a chat message into a row of `Token`s: each word becomes what it *means* here (a weekday, an hour, "in",
"until", "cannot"), whatever its language, case or usual misspelling, so that the grammar in `rules` is written once
for all three.

Notation of the tables: forms are parted by blanks; `пятниц:а,у,ы` is a stem with its endings (`_` is the bare stem);
`жұма~` stands for the stem with every Kazakh case ending; `по_мск` is a phrase of several words. Kazakh letters are folded
to the nearest Russian ones (ү → у), since many people type without them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Value = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or mark: what it means (`kind`, `value`) and how it was written (`text`, normalised)."""

    kind: str
    value: Value = 0
    text: str = ""


_FOLD: Final = str.maketrans("ёәіңғүұқөһ‐‑–—−’ʼ`«»„“”", "еаингуукох-----'''     ")


def words_of(text: str) -> list[str]:
    """The words of a table cell."""
    return text.split()


_KAZAKH_CASES: Final = words_of("""
    _ да де та те га ге ка ке на не дан ден тан тен нан нен ны ни ды ди ты ти нын нин дын дин тын тин мен бен пен сы си ы
    и сында синде ында инде нда нде сына сине гы ги дагы деги
""")

# What the word means: kind → value → forms. Where a form stands twice, the later row wins.
_TABLE: Final[dict[str, dict[Value, str]]] = {
    "weekday": {
        0: "понедельник:_,а,у,ом,е понед пон пнд пн дуйсенби~ ponedelnik monday mon",
        1: "вторник:_,а,у,ом,е втр вт сейсенби~ vtornik tuesday tue tues",
        2: "сред:а,у,ы,е,ой срду срд ср сарсенби~ sredu wednesday wed weds",
        3: "четверг:_,а,у,ом,е четв чтв чт бейсенби~ chetverg thursday thu thur thurs",
        4: "пятниц:а,у,ы,е,ей пятн птн пт жума~ pyatnitsu pyatnicu friday fri",
        5: "суббот:а,у,ы,е,ой субб сб сенби~ saturday sat",
        6: "воскресень:е,я,ю,ем,и воскр вскр вс жексенби~ sunday sun",
    },
    "relday": {
        -1: "вчера позавчера кеше yesterday",
        0: "сегодня сегодняшн:ий,его седня сенднь сегодн бугин:_,ги today segodnya segodnja bugin",
        1: "завтра завтрашн:ий,его на_следующий_день ертен:_,ге,ги ертенги_куни tomorrow tmrw tmr tomorow 2moro "
        "завтро завра звтра завтр завта зватра zavtra erten",
        2: "послезавтра послезавтро после_завтра после_-_завтра бурсигуни бурсугуни бурсигини арги_куни аргы_куни "
        "day_after_tomorrow the_day_after_tomorrow poslezavtra",
        3: "послепослезавтра после_послезавтра",
    },
    "someday": {
        0: "выходн:ые,ых,ой дня:х днях будни:_,й буднях weekend weekends демалыста демалыс любой_день любое_время каждый_день"
    },
    "next": {0: "следующ:ий,ую,ей,ем,его,ая,ее след следущ:ий,ую,ей,ем следуюш:ий,ую,ей,ем той next келеси келесиде"},
    "last": {0: "прошл:ый,ую,ой,ая,ое,ом,ого last откен"},
    "this": {0: "этот эту этой этом эта ближайш:ий,ую,ая,ей,ем текущ:ую,ей this осы coming"},
    # units and parts
    "one": {0: "час часу часом часик часок"},
    "hour": {0: "часа часов часам часах часика часиков ч h hr hrs hour hours час:ы,иков o'clock oclock chasov chasa"},
    "sagat": {0: "сагат сагатта сагаты sagat"},
    "minute": {0: "минут:_,а,ы,у,ам,ах,ки,ку,очек мин м min mins minute minutes"},
    "dayunit": {0: "день дней деньк:а,ов дн day days кун куни"},
    "daygen": {0: "дня dnya"},
    "week": {0: "недел:я,ю,е,и,ь,ьку,ька week weeks апта~"},
    "monthunit": {0: "месяц:_,а,ев,е month months"},
    "unitabl": {
        "minute": "минуттан минутдан",
        "hour": "сагаттан сагатдан",
        "day": "куннен кунден",
        "week": "аптадан",
        "month": "айдан",
    },
    "ofmonth": {0: "айдын"},
    "number": {0: "числ:о,а,у,е чис"},
    "yearword": {0: "год:а,у г жылы жылгы year"},
    "part": {
        "am": "am",
        "pm": "pm",
        "morning": "утра утром утречком с_утра с_утречка с_утреца поутру morning in_the_morning утро танертен таныертен "
        "танертенги тангы танги "
        "до_обеда первой_половине_дня в_первой_половине_дня первую_половину_дня первая_половина_дня туске_дейин "
        "utra utrom сасске",
        "day": "днем после_обеда во_второй_половине_дня второй_половине_дня вторую_половину_дня вторая_половина_дня "
        "в_обед обед обеда "
        "к_обеду в_обеденное_время afternoon in_the_afternoon after_lunch lunch lunchtime тустен_кейин "
        "тустен_сон туски кундизги кундиз днём",
        "evening": "вечера вечером вечерком вечер ближе_к_вечеру к_вечеру под_вечер после_работы evening in_the_evening "
        "tonight кешке кешки кешкисин кешкилик кеш vechera",
        "night": "ночи ночью ночь night at_night тунги тунде",
    },
    "greeting": {
        0: "доброе_утро доброго_утра добрый_день доброго_дня добрый_вечер доброго_вечера добр_вечер добр_день "
        "доброй_ночи доброго_времени доброго_времени_суток "
        "хорошего_дня хорошего_вечера удачного_дня приятного_дня приятного_вечера good_morning good_afternoon "
        "good_evening good_day good_night кайырлы_тан кайырлы_кун "
        "кайырлы_кеш кайырлы_танертен добро_утро have_a_nice_day час_пик в_час_пик"
    },
    "noon": {12: "полдень полдня пополудни noon midday тал_тус тал_тусте тусте", 0: "полночь полуночи midnight тун_ортасында"},
    # numbers that are said
    "half": {0: "пол половин:а,е,у,ой полов жарты"},
    "halfen": {0: "half"},
    "halfkk": {0: "жарым~"},
    "quarter": {15: "четверть четверти четвертью quarter ширек"},
    "some": {2: "пару пара couple couple_of a_couple_of парочку", 0: "несколько бирнеше several few a_few"},
    "withhalf": {0: "с_половиной and_a_half с_половинкой"},
    # small words
    "at": {0: "в во at @ v вк"},
    "for": {0: "на na"},
    "near": {
        0: "к ко около примерно где-то где_-_то где_то ближе about around approximately approx "
        "шамамен ровно sharp k в_районе район:е часам"
    },
    "from": {0: "с со от from s начиная"},
    "between": {0: "между between"},
    "till": {0: "до till until"},
    "tillkk": {0: "дейин deyin"},
    "to": {0: "to"},
    "by": {0: "по"},
    "byen": {0: "by"},
    "after": {0: "после позже позднее попозже after later_than no_earlier_than"},
    "before": {0: "раньше ранее before не_раньше не_ранее не_позже не_позднее"},
    "later": {0: "кейин сон keyin later from_now откейин"},
    "beginkk": {0: "бастап"},
    "in": {0: "через спустя in чрез черес чере"},
    "past": {0: "past кетти кеткенде отти откенде"},
    "left": {0: "калганда калды"},
    "minus": {0: "без"},
    "ago": {0: "назад ago бурын"},
    "span": {
        0: "за течение каждые каждый каждую больше менее меньше более within every per during займет минимум максимум длится"
    },
    "a": {0: "a an one_more еще"},
    "the": {0: "the of on"},
    "or": {0: "или либо or немесе алде иначе"},
    "and": {0: "и and мен & /"},
    "not": {0: "не not вместо кроме instead instead_of емес_пе"},
    "cant": {
        0: "не_могу не_можем не_можете не_может не_смогу не_сможем не_сможет не_получится не_получиться "
        "не_получается не_удобно "
        "неудобно не_подходит не_подойдет не_успею не_успеем не_успеваю не_выйдет не_буду не_будет не_будем "
        "не_вариант не_надо не_нужно "
        "не_хочу не_устраивает не_выходит не_можно нельзя никак занят занята заняты занято неполучится немогу "
        "несмогу отпадает исключено "
        "can't cannot can_not cant won't wont busy unavailable don't dont doesn't not_available not_free isn't "
        "алмаймын алмаймыз болмайды келмейди "
        "жок емес емеспин тимейди мумкин_емес уезжаю улетаю недоступен бос_емеспин"
    },
    "busy": {
        0: "встреча совещание планерка планерки летучка урок уроки занятия самолет поезд рейс "
        "прием врач врача садик тренировка обед_у_нас смена вылет жиналыс meeting flight"
    },
    "no": {0: "нет no неа"},
    "oops": {0: "ой вернее точнее то_есть хотя хотя_нет sorry actually i_mean дурыси дурысы ошибся ошиблась простите"},
    "offer": {
        0: "давайте давай лучше тогда можно можем может могу предлагаю готов готова удобно хочу хотел хотелось "
        "let's lets how_about what_about can could "
        "удобнее смогу сможете rather better please онда жаксы болады бола лучше_всего"
    },
    "but": {0: "а но but however бирак зато однако ал"},
    "timeword": {0: "времени время временем time уакыт:ы,ымен,ында,ынша vremya"},
    "offset": {0: "utc gmt гмт ютс"},
    "delivery": {
        0: "доставк:а,и,у,ой доставляете доставите отправк:а,у отправляете "
        "филиал офис склад магазин работаете delivery живу живем"
    },
    "works": {0: "работаем работает работаете работаю график режим открыт:ы,о,а часы_работы open жумыс"},
    # after such a word a number is an address, an article, a name
    "label": {
        0: "дом дома доме кв квартир:а,е,у офис:_,е,у каб кабинет:_,е ул улиц:а,е пр пр-т проспект мкр микрорайон:_,е "
        "корпус корп номер номера № # "
        "модел:ь,и артикул арт заказ:_,а,у подъезд:_,е этаж:_,е школ:а,е,у строени:е,я версия version "
        "room apt street iphone айфон тел телефон пункт"
    },
}

# Words that are counted: "15 штук", "в 3 магазина"; such a number is never a time.
COUNTED: Final = set(
    words_of("""
        шт штук штуки штука штуку штучек кг килограмм килограммов грамм гр л литр литра литров тонн тонны тонна метр метра
        метров см мм км кв квадрат квадратов процент процента процентов % тенге тнг тг теньге т руб рублей рубля р ₽ ₸ $ €
        доллар доллара долларов баксов евро сом сум usd kzt rub eur тысяч тысячи тысяча тысячу тыс тыщ к k млн миллион
        миллиона миллионов млрд лям ляма лямов сот сто двести триста мын миллиард раз раза разу лет года году годам годов
        годик человек человека чел людей сотрудник сотрудника сотрудников сотрудниками человеками менеджера менеджеров
        кофейни кофеен кофейнях кофейню кофейням кофемашин кофемашины кофемашину кофемашина точки точек точках точку
        магазина магазинов магазинах магазин магазине филиала филиалов филиалах филиал филиале салона салонов ресторана
        ресторанов кафе заведения заведений машин машины машинки аппарат аппарата аппаратов станка станков комплект
        комплекта комплектов упаковки упаковок упаковку пачки пачек пачку короба коробки коробок коробку ящика ящиков
        мешка мешков позиции позиций варианта вариантов модели моделей модель группы групп группу групповая групповую
        групповой фазы фаз вольт вольта в220 ватт вт квт этаж этаже этажа этажей кабинете кабинет кабинета квартире
        квартиру доме домов подъезде микрорайоне микрорайон микрорайона мкр школе школу школы комнаты комнат столов стола
        мест места местах ряду ряда рядов размер размера страниц страницы словах слов слова счета звезд звезды балла
        баллов договора договоров заказа заказов клиента клиентов гостей чашек чашки порций порции видео вопроса вопросов
        вопрос соток гектар ступени смены смен сезона дюйма дюймов гб gb mb pcs piece pieces people kg percent dollars
        bucks units unit machines machine items item shops shop stores branches cups дана адам тенгеге тенгенин жыл жаста
        жас рет пайыз дукен дукенде дукенге кофехана кофеханада класс класса классе квартал квартале квартала номинала
        поддона паллет паллеты рулона рулонов листа листов плит плитки окна окон двери дверей счет-фактуры набора наборов
        подписк подписки лицензий лицензии пользователей пользователя операторов оператора курса курсов уроков занятий
        флакона флаконов бутылок бутылки банок банки крема масок товара товаров наименований years year yo months kettles
        boxes bags месяцев недель суток сутки процедур процедуры сеансов кубов куба кубометров бетона плюс дней days weeks
        ply bar этапа этапов приема очередь бар атм градусов ампер
    """)
)

# A number that only "around", "for" or a named day marks as a time must be followed by one of these, by a mark, or by nothing.
MAY_FOLLOW: Final = frozenset(
    words_of("""
        будет было бы подойдет подходит нормально норм ок окей ok okay пожалуйста пж плиз созвон созвонимся созвониться
        позвоните позвони звоните звонок наберите набирайте перезвоните жду ждем буду смогу могу получится тоже вам мне
        вас меня нам вы я мы ты наверное если когда да примерно только что works would is if fine good call me please for
        with i'm we i you suits sounds maybe бола болады болсын жаксы хабарласыныз хабарласайык конырау звондатыныз мумкин
        арасында аралыгында шамасында болама ма ме ба бе па пе ыгайлы жарайды кездесейик сойлесейик
        запишите поставьте устроит устраивает удобно
        поговорим обсудим встретимся в во на с до около и или а но же свободна свободен свободны договорились ладно хорошо
        спасибо рахмет де ровно
    """)
)

_MONTH_NAMES: Final = {
    "ru": words_of("январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь"),
    "kk": words_of("қаңтар ақпан наурыз сәуір мамыр маусым шілде тамыз қыркүйек қазан қараша желтоқсан"),
    "en": words_of("january february march april may june july august september october november december"),
}
_MONTH_SHORT: Final = {
    "ru": words_of("янв фев мар апр - - - авг сен окт ноя дек"),
    "en": words_of("jan feb mar apr - jun jul aug sep oct nov dec"),
}
_MONTH_MORE: Final = {"февр": "февраль", "сент": "сентябрь", "нояб": "ноябрь", "sept": "september"}

_ONES: Final = words_of("ноль один два три четыре пять шесть семь восемь девять десять")
_CARDINALS: Final[dict[int, str]] = {
    **dict(enumerate(_ONES)),
    11: "одиннадцать", 12: "двенадцать", 13: "тринадцать", 14: "четырнадцать", 15: "пятнадцать", 16: "шестнадцать",
    17: "семнадцать",
    18: "восемнадцать", 19: "девятнадцать", 20: "двадцать", 30: "тридцать", 40: "сорок", 50: "пятьдесят",
}  # fmt: skip
_OBLIQUE: Final[dict[int, str]] = {
    1: "одному одного", 2: "двух двум двумя", 3: "трех трем тремя", 4: "четырех четырем четырьмя", 5: "пяти пятью",
    6: "шести", 7: "семи", 8: "восьми", 9: "девяти",
    10: "десяти", 40: "сорока", 50: "пятидесяти",
    **{n: _CARDINALS[n][:-1] + "и" for n in (*range(11, 21), 30)},
}  # fmt: skip
_ORDINALS: Final[dict[int, str]] = {
    1: "перв", 2: "втор", 4: "четверт", 5: "пят", 6: "шест", 7: "седьм", 8: "восьм", 9: "девят", 10: "десят",
    40: "сороков", 50: "пятидесят",
    **{n: _CARDINALS[n][:-1] for n in (*range(11, 21), 30)},
}  # fmt: skip
_ENGLISH: Final[dict[int, str]] = {
    1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten",
    11: "eleven", 12: "twelve",
    13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen", 19: "nineteen",
    20: "twenty", 30: "thirty",
    40: "forty fourty", 50: "fifty",
}  # fmt: skip
_ENGLISH_ORDINALS: Final[dict[int, str]] = {
    1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth", 20: "twentieth", 30: "thirtieth",
    **{n: _ENGLISH[n] + "th" for n in (4, 6, 7, 10, 11, *range(13, 20))},
}  # fmt: skip
KAZAKH_NUMBERS: Final[dict[int, str]] = {
    1: "бир", 2: "еки", 3: "уш", 4: "торт", 5: "бес", 6: "алты", 7: "жети", 8: "сегиз", 9: "тогыз", 20: "жиырма",
    30: "отыз", 40: "кырык", 50: "елу",
}  # fmt: skip
TEN: Final = {"он": "num", "онда": "loc", "ондан": "abl", "онга": "dat", "оны": "ord", "онында": "ord"}
"""Kazakh ten is Russian "he", "then" and "from that", so these are numbers only beside another Kazakh word of time."""

_SUFFIX_KINDS: Final = {
    "loc": "да де та те лерде ларда дерде дарда терде тарда", "abl": "дан ден тан тен нан нен", "dat": "га ге ка ке на не",
    "ord": "инши ыншы нши ншы ши шы и ы си сы инде ында нде нда синде сында иншиси ине ына сине сына го ого ое е му ому th "
    "st nd rd",
    "obl": "х ми м", "num": "_ ти тью ish",
}  # fmt: skip
SUFFIXES: Final = {ending: kind for kind, endings in _SUFFIX_KINDS.items() for ending in endings.split()}
_KAZAKH_KINDS: Final = {
    **{e: k for k in ("loc", "abl", "dat") for e in _SUFFIX_KINDS[k].split()},
    "": "num",
    **dict.fromkeys(words_of("инши ншы нши ыншы инде синде ында сында нде нда иншиде"), "ord"),
}

# Zone → how people call its cities (stems; any ending) and its short names. Cities count only as "по Москве", "Moscow time".
ZONE_CITIES: Final[dict[str, str]] = {
    "Europe/Moscow": "москв моск мск московск маскеу moscow питер петербург казан нижегород краснодар ростов воронеж росси",
    "Europe/Kaliningrad": "калининград",
    "Europe/Samara": "самар ижевск",
    "Europe/Saratov": "саратов",
    "Europe/Volgograd": "волгоград",
    "Asia/Yekaterinburg": "екатеринбург екб екат уфа уфе уфимск челяб перм тюмен yekaterinburg курган оренбург",
    "Asia/Omsk": "омск",
    "Asia/Novosibirsk": "новосиб нск",
    "Asia/Barnaul": "барнаул",
    "Asia/Tomsk": "томск",
    "Asia/Krasnoyarsk": "краснояр кемеров новокузнец",
    "Asia/Irkutsk": "иркутск улан-удэ",
    "Asia/Yakutsk": "якутск читинск",
    "Asia/Vladivostok": "владивосток хабаровск",
    "Asia/Magadan": "магадан",
    "Asia/Sakhalin": "сахалин",
    "Asia/Kamchatka": "камчат",
    "Asia/Almaty": "алмат алма-ат алматы астан нур-султан казахстан казакстан караганд шымкент павлодар костана "
    "усть-каменогорск семе тараз "
    "almaty astana kazakhstan nur-sultan",
    "Asia/Aqtau": "актау",
    "Asia/Aqtobe": "актоб",
    "Asia/Atyrau": "атырау",
    "Asia/Oral": "уральск орал",
    "Asia/Qyzylorda": "кызылорд",
    "Asia/Tashkent": "ташкент tashkent узбекистан",
    "Asia/Bishkek": "бишкек bishkek киргиз кыргыз",
    "Europe/Minsk": "минск minsk",
    "Europe/Istanbul": "стамбул istanbul турци",
    "Asia/Dubai": "дуба dubai",
    "Europe/London": "лондон london",
    "Europe/Berlin": "берлин berlin",
}
ZONE_SHORT: Final = {
    "мск": "Europe/Moscow",
    "msk": "Europe/Moscow",
    "мск-время": "Europe/Moscow",
    "екб": "Asia/Yekaterinburg",
    "алмт": "Asia/Almaty",
}


def fold(text: str) -> str:
    """Lower case, one spelling for ё, dashes and apostrophes, Kazakh letters as they are typed without a Kazakh keyboard."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_FOLD)


def _forms(spec: str) -> Iterator[str]:
    """Every form a table cell stands for, folded; the words of a phrase are parted by blanks."""
    for item in fold(spec).split():
        if item.endswith("~"):
            yield from (item[:-1] + ("" if case == "_" else case) for case in _KAZAKH_CASES)
        elif ":" in item[1:]:
            stem, endings = item.split(":")
            yield from (stem + ("" if ending == "_" else ending) for ending in endings.split(","))
        else:
            yield item.replace("_", " ")


def _month_forms() -> Iterator[tuple[str, str, Value]]:
    """(form, kind, "language:name") of the months; "в ноябре" names no date, so the Russian locative is a kind of its own."""
    for language, names in _MONTH_NAMES.items():
        for number, name in enumerate(names):
            value = f"{language}:{name}"
            base = fold(name)
            if language == "ru":
                stem = base[:-1] if base[-1] in "ьй" else base
                yield from (
                    (stem + ending, "month", value) for ending in (base[len(stem) :], "я" if stem != base else "а", "ю", "ем")
                )
                yield stem + "е", "inmonth", value
            elif language == "kk":
                yield from ((form, "month", value) for form in _forms(base + "~"))
            else:
                yield base, "month", value
            short = _MONTH_SHORT.get(language, ["-"] * 12)[number]
            if short != "-":
                yield short, "month", value
    for short, name in _MONTH_MORE.items():
        yield short, "month", ("en:" if short == "sept" else "ru:") + name


def _number_forms() -> Iterator[tuple[str, str, Value]]:
    """(form, kind, number): `num` as counted, `obl` after "к", "до", "около" only, `ord` third, Kazakh `loc`, `abl`, `dat`."""
    for table, kind in ((_CARDINALS, "num"), (_OBLIQUE, "obl"), (_ENGLISH, "num"), (_ENGLISH_ORDINALS, "ord")):
        for number, words in table.items():
            yield from ((word, kind, number) for word in words.split())
    yield from (("полтора", "num", 1.5), ("полторы", "num", 1.5), ("две", "num", 2), ("нуль", "num", 0))
    for number, stem in _ORDINALS.items():
        yield from ((stem + ending, "ord", number) for ending in ("ого", "ое", "ому"))
    yield from (("третьего", "ord", 3), ("третье", "ord", 3), ("третьему", "ord", 3))
    for number, stem in KAZAKH_NUMBERS.items():
        yield from ((stem + ending, kind, number) for ending, kind in _KAZAKH_KINDS.items())


def _lexicon() -> dict[str, Token]:
    words = {form: Token("filler", 0, form) for form in sorted(MAY_FOLLOW)}
    words |= {form: Token("counted", 0, form) for form in map(fold, COUNTED)}
    words |= {form: Token(kind, value, form) for form, kind, value in (*_number_forms(), *_month_forms())}
    words |= {
        form: Token(kind, value, form) for kind, rows in _TABLE.items() for value, spec in rows.items() for form in _forms(spec)
    }
    return words


LEXICON: Final = _lexicon()
