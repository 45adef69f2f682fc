"""Marks, lengths and choices: what any channel must be able to carry."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import rich
from channels.base import Choice, Markup

words = st.text(alphabet="абвГД xyZ09.,!?-*_[]()<>&\n😀ё«»:/", max_size=300)
marked = st.lists(
    st.one_of(
        words,
        words.map(lambda text: f"**{text.strip() or 'цена'}**"),
        words.map(lambda text: f" _{text.strip() or 'срок'}_ "),
        st.just("[прайс-лист](https://saudager.example/a_b?x=1&y=2)"),
    ),
    max_size=6,
).map("".join)
choices = st.lists(
    st.builds(Choice, st.uuids().map(str), st.text(min_size=1, max_size=80).filter(str.strip), st.text(max_size=120)), max_size=40
)  # fmt: skip


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        (Markup.PLAIN, "Цена 5 000 ₸, прайс: https://a.example/x_y, 2*3=6 и имя_файла_1 <b>"),
        (Markup.WHATSAPP, "*Цена* _5 000 ₸_, прайс: https://a.example/x_y, 2*3=6 и имя_файла_1 <b>"),
        (
            Markup.HTML,
            '<b>Цена</b> <i>5 000 ₸</i>, <a href="https://a.example/x_y">прайс</a>, 2*3=6 и имя_файла_1 &lt;b&gt;',
        ),
    ],
)
def test_marks_are_written_as_the_channel_wants_them(markup: Markup, shown: str) -> None:
    text = "**Цена** _5 000 ₸_, [прайс](https://a.example/x_y), 2*3=6 и имя_файла_1 <b>"
    assert rich.render(text, markup) == shown


def test_marks_within_marks() -> None:
    assert rich.render("**очень _важно_**", Markup.HTML) == "<b>очень </b><b><i>важно</i></b>"
    assert rich.render("**очень _важно_**", Markup.WHATSAPP) == "*очень* *_важно_*"


class _Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in ("a", "b", "i")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(marked)
def test_html_is_always_well_formed(text: str) -> None:
    parser = _Balanced()
    parser.feed(rich.render(text, Markup.HTML))
    parser.close()
    assert not parser.open


@given(marked, st.integers(40, 200), st.sampled_from(Markup))
def test_every_piece_fits_and_no_word_is_lost(text: str, limit: int, markup: Markup) -> None:
    pieces = rich.split(text, limit, markup)
    for piece in pieces:
        length = rich.units(rich.render(piece, markup))
        assert piece.strip() and (markup is Markup.HTML or length <= limit)
        if markup is Markup.HTML:
            assert rich.units("".join(span.text for span in rich.spans(piece))) <= limit
    letters = re.compile(r"[\W_]+")
    assert letters.sub("", "".join(rich.render(piece, Markup.PLAIN) for piece in pieces)) == letters.sub(
        "", rich.render(text.strip(), Markup.PLAIN)
    )


def test_a_text_is_cut_between_sentences() -> None:
    text = "Первое предложение. Второе предложение! Третье?  " * 3
    assert rich.split(text, 50) == ["Первое предложение. Второе предложение! Третье?"] * 3


def test_paragraphs_come_before_sentences() -> None:
    assert rich.split("Один. Два.\n\nТри. Четыре. Пять.", 24) == ["Один. Два.", "Три. Четыре. Пять."]


def test_a_link_is_never_cut() -> None:
    link = "[прайс](https://saudager.example/very/long/path)"
    for limit in range(56, 120):
        pieces = rich.split(f"Слова перед ссылкой и ещё слова {link} и после неё тоже слова", limit)
        assert sum(link in piece for piece in pieces) == 1


def test_an_unbroken_text_is_cut_anyway() -> None:
    assert rich.split("😀" * 30, 20) == ["😀" * 10] * 3


def test_nothing_has_no_pieces() -> None:
    assert rich.split(" \n ", 10) == []


@given(choices, st.integers(2, 12))
def test_pages_hold_every_choice_once_and_lead_on(offered: list[Choice], most: int) -> None:
    number, seen = 1, []
    for _ in range(len(offered) + 1):
        shown = rich.page(offered, number, most)
        assert len(shown) <= most
        seen += [choice for choice in shown if rich.page_asked(choice.id) is None]
        following = rich.page_asked(shown[-1].id) if shown else None
        if following in (None, 1):
            break
        assert following == number + 1
        number = following
    assert seen == offered


def test_only_a_page_is_a_page() -> None:
    assert rich.page_asked("more:2") == 2
    assert [rich.page_asked(action) for action in ("more:", "more:x", "more:-1", "faq:2", "more:99999")] == [None] * 5


@given(choices, st.integers(8, 64), st.integers(0, 72))
def test_titles_fit_and_differ(offered: list[Choice], title: int, description: int) -> None:
    fitted = rich.with_titles(offered, title, description)
    assert [choice.id for choice in fitted] == [choice.id for choice in offered]
    assert all(choice.title and rich.units(choice.title) <= title for choice in fitted)
    assert all(rich.units(choice.description) <= description for choice in fitted)
    assert len({choice.title.casefold() for choice in fitted}) == len(fitted)


def test_what_a_title_lost_is_in_its_description() -> None:
    (fitted,) = rich.with_titles([Choice("a", "Установка и подключение кофемашины", "за день")], 20, 72)
    assert fitted.title == "Установка и подключ…"
    assert fitted.description == "Установка и подключение кофемашины · за день"


OFFERED = (Choice("faq:price", "Сколько стоит"), Choice("faq:support", "Поддержка", "по будням"))


def test_choices_without_buttons_are_written_out_and_read_back() -> None:
    assert rich.numbered("Что интересно?", OFFERED) == "Что интересно?\n\n1. Сколько стоит\n2. Поддержка — по будням"
    for typed, found in (("1", "faq:price"), (" 2) ", "faq:support"), ("№2", "faq:support"), ("поддержка!", "faq:support")):
        choice = rich.chosen(typed, OFFERED)
        assert choice is not None and choice.id == found
    for other in ("3", "0", "12", "2 машины", "да", "", "сколько"):
        assert rich.chosen(other, OFFERED) is None
