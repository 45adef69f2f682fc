"""The WAHA adapter over real HTTP against the fake server, faults included."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from channels.adapters import waha_history
from channels.adapters.waha import WahaAdapter, own_message_id
from channels.base import Echo, InboundMessage, Linked, Markup, OutboundFile, Sender, SessionState
from foundation import http
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault
from tests.sandbox.waha import FakeWaha
from tests.sandbox.waha_rows import HMAC_KEY, OWN_NUMBER, SESSION

from .waha_server import LID, OTHER, PHONE, adapter_of, text_to

OGG = b"OggS" + b"\0" * 24 + b"OpusHead" + b"\0" * 20
URL = "https://sales.example/webhooks/waha/shop/path-secret/"


server = served(FakeWaha)


@pytest.fixture
def fake(server: FakeWaha) -> FakeWaha:
    server.reset()
    return server


@pytest.fixture
def adapter(fake: FakeWaha) -> WahaAdapter:
    return adapter_of(fake.base_url)


def texts(result: Any, adapter: WahaAdapter) -> list[str]:
    found = [event for raw in result.events for event in adapter.parse(raw.payload)]
    return [event.text for event in found if isinstance(event, InboundMessage | Echo)]


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("engine", ["GOWS", "NOWEB", "WEBJS", "WPP"])
def test_a_text_arrives_and_its_id_comes_back_whatever_the_engine(fake: FakeWaha, adapter: WahaAdapter, engine: str) -> None:
    fake.engine = engine
    result = adapter.send(text_to(PHONE))
    [sent] = fake.ledger
    assert (sent["recipient"], sent["text"], sent["message_id"]) == (f"{PHONE}@c.us", "Good afternoon", result.external_id)


def test_the_id_of_a_text_is_known_before_and_the_same_on_every_attempt(fake: FakeWaha, adapter: WahaAdapter) -> None:
    assert adapter.send(text_to(PHONE)).external_id == own_message_id("shop", "key-1") != own_message_id("shop", "key-2")
    assert fake.requests[-1]["body"]["id"] == own_message_id("shop", "key-1")


def test_our_marks_become_whatsapps(fake: FakeWaha, adapter: WahaAdapter) -> None:
    adapter.send(text_to(PHONE, "**Ready**: _today_, [the site](https://shop.example/a)"))
    assert fake.ledger[0]["text"] == "*Ready*: _today_, the site: https://shop.example/a"
    assert fake.requests[-1]["body"]["linkPreview"] is False


def test_a_hidden_identity_is_answered_where_it_wrote(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.phones[LID] = PHONE
    adapter.send(text_to(LID))
    assert fake.ledger[0]["recipient"] == LID


def test_where_a_version_takes_no_hidden_identity_the_phone_behind_it_is_used(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.refuses_hidden = True
    with pytest.raises(Rejected):
        adapter.send(text_to(LID))
    fake.phones[LID] = PHONE
    adapter.send(text_to(LID))
    assert [sent["recipient"] for sent in fake.ledger] == [f"{PHONE}@c.us"]


@pytest.mark.parametrize("to", ["", "somebody", "status@broadcast", "77011234567@evil.example", "120363046984195036@g.us"])
def test_no_address_is_rejected_before_any_call(fake: FakeWaha, adapter: WahaAdapter, to: str) -> None:
    with pytest.raises(Rejected) as caught:
        adapter.send(text_to(to))
    assert caught.value.code == "recipient"
    assert not fake.calls


def test_a_quotation(fake: FakeWaha, adapter: WahaAdapter) -> None:
    asked = fake.customer_writes(PHONE, "Is it in stock?")
    adapter.send(text_to(PHONE, "Yes", reply_to=asked))
    assert fake.ledger[0]["quoted"] == f"false_{PHONE}@c.us_{asked}"


def test_a_short_text_is_the_caption_of_the_first_file(fake: FakeWaha, adapter: WahaAdapter) -> None:
    files = [OutboundFile("offer.pdf", "application/pdf", b"%PDF-1"), OutboundFile("a.jpg", "image/jpeg", b"\xff\xd8")]
    result = adapter.send(text_to(PHONE, "Our **offer**", files=files))
    assert [(sent["path"], sent["text"], sent["size"]) for sent in fake.ledger] == [
        ("/api/sendFile", "Our *offer*", 6),
        ("/api/sendImage", "", 2),
    ]
    assert fake.ledger[0]["file_name"] == "offer.pdf"
    assert result.external_id == fake.ledger[0]["message_id"]


def test_a_long_text_goes_before_the_file(fake: FakeWaha, adapter: WahaAdapter) -> None:
    adapter.send(text_to(PHONE, "x" * 2000, files=[OutboundFile("offer.pdf", "application/pdf", b"%PDF-1")]))
    assert [len(sent["text"]) for sent in fake.ledger] == [2000, 0]


@pytest.mark.parametrize(("content", "convert"), [(OGG, False), (b"RIFF0000WAVE", True)])
def test_a_recording_goes_alone_and_is_converted_where_it_is_no_opus(
    fake: FakeWaha, adapter: WahaAdapter, content: bytes, convert: bool
) -> None:
    adapter.send(text_to(PHONE, "the same words", voice=OutboundFile("a.ogg", "audio/ogg", content)))
    [sent] = fake.ledger
    assert (sent["path"], sent["mime"], sent["convert"]) == ("/api/sendVoice", "audio/ogg; codecs=opus", convert)
    assert sent["size"] == len(content)


def test_a_failure_after_the_first_part_is_unconfirmed(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.faults.append(Fault("sendImage", status=400))
    files = [OutboundFile("offer.pdf", "application/pdf", b"%PDF-1"), OutboundFile("a.jpg", "image/jpeg", b"\xff\xd8")]
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(PHONE, "", files=files))


def test_nothing_to_send_is_rejected(adapter: WahaAdapter) -> None:
    with pytest.raises(Rejected):
        adapter.send(text_to(PHONE, ""))


def exception(message: str) -> str:
    return json.dumps({"statusCode": 500, "exception": {"message": message, "name": "Error", "stack": "…"},
                       "request": {"body": {"text": "Good afternoon", "chatId": f"{PHONE}@c.us"}}})  # fmt: skip


def session_is(status: str) -> str:
    return json.dumps(
        {"error": "Session status is not as expected", "session": SESSION, "status": status, "expected": ["WORKING"]}
    )


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault(status=401), Unauthorized, "401"),
        (Fault(status=403), Unauthorized, "403"),
        (Fault(status=404), Unauthorized, "404"),
        (Fault(status=400), Rejected, "400"),
        (Fault(status=422, body="{}"), Rejected, "422"),
        (Fault(status=422, body=session_is("STARTING")), Retry, "STARTING"),
        (Fault(status=422, body=session_is("SCAN_QR_CODE")), Unauthorized, "SCAN_QR_CODE"),
        (Fault(status=422, body=session_is("FAILED")), Unauthorized, "FAILED"),
        (Fault(status=422, body=session_is("STOPPED")), Unauthorized, "STOPPED"),
        (Fault(status=429, headers={"Retry-After": "7"}), Retry, "429"),
        (Fault(status=501), Rejected, "501"),
        (Fault(status=503), Retry, "503"),
        (Fault(status=500), Unconfirmed, "500"),
        (Fault(status=500, body=exception("Evaluation failed")), Unconfirmed, "500"),
        (Fault(status=500, body=exception("SessionError: No sessions")), Retry, "500"),
        (Fault(status=500, body=exception("async-lock timed out in queue")), Retry, "500"),
        (Fault(status=500, body=exception("no LID found for the number from server")), Rejected, "463"),
        (Fault(status=500, body=exception("server returned error 463")), Rejected, "463"),
        (Fault(status=502), Unconfirmed, "502"),
        (Fault(status=201, body="", accept=True), Unconfirmed, "no_id"),
        (Fault(status=201, body="{}", accept=True), Unconfirmed, "no_id"),
        (Fault(status=201, body="<html>gateway</html>", accept=True), Unconfirmed, "unreadable"),
        (Fault(status=201, body="[]", accept=True), Unconfirmed, "unreadable"),
        (Fault(drop=True), Unconfirmed, "connection"),
    ],
)
def test_what_a_failed_send_is_called(
    fake: FakeWaha, adapter: WahaAdapter, fault: Fault, error: type[ProviderError], code: str
) -> None:
    fake.faults.append(Fault("send", 1, fault.delay, fault.status, fault.headers, fault.body, fault.accept, fault.drop))
    with pytest.raises(ProviderError) as caught:
        adapter.send(text_to(PHONE))
    assert (type(caught.value), caught.value.code) == (error, code)
    assert len(fake.ledger) == (1 if fault.accept or fault.drop else 0)
    # WAHA repeats our request in its errors; none of it goes on.
    assert PHONE not in str(caught.value) and "afternoon" not in str(caught.value)


def test_a_lost_answer_is_found_in_the_history(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.faults.append(Fault("sendText", drop=True))
    since = datetime.now(UTC) - timedelta(seconds=2)
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(PHONE, "Did it arrive?"))
    fake.customer_writes(PHONE, "and I wrote too")
    [record] = adapter.sent_since(PHONE, since)
    assert (record.text, record.external_id) == ("Did it arrive?", fake.ledger[0]["message_id"])


def test_an_unreachable_server_is_retried() -> None:
    with pytest.raises(Retry):
        adapter_of("http://127.0.0.1:9").send(text_to(PHONE))


@pytest.mark.parametrize(
    "changes",
    [
        {"credentials": {"api_key": ""}}, {"credentials": {"api_key": "ключ"}}, {"options": {}},
        {"options": {"session": "a/../b"}}, {"base_url": ""}, {"base_url": "file:///etc"},
    ],
)  # fmt: skip
def test_what_is_malformed_never_leaves(fake: FakeWaha, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(**{"base_url": fake.base_url, **changes}).send(text_to(PHONE))
    assert not fake.calls


def test_a_wrong_key_is_unauthorized(fake: FakeWaha) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"api_key": "other"}).check()


def test_read_marks_and_typing(fake: FakeWaha, adapter: WahaAdapter) -> None:
    adapter.mark_read(LID, "3A00")
    adapter.typing(PHONE)
    assert (fake.marked, fake.typed) == ([f"false_{LID}_3A00"], [f"{PHONE}@c.us"])


def test_capabilities() -> None:
    able = WahaAdapter.capabilities
    assert (able.choices, able.templates, able.markup, able.reply_window) == (0, False, Markup.WHATSAPP, None)
    assert able.sessions and issubclass(WahaAdapter, Linked)


# ── Who is behind a hidden identity ──────────────────────────────────────────────────────────────────────────────────
def test_a_hidden_identity_is_resolved_where_waha_knows_it(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.phones[LID] = PHONE
    assert adapter.resolve(Sender(LID, name="Aigul")) == Sender(LID, phone=PHONE, name="Aigul")
    fake.calls.clear()
    for known in (Sender(PHONE, phone=PHONE), Sender(LID, phone=OTHER)):
        assert adapter.resolve(known) is known
    assert not fake.calls


def test_its_digits_never_become_a_phone(fake: FakeWaha, adapter: WahaAdapter) -> None:
    assert adapter.resolve(Sender("77011234567@lid")).phone is None
    fake.faults.append(Fault("lids", body=f'{{"lid": "{LID}", "pn": "{LID}"}}'))
    assert adapter.resolve(Sender(LID)).phone is None
    fake.faults.append(Fault("lids", status=404))
    assert adapter.resolve(Sender(LID)).phone is None
    fake.faults.append(Fault("lids", status=500))
    with pytest.raises(Retry):
        adapter.resolve(Sender(LID))


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def media_ref(fake: FakeWaha, adapter: WahaAdapter, bare: str, **changes: Any) -> str:
    message = next(message for message in fake.messages[SESSION] if message.bare == bare)
    row = fake.row(message)
    row["media"] |= changes
    [event] = adapter.parse(adapter.split(json.dumps(fake.envelope("message.any", row)).encode())[0].payload)
    assert isinstance(event, InboundMessage)
    return event.media[0].ref


def test_a_file_is_fetched_with_our_key(fake: FakeWaha, adapter: WahaAdapter) -> None:
    bare = fake.customer_speaks(PHONE, content=OGG, deliver="history")
    assert adapter.fetch_media(media_ref(fake, adapter, bare)) == OGG


@pytest.mark.parametrize("url", ["http://localhost:3000{path}", "http://169.254.169.254{path}", "https://evil.example{path}"])
def test_only_our_own_server_is_asked_whatever_host_a_message_names(fake: FakeWaha, adapter: WahaAdapter, url: str) -> None:
    bare = fake.customer_speaks(PHONE, content=OGG, deliver="history")
    path = f"/api/files/{SESSION}/false_{PHONE}@c.us_{bare}.oga"
    assert adapter.fetch_media(media_ref(fake, adapter, bare, url=url.format(path=path))) == OGG


def test_a_link_elsewhere_is_not_followed_but_the_file_asked_for_anew(fake: FakeWaha, adapter: WahaAdapter) -> None:
    bare = fake.customer_speaks(PHONE, content=OGG, deliver="history")
    ref = media_ref(fake, adapter, bare, url="http://169.254.169.254/latest/meta-data")
    assert " " not in ref
    assert adapter.fetch_media(ref) == OGG
    assert not [path for path in fake.calls if "meta-data" in path]


@pytest.mark.parametrize("chat", [PHONE, LID])
def test_a_file_that_waha_has_deleted_comes_from_whatsapp_again(fake: FakeWaha, adapter: WahaAdapter, chat: str) -> None:
    bare = fake.customer_speaks(chat, content=OGG, deliver="history", file_gone=True)
    assert adapter.fetch_media(media_ref(fake, adapter, bare)) == OGG


def test_a_file_that_is_gone_for_good_is_rejected(fake: FakeWaha, adapter: WahaAdapter) -> None:
    with pytest.raises(Rejected):
        adapter.fetch_media(f"false_{PHONE}@c.us_3A00 /api/files/{SESSION}/x.oga")
    bare = fake.customer_writes(PHONE, "no file", deliver="history")
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media(f"false_{PHONE}@c.us_{bare}")
    assert caught.value.code == "no_file"


def test_a_redirect_is_not_followed(fake: FakeWaha, adapter: WahaAdapter) -> None:
    bare = fake.customer_speaks(PHONE, content=OGG, deliver="history")
    fake.faults.append(Fault("files", status=302, headers={"Location": "http://169.254.169.254/"}, body=""))
    with pytest.raises(Rejected):
        adapter.fetch_media(media_ref(fake, adapter, bare))


# ── History ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("engine", ["GOWS", "NOWEB", "WEBJS", "WPP"])
def test_a_look_back_brings_both_sides_oldest_first(fake: FakeWaha, adapter: WahaAdapter, engine: str) -> None:
    fake.engine = engine
    now = time.time()
    fake.customer_writes(PHONE, "too old", deliver="history", time=now - 900)
    fake.customer_writes(PHONE, "one", deliver="history", time=now - 50)
    fake.customer_writes(LID, "two", deliver="history", time=now - 40)
    fake.owner_types_on_phone(PHONE, "three", deliver="history", time=now - 30)
    fake.customer_writes("120363046984195036@g.us", "a group", deliver="history", time=now - 25)
    fake.customer_speaks(PHONE, content=OGG, deliver="history", time=now - 20)
    result = adapter.look_back(datetime.now(UTC) - timedelta(minutes=10), {})
    assert result.complete
    assert texts(result, adapter) == ["one", "two", "three", ""]


def test_a_polled_file_can_be_fetched(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.customer_speaks(PHONE, content=OGG, deliver="history")
    [event] = adapter.parse(adapter.poll({}).events[0].payload)
    assert isinstance(event, InboundMessage)
    assert adapter.fetch_media(event.media[0].ref) == OGG


def test_long_histories_come_in_portions(fake: FakeWaha, adapter: WahaAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    for number in range(250):
        fake.customer_writes(PHONE, f"m{number}", deliver="history", time=now - 500 + number)
    monkeypatch.setattr(waha_history, "LOOK_BACK_BUDGET", -1.0)
    found, cursor, portions = [], {}, 0
    while True:
        result = adapter.look_back(datetime.now(UTC) - timedelta(minutes=10), cursor)
        found += texts(result, adapter)
        portions += 1
        cursor = result.cursor
        if result.complete:
            break
    assert (found, portions) == ([f"m{number}" for number in range(250)], 3)


def test_an_engine_without_a_common_history_is_read_in_portions_of_chats(
    fake: FakeWaha, adapter: WahaAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.engine = "WEBJS"
    for number in range(3):
        fake.customer_writes(f"7701123456{number}", f"m{number}", deliver="history")
    monkeypatch.setattr(waha_history, "LOOK_BACK_BUDGET", -1.0)
    since = datetime.now(UTC) - timedelta(minutes=10)
    found, result = [], adapter.look_back(since, {})
    found += texts(result, adapter)
    while not result.complete:
        result = adapter.look_back(since, result.cursor)
        found += texts(result, adapter)
    assert sorted(found) == ["m0", "m1", "m2"]


def test_a_chat_that_the_engine_cannot_read_does_not_hide_the_others(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.engine = "WEBJS"
    fake.customer_writes(LID, "hidden", deliver="history")
    fake.customer_writes(PHONE, "seen", deliver="history", time=time.time() - 5)
    fake.faults.append(Fault(f"chats/{LID}/messages", count=9, status=500))
    assert texts(adapter.look_back(datetime.now(UTC) - timedelta(minutes=10), {}), adapter) == ["seen"]
    fake.faults.append(Fault(f"chats/{PHONE}@c.us/messages", count=9, status=500))
    with pytest.raises(Retry):
        adapter.look_back(datetime.now(UTC) - timedelta(minutes=10), {})


def test_polls_read_once_a_minute(fake: FakeWaha, adapter: WahaAdapter) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        fake.customer_writes(PHONE, "one", deliver="history")
        result = adapter.poll({})
        assert texts(result, adapter) == ["one"]
        fake.calls.clear()
        clock.shift(30)
        fake.customer_writes(PHONE, "two", deliver="history")
        again = adapter.poll(result.cursor)
        assert (again.events, again.cursor, fake.calls) == ((), result.cursor, {})
        clock.shift(31)
        assert texts(adapter.poll(again.cursor), adapter) == ["one", "two"]
        quick = adapter_of(fake.base_url, options={"session": SESSION, "poll_seconds": 5})
        clock.shift(10)
        assert quick.poll(result.cursor).cursor != result.cursor


def test_a_poll_that_was_not_finished_goes_on_at_once(
    fake: FakeWaha, adapter: WahaAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(150):
        fake.customer_writes(PHONE, f"m{number}", deliver="history", time=time.time() - 400 + number)
    monkeypatch.setattr(waha_history, "POLL_BUDGET", -1.0)
    first = adapter.poll({})
    assert (len(first.events), first.complete) == (100, False)
    second = adapter.poll(first.cursor)
    assert (texts(second, adapter)[-1], second.complete) == ("m149", True)
    assert "at" not in second.cursor


# ── The linked device ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_session_is_made_linked_stopped_and_logged_out(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.sessions.clear()
    assert adapter.session().state is SessionState.STOPPED
    adapter.start_session()
    assert adapter.session().state is SessionState.LINKING
    assert adapter.qr().startswith(b"\x89PNG")
    assert adapter.pairing_code("+7 701 999 00 00") == "ABCD-ABCD"
    assert fake.requests[-1]["body"] == {"phoneNumber": OWN_NUMBER}
    fake.sessions[SESSION].status = "WORKING"
    linked = adapter.session()
    assert (linked.state, linked.detail, linked.own_number) == (SessionState.WORKING, "", OWN_NUMBER)
    adapter.stop_session()
    assert adapter.session().state is SessionState.STOPPED
    adapter.start_session()
    assert adapter.session().state is SessionState.WORKING
    adapter.log_out()
    assert adapter.session().state is SessionState.LINKING


def test_a_failed_session_is_restarted(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.sessions[SESSION].status = "FAILED"
    failed = adapter.session()
    assert failed.state is SessionState.FAILED and failed.detail
    adapter.start_session()
    assert fake.requests[-1]["path"].endswith("/restart")


def test_no_code_where_none_is_wanted(fake: FakeWaha, adapter: WahaAdapter) -> None:
    for asked in (adapter.qr, lambda: adapter.pairing_code(PHONE)):
        for status in ("WORKING", "STOPPED"):
            fake.sessions[SESSION].status = status
            with pytest.raises(Rejected) as caught:
                asked()
            assert type(caught.value) is Rejected
        fake.sessions[SESSION].status = "STARTING"
        with pytest.raises(Retry):
            asked()
    with pytest.raises(Rejected):
        adapter.pairing_code("call me")


def test_a_code_in_the_other_form_that_waha_has(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.sessions[SESSION].status = "SCAN_QR_CODE"
    fake.faults.append(Fault("auth/qr", body='{"mimetype": "image/png", "data": "iVBORw0KGgoAAA=="}'))
    assert adapter.qr().startswith(b"\x89PNG")
    fake.faults.append(Fault("auth/qr", body='{"value": "2@abc"}'))
    with pytest.raises(Retry):
        adapter.qr()


@pytest.mark.parametrize("status", ["STOPPED", "STARTING", "SCAN_QR_CODE", "PASSKEY_REQUIRED", "FAILED", "SOMETHING_NEW"])
def test_check_tells_what_is_wrong(fake: FakeWaha, adapter: WahaAdapter, status: str) -> None:
    fake.sessions[SESSION].status = status
    health = adapter.check()
    assert not health.ok and health.detail


def test_check_of_a_working_session(fake: FakeWaha, adapter: WahaAdapter) -> None:
    health = adapter.check()
    assert health.ok and health.detail and health.own_number == OWN_NUMBER
    adapter.subscribe(URL)
    assert adapter.check().detail == ""
    fake.sessions.clear()
    assert not adapter.check().ok


# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_subscribing_keeps_what_others_configured(fake: FakeWaha, adapter: WahaAdapter) -> None:
    other = {"url": "https://crm.example/waha", "events": ["message"]}
    stale = {"url": "https://sales.example/webhooks/waha/shop/old-secret/", "events": ["message"]}
    fake.sessions[SESSION].config = {"proxy": {"server": "10.0.0.5:3128"}, "metadata": {"a": "b"}, "webhooks": [stale, other]}
    adapter.subscribe(URL)
    config = fake.sessions[SESSION].config
    assert config["proxy"] and config["metadata"] == {"a": "b", "channel": "shop"}
    assert config["ignore"]["groups"] is True and config["noweb"]["store"]["enabled"] is True
    kept, ours = config["webhooks"]
    assert kept == other
    assert (ours["url"], ours["hmac"]) == (URL, {"key": HMAC_KEY})
    assert "message.any" in ours["events"] and "message" not in ours["events"]
    assert ours["retries"]["policy"] == "exponential"


def test_subscribing_twice_restarts_nothing(fake: FakeWaha, adapter: WahaAdapter) -> None:
    adapter.subscribe(URL)
    adapter.subscribe(URL)
    assert [request["method"] for request in fake.requests] == ["GET", "PUT", "GET"]
    adapter.unsubscribe()
    assert fake.sessions[SESSION].config["webhooks"] == []
    adapter.unsubscribe()
    assert fake.requests[-1]["method"] == "GET"


def test_subscribing_makes_the_session_where_there_is_none(fake: FakeWaha, adapter: WahaAdapter) -> None:
    fake.sessions.clear()
    adapter.subscribe(URL)
    assert fake.sessions[SESSION].status == "STOPPED"
    assert fake.sessions[SESSION].config["webhooks"][0]["url"] == URL


def test_the_address_within_one_network(fake: FakeWaha) -> None:
    options = {"session": SESSION, "webhook_base": "http://web:8000/"}
    adapter_of(fake.base_url, options=options).subscribe(URL)
    assert fake.sessions[SESSION].config["webhooks"][0]["url"] == "http://web:8000/webhooks/waha/shop/path-secret/"


def test_no_subscription_without_a_key(fake: FakeWaha) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"api_key": "k"}).subscribe(URL)


def test_every_call_has_a_short_label(fake: FakeWaha, adapter: WahaAdapter) -> None:
    labels: list[str] = []
    http.observers.append(lambda label, outcome, ms: labels.append(label))
    try:
        bare = fake.customer_speaks(LID, content=OGG, deliver="history", file_gone=True)
        adapter.fetch_media(media_ref(fake, adapter, bare))
        adapter.resolve(Sender(LID))
        adapter.poll({})
        adapter.sent_since(PHONE, datetime.now(UTC))
        adapter.send(text_to(PHONE))
        adapter.stop_session()
        adapter.check()
    finally:
        http.observers.pop()
    assert labels and all(len(label) <= 40 and not any(char.isdigit() for char in label) for label in labels), labels
