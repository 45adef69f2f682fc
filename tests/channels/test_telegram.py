"""The Telegram adapter over real HTTP against the fake server, faults included."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from channels import rich
from channels.adapters import telegram_pace
from channels.adapters.telegram import TelegramAdapter
from channels.adapters.telegram_pace import Pace
from channels.base import Access, Choice, InboundMessage, Kind, OutboundFile, OutboundMessage, PollResult
from foundation import http
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed
from tests.rehearsal.stack import call, wait_for
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault, Request, Response, Router, running
from tests.sandbox.telegram import FakeTelegram
from tests.sandbox.telegram_rows import BOT_ID, TOKEN, Bot

USER = 5550001
OTHER = 5550002
PDF = OutboundFile("offer.pdf", "application/pdf", b"%PDF-1\r\n--x\r\n")
JPEG = OutboundFile("a.jpg", "image/jpeg", b"\xff\xd8\r\n\xff")
VOICE = OutboundFile("reply.ogg", "audio/ogg", b"OggS sound")


server = served(FakeTelegram)


@pytest.fixture
def fake(server: FakeTelegram) -> FakeTelegram:
    server.bots = {TOKEN: Bot()}
    server.reset()
    server.known |= {USER, OTHER}
    return server


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of the pace, none of which is waited for."""
    pauses: list[float] = []
    telegram_pace.forget()
    monkeypatch.setattr(telegram_pace, "sleep", pauses.append)
    return pauses


def adapter_of(base_url: str, **changes: Any) -> TelegramAdapter:
    access = {
        "slug": "tg", "base_url": base_url, "credentials": {"token": TOKEN}, "options": {}, "webhook_secret": "path-secret",
    }  # fmt: skip
    return TelegramAdapter(Access(**{**access, **changes}))


@pytest.fixture
def adapter(fake: FakeTelegram) -> TelegramAdapter:
    return adapter_of(fake.base_url)


@pytest.fixture
def poller(fake: FakeTelegram, settings: Any) -> TelegramAdapter:
    settings.POLLING_INTERVAL = 1.0
    return adapter_of(fake.base_url, options={"polling": True})


def text_to(to: Any = USER, text: str = "Good afternoon", **more: Any) -> OutboundMessage:
    return OutboundMessage(key="key-1", to=str(to), text=text, **more)


def heard(adapter: TelegramAdapter, result: PollResult) -> list[InboundMessage]:
    events = [event for raw in result.events for event in adapter.parse(raw.payload)]
    return [event for event in events if isinstance(event, InboundMessage)]


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_text_arrives_and_its_id_comes_back(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    result = adapter.send(text_to())
    [sent] = fake.ledger
    assert (sent["method"], sent["chat_id"], sent["text"]) == ("sendMessage", USER, "Good afternoon")
    assert result.external_id == f"{BOT_ID}:{USER}:{sent['message_id']}"


def test_marks_become_html_and_everything_else_is_escaped(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(text="**Price** <5 & _soon_: [here](https://shop.example/?a=1&b=2)"))
    [sent] = fake.ledger
    assert sent["text"] == "Price <5 & soon: here"
    assert "<b>Price</b> &lt;5 &amp; <i>soon</i>" in sent["raw"]
    assert 'href="https://shop.example/?a=1&amp;b=2"' in sent["raw"]


def test_links_are_not_opened_by_telegram(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(text="https://pay.example/once"))
    assert fake.requests[-1][1]["link_preview_options"] == {"is_disabled": True}


@pytest.mark.parametrize("text", ["я" * 4096, "😀" * 2048, "<&>" * 1300, "**ж** " * 1000])
def test_a_text_of_the_full_length_fits(fake: FakeTelegram, adapter: TelegramAdapter, text: str) -> None:
    [piece] = rich.split(text, adapter.capabilities.max_length, adapter.capabilities.markup)
    adapter.send(text_to(text=piece))
    assert len(fake.ledger) == 1


def test_markup_that_telegram_refuses_is_sent_without_it(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: can't parse entities: Unsupported start tag"}
    fake.faults.append(Fault("sendMessage", status=400, body=json.dumps(refusal)))
    adapter.send(text_to(text="**Price**"))
    [sent] = fake.ledger
    assert (sent["text"], sent["parse_mode"]) == ("Price", "")


@pytest.mark.parametrize("to", ["", "@somebody", "77011234567@c.us", "5550001:17", "x" * 40])
def test_no_chat_is_rejected_before_any_call(fake: FakeTelegram, adapter: TelegramAdapter, to: str) -> None:
    with pytest.raises(Rejected) as raised:
        adapter.send(text_to(to))
    assert raised.value.code == "recipient"
    assert not fake.calls


def test_nothing_to_send_is_rejected(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    with pytest.raises(Rejected):
        adapter.send(text_to(text=" "))
    assert not fake.calls


def test_a_quotation_names_its_message(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    number = fake.customer_writes(USER, "Is it in stock?")
    adapter.send(text_to(text="Yes", reply_to=f"{BOT_ID}:{USER}:{number}"))
    assert fake.ledger[0]["reply_to"] == number


@pytest.mark.parametrize("quoted", [f"{BOT_ID}:{USER}:999999", f"{BOT_ID}:{OTHER}:1", "tap:4382", "nonsense"])
def test_a_quotation_that_is_gone_does_not_hold_up_the_answer(
    fake: FakeTelegram, adapter: TelegramAdapter, quoted: str
) -> None:
    adapter.send(text_to(reply_to=quoted))
    assert fake.ledger[0]["reply_to"] is None


# ── Buttons ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_choices_are_buttons_and_the_tap_returns_the_id(
    fake: FakeTelegram, adapter: TelegramAdapter, poller: TelegramAdapter
) -> None:
    choices = [Choice("slot:1", "Today"), Choice("slot:2", "Tomorrow"), Choice("я" * 32, "В другой день, но утром, пожалуйста")]
    adapter.send(text_to(text="When?", choices=choices))
    assert fake.ledger[0]["buttons"] == [[choice.title, choice.id] for choice in choices]
    rows = fake.requests[-1][1]["reply_markup"]["inline_keyboard"]
    assert [len(row) for row in rows] == [2, 1]
    query = fake.customer_taps(USER, choices[2].id)
    [tap] = heard(poller, poller.poll({}))
    assert (tap.kind, tap.action, tap.text) == (Kind.BUTTON, choices[2].id, choices[2].title)
    adapter.mark_read(str(USER), tap.external_id)
    assert fake.taps == {query: True}


def test_a_tap_that_was_answered_or_is_too_old_is_no_failure(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.mark_read(str(USER), "tap:unknown")
    assert fake.calls["answerCallbackQuery"] == 1


def test_an_ordinary_message_is_not_marked(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.mark_read(str(USER), f"{BOT_ID}:{USER}:17")
    assert not fake.calls


def test_descriptions_of_choices_stand_under_the_text(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(text="Which?", choices=[Choice("a", "Basic", "up to 5 people"), Choice("b", "Team")]))
    assert fake.ledger[0]["text"] == "Which?\n\nBasic — up to 5 people"


def test_descriptions_that_do_not_fit_are_left_out(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    text = "x" * 4090
    adapter.send(text_to(text=text, choices=[Choice("a", "Basic", "up to 5 people")]))
    assert fake.ledger[0]["text"] == text


def test_the_phone_is_asked_for_by_a_button(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(asks_phone=True))
    [[button]] = fake.ledger[0]["keyboard"]
    assert button["request_contact"] is True


def test_choices_and_the_phone_are_two_messages(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(asks_phone=True, choices=[Choice("a", "Yes")]))
    assert [(bool(sent["buttons"]), bool(sent["keyboard"])) for sent in fake.ledger] == [(True, False), (False, True)]


# ── Files and voice ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_short_text_is_the_caption_of_the_first_file(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    result = adapter.send(text_to(text="Our **offer**", files=[PDF, JPEG]))
    assert [(sent["method"], sent["text"], sent["file_name"], sent["size"]) for sent in fake.ledger] == [
        ("sendDocument", "Our offer", "offer.pdf", len(PDF.content)),
        ("sendPhoto", "", "a.jpg", len(JPEG.content)),
    ]
    assert result.external_id.endswith(f":{fake.ledger[0]['message_id']}")


def test_a_file_with_a_cyrillic_name_arrives_whole(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    content = bytes(range(256)) * 50
    adapter.send(text_to(text="", files=[OutboundFile("Счёт № 5.pdf", "application/pdf", content)]))
    [sent] = fake.ledger
    assert sent["file_name"] == "Счёт № 5.pdf"
    assert content in [kept for _path, kept in fake.files.values()]


def test_a_long_text_goes_before_the_file_and_buttons_come_last(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(text="x" * 2000, files=[PDF]))
    adapter.send(text_to(OTHER, text="Take it?", files=[PDF], choices=[Choice("a", "Yes")]))
    assert [sent["method"] for sent in fake.ledger] == ["sendMessage", "sendDocument", "sendDocument", "sendMessage"]
    assert fake.ledger[3]["buttons"]


def test_a_photo_of_odd_form_goes_as_a_file(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.send(text_to(text="", files=[OutboundFile("long.png", "image/png", b"odd picture")]))
    assert [sent["method"] for sent in fake.ledger] == ["sendDocument"]


def test_the_spoken_words_follow_the_written_ones(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    result = adapter.send(text_to(voice=VOICE))
    assert [(sent["method"], sent["mime"]) for sent in fake.ledger] == [("sendMessage", ""), ("sendVoice", "audio/ogg")]
    assert result.external_id.endswith(f":{fake.ledger[0]['message_id']}")


@pytest.mark.parametrize("fault", [Fault("sendVoice", status=500), Fault("sendVoice", drop=True), None])
def test_whoever_gets_no_voice_can_read(fake: FakeTelegram, adapter: TelegramAdapter, fault: Fault | None) -> None:
    if fault:
        fake.faults.append(fault)
    else:
        fake.bots[TOKEN].deaf.append(str(USER))
    assert adapter.send(text_to(voice=VOICE)).external_id


def test_a_voice_alone_that_is_refused_is_rejected(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.bots[TOKEN].deaf.append(str(USER))
    with pytest.raises(Rejected) as raised:
        adapter.send(text_to(text="", voice=VOICE))
    assert raised.value.code == "voice_forbidden"


def test_a_failure_after_the_first_part_is_unconfirmed(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.faults.append(Fault("sendPhoto", status=400))
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(text="", files=[PDF, JPEG]))


# ── Failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def told(status: int, description: str, **parameters: Any) -> Fault:
    body = {"ok": False, "error_code": status, "description": description}
    return Fault("send", status=status, body=json.dumps(body | ({"parameters": parameters} if parameters else {})))


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (told(401, "Unauthorized"), Unauthorized, "401"),
        (told(404, "Not Found"), Unauthorized, "404"),
        (told(403, "Forbidden: bot was blocked by the user"), Rejected, "blocked"),
        (told(403, "Forbidden: user is deactivated"), Rejected, "blocked"),
        (told(403, "Forbidden: bot can't initiate conversation with a user"), Rejected, "blocked"),
        (told(400, "Bad Request: chat not found"), Rejected, "blocked"),
        (told(400, "Bad Request: message is too long"), Rejected, "too_long"),
        (told(400, "Bad Request: BUTTON_DATA_INVALID"), Rejected, "400"),
        (told(413, "Request Entity Too Large"), Rejected, "too_large"),
        (told(429, "Too Many Requests: retry after 14", retry_after=14), Retry, "429"),
        (told(409, "Conflict: terminated by other getUpdates request"), Retry, "conflict"),
        (told(500, "Internal Server Error: restart"), Unconfirmed, "500"),
        (Fault("send", status=502, body="<html>Bad Gateway</html>"), Unconfirmed, "502"),
        (Fault("send", status=503, headers={"Retry-After": "7"}), Retry, "503"),
        (Fault("send", body="<html>portal</html>", accept=True), Unconfirmed, "unreadable"),
        (Fault("send", body='{"ok": true, "result": true}', accept=True), Unconfirmed, "no_id"),
        (Fault("send", body='{"ok": false, "error_code": 400, "description": "Bad Request"}'), Rejected, "400"),
        (Fault("send", drop=True), Unconfirmed, "connection"),
    ],
)
def test_refusals_in_our_words(
    fake: FakeTelegram, adapter: TelegramAdapter, fault: Fault, error: type[ProviderError], code: str
) -> None:
    fake.faults.append(fault)
    with pytest.raises(ProviderError) as raised:
        adapter.send(text_to())
    assert type(raised.value) is error
    assert raised.value.code == code
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (told(429, "Too Many Requests: retry after 14", retry_after=14), 14.0),
        (Fault("send", status=429, headers={"Retry-After": "9"}, body="{}"), 9.0),
    ],
)
def test_a_busy_provider_names_its_delay(fake: FakeTelegram, adapter: TelegramAdapter, fault: Fault, seconds: float) -> None:
    fake.faults.append(fault)
    with pytest.raises(Retry) as raised:
        adapter.send(text_to())
    assert raised.value.after == seconds
    assert fake.ledger == []


def test_a_customer_who_blocked_the_bot(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.customer_blocks(USER)
    with pytest.raises(Rejected) as raised:
        adapter.send(text_to())
    assert raised.value.code == "blocked"
    fake.customer_blocks(USER, blocked=False)
    adapter.send(text_to())


def test_a_chat_that_moved_is_followed(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.migrated[USER] = OTHER
    assert adapter.send(text_to()).external_id.startswith(f"{BOT_ID}:{OTHER}:")
    assert [sent["chat_id"] for sent in fake.ledger] == [OTHER]


def test_what_telegram_says_is_told_without_quotations(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.faults.append(told(400, f'Bad Request: wrong "+7 701 123 45 67" for @aigul at https://x/bot{TOKEN}/y by Айгуль'))
    with pytest.raises(Rejected) as raised:
        adapter.send(text_to())
    for secret in ("701", "aigul", "Айгуль", TOKEN.partition(":")[2]):
        assert secret not in str(raised.value)


@pytest.mark.parametrize("token", ["", "no-token", "123:bad token", "../../etc:x", "123456"])
def test_a_malformed_token_is_never_put_into_an_address(fake: FakeTelegram, token: str) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"token": token}).send(text_to())
    assert not fake.calls


# ── The token is nobody's to read ────────────────────────────────────────────────────────────────────────────────────
def test_the_token_appears_in_no_log_no_failure_and_no_statistics(
    fake: FakeTelegram, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    monkeypatch.setattr(http, "observers", [lambda label, outcome, ms: labels.append(f"{label} {outcome}")])
    for name in ("", "urllib3", "urllib3.connectionpool", "foundation.http"):
        caplog.set_level(logging.DEBUG, name or None)
    failures = []
    adapter = adapter_of(fake.base_url)
    fake.faults += [Fault("sendMessage", status=500), Fault("sendMessage", drop=True)]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    calls: list[Callable[[], Any]] = [
        lambda: adapter.send(text_to()),
        lambda: adapter.send(text_to()),
        lambda: adapter.send(text_to(files=[PDF])),
        lambda: adapter.fetch_media("unknown"),
        lambda: adapter.fetch_media(fake.messages[USER, fake.customer_speaks(USER, "hi")]["voice"]["file_id"]),
        lambda: adapter.check(),
        lambda: adapter_of(f"http://127.0.0.1:{port}").send(text_to()),
        lambda: adapter_of("http://no-such-host.invalid").check(),
        lambda: adapter_of("ftp://127.0.0.1").check(),
    ]
    for attempt in calls:
        try:
            attempt()
        except ProviderError as error:
            failures.append(f"{error!r} {error.code}")
    assert len(failures) >= 5
    assert any("telegram getFile" in label for label in labels)
    assert any("hidden" in record.getMessage() for record in caplog.records)
    told_to_all = "\n".join([caplog.text, *failures, *labels])
    assert TOKEN not in told_to_all
    assert TOKEN.partition(":")[2] not in told_to_all


# ── Files in ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_voice_is_fetched(fake: FakeTelegram, adapter: TelegramAdapter, poller: TelegramAdapter) -> None:
    fake.customer_speaks(USER, content=b"OggS hello", seconds=7)
    [message] = heard(poller, poller.poll({}))
    [media] = message.media
    assert (message.kind, media.seconds, media.url) == (Kind.VOICE, 7, "")
    assert adapter.fetch_media(media.ref) == b"OggS hello"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"file_path": "/var/lib/bot/voice.oga"}, "local_file"),
        ({"file_path": "../../secret"}, "no_file"),
        ({"file_path": "voice/../../x"}, "no_file"),
        ({"file_path": "voice/a.oga?x=http://evil"}, "no_file"),
        ({}, "no_file"),
        ({"file_path": "voice/a.oga", "file_size": 30 * 2**20}, "too_large"),
    ],
)
def test_odd_paths_are_not_followed(fake: FakeTelegram, adapter: TelegramAdapter, found: Any, code: str) -> None:
    fake.faults.append(Fault("getFile", body=json.dumps({"ok": True, "result": found})))
    with pytest.raises(Rejected) as raised:
        adapter.fetch_media("x")
    assert raised.value.code == code
    assert set(fake.calls) <= {"getFile"}


def test_a_file_that_is_too_big_is_refused(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: file is too big"}
    fake.faults.append(Fault("getFile", status=400, body=json.dumps(refusal)))
    with pytest.raises(Rejected) as raised:
        adapter.fetch_media("x")
    assert raised.value.code == "too_large"


def test_a_link_that_ran_out_says_nothing_of_the_token(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    number = fake.customer_speaks(USER, "hi")
    fake.faults.append(Fault("/file/", status=404))
    with pytest.raises(Rejected) as raised:
        adapter.fetch_media(fake.messages[USER, number]["voice"]["file_id"])
    assert type(raised.value) is Rejected


# ── Polling ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_polls_bring_everything_once(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    fake.customer_writes(USER, "one")
    fake.customer_writes(OTHER, "two")
    first = poller.poll({})
    assert [message.text for message in heard(poller, first)] == ["one", "two"]
    fake.customer_writes(USER, "three")
    second = poller.poll(first.cursor)
    assert [message.text for message in heard(poller, second)] == ["three"]
    assert poller.poll(second.cursor).events == ()


def test_what_was_not_stored_comes_again_under_the_same_id(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    fake.customer_writes(USER, "one")
    ids = [[raw.external_id for raw in poller.poll({}).events] for _ in range(2)]
    assert ids[0] == ids[1] != []


def test_a_webhook_and_a_poll_give_an_update_the_same_id(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    fake.customer_writes(USER, "one")
    [update] = fake.bots[TOKEN].pending.values()
    [posted] = poller.split(json.dumps(update).encode())
    [polled] = poller.poll({}).events
    assert (posted.external_id, posted.lane) == (polled.external_id, polled.lane)


def test_the_first_poll_removes_a_webhook(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    fake.bots[TOKEN].webhook_url = "https://elsewhere.example/hook"
    poller.poll({})
    assert fake.bots[TOKEN].webhook_url == ""


def test_a_webhook_set_in_between_is_removed(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    cursor = poller.poll({}).cursor
    fake.bots[TOKEN].webhook_url = "https://elsewhere.example/hook"
    fake.customer_writes(USER, "one")
    assert [message.text for message in heard(poller, poller.poll(cursor))] == ["one"]


def test_another_program_that_polls_is_a_conflict(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    conflict = {"ok": False, "error_code": 409, "description": "Conflict: terminated by other getUpdates request"}
    fake.faults.append(Fault("getUpdates", status=409, body=json.dumps(conflict)))
    with pytest.raises(Retry) as raised:
        poller.poll({})
    assert raised.value.code == "conflict"


def test_a_webhook_channel_asks_for_nothing(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    assert adapter.poll({"x": 1}) == PollResult((), {"x": 1})
    assert not fake.calls


def test_an_old_place_in_the_sequence_is_given_up(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    with time_machine.travel(time.time() - 7 * 86_400, tick=True):
        cursor = {"offset": 10**12, "at": time.time()}
    fake.customer_writes(USER, "after a long silence")
    assert [message.text for message in heard(poller, poller.poll(cursor))] == ["after a long silence"]


def test_a_poll_waits_no_longer_than_until_the_next(fake: FakeTelegram, settings: Any) -> None:
    settings.POLLING_INTERVAL = 5.0
    fake.customer_writes(USER, "one")
    adapter_of(fake.base_url, options={"polling": "true"}).poll({})
    assert fake.requests[-1][1]["timeout"] == 4


@pytest.mark.parametrize("result", ["true", '{"a": 1}', '["x"]', "null"])
def test_an_unreadable_poll_is_asked_again(fake: FakeTelegram, poller: TelegramAdapter, result: str) -> None:
    fake.faults.append(Fault("getUpdates", body=f'{{"ok": true, "result": {result}}}'))
    with pytest.raises(Retry):
        poller.poll({"offset": None})


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────────
URL = "https://shop.example/webhooks/telegram/tg/path-secret/"


def test_subscribing_sets_the_secret_that_verify_wants(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.subscribe(URL)
    bot = fake.bots[TOKEN]
    assert bot.webhook_url == URL
    assert bot.secret_token == adapter.header_secret
    assert {"message", "callback_query", "my_chat_member"} <= set(bot.allowed_updates)
    assert adapter.check().ok
    adapter.unsubscribe()
    assert bot.webhook_url == ""


@pytest.mark.parametrize("secret", ["path-secret", "секрет с пробелом", "x" * 400, "a\udc80b"])
def test_the_header_is_of_the_letters_that_telegram_allows(secret: str) -> None:
    made = adapter_of("", webhook_secret=secret).header_secret
    assert 32 <= len(made) <= 256
    assert made.isascii()
    assert made.isalnum()
    assert made != adapter_of("", webhook_secret=secret, credentials={"token": "1:other"}).header_secret


def test_a_polling_channel_is_subscribed_by_removing_the_webhook(fake: FakeTelegram, poller: TelegramAdapter) -> None:
    fake.bots[TOKEN].webhook_url = URL
    assert not poller.check().ok
    poller.subscribe(URL)
    assert fake.bots[TOKEN].webhook_url == ""
    assert poller.check().ok


def test_telegram_itself_posts_to_https_only() -> None:
    with pytest.raises(Rejected) as raised:
        adapter_of("").subscribe("http://127.0.0.1:8000/webhooks/telegram/tg/path-secret/")
    assert raised.value.code == "url"


@pytest.mark.parametrize(
    ("changes", "ok"),
    [
        ({}, True),
        ({"webhook_url": ""}, False),
        ({"webhook_url": "https://elsewhere.example/hook"}, False),
        ({"allowed_updates": ["message"]}, False),
        ({"allowed_updates": []}, True),
        ({"last_error_date": 1, "last_error_message": "Connection timed out"}, True),
    ],
)
def test_the_check_sees_how_updates_come(
    fake: FakeTelegram, adapter: TelegramAdapter, changes: dict[str, Any], ok: bool
) -> None:
    adapter.subscribe(URL)
    for name, value in changes.items():
        setattr(fake.bots[TOKEN], name, value)
    health = adapter.check()
    assert health.ok is ok
    assert health.detail
    assert health.ok is (health.detail == "@sandbox_shop_bot")


def test_the_check_tells_of_failing_deliveries(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    fake.hold = True
    adapter.subscribe(URL)
    fake.customer_writes(USER, "waits")
    bot = fake.bots[TOKEN]
    bot.last_error_date, bot.last_error_message = int(time.time()), "Wrong response from the webhook: 403 Forbidden"
    health = adapter.check()
    assert not health.ok
    assert "Wrong response from the webhook" in health.detail
    bot.last_error_date = 0
    bot.pending |= {number: {} for number in range(200)}
    assert not adapter.check().ok


def test_the_check_refuses_an_unknown_token(fake: FakeTelegram) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"token": "1:unknown"}).check()


def test_typing_is_shown(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    adapter.typing(str(USER))
    assert fake.typed == [USER]


# ── Pace ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_burst_leaves_at_once_and_the_rest_a_second_apart(
    fake: FakeTelegram, adapter: TelegramAdapter, slept: list[float]
) -> None:
    for _ in range(telegram_pace.CHAT_BURST):
        adapter.send(text_to())
    assert slept == []
    adapter.send(text_to())
    assert slept == [pytest.approx(1.0, abs=0.5)]
    adapter.send(text_to(OTHER))
    assert len(slept) == 1


def test_all_chats_together_keep_to_the_channels_speed(fake: FakeTelegram, slept: list[float]) -> None:
    adapter = adapter_of(fake.base_url, options={"sends_per_second": 2})
    fake.known |= set(range(5))
    for chat in range(5):
        adapter.send(text_to(chat))
    assert [round(seconds, 1) for seconds in slept] == [pytest.approx(seconds, abs=0.3) for seconds in (0.5, 1.0, 1.5)]


@pytest.mark.parametrize("odd", [0, -1, "fast", True, None])
def test_an_odd_speed_is_the_usual_one(fake: FakeTelegram, slept: list[float], odd: Any) -> None:
    adapter = adapter_of(fake.base_url, options={"sends_per_second": odd})
    fake.known |= set(range(10))
    for chat in range(10):
        adapter.send(text_to(chat))
    assert slept == []


def test_the_pace_by_the_clock() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    assert [pace.reserve("a", 1.0, 2) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    assert pace.reserve("b", 1.0, 2) == 0.0
    now[0] = 10.0
    assert [pace.reserve("a", 1.0, 2) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_the_pace_forgets_chats_whose_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram_pace, "MOST", 3)
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    for name in "abc":
        pace.reserve(name, 1.0, 1)
    now[0] = 5.0
    pace.reserve("d", 1.0, 1)
    assert list(pace._next) == ["d"]


# ── The fake itself, as rehearsals use it ────────────────────────────────────────────────────────────────────────────
def test_the_fake_posts_in_order_with_the_secret_until_it_is_taken(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    came: list[tuple[str, str]] = []
    shop = Router()

    @shop.route("POST", "/hook")
    async def hook(request: Request) -> Response:
        came.append((request.json()["message"]["text"], request.headers.get("x-telegram-bot-api-secret-token", "")))
        return Response(b"{}")

    with running(shop) as url:
        shop.faults.append(Fault("/hook", status=500))
        adapter.subscribe(f"{url}/hook")
        for text in ("one", "two"):
            call("POST", f"{fake.base_url}/_sandbox/message", {"user": USER, "text": text})
        wait_for("deliveries", lambda: len(came) == 2, 10)
    assert came == [("one", adapter.header_secret), ("two", adapter.header_secret)]
    assert fake.bots[TOKEN].last_error_message.endswith("500")


def test_the_fake_is_driven_over_http(fake: FakeTelegram, adapter: TelegramAdapter) -> None:
    control = f"{fake.base_url}/_sandbox"
    call("POST", f"{control}/hold", {"on": True})
    for path, body in (
        ("message", {"user": USER, "text": "hi"}),
        ("voice", {"user": USER, "words": "цена?"}),
        ("file", {"user": USER, "content_b64": "AAEC", "name": "a.bin"}),
        ("contact", {"user": USER, "phone": "77011234567"}),
        ("location", {"user": USER, "latitude": 43.2, "longitude": 76.9}),
        ("tap", {"user": USER, "action": "a"}),
        ("block", {"user": OTHER}),
    ):
        call("POST", f"{control}/{path}", body)
    assert call("GET", f"{control}/state")["pending"] == 7
    call("POST", f"{control}/bot", {"per_chat": 0.001})
    for _ in range(3):
        adapter.send(text_to())
    with pytest.raises(Retry):
        adapter.send(text_to())
    assert len(call("GET", f"{control}/ledger?since=1")) == 2
    call("POST", f"{control}/hold", {"on": False})
    call("POST", f"{control}/reset", {})
    assert call("GET", f"{control}/state")["sends"] == 0
