"""Nothing is lost, nothing is out of order, nothing is too long, no row is cut."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.chunks import HEADING_LIMIT, LIMIT, TARGET, Cut, cut
from knowledge.layout import Block

words = st.text(alphabet="абвәғқabc019.!?,", min_size=1, max_size=30)
prose = st.lists(words, min_size=1, max_size=200).map(" ".join)
row = st.lists(words, min_size=2, max_size=5).map(" | ".join)
block = st.one_of(
    prose.map(lambda text: Block("text", text)),
    row.map(lambda text: Block("row", text)),
    st.builds(lambda text, level: Block("heading", text[:110].strip() or "x", level), prose, st.integers(1, 4)),
)
documents = st.lists(st.lists(block, max_size=12), min_size=1, max_size=5)


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


def own(found: Cut) -> str:
    return found.text[found.carried :]


@given(documents)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_order_is_kept(pages: list[list[Block]]) -> None:
    cuts = cut(pages)
    said = letters("".join(block.text for page in pages for block in page if block.kind != "heading"))
    bodies = letters("".join(own(found) for found in cuts))
    rest = iter(bodies)
    assert all(letter in rest for letter in said)  # a subsequence: headings may stand in between
    everything = letters(" ".join(f"{found.heading} {own(found)}" for found in cuts))
    assert all(letters(block.text) in everything for page in pages for block in page if block.kind == "heading")
    assert [found.page for found in cuts] == sorted(found.page for found in cuts)


@given(documents)
@settings(max_examples=150, deadline=None)
def test_sizes(pages: list[list[Block]]) -> None:
    for found in cut(pages):
        assert own(found).strip()
        assert len(found.text) <= LIMIT
        assert len(found.heading) <= HEADING_LIMIT


@given(st.lists(row.filter(lambda text: len(text) < 300), min_size=1, max_size=60))
def test_rows_are_never_cut(rows: list[str]) -> None:
    found = [line for passage in cut([[Block("row", text) for text in rows]]) for line in own(passage).split("\n")]
    assert found == rows


def test_running_text_is_filled_to_the_target_and_overlaps() -> None:
    sentence = "Это предложение нужно для проверки длины отрывков текста. "
    cuts = cut([[Block("text", (sentence * 5).strip()) for _ in range(12)]])
    assert len(cuts) > 2
    assert all(500 <= len(found.text) <= TARGET + 1 for found in cuts[:-1])
    assert all(found.carried and found.text[: found.carried].strip() == sentence.strip() for found in cuts[1:])


def test_a_long_table_repeats_its_head() -> None:
    rows = [Block("row", "Код | Товар | Цена"), *(Block("row", f"A-{n} | Товар номер {n} | {n} 000 ₸") for n in range(80))]
    cuts = cut([rows])
    assert len(cuts) > 2
    assert all(found.text.startswith("Код | Товар | Цена\n") for found in cuts)


def test_headings_lead_their_text() -> None:
    cuts = cut(
        [
            [
                Block("heading", "Каталог", 1),
                Block("heading", "Машины", 2),
                Block("heading", "Соло", 3),
                Block("text", "Малая."),
            ],
            [Block("heading", "Офис", 3), Block("text", "Большая."), Block("heading", "Зерно", 2), Block("text", "Арабика.")],
        ]
    )
    assert [(found.page, found.heading, found.text) for found in cuts] == [
        (1, "Каталог › Машины › Соло", "Малая."),
        (2, "Каталог › Машины › Офис", "Большая."),
        (2, "Каталог › Зерно", "Арабика."),
    ]


def test_a_document_of_headings_only_is_kept() -> None:
    assert [found.text for found in cut([[Block("heading", "Скоро здесь будут цены", 1)]])] == ["Скоро здесь будут цены"]
    assert cut([[]]) == []


def test_demo_prices_stay_with_their_goods(demo_documents: Any) -> None:
    texts = [found.text for found in demo_documents["prices.pdf"][1]]
    assert any("DK-500 | Демо Про | 79 000 ₸ | 160 000 ₸" in text and "В месяц | Залог" in text for text in texts)
