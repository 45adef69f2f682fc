"""The truth guard: what it reads out of a text, what it finds untraceable, and that no amount slips through."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo import company
from sales.guard import claims, untraceable

TODAY = date(2026, 11, 25)  # a Wednesday
EVALS = Path(__file__).parents[2] / "evals"

PRICES = "Код | Модель | Цена\nDK-100 | Демо Соло | 149 900 ₸\nDK-200 | Демо Офис | 289 900 ₸"
SLOTS = "Свободно: пт 27.11 14:00, пт 27.11 16:00, пн 30.11 11:00"
HOURS = "Рабочие часы: Пн–Пт 10:00–18:00 (Asia/Almaty)."


def values(text: str, kind: str) -> list[str]:
    return [claim.value for claim in claims(text, today=TODAY) if claim.kind == kind]


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (EVALS / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 000 ₸", ["10000 KZT"]),
        ("10\u00a0000\u202fтенге", ["10000 KZT"]),
        ("10.000 тг", ["10000 KZT"]),
        ("10,000 tenge", ["10000 KZT"]),
        ("10'000 KZT", ["10000 KZT"]),
        ("*10 000* ₸", ["10000 KZT"]),
        ("１００００ ₸", ["10000 KZT"]),
        ("10,5 тыс. тенге", ["10500 KZT"]),
        ("1,2 млн ₸", ["1200000 KZT"]),
        ("1 млн 200 тыс. тенге", ["1200000 KZT"]),
        ("10к тг", ["10000 KZT"]),
        ("15 т.р.", ["15000 RUB"]),
        ("15тр", ["15000 RUB"]),
        ("полмиллиона тенге", ["500000 KZT"]),
        ("полторы тысячи тенге", ["1500 KZT"]),
        ("две тысячи пятьсот рублей", ["2500 RUB"]),
        ("двести пятьдесят тысяч теньге", ["250000 KZT"]),
        ("он мың теңге", ["10000 KZT"]),
        ("бір жарым мың теңге", ["1500 KZT"]),
        ("жүз елу мың теңгеге береміз", ["150000 KZT"]),
        ("10 000 теңгеден бастап", ["10000 KZT"]),
        ("ten thousand tenge", ["10000 KZT"]),
        ("two hundred and fifty dollars", ["250 USD"]),
        ("fifteen hundred bucks", ["1500 USD"]),
        ("half a million tenge", ["500000 KZT"]),
        ("twenty-nine euros", ["29 EUR"]),
        ("$10", ["10 USD"]),
        ("US$ 1,200.50", ["1200.5 USD"]),
        ("99,90 ₽", ["99.9 RUB"]),
        ("450р.", ["450 RUB"]),
        ("от 10 до 15 тысяч тенге", ["10000 KZT", "15000 KZT"]),
        ("10–15 тыс. ₸", ["10000 KZT", "15000 KZT"]),
        ("от 500 до 2 тысяч рублей", ["500 RUB", "2000 RUB"]),
        ("500, 700 и 900 ₸", ["500 KZT", "700 KZT", "900 KZT"]),
        ("стоит 4500", ["4500"]),
        ("цена 10 000", ["10000"]),
        ("отдам за 900", ["900"]),
        ("дам за 8", ["8"]),
        ("бағасы 5000", ["5000"]),
        ("5000 тұрады", ["5000"]),
        ("10 000 мы не обещали", ["10000"]),
        ("по 6к отдадим", ["6000"]),
        ("USD200 сразу", ["200 USD"]),
    ],
)
def test_reads_money(text: str, expected: list[str]) -> None:
    assert values(text, "money") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("скидка 20 %", ["20"]),
        ("10–15 процентов", ["10", "15"]),
        ("жиырма пайыз", ["20"]),
        ("twenty percent off", ["20"]),
        ("5-процентную скидку", ["5"]),
        ("4,5 % годовых", ["4.5"]),
        ("за половину цены", ["50"]),
        ("скидка вдвое", ["50"]),
        ("в два раза дешевле", ["50"]),
        ("жарты бағаға", ["50"]),
        ("half price", ["50"]),
        ("я на 100 % уверен", []),
        ("половина офиса пьёт чай", []),
    ],
)
def test_reads_percentages(text: str, expected: list[str]) -> None:
    assert values(text, "percent") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25.11.2026", ["2026-11-25"]),
        ("2026-11-25", ["2026-11-25"]),
        ("до 25.11", ["--11-25"]),
        ("25 ноября 2026 года", ["2026-11-25"]),
        ("25–27 ноября", ["--11-25", "--11-27"]),
        ("двадцать пятого ноября", ["--11-25"]),
        ("25 қарашада", ["--11-25"]),
        ("қарашаның 25-і", ["--11-25"]),
        ("November 25, 2026", ["2026-11-25"]),
        ("the 25th of November", ["--11-25"]),
        ("до 5 числа", ["---05"]),
        ("до конца ноября", ["--11"]),
        ("завтра в 14:00", ["2026-11-26"]),
        ("в пятницу в 14", ["fri"]),
        ("пн–пт с 10 до 18", ["mon-fri"]),
        ("записала Вас на пятницу", ["fri"]),
        ("Напишу Вам завтра", []),
        ("Когда Вам удобно в пятницу?", []),
        ("you may ask", []),
        ("бак 1.12 л", []),
    ],
)
def test_reads_days(text: str, expected: list[str]) -> None:
    assert values(text, "date") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:00", ["14:00"]),
        ("созвон в 14", ["14:00"]),
        ("работаем до 18", ["18:00"]),
        ("с 10 до 18", ["10:00", "18:00"]),
        ("10:00–18:00", ["10:00", "18:00"]),
        ("с 10-00 до 18-00", ["10:00", "18:00"]),
        ("в 14.30", ["14:30"]),
        ("в 3 часа дня", ["15:00"]),
        ("в 9 утра", ["09:00"]),
        ("работаем до восьми вечера", ["20:00"]),
        ("at 3 pm", ["15:00"]),
        ("сағат 14-те", ["14:00"]),
        ("сағат 10-нан 18-ге дейін", ["10:00", "18:00"]),
        ("2 часа", []),
        ("через 24 часа", []),
        ("раз в 2 часа", []),
        ("в 3 этапа", []),
        ("до 5 человек", []),
        ("разбавить 1:10", []),
        ("24/7", []),
    ],
)
def test_reads_clock_times(text: str, expected: list[str]) -> None:
    assert values(text, "time") == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("https://www.Example.kz/Path/", "link", ["example.kz/path"]),
        ("смотрите example.kz/path.", "link", ["example.kz/path"]),
        ("bit.ly/x1", "link", ["bit.ly/x1"]),
        ("наш @demo_shop", "link", ["@demo_shop"]),
        ("пишите Info@Example.kz!", "email", ["info@example.kz"]),
        ("+7 701 123-45-67", "phone", ["77011234567"]),
        ("8 (701) 123 45 67", "phone", ["77011234567"]),
        ("87011234567", "phone", ["77011234567"]),
        ("карта 4400 4301 2233 4455", "phone", ["4400430122334455"]),
        ("и т.д. и т.п.", "link", []),
        ("Node.js", "link", []),
    ],
)
def test_reads_contacts(text: str, kind: str, expected: list[str]) -> None:
    assert values(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Доставка бесплатная", ["free:delivery"]),
        ("Бесплатно доставим и установим", ["free:delivery+installation"]),
        ("Жеткізу тегін", ["free:delivery"]),
        ("Shipping is free", ["free:delivery"]),
        ("Фильтр в подарок", ["gift:фильт"]),
        ("сделаем Вам скидку", ["discount"]),
        ("Сборка за наш счёт", ["free:assembly"]),
        ("Доставка 0 ₸", ["free:delivery"]),
        ("Бесплатной доставки нет", []),
        ("скидку дать не могу", []),
        ("Скидку, к сожалению, предложить не можем", []),
        ("Тегін жеткізу жоқ", []),
        ("по скидке уточню у менеджера", []),
        ("Feel free to ask", []),
        ("Вы берёте в подарок или себе?", []),
    ],
)
def test_reads_promises(text: str, expected: list[str]) -> None:
    assert values(text, "gift") == expected


@pytest.mark.parametrize(
    "text",
    [
        "DC-200 на 8 напитков, до 20 человек, 1450 Вт, 33×58×47 см",
        "Гарантия 12 месяцев, срок 2–3 дня, отвечу в 1–2 сообщениях",
        "1. Модель\n2. Город\n3. Сколько чашек в день?",
        "На рынке с 2015 года, iPhone 15 Pro 256 ГБ",
        "Какой размер: 42, 43 или 44?",
        "Үш үлгі бар, қайсысы ұнайды? 5, 10 немесе 20 дана?",
        "We have 15 years of experience and 3 offices",
        "Стоит посмотреть 3 модели",
        "",
        " \n\t",
    ],
)
def test_ordinary_words_state_nothing(text: str) -> None:
    assert claims(text, today=TODAY) == []


def test_a_claim_carries_the_passage_as_written() -> None:
    (claim,) = claims("Итак, это **Десять Тысяч** тенге.", today=TODAY)
    assert (claim.kind, claim.value, claim.text) == ("money", "10000 KZT", "Десять Тысяч тенге")


@pytest.mark.parametrize(
    ("reply", "facts", "found"),
    [
        ("DK-200 стоит 289 900 тенге", [PRICES], []),
        ("DK-200 стоит 289 900 рублей", [PRICES], ["289900 RUB"]),
        ("DK-200 стоит 289900", [PRICES], []),
        ("Вместе выйдет 439 800 ₸", [PRICES], ["439800 KZT"]),
        ("5 000 ₸", ["обслуживание каждые 5 000 чашек"], ["5000 KZT"]),
        ("4500 тенге", ["Код | Цена, ₸\nA-1 | 4 500"], []),
        ("20 % скидка", ["Состав: 80 % арабика, 20 % робуста"], ["20", "discount"]),
        ("в пятницу в 14:00", [SLOTS], []),
        ("в пятницу в 11:00", [SLOTS], ["11:00"]),
        ("послезавтра в 16", [SLOTS], []),
        ("27 ноября в 14:00", [SLOTS], []),
        ("28 ноября в 14:00", [SLOTS], ["--11-28", "14:00"]),
        ("в субботу с 10 до 18", [HOURS], ["sat", "10:00", "18:00"]),
        ("Доставка бесплатная", ["Самовывоз бесплатно. Доставка 2 000 тг. Обучение бесплатно."], ["free:delivery"]),
        ("Жеткізу тегін", ["Доставка по городу 1 500 ₸, от 30 000 ₸ бесплатно"], []),
        ("Первый месяц бесплатно", ["Пробный период 14 дней бесплатно"], ["free:1:month"]),
        ("wa.me/77000000000", ["Телефон +7 700 000-00-00"], []),
        ("Установка DK-200 бесплатна", ["При покупке DK-500 установка бесплатна"], ["free:installation"]),
        ("Рассрочка под 0 %", ["Рассрочка без переплаты"], []),
    ],
)
def test_finds_what_no_fact_holds(reply: str, facts: list[str], found: list[str]) -> None:
    assert [claim.value for claim in untraceable(reply, facts, today=TODAY)] == found


def test_the_tuning_set() -> None:
    wrong = Counter(
        (line["expected"], bool(untraceable(line["reply"], line["facts"], today=TODAY)))
        for line in lines("guard.tuned.jsonl")
        if (line["expected"] == "block") != bool(untraceable(line["reply"], line["facts"], today=TODAY))
    )
    assert not wrong
    assert len(lines("guard.tuned.jsonl")) >= 100


def test_every_temptation_states_something_that_the_demo_company_does_not_say() -> None:
    facts = [answer for _topic, pairs in company.FAQ for question, answer in pairs]
    facts += [f"{question}\n{answer}" for _topic, pairs in company.FAQ for question, answer in pairs]
    facts += [
        f"{code} | {name} | {price} ₸" for code, name, *_rest, price in (*company.MACHINES, *company.BEANS, *company.SERVICES)
    ]
    assert [
        line["temptation"] for line in lines("hostile.jsonl") if not untraceable(line["temptation"], facts, today=TODAY)
    ] == []
    assert len(lines("hostile.jsonl")) >= 60


# ── Properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

_RU = {
    1: "один", 2: "два", 3: "три", 4: "четыре", 5: "пять", 6: "шесть", 7: "семь", 8: "восемь", 9: "девять", 10: "десять",
    11: "одиннадцать", 12: "двенадцать", 13: "тринадцать", 14: "четырнадцать", 15: "пятнадцать", 16: "шестнадцать",
    17: "семнадцать", 18: "восемнадцать", 19: "девятнадцать", 20: "двадцать", 30: "тридцать", 40: "сорок", 50: "пятьдесят",
    60: "шестьдесят", 70: "семьдесят", 80: "восемьдесят", 90: "девяносто", 100: "сто", 200: "двести", 300: "триста",
    400: "четыреста", 500: "пятьсот", 600: "шестьсот", 700: "семьсот", 800: "восемьсот", 900: "девятьсот",
}  # fmt: skip
_KK = {
    1: "бір", 2: "екі", 3: "үш", 4: "төрт", 5: "бес", 6: "алты", 7: "жеті", 8: "сегіз", 9: "тоғыз", 10: "он", 20: "жиырма",
    30: "отыз", 40: "қырық", 50: "елу", 60: "алпыс", 70: "жетпіс", 80: "сексен", 90: "тоқсан",
}  # fmt: skip
_EN = {
    1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten",
    11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen",
    19: "nineteen", 20: "twenty", 30: "thirty", 40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety",
}  # fmt: skip


def _below_thousand(number: int, table: dict[int, str], hundred: str) -> list[str]:
    said = []
    if number >= 100:
        whole = number // 100 * 100
        said += [table[whole]] if whole in table else [table[number // 100], hundred]
        number %= 100
    if number in table:
        said.append(table[number])
    elif number:
        said += [table[number // 10 * 10], table[number % 10]]
    return said


def in_words(number: int, language: str) -> str:
    """`number` below a million in words, in the first form of each."""
    table, hundred, thousand = {
        "ru": (_RU, "", "тысяч"), "kk": (_KK, "жүз", "мың"), "en": (_EN, "hundred", "thousand"),
    }[language]  # fmt: skip
    upper, lower = divmod(number, 1000)
    said = [*_below_thousand(upper, table, hundred), thousand] if upper else []
    return " ".join(said + _below_thousand(lower, table, hundred))


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def forms(number: int) -> list[str]:
    """Ways to write a number without its currency."""
    written = [
        str(number), f"{number:,}".replace(",", " "), f"{number:,}".replace(",", "\u00a0"), f"{number:,}", f"{number:,}".replace(",", "."),
        f"{number:,}".replace(",", "'"), f"{number},00", *(in_words(number, language) for language in ("ru", "kk", "en")),
    ]  # fmt: skip
    if number >= 1000 and number % 100 == 0:
        thousands = _plain(Decimal(number) / 1000)
        written += [
            f"{thousands} тыс.",
            f"{thousands.replace('.', ',')} тысяч",
            f"{thousands}к",
            f"{thousands} мың",
            f"{thousands}k",
        ]
    if number >= 1_000_000 // 2 and number % 10_000 == 0:
        written.append(f"{_plain(Decimal(number) / 1_000_000).replace('.', ',')} млн")
    return written


NAMES = {
    "KZT": ["₸", "тг", "тенге", "теңге", "тг.", "KZT", "tenge"],
    "RUB": ["₽", "руб.", "рублей", "rub", "р."],
    "USD": ["$", "долларов", "USD", "dollars"],
    "EUR": ["€", "евро", "euros"],
}
NUMBERS = st.integers(min_value=100, max_value=999_999).filter(lambda number: number >= 1000 or number % 100 == 0)
CURRENCIES = st.sampled_from(sorted(NAMES))
#: What may stand around an amount; none of it is a number, so that nothing can be glued to it.
AROUND = st.sampled_from(
    [
        "",
        "Здравствуйте!",
        "Итак, ",
        "Для Вас ",
        "🙂 ",
        "(",
        "— ",
        "Бағасы ",
        "The price is ",
        "Только сегодня: ",
        "\n• ",
        "«",
        "Если честно, я бы взял DC-200 — ",
        "Гарантия 12 месяцев, цена: ",
        "ок, ",
    ]
)
AFTER = st.sampled_from(
    [
        "",
        ".",
        "!",
        " и доставка",
        " за штуку",
        " 🙂",
        ")",
        "»",
        ", оформляем?",
        "/мес",
        "\nСпасибо!",
        " болады",
        " per month",
        " — и всё",
    ]
)


@st.composite
def amounts(draw: st.DrawFn, number: int, currency: str) -> str:
    return f"{draw(st.sampled_from(forms(number)))} {draw(st.sampled_from(NAMES[currency]))}"


@settings(max_examples=600, deadline=None)
@given(data=st.data(), number=NUMBERS, currency=CURRENCIES, before=AROUND, after=AFTER)
def test_an_amount_is_traceable_in_any_format(data: st.DataObject, number: int, currency: str, before: str, after: str) -> None:
    said, known = data.draw(amounts(number, currency)), data.draw(amounts(number, currency))
    assert untraceable(f"{before}{said}{after}", [f"Модель А: {known}."], today=TODAY) == []


@settings(max_examples=600, deadline=None)
@given(data=st.data(), number=NUMBERS, other=NUMBERS, currency=CURRENCIES, before=AROUND, after=AFTER)
def test_an_amount_that_no_fact_holds_is_found(
    data: st.DataObject, number: int, other: int, currency: str, before: str, after: str
) -> None:
    if number == other:
        other += 1
    said, known = data.draw(amounts(number, currency)), data.draw(amounts(other, currency))
    found = untraceable(f"{before}{said}{after}", [f"Модель А: {known}."], today=TODAY)
    assert f"{number} {currency}" in {claim.value for claim in found}


@settings(max_examples=200, deadline=None)
@given(data=st.data(), number=NUMBERS, currencies=st.lists(CURRENCIES, min_size=2, max_size=2, unique=True))
def test_another_currency_is_another_amount(data: st.DataObject, number: int, currencies: list[str]) -> None:
    said, known = data.draw(amounts(number, currencies[0])), data.draw(amounts(number, currencies[1]))
    assert untraceable(f"Цена {said}", [f"Цена: {known}"], today=TODAY)


_PIECES = st.sampled_from(
    [
        "10 000",
        "₸",
        "тыс",
        "от",
        "до",
        "-",
        "–",
        ".",
        ",",
        "бесплатно",
        "скидка",
        "не",
        "25",
        "ноября",
        "в",
        "14",
        ":",
        "00",
        "%",
        "пять",
        "@",
        "www.",
        "+7",
        "(",
        "\n",
        "half",
        "a",
        "мың",
        "он",
        "пн",
        "завтра",
        "к",
        "*",
        "_",
        "é",
        "\u0301",
        "\u200d",
        "٣",
        "²",
        "½",
    ]
)


@settings(max_examples=500, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=300), st.lists(_PIECES, max_size=60).map(" ".join), st.lists(_PIECES, max_size=60).map("".join)
    )
)
def test_never_raises_and_a_text_is_traceable_to_itself(text: str) -> None:
    assert all(claim.text for claim in claims(text, today=TODAY))
    untraceable(text, [text], today=TODAY)


DELIVERY = "1 500 ₸, а при заказе от 30 000 ₸ — бесплатно. Заказ, оплаченный до 14:00, привозим в тот же день."


def test_a_quotation_claims_nothing_of_its_own() -> None:
    assert not untraceable(f"Здравствуйте! Вот что сказано в документах:\n{DELIVERY}", [DELIVERY], today=TODAY)
    assert not untraceable("1 500 ₸, а при  заказе от 30 000 ₸ — Бесплатно.", [DELIVERY], today=TODAY)


@pytest.mark.parametrize("reply", ["Доставка бесплатно.", "1 500 ₸, а при заказе от 3 000 ₸ — бесплатно."])
def test_what_only_resembles_a_quotation_is_read(reply: str) -> None:
    assert untraceable(reply, ["Самовывоз бесплатно со склада. " + DELIVERY.replace("бесплатно", "даром")], today=TODAY)
