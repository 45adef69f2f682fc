"""What customers ask, and the passage that must be among the first three."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from knowledge import index
from knowledge.chunks import Cut
from knowledge.models import KnowledgeBase, Source
from knowledge.search import _SEARCH, _parameters, _terms, search

from .conftest import ready

QUESTIONS = [
    ("Сколько стоит доставка по Алматы?", "faq.pdf", "при заказе от 30 000"),
    ("вы доставляете в Астану?", "faq.pdf", "Астана и Шымкент"),
    ("А в Караганду привезёте? сколько дней", "faq.pdf", "остальные города"),
    ("какая гарантия на DK-200", "faq.pdf", "24 месяца на DK-200"),
    ("что не покрывает гарантия", "faq.pdf", "механические повреждения"),
    ("можно вернуть если не понравится", "faq.pdf", "в течение 14 дней"),
    ("есть рассрочка?", "faq.pdf", "без переплаты"),
    ("Здравствуйте! Подскажите пожалуйста, как можно оплатить заказ от компании?", "faq.pdf", "Юридические"),
    ("во сколько вы открываетесь в субботу", "faq.pdf", "суббота и воскресенье"),
    ("где вы находитесь, какой адрес", "faq.pdf", "ул. Примерная, 1"),
    ("нужна ли установка для DK500", "faq.pdf", "для DK-500 она обязательна"),
    ("кофемашина сломалась, что делать", "faq.pdf", "подменную машину"),
    ("сколько стоит аренда кофемашины в месяц", "prices.pdf", "DK-200 | Демо Офис | 29 000 ₸"),
    ("цена на Демо Офис", "products.pdf", "Цена 289 900 ₸"),
    ("прайс на кофемашины", "prices.pdf", "DK-100 | Демо Соло"),
    ("почём килограмм зерна Степь", "prices.pdf", "Степь | 80 % арабика"),
    ("есть кофе без кофеина?", "products.pdf", "без химических растворителей"),
    ("какую кофемашину выбрать на офис 15 человек", "products.pdf", "Считайте две чашки"),
    ("капучинатор автоматический есть?", "products.pdf", "автоматический капучинатор"),
    ("скидка от 10 кг зерна", "prices.pdf", "от 10 кг — 5 %"),
    ("обучение сотрудников сколько стоит", "prices.pdf", "Обучение сотрудников, 2 часа"),
    ("самовывоз", "faq.pdf", "Заказ хранится 5 дней"),
    ("фильтр для воды насколько хватает", "products.pdf", "150 литров"),
    # Slips of the pen.
    ("цнеа доствки", "faq.pdf", "при заказе от 30 000"),
    ("грантия на кофемашну", "faq.pdf", "24 месяца"),
    ("есть расрочка", "faq.pdf", "без переплаты"),
    ("сомовывоз откуда", "faq.pdf", "Заказ хранится 5 дней"),
    ("обслуживние раз в сколько месяцев", "faq.pdf", "раз в 6 месяцев"),
    # Kazakh.
    ("жеткізу қанша тұрады?", "faq.pdf", "Алматы бойынша жеткізу"),
    ("Алматыға жеткізудің бағасы қандай", "faq.pdf", "Алматы бойынша жеткізу"),
    ("кепілдік бар ма", "faq.pdf", "24 ай кепілдік"),
    ("жұмыс уақытыңыз қандай, сенбіде ашықсыз ба", "faq.pdf", "сенбі мен"),
    ("бөліп төлеуге бола ма", "faq.pdf", "Бөліп төлеу"),
    ("кофемашинаның бағасы", "prices.pdf", "DK-100 | Демо Соло"),
    # English.
    ("what is the delivery price?", "faq.pdf", "при заказе от 30 000"),
    ("warranty for DK-300", "faq.pdf", "24 месяца на DK-200"),
    ("do you have decaf beans? price of beans", "prices.pdf", "Z-01 | Утро Алатау"),
    ("opening hours", "faq.pdf", "Понедельник — пятница"),
]


@pytest.mark.parametrize(("question", "title", "text"), QUESTIONS)
def test_the_right_passage_is_among_the_first_three(demo: KnowledgeBase, question: str, title: str, text: str) -> None:
    found = search([demo.pk], question)[:3]
    assert any(passage.source_title == title and text in passage.text for passage in found), [
        (round(p.score, 2), p.heading, p.text[:60]) for p in search([demo.pk], question)
    ]


def asked(base: KnowledgeBase, query: str, **options: object) -> list[str]:
    return [passage.text for passage in search([base.pk], query, **options)]  # type: ignore[arg-type]


def passages(base: KnowledgeBase, *texts: str, name: str = "a.pdf", heading: str = "") -> Source:
    source = ready(base, name)
    index.write(source.pk, 1, source.title, [Cut(1, heading, text) for text in texts])
    return source


@pytest.mark.parametrize(
    "query", ["", "   ", "?!…", "а как же вы", "зонтик", "\x00", "'; DROP TABLE x; --", "& | ! ( :*", "😀" * 50]
)
def test_nothing_known_is_an_empty_list(demo: KnowledgeBase, query: str) -> None:
    assert search([demo.pk], query) == []


@given(st.text(max_size=200))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_may_be_asked(demo: KnowledgeBase, query: str) -> None:
    assert len(search([demo.pk], query, context=query[::-1])) <= 6


def test_no_bases_and_no_limit_find_nothing(demo: KnowledgeBase) -> None:
    assert search([], "доставка") == []
    assert search([demo.pk], "доставка", limit=0) == []
    assert len(search([demo.pk], "доставка", limit=2)) == 2


def test_only_live_sources_of_the_asked_bases_answer(base: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    passages(base, "доставка здесь")
    passages(other, "доставка там")
    off = passages(base, "доставка выключена", name="off.pdf")
    unread = passages(base, "доставка не прочитана", name="unread.pdf")
    Source.objects.filter(pk=off.pk).update(active=False)
    Source.objects.filter(pk=unread.pk).update(generation=0)
    assert asked(base, "доставка") == ["доставка здесь"]
    assert {passage.text for passage in search([base.pk, other.pk], "доставка")} == {"доставка здесь", "доставка там"}


def test_a_waiting_new_version_does_not_silence_the_old_one(base: KnowledgeBase) -> None:
    source = passages(base, "доставка здесь")
    for state in Source.State:
        Source.objects.filter(pk=source.pk).update(state=state)
        assert asked(base, "доставка") == ["доставка здесь"]


def test_more_words_win_and_rare_words_weigh_more(base: KnowledgeBase) -> None:
    passages(base, "кофе молоко сахар", "кофе чай", "кофе вода", "кофе и редкий кардамон")
    assert asked(base, "кофе кардамон")[0] == "кофе и редкий кардамон"
    assert asked(base, "кофе молоко сахар")[0] == "кофе молоко сахар"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("доставляем кофемашины", "доставке кофемашину"),
        ("ёлка", "елка"),
        ("Prices of coffee grinders", "coffee grinder pricing"),
        ("цена 149 900 ₸", "149900"),
        ("модель DK-200", "dk200"),
        ("модель DK-200", "dk 200"),
        ("кепілдік береміз", "кепілдіктің мерзімі"),
        ("қалаларға жеткіземіз", "қалаға"),
        ("и\u0306од", "йод"),
    ],
)
def test_forms_of_a_word_are_one(base: KnowledgeBase, text: str, query: str) -> None:
    passages(base, text, "совсем другое")
    assert asked(base, query) == [text]


@pytest.mark.parametrize("slip", ["гарнтия", "гарантиия", "гаратния", "горантия", "агрантия", "гарантмя"])
def test_slips_are_forgiven(base: KnowledgeBase, slip: str) -> None:
    passages(base, "гарантия два года", "совсем другое")
    assert asked(base, slip) == ["гарантия два года"]


def test_a_known_word_brings_no_similar_ones(base: KnowledgeBase) -> None:
    passages(base, "банка", "банда", "манка")
    assert asked(base, "банка") == ["банка"]


def test_the_words_before_help_a_short_question(base: KnowledgeBase) -> None:
    passages(base, "доставка 1 500 ₸", "установка 15 000 ₸", "гарантия два года")
    assert asked(base, "сколько стоит", context="у вас есть установка?")[0] == "установка 15 000 ₸"
    assert asked(base, "а на сколько", context="гарантия есть?") == ["гарантия два года"]
    assert asked(base, "доставка", context="гарантия есть?")[0] == "доставка 1 500 ₸"


def test_scores_tell_good_from_poor(demo: KnowledgeBase) -> None:
    [best, *_] = search([demo.pk], "какая гарантия на кофемашины")
    [poor, *_] = search([demo.pk], "продаёте ли вы зонтики, зимние шины и кофемашины оптом в Антарктиду")
    assert best.score > 0.9 > 0.6 > poor.score


def test_it_is_one_statement_whatever_is_found(demo: KnowledgeBase, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        search([demo.pk], "сколько стоит доставка и гарантия", context="цнеа")


def test_the_indexes_are_used_and_not_the_passages_read(base: KnowledgeBase) -> None:
    """With thousands of passages, words and slips are looked up in the two indexes; passages are fetched by id only."""
    source = ready(base, "big.pdf")
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO knowledge_chunk (source_id, generation, position, page, heading, text, vector, typos)
            SELECT %s, 1, n, 1, '', repeat('кофе ', 100), to_tsvector('russian', 'кофе слово' || n || ' тема' || n %% 50),
                array_to_tsvector(ARRAY['тема' || n %% 50, 'слово' || n]) FROM generate_series(1, 5000) n""",
            [source.pk],
        )
        cursor.execute("ANALYZE knowledge_chunk")
        parameters = _parameters([base.pk], _terms("кофе тема7 доствка", ""), 6)
        cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + _SEARCH, parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Bitmap Index Scan on chunk_vector" in plan
    assert "Bitmap Index Scan on chunk_typos" in plan
    assert "Seq Scan on knowledge_chunk" not in plan
    assert "knowledge_chunk_source_id" not in plan
