"""The WhatsApp Cloud adapter over real HTTP against the fake Graph API, faults included."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import translation

from channels.adapters import whatsapp_cloud
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.adapters.whatsapp_cloud_errors import MEANINGS
from channels.adapters.whatsapp_cloud_send import parts
from channels.base import Access, Choice, InboundMessage, OutboundFile, OutboundMessage, TemplateUse
from foundation.errors import ProviderError, RecipientBusy, Rejected, Retry, Unauthorized, Unconfirmed
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault, Request, Response, Router, running
from tests.sandbox.whatsapp_cloud import FakeCloud
from tests.sandbox.whatsapp_cloud_rows import (
    ACCOUNT,
    APP_SECRET,
    NUMBER,
    OWN_NUMBER,
    TOKEN,
    VERIFY_TOKEN,
    Number,
    encoded,
    envelope,
    user_id,
)

PHONE = "77010000001"
SECRET = "path-secret"
PDF = OutboundFile("Прайс.pdf", "application/pdf", b"%PDF-1.7 prices", "")
PHOTO = OutboundFile("room.jpg", "image/jpeg", b"\xff\xd8photo", "")
VOICE = OutboundFile("voice.ogg", "audio/ogg; codecs=opus", b"OggS voice", "")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The words for managers are read as they are written."""
    with translation.override("en"):
        yield


server = served(FakeCloud)


@pytest.fixture
def fake(server: FakeCloud) -> FakeCloud:
    server.reset()
    server.number = Number()
    whatsapp_cloud._subscribed.clear()
    return server


def adapter_of(base_url: str, **changes: Any) -> WhatsAppCloudAdapter:
    access = {
        "slug": "shop", "base_url": base_url,
        "credentials": {"access_token": TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN},
        "options": {"phone_number_id": NUMBER, "waba_id": ACCOUNT}, "webhook_secret": SECRET,
    }  # fmt: skip
    return WhatsAppCloudAdapter(Access(**{**access, **changes}))


@pytest.fixture
def adapter(fake: FakeCloud) -> WhatsAppCloudAdapter:
    return adapter_of(fake.base_url)


def message(text: str = "Добрый день", *, to: str = PHONE, key: str = "41", **more: Any) -> OutboundMessage:
    return OutboundMessage(key=key, to=to, text=text, **more)


def choices(number: int, title: str = "Вариант") -> list[Choice]:
    return [Choice(f"slot:{n}", f"{title} {n}") for n in range(1, number + 1)]


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_text_arrives_with_our_marks_rendered_and_our_id(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    result = adapter.send(message("**Добрый** день: [сайт](https://example.com/a)", reply_to="wamid.THEIRS"))
    [sent] = fake.ledger
    assert sent["message_id"] == result.external_id
    assert (sent["recipient"], sent["text"], sent["quoted"]) == (
        PHONE,
        "*Добрый* день: сайт: https://example.com/a",
        "wamid.THEIRS",
    )
    assert sent["body"]["biz_opaque_callback_data"] == "saudager:41"
    assert sent["path"] == f"/v25.0/{NUMBER}/messages"


def test_another_version_of_the_api(fake: FakeCloud) -> None:
    options = {"phone_number_id": NUMBER, "waba_id": ACCOUNT, "graph_version": "v24.0"}
    adapter_of(fake.base_url, options=options).send(message())
    assert fake.ledger[0]["path"].startswith("/v24.0/")


def test_a_hidden_number_is_written_to_by_its_user_id(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.send(message(to="KZ.13491208655302741918"))
    body = fake.ledger[0]["body"]
    assert (body["recipient"], "to" in body) == ("KZ.13491208655302741918", False)


def test_an_older_api_takes_the_user_id_in_the_place_of_the_phone(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    refused = json.dumps({"error": {"message": "(#131008) Required parameter is missing", "code": 131008}})
    fake.faults.append(Fault(path="/messages", status=400, body=refused))
    adapter.send(message(to="KZ.13491208655302741918"))
    [sent] = fake.ledger
    assert sent["body"]["to"] == "KZ.13491208655302741918"


@pytest.mark.parametrize("to", ["", "somebody", "77010000001@c.us", "178412345678901@lid", "KZ.", "kz.123", "123"])
def test_no_address_no_call(fake: FakeCloud, adapter: WhatsAppCloudAdapter, to: str) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.send(message(to=to))
    assert caught.value.code == "recipient"
    assert not fake.requests


def test_an_empty_message_is_refused_here(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.send(message(""))
    assert caught.value.code == "empty"


# ── Choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def kind_of(fake: FakeCloud) -> str:
    return str(fake.ledger[-1]["body"]["interactive"]["type"])


@pytest.mark.parametrize(
    ("text", "offered", "kind"),
    [
        ("Когда?", choices(3), "button"),
        ("Когда?", choices(4), "list"),
        ("Когда?", choices(2, "Завтра после обеда в"), "list"),
        ("Когда?", [Choice("a", "Маникюр", "5 000 ₸, 60 мин")], "list"),
        ("я" * 1025, choices(2), "list"),
        ("я" * 4096, choices(10), "list"),
        ("", choices(2), "button"),
    ],
)
def test_buttons_or_a_list(fake: FakeCloud, adapter: WhatsAppCloudAdapter, text: str, offered: list[Choice], kind: str) -> None:
    adapter.send(message(text, choices=offered, menu="Все варианты записи на завтра"))
    assert kind_of(fake) == kind


def test_long_titles_are_cut_and_told_in_the_description(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    offered = [Choice("a", "Комплексная стрижка с укладкой"), Choice("b", "Комплексная стрижка без укладки")]
    adapter.send(message(choices=offered))
    rows = fake.ledger[0]["body"]["interactive"]["action"]["sections"][0]["rows"]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["description"] == "Комплексная стрижка с укладкой"
    assert len({row["title"] for row in rows}) == 2


@pytest.mark.parametrize("number", [1, 3, 10])
def test_a_tap_brings_the_id_back(fake: FakeCloud, adapter: WhatsAppCloudAdapter, number: int) -> None:
    result = adapter.send(message(choices=choices(number)))
    fake.holding = True
    for choice in choices(number):
        fake.customer_taps(PHONE, result.external_id, choice.id)
    taps = [event for body in fake.held for raw in adapter.split(body) for event in adapter.parse(raw.payload)]
    assert [tap.action for tap in taps if isinstance(tap, InboundMessage)] == [choice.id for choice in choices(number)]
    assert all(isinstance(tap, InboundMessage) and tap.reply_to == result.external_id for tap in taps)


def test_more_choices_than_a_list_holds_are_the_cores_fault(adapter: WhatsAppCloudAdapter) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.send(message(choices=choices(11)))
    assert caught.value.code == "choices"


# ── Files and voice ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_document_keeps_its_name_and_takes_the_text_as_caption(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.send(message("Наш **прайс**", files=[PDF]))
    [sent] = fake.ledger
    assert (sent["type"], sent["file_name"], sent["text"]) == ("document", "Прайс.pdf", "Наш *прайс*")
    assert sent["size"] == len(PDF.content)
    [file] = fake.files.values()
    assert (file.content, file.mime) == (PDF.content, "application/pdf")


@pytest.mark.parametrize(
    ("mime", "size", "shape"),
    [
        ("image/jpeg", 10, "image"), ("image/png", 10, "image"), ("image/jpeg", 5 * 1024 * 1024 + 1, "document"),
        ("video/mp4", 10, "video"), ("audio/mpeg", 10, "audio"), ("application/pdf", 10, "document"),
        ("text/plain; charset=utf-8", 10, "document"),
    ],
)  # fmt: skip
def test_how_a_file_is_shown(fake: FakeCloud, adapter: WhatsAppCloudAdapter, mime: str, size: int, shape: str) -> None:
    adapter.send(message("", files=[OutboundFile("file", mime, b"x" * size)]))
    assert fake.ledger[0]["type"] == shape


def test_several_files_and_a_text_that_fits_no_caption(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    result = adapter.send(message("я" * 1025, files=[PHOTO, PDF]))
    assert [sent["type"] for sent in fake.ledger] == ["text", "image", "document"]
    assert fake.ledger[0]["message_id"] == result.external_id
    assert [sent["body"]["biz_opaque_callback_data"] for sent in fake.ledger] == [
        "saudager:41",
        "saudager:41:1",
        "saudager:41:2",
    ]


def test_choices_come_last_below_the_files(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.send(message(files=[PHOTO], choices=choices(2)))
    assert [sent["type"] for sent in fake.ledger] == ["image", "interactive"]


def test_voice_goes_beside_the_text_as_a_voice_message(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    result = adapter.send(message(voice=VOICE))
    text, voice = fake.ledger
    assert (text["type"], voice["type"], voice["body"]["audio"]["voice"]) == ("text", "audio", True)
    assert text["message_id"] == result.external_id


def test_voice_alone(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.send(message("", voice=VOICE))
    assert [sent["type"] for sent in fake.ledger] == ["audio"]


@pytest.mark.parametrize("path", ["/media", "/messages"])
def test_a_voice_that_fails_does_not_fail_the_text(fake: FakeCloud, adapter: WhatsAppCloudAdapter, path: str) -> None:
    refused = json.dumps({"error": {"code": 131053, "message": "Media upload error"}})
    if path == "/messages":
        fake.faults.append(Fault(path=path))
    fake.faults.append(Fault(path=path, status=400, body=refused))
    result = adapter.send(message(voice=VOICE))
    assert [sent["message_id"] for sent in fake.ledger] == [result.external_id]


def test_a_file_that_is_refused_leaves_nothing_behind(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.send(message("я" * 2000, files=[OutboundFile("a.bin", "nonsense", b"1")]))
    assert caught.value.code == "131053"
    assert not fake.ledger


def test_an_upload_whose_answer_was_lost_is_simply_repeated(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.faults.append(Fault(path="/media", drop=True))
    with pytest.raises(Retry):
        adapter.send(message(files=[PDF]))
    assert not fake.ledger


def test_what_broke_off_in_the_middle_is_not_repeated(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.faults += [Fault(path="/messages"), Fault(path="/messages", status=503, body='{"error":{"code":131016}}')]
    with pytest.raises(Unconfirmed):
        adapter.send(message("я" * 2000, files=[PDF]))
    assert len(fake.ledger) == 1


# ── Templates ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_template_reaches_whom_free_text_does_not(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.closed.add(PHONE)
    fake.approve("visit_reminder", "ru", "{{1}}, ждём вас в {{2}}", buttons=["Приду", "Перенести"])
    with pytest.raises(Rejected) as caught:
        adapter.send(message())
    assert caught.value.code == "window"
    offered = [Choice("rem:1:ok", "Приду"), Choice("rem:1:no", "Перенести")]
    use = TemplateUse("visit_reminder", "ru", ["Айгуль \n", "15:00"])
    result = adapter.send(message("Айгуль, ждём вас в 15:00", template=use, choices=offered))
    components = fake.ledger[0]["body"]["template"]["components"]
    assert [value["text"] for value in components[0]["parameters"]] == ["Айгуль", "15:00"]
    fake.holding = True
    fake.customer_taps(PHONE, result.external_id, "rem:1:ok")
    [tap] = adapter.parse(adapter.split(fake.held[0])[0].payload)
    assert isinstance(tap, InboundMessage)
    assert tap.action == "rem:1:ok"


@pytest.mark.parametrize(
    "use",
    [
        TemplateUse("visit_reminder", "kk", ["a"]),
        TemplateUse("visit_reminder", "ru"),
        TemplateUse("visit_reminder", "ru", [" "]),
    ],
)
def test_a_template_that_does_not_fit(fake: FakeCloud, adapter: WhatsAppCloudAdapter, use: TemplateUse) -> None:
    fake.approve("visit_reminder", "ru", "Ждём вас в {{1}}")
    with pytest.raises(Rejected) as caught:
        adapter.send(message(template=use))
    assert caught.value.code == "template"


def test_the_templates_to_choose_from(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.approve("visit_reminder", "ru", "{{1}}, ждём вас в {{2}}, {{1}}!")
    fake.approve("visit_reminder", "kk", "Күтеміз", status="PENDING")
    fake.approve("named", "ru", "Здравствуйте, {{first_name}}")
    fake.approve("photo", "ru", "", components=[{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Смотрите"}])
    found = {(one.name, one.language): one for one in adapter.templates()}
    reminder = found["visit_reminder", "ru"]
    assert (reminder.placeholders, reminder.status, reminder.category, reminder.body, reminder.usable) == (
        2, "APPROVED", "UTILITY", "{{1}}, ждём вас в {{2}}, {{1}}!", True,
    )  # fmt: skip
    assert not found["visit_reminder", "kk"].usable
    assert found["named", "ru"].obstacle
    assert found["photo", "ru"].obstacle


def test_templates_come_in_pages(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    for number in range(60):
        fake.approve(f"template_{number:02d}", "ru", "Текст")
    assert [one.name for one in adapter.templates()] == [f"template_{number:02d}" for number in range(60)]


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────
TABLE = [
    (190, 401, Unauthorized, "190"), (0, 401, Unauthorized, "0"), (10, 403, Unauthorized, "10"), (200, 403, Unauthorized, "200"),
    (299, 403, Unauthorized, "299"), (131005, 403, Unauthorized, "131005"), (368, 403, Unauthorized, "368"),
    (131031, 403, Unauthorized, "131031"), (131042, 400, Unauthorized, "131042"), (133010, 400, Unauthorized, "133010"),
    (131037, 400, Unauthorized, "131037"), (131045, 500, Unauthorized, "131045"),
    (2, 503, Retry, "2"), (4, 400, Retry, "4"), (80007, 429, Retry, "80007"), (130429, 400, Retry, "130429"),
    (131016, 500, Retry, "131016"), (131056, 400, RecipientBusy, "131056"), (131057, 500, Retry, "131057"), (133004, 503, Retry, "133004"),
    (131048, 400, Retry, "131048"), (131064, 400, Retry, "131064"), (132069, 400, Retry, "132069"),
    (1, 400, Unconfirmed, "1"), (131000, 500, Unconfirmed, "131000"), (999999, 500, Unconfirmed, "999999"),
    (100, 400, Rejected, "100"), (131009, 400, Rejected, "131009"), (131021, 400, Rejected, "131021"),
    (131026, 400, Rejected, "blocked"), (131030, 400, Rejected, "131030"), (131047, 400, Rejected, "window"),
    (131049, 400, Rejected, "131049"), (131050, 400, Rejected, "opted_out"), (131051, 400, Rejected, "131051"),
    (131053, 400, Rejected, "131053"), (131062, 400, Rejected, "131062"), (132000, 400, Rejected, "template"),
    (132001, 404, Rejected, "template"), (132007, 400, Rejected, "template"), (132012, 400, Rejected, "template"),
    (132015, 400, Rejected, "template"), (132016, 400, Rejected, "template"), (999999, 400, Rejected, "999999"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "status", "word", "told"), TABLE)
def test_error_codes(
    fake: FakeCloud, adapter: WhatsAppCloudAdapter, code: int, status: int, word: type[ProviderError], told: str
) -> None:
    error = {"message": f"(#{code}) to {PHONE}", "type": "OAuthException", "code": code, "fbtrace_id": "Ax"}
    fake.faults.append(Fault(path="/messages", status=status, body=json.dumps({"error": error})))
    with pytest.raises(ProviderError) as caught:
        adapter.send(message())
    assert type(caught.value) is word
    assert caught.value.code == told
    assert PHONE not in str(caught.value)
    assert not fake.ledger


def test_the_table_holds_every_code_that_is_known() -> None:
    assert {code for code, *_rest in TABLE} <= set(MEANINGS) | {0, 200, 299, 999999}


def test_a_slow_recipient_pauses_nobody_else(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.refused[PHONE] = 131056
    with pytest.raises(RecipientBusy) as caught:
        adapter.send(message())
    assert caught.value.after is None


def test_meta_says_how_long_to_wait(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    body = '{"error":{"code":130429,"message":"Rate limit hit"}}'
    fake.faults.append(Fault(path="/messages", status=429, headers={"Retry-After": "17"}, body=body))
    with pytest.raises(Retry) as caught:
        adapter.send(message())
    assert caught.value.after == 17


def test_passing_errors_of_unknown_codes_are_tried_again(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.faults.append(Fault(path="/messages", status=400, body='{"error":{"code":777,"is_transient":true}}'))
    with pytest.raises(Retry):
        adapter.send(message())


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault(path="/messages", drop=True), Unconfirmed),
        (Fault(path="/messages", status=502, body="<html>"), Unconfirmed),
        (Fault(path="/messages", status=200, body="<html>", accept=True), Unconfirmed),
        (Fault(path="/messages", status=200, body='{"messages":[]}', accept=True), Unconfirmed),
        (Fault(path="/messages", status=302, body=""), ProviderError),
        (Fault(path="/messages", status=503, body=""), Retry),
    ],
)
def test_lost_and_odd_answers(fake: FakeCloud, adapter: WhatsAppCloudAdapter, fault: Fault, word: type[ProviderError]) -> None:
    fake.faults.append(fault)
    with pytest.raises(word):
        adapter.send(message())


def test_a_wrong_token_is_told_as_such(fake: FakeCloud) -> None:
    other = adapter_of(fake.base_url, credentials={"access_token": "other", "app_secret": APP_SECRET, "verify_token": "v"})
    for call in (lambda: other.send(message()), other.check, other.templates, lambda: other.fetch_media("1")):
        with pytest.raises(Unauthorized):
            call()


@pytest.mark.parametrize(
    "changes",
    [
        {"credentials": {"access_token": ""}}, {"credentials": {"access_token": "токен"}},
        {"options": {"phone_number_id": "../me", "waba_id": ACCOUNT}}, {"options": {"phone_number_id": NUMBER}},
        {"options": {"phone_number_id": NUMBER, "waba_id": ACCOUNT, "graph_version": "../v1"}},
    ],
)  # fmt: skip
def test_malformed_settings_make_no_call(fake: FakeCloud, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, **changes).send(message())
    assert not fake.requests


def test_nothing_of_a_message_is_logged(
    fake: FakeCloud, adapter: WhatsAppCloudAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.refused[PHONE] = 131026
    with pytest.raises(Rejected):
        adapter.send(message("Секрет"))
    told = "".join(
        f"{record.getMessage()} {record.__dict__}"
        for record in caplog.records
        if record.name.startswith(("channels", "foundation"))
    )
    assert "131026" in told
    for secret in (PHONE, "Секрет", TOKEN, NUMBER):
        assert secret not in told


# ── Files of customers ───────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_is_fetched_with_the_token(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    identifier = fake.keep(b"OggS voice", "audio/ogg")
    assert adapter.fetch_media(identifier) == b"OggS voice"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/a", "https://lookaside.fbsbx.com.evil.example/a", "http://lookaside.fbsbx.com/a",
        "https://lookaside.fbsbx.com:8443/a", "https://u:p@lookaside.fbsbx.com/a", "https://evilfbsbx.com/a", "file:///etc/passwd",
        "https://lookaside.fbsbx.com\\@evil.example/a", "https://[::1", "",
    ],
)  # fmt: skip
def test_the_token_goes_to_meta_only(fake: FakeCloud, adapter: WhatsAppCloudAdapter, link: str) -> None:
    fake.number.media_link = link or " "
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media(fake.keep(b"x", "image/jpeg"))
    assert caught.value.code == "foreign_link"


@pytest.mark.parametrize("host", ["lookaside.fbsbx.com", "fbsbx.com", "graph.facebook.com", "files.example.kz:8443"])
def test_where_files_may_lie(fake: FakeCloud, host: str) -> None:
    options = {"phone_number_id": NUMBER, "waba_id": ACCOUNT, "media_hosts": "files.example.kz:8443"}
    assert adapter_of(fake.base_url, options=options).client._trusted(f"https://{host}/whatsapp_business/attachments/?mid=1")


def test_an_address_that_ran_out_is_asked_for_anew(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    identifier = fake.keep(b"x", "image/jpeg")
    fake.faults.append(Fault(path="/files/", status=404))
    with pytest.raises(Retry):
        adapter.fetch_media(identifier)
    assert adapter.fetch_media(identifier) == b"x"


@pytest.mark.parametrize(("ref", "code"), [("999", "100"), ("../me", "no_file"), ("", "no_file")])
def test_files_that_are_none(adapter: WhatsAppCloudAdapter, ref: str, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media(ref)
    assert caught.value.code == code


def test_a_file_larger_than_allowed_is_not_fetched(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    identifier = fake.keep(b"x", "image/jpeg")
    fake.files[identifier].content = b"x" * (26 * 1024 * 1024)
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media(identifier)
    assert caught.value.code == "too_large"


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_read_marks_and_typing(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.mark_read(PHONE, "wamid.A")
    adapter.typing(PHONE, "wamid.B")
    adapter.typing(PHONE)
    assert (fake.read, fake.typed) == (["wamid.A"], ["wamid.B"])


def test_a_healthy_number(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    health = adapter.check()
    assert (health.ok, health.detail, health.own_number) == (True, "Shop", OWN_NUMBER)
    adapter.check()
    assert fake.calls["GET account subscribed_apps"] == 1


@pytest.mark.parametrize(
    ("changes", "ok"),
    [({"status": "PENDING"}, False), ({"subscribed": False}, False), ({"quality": "RED"}, True)],
)
def test_an_unwell_number(fake: FakeCloud, adapter: WhatsAppCloudAdapter, changes: dict[str, Any], ok: bool) -> None:
    for name, value in changes.items():
        setattr(fake.number, name, value)
    health = adapter.check()
    assert (health.ok, health.own_number) == (ok, OWN_NUMBER)
    assert health.detail not in ("", "Shop")


@pytest.mark.parametrize("options", [{"phone_number_id": "55"}, {"waba_id": "66"}])
def test_an_unknown_number_or_account(fake: FakeCloud, options: dict[str, str]) -> None:
    health = adapter_of(fake.base_url, options={"phone_number_id": NUMBER, "waba_id": ACCOUNT} | options).check()
    assert not health.ok
    assert "100" in health.detail


def test_a_token_that_may_not_manage_the_account_can_still_send(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.faults.append(Fault(path="/subscribed_apps", status=403, body='{"error":{"code":200}}'))
    assert adapter.check().ok


class Callback(Router):
    """A webhook address that answers the question whether it is ours."""

    def __init__(self, adapter: WhatsAppCloudAdapter) -> None:
        super().__init__()
        self.adapter = adapter
        self.route("GET", "/hook")(self.answer)

    async def answer(self, request: Request) -> Response:
        told = self.adapter.challenge(request.query)
        return Response(b"", 403) if told is None else Response(told.encode(), content_type="text/plain")


def test_subscribing_sets_the_address_of_this_number_alone(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.number.subscribed = False
    with running(Callback(adapter)) as base_url:
        adapter.subscribe(f"{base_url}/hook")
        assert (fake.number.webhook_url, fake.number.subscribed) == (f"{base_url}/hook", True)
    adapter.unsubscribe()
    assert (fake.number.webhook_url, fake.number.subscribed) == ("", True)


def test_an_address_that_meta_cannot_reach_is_explained(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.subscribe("http://127.0.0.1:9/hook")
    assert "dashboard" in str(caught.value)


def test_limits() -> None:
    found = WhatsAppCloudAdapter.capabilities
    assert (found.max_length, found.choices, found.reply_window) == (4096, 10, timedelta(hours=24))
    assert found.templates
    assert found.receipts
    assert not found.history
    assert not found.polling


@pytest.mark.parametrize("text", ["я" * 4096, "😀" * 2048])
@pytest.mark.parametrize("number", [0, 1, 3, 10])
def test_whatever_the_core_hands_over_meta_accepts(
    fake: FakeCloud, adapter: WhatsAppCloudAdapter, text: str, number: int
) -> None:
    offered = [
        Choice(f"{'i' * 60}{n}", "Очень длинное название услуги, которое никуда не помещается", "о" * 200)
        for n in range(number)
    ]
    adapter.send(message(text, choices=offered, menu="Выберите подходящую услугу", files=[PDF, PHOTO], voice=VOICE))
    assert parts(message(text, choices=offered))
    assert fake.ledger


def test_hidden_customers_are_answered(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    fake.holding = True
    fake.customer_writes(PHONE, "Добрый день", hidden=True)
    [event] = adapter.parse(adapter.split(fake.held[0])[0].payload)
    assert isinstance(event, InboundMessage)
    assert event.sender.source_id == user_id(PHONE)
    adapter.send(message(to=event.sender.source_id))
    assert fake.ledger[0]["recipient"] == PHONE


def test_the_fake_escapes_as_meta_does() -> None:
    assert b"\\u0434" in encoded(envelope(Number(), {"messages": [{"text": "д"}]}))
