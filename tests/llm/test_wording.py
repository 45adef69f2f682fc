"""What is written, and how it is read aloud."""

from __future__ import annotations

import pytest

from llm.voices.wording import language_of, pieces, readable


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("ru", "Кофемашина — 125 000 ₸, дешевле на 15%", "Кофемашина — 125000 тенге, дешевле на 15 процентов."),
        ("ru", "1 500 тг, 2 500 тнг и 3 000 KZT", "1500 тенге, 2500 тенге и 3000 тенге."),
        ("ru", "1 ₽, 3 ₽, 5 руб., 11 ₽, 21 р., 112 руб", "1 рубль, 3 рубля, 5 рублей, 11 рублей, 21 рубль, 112 рублей."),
        ("ru", "$5 и 2,5 %", "5 долларов и 2,5 процента."),
        ("ru", "Заказ №42, т.е. 2 шт. по 5 кг", "Заказ номер 42, то есть 2 штук по 5 килограммов."),
        ("ru", "Звоните: +7 701 123-45-67 или 8 (727) 250 11 22", "Звоните: плюс 7, 701, 123, 45, 67 или 8, 727, 250, 11, 22."),
        ("ru", "Сайт: https://shop.example/a?b=1 😀!", "Сайт:!"),
        ("ru", "Есть:\n- гриль\n* плов\n1. чай", "Есть:\nгриль.\nплов.\nчай."),
        ("ru", "р. Или, м. Абая, 5 км/ч, 2026 год", "р. Или, м. Абая, 5 км/ч, 2026 год."),
        ("ru", "С 10:00 до 18:00, 25.11.2026", "С 10:00 до 18:00, 25.11.2026."),
        ("kk", "Бағасы 15 000 ₸, 10% жеңілдік, №7", "Бағасы 15000 теңге, 10 пайыз жеңілдік, нөмір 7."),
        ("en", "It is 1 ₽ & 20% off, e.g. $3", "It is 1 ruble and 20 percent off, for example 3 dollars."),
        ("ru", "😀 🎉", ""),
        ("ru", "https://shop.example/", ""),
    ],
)
def test_signs_become_words(language: str, written: str, spoken: str) -> None:
    assert readable(written, language) == spoken


@pytest.mark.parametrize(("text", "language"), [("Сәлем, дос", "kk"), ("Привет", "ru"), ("Hello", "en"), ("", "en")])
def test_the_language_is_known_by_its_letters(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("longest", [20, 60, 180])
def test_pieces_are_cut_where_one_breathes(longest: int) -> None:
    text = "Первое предложение, с частью. Второе! Третье: оно длинное, с частями, и ещё с одной.\nСтрока. " + "ы" * 200
    cut = pieces(text, longest)
    assert all(0 < len(piece) <= longest for piece in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())


def test_whole_sentences_share_a_piece() -> None:
    assert pieces("Раз. Два. Три.", 9) == ["Раз. Два.", "Три."]
