"""Whatever the core hands over within the channel's capabilities, Telegram takes it, and a tap returns the id."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from channels import rich
from channels.adapters.telegram import TelegramAdapter
from channels.adapters.telegram_parts import ROW_BUTTONS, keyboard, parts_of
from channels.base import Choice, Markup, OutboundFile, OutboundMessage
from tests.sandbox.telegram_rows import CAPTION, DATA, TEXT, shown, units

can = TelegramAdapter.capabilities
_letters = st.characters(codec="utf-8", exclude_characters="\0")
_text = st.text(st.sampled_from("aя😀<>&*_[]() \n\"'.") | _letters, max_size=300)
_long = st.builds(lambda text, times: text * times, _text, st.integers(1, 60))
_choice = st.builds(
    Choice,
    st.text(_letters, min_size=1, max_size=40).filter(lambda action: len(action.encode()) <= 64),
    st.text(_letters, min_size=1, max_size=90),
    st.text(_letters, max_size=90),
)
_choices = st.lists(_choice, max_size=can.choices, unique_by=lambda choice: choice.id)
_files = st.lists(
    st.sampled_from([OutboundFile("a.pdf", "application/pdf", b"1"), OutboundFile("a.png", "image/png", b"2")]), max_size=2
)


@settings(max_examples=200, deadline=None)
@given(text=_long, choices=_choices, files=_files, asks_phone=st.booleans())
def test_any_message_within_our_limits_is_within_telegrams(
    text: str, choices: list[Choice], files: list[OutboundFile], asks_phone: bool
) -> None:
    for piece in rich.split(text, can.max_length, can.markup):
        message = OutboundMessage(key="k", to="5", text=piece, choices=choices, files=files, asks_phone=asks_phone)
        parts = parts_of(message, "7")
        words = [part for part in parts if part.method == "sendMessage"]
        assert len(words) <= 2
        for part in parts:
            asked = part.request()
            raw = asked.get("text", asked.get("caption", ""))
            assert units(shown(raw, asked.get("parse_mode", ""))) <= (TEXT if part in words else CAPTION)
            assert len(raw.encode()) <= 32_768
            assert units(part.request(Markup.PLAIN).get("text", "")) <= TEXT or "](" in piece


@given(choices=_choices)
def test_the_buttons_bring_every_id_back(choices: list[Choice]) -> None:
    rows = keyboard(choices)
    buttons = [button for row in rows for button in row]
    assert [button["callback_data"] for button in buttons] == [choice.id for choice in choices]
    assert all(1 <= len(button["callback_data"].encode()) <= DATA and button["text"].strip() for button in buttons)
    assert all(1 <= len(row) <= ROW_BUTTONS for row in rows)
