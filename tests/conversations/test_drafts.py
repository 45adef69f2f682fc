"""A draft becomes messages within any channel's limits, and what the customer does with them means the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import rich
from channels.base import Capabilities, Choice, Markup, TemplateUse
from conversations import drafts
from conversations.drafts import Draft, StoredFile

TAPPING = Capabilities(max_length=1024, choices=10, markup=Markup.WHATSAPP, voice=True, speaks=True)
TYPING = Capabilities(max_length=400)
QUESTIONS = tuple(Choice(f"faq:{number}", f"Вопрос {number}") for number in range(1, 24))

titles = st.text(min_size=1, max_size=60).filter(lambda text: bool(text.strip()))
many = st.lists(titles, min_size=1, max_size=40, unique_by=lambda t: t.strip().casefold()).map(
    lambda found: [Choice(f"a:{number}", title) for number, title in enumerate(found)]
)


@given(st.text(max_size=3000), many, st.sampled_from([TAPPING, TYPING]))
def test_any_draft_fits_any_channel_and_any_choice_can_be_made(text: str, choices: list[Choice], can: Capabilities) -> None:
    cut = drafts.parts(Draft(text, choices), can)
    for part in cut:
        assert rich.units(rich.render(part.text, can.markup)) <= can.max_length
    if not cut:
        return
    offer = cut[-1].details
    if not can.choices:
        for number, choice in enumerate(choices, 1):
            assert drafts.answered(f" {number}.", "", offer) == choice.id
        return
    reached, page = set(), 1
    for _ in range(len(choices)):
        shown = drafts.shown_choices({**(offer or {}), "page": page}, can)
        assert len(shown) <= can.choices
        for choice in shown:
            assert drafts.answered("", choice.id, offer) == choice.id
        reached |= {choice.id for choice in shown}
        following = drafts.next_page(shown[-1].id, "Дальше", offer)
        if following is None or following.page == 1:
            break
        page = following.page
    assert {choice.id for choice in choices} <= reached


def test_choices_stand_under_the_last_piece_of_a_long_text() -> None:
    cut = drafts.parts(Draft("Очень длинный рассказ. " * 80, QUESTIONS[:2], menu="Вопросы"), TAPPING)
    assert len(cut) > 1
    assert [bool(part.details) for part in cut] == [False] * (len(cut) - 1) + [True]


def test_more_leads_to_the_next_page_and_back() -> None:
    offer = drafts.parts(Draft("Что интересно?", QUESTIONS, menu="Вопросы"), TAPPING)[0].details
    first = drafts.shown_choices(offer, TAPPING)
    assert [choice.id for choice in first[:9]] == [choice.id for choice in QUESTIONS[:9]]
    second = drafts.next_page(first[-1].id, "Ещё вопросы", offer)
    assert second is not None and (second.page, second.menu, len(second.choices)) == (2, "Вопросы", 23)
    assert drafts.next_page("faq:1", "", offer) is None


def test_a_template_is_one_message_with_its_values() -> None:
    (part,) = drafts.parts(Draft("Здравствуйте, Азамат!", template=TemplateUse("hello", "ru", ("Азамат",))), TYPING)
    assert drafts.template_of(part.details) == TemplateUse("hello", "ru", ("Азамат",))


def test_words_are_spoken_in_a_message_of_their_own_where_the_channel_has_voice() -> None:
    written, spoken = drafts.parts(Draft("**Готово!** Ждём вас.", voice_id=7), TAPPING)
    assert (written.kind, spoken.kind, spoken.text, spoken.details) == ("text", "voice", "Готово! Ждём вас.", {"voice_id": 7})
    assert [part.kind for part in drafts.parts(Draft("Готово", voice_id=7), TYPING)] == ["text"]


def test_files_go_with_the_text() -> None:
    (part,) = drafts.parts(Draft("Ваше предложение", files=[StoredFile("a/b", "КП.pdf", "application/pdf")]), TYPING)
    assert part.kind == "document"
    assert part.details == {"files": [{"path": "a/b", "name": "КП.pdf", "mime": "application/pdf"}]}


@pytest.mark.parametrize("draft", [Draft(), Draft("  \n"), Draft("", QUESTIONS[:0])])
def test_nothing_said_is_no_message(draft: Draft) -> None:
    assert not draft
    assert drafts.parts(draft, TYPING) == []
