"""The Wappi adapter over real HTTP against the fake server, faults included."""

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from channels.adapters import wappi
from channels.adapters.wappi import WappiAdapter
from channels.adapters.wappi_client import WappiClient, scrubbed
from channels.base import Access, Echo, InboundMessage, Kind, OutboundFile, OutboundMessage
from foundation import http
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault, Request, Response, Router, running
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import OWN_NUMBER, PROFILE, TOKEN, Profile

PHONE = "77011234567"
OTHER = "77025556677"


server = served(FakeWappi)


@pytest.fixture
def fake(server: FakeWappi) -> FakeWappi:
    server.reset()
    server.profiles[PROFILE] = Profile()
    return server


def adapter_of(base_url: str, **changes: Any) -> WappiAdapter:
    access = {
        "slug": "shop", "base_url": base_url, "credentials": {"token": TOKEN}, "options": {"profile_id": PROFILE},
        "webhook_secret": "path-secret",
    }  # fmt: skip
    return WappiAdapter(Access(**{**access, **changes}))


@pytest.fixture
def adapter(fake: FakeWappi) -> WappiAdapter:
    return adapter_of(fake.base_url)


def text_to(to: str, text: str = "Good afternoon", **more: Any) -> OutboundMessage:
    return OutboundMessage(key="key-1", to=to, text=text, **more)


def texts(adapter: WappiAdapter, cursor: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    result = adapter.poll(cursor)
    events = [event for raw in result.events for event in adapter.parse(raw.payload)]
    return [event.text for event in events if isinstance(event, InboundMessage | Echo)], result.cursor


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_text_arrives_and_its_id_comes_back(fake: FakeWappi, adapter: WappiAdapter) -> None:
    result = adapter.send(text_to(PHONE))
    [sent] = fake.ledger
    assert (sent["recipient"], sent["text"], sent["message_id"]) == (PHONE, "Good afternoon", result.external_id)


@pytest.mark.parametrize("to", ["178412345678901@lid", "120363046984195036@g.us"])
def test_whole_ids_are_kept_whole(fake: FakeWappi, adapter: WappiAdapter, to: str) -> None:
    adapter.send(text_to(to))
    assert fake.ledger[0]["recipient"] == to


def test_a_personal_chat_id_becomes_digits(fake: FakeWappi, adapter: WappiAdapter) -> None:
    adapter.send(text_to(f"{PHONE}@s.whatsapp.net"))
    assert fake.ledger[0]["recipient"] == PHONE


@pytest.mark.parametrize("to", ["", "somebody", "status@broadcast", "77011234567@evil.example"])
def test_no_address_is_rejected_before_any_call(fake: FakeWappi, adapter: WappiAdapter, to: str) -> None:
    with pytest.raises(Rejected):
        adapter.send(text_to(to))
    assert not fake.calls


def test_a_quotation_goes_through_reply(fake: FakeWappi, adapter: WappiAdapter) -> None:
    asked = fake.customer_writes(PHONE, "Is it in stock?")
    adapter.send(text_to(PHONE, "Yes", reply_to=asked))
    [sent] = fake.ledger
    assert (sent["path"], sent["quoted"], sent["recipient"]) == ("/api/sync/message/reply", asked, f"{PHONE}@c.us")


def test_a_short_text_is_the_caption_of_the_first_file(fake: FakeWappi, adapter: WappiAdapter) -> None:
    files = [OutboundFile("offer.pdf", "application/pdf", b"%PDF-1"), OutboundFile("a.jpg", "image/jpeg", b"\xff\xd8")]
    result = adapter.send(text_to(PHONE, "Our offer", files=files))
    assert [(sent["path"].split("/")[4], sent["text"], sent["size"]) for sent in fake.ledger] == [
        ("document", "Our offer", 6),
        ("img", "", 2),
    ]
    assert fake.ledger[0]["file_name"] == "offer.pdf"
    assert result.external_id == fake.ledger[0]["message_id"]


def test_a_long_text_goes_before_the_file(fake: FakeWappi, adapter: WappiAdapter) -> None:
    files = [OutboundFile("offer.pdf", "application/pdf", b"%PDF-1")]
    adapter.send(text_to(PHONE, "x" * 2000, files=files))
    assert [len(sent["text"]) for sent in fake.ledger] == [2000, 0]


def test_a_failure_after_the_first_part_is_unconfirmed(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.faults.append(Fault("img/send", status=400))
    files = [OutboundFile("offer.pdf", "application/pdf", b"%PDF-1"), OutboundFile("a.jpg", "image/jpeg", b"\xff\xd8")]
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(PHONE, "", files=files))


def test_nothing_to_send_is_rejected(adapter: WappiAdapter) -> None:
    with pytest.raises(Rejected):
        adapter.send(text_to(PHONE, ""))


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault(status=401), Unauthorized, "401"),
        (Fault(status=402), Unauthorized, "402"),
        (Fault(status=400), Rejected, "400"),
        (Fault(status=404), Rejected, "404"),
        (Fault(status=429, headers={"Retry-After": "7"}), Retry, "429"),
        (Fault(status=503), Retry, "503"),
        (Fault(status=500), Unconfirmed, "500"),
        (Fault(status=502), Unconfirmed, "502"),
        (Fault(body='{"status": "error", "detail": "no such user"}'), Rejected, "error"),
        (Fault(body='{"status": "failed"}'), Rejected, "failed"),
        (Fault(body='{"status": "queued"}'), Rejected, "queued"),
        (Fault(body='{"status": "done"}', accept=True), Unconfirmed, "no_id"),
        (Fault(body="<html>gateway</html>", accept=True), Unconfirmed, "unreadable"),
        (Fault(body="[]", accept=True), Unconfirmed, "unreadable"),
        (Fault(drop=True), Unconfirmed, "connection"),
    ],
)
def test_what_a_failed_send_is_called(
    fake: FakeWappi, adapter: WappiAdapter, fault: Fault, error: type[ProviderError], code: str
) -> None:
    fake.faults.append(Fault(fault.path, 1, fault.delay, fault.status, fault.headers, fault.body, fault.accept, fault.drop))
    with pytest.raises(ProviderError) as caught:
        adapter.send(text_to(PHONE))
    assert (type(caught.value), caught.value.code) == (error, code)
    assert len(fake.ledger) == (1 if fault.accept or fault.drop else 0)
    if isinstance(caught.value, Retry) and code == "429":
        assert caught.value.after == 7


def test_an_answer_too_late_is_unconfirmed_and_found_in_the_history(
    fake: FakeWappi, adapter: WappiAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    fake.faults.append(Fault("message/send", drip=0.05))
    since = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(Unconfirmed) as caught:
        adapter.send(text_to(PHONE, "Did it arrive?"))
    assert caught.value.code == "deadline"
    [record] = adapter.sent_since(PHONE, since)
    assert (record.text, record.external_id) == ("Did it arrive?", fake.ledger[0]["message_id"])


def short(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """Give every call a fraction of a second, so that a slow provider is too slow at once."""
    call = http.call

    def hurried(*arguments: Any, **options: Any) -> http.Answer:
        return call(*arguments, **{**options, "read_timeout": seconds, "deadline": seconds})

    monkeypatch.setattr(http, "call", hurried)


def test_silence_is_unconfirmed_for_a_send_and_retry_for_a_read(
    fake: FakeWappi, adapter: WappiAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch, 0.15)
    fake.faults += [Fault("message/send", delay=0.4), Fault("get/status", delay=0.4)]
    with pytest.raises(Unconfirmed) as caught:
        adapter.send(text_to(PHONE))
    assert caught.value.code == "timeout"
    eventually(lambda: len(fake.ledger) == 1)
    with pytest.raises(Retry):
        adapter.check()


def test_an_unreachable_server_is_retried(adapter: WappiAdapter) -> None:
    with pytest.raises(Retry):
        adapter_of("http://127.0.0.1:9").send(text_to(PHONE))


def test_a_slow_server_is_waited_for(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.faults.append(Fault("message/send", delay=0.3))
    assert adapter.send(text_to(PHONE)).external_id == fake.ledger[0]["message_id"]


@pytest.mark.parametrize("token", ["", "токен", "two\nlines"])
def test_a_malformed_token_never_leaves(fake: FakeWappi, token: str) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"token": token}).send(text_to(PHONE))
    assert not fake.calls


def test_a_wrong_token_is_unauthorized(fake: FakeWappi) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"token": "other"}).check()


def test_errors_carry_no_personal_data(fake: FakeWappi, adapter: WappiAdapter) -> None:
    detail = f'{{"detail": "no account +7 701 123-45-67 ({PHONE}@c.us) for \'Aigul\': Good afternoon"}}'
    fake.faults.append(Fault(status=400, body=detail))
    with pytest.raises(Rejected) as caught:
        adapter.send(text_to(PHONE))
    assert str(caught.value) == "wappi message/send: HTTP 400 no account …… for …: …"


def test_scrubbing_takes_any_shape() -> None:
    assert scrubbed(None) == scrubbed({"detail": ["x"]}) == scrubbed({}) == ""
    assert scrubbed({"message": "profile is offline"}) == "profile is offline"
    assert scrubbed({"message": "Contact Aigul is offline"}) == "Contact … is offline"
    assert len(scrubbed({"error": "word " * 100})) <= 120


# ── Polling ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_poll_brings_both_sides_oldest_first(fake: FakeWappi, adapter: WappiAdapter) -> None:
    now = time.time()
    fake.customer_writes(PHONE, "one", deliver="poll", time=now - 50)
    fake.customer_writes(OTHER, "two", deliver="poll", time=now - 40)
    fake.owner_types_on_phone(PHONE, "three", deliver="poll", time=now - 30)
    fake.customer_writes(PHONE, "four", deliver="poll", time=now - 20)
    found, cursor = texts(adapter, {})
    assert found == ["one", "two", "three", "four"]
    assert cursor["since"] == pytest.approx(now - 20, abs=1)
    assert set(cursor["chats"]) == {f"{PHONE}@c.us", f"{OTHER}@c.us"}
    assert fake.marked_all == 0


def test_the_first_poll_looks_back_ten_minutes_and_so_does_the_second(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(PHONE, "old", deliver="poll", time=time.time() - 700)
    fake.customer_writes(PHONE, "new", deliver="poll", time=time.time() - 500)
    found, cursor = texts(adapter, {})
    assert found == ["new"]
    fake.customer_writes(PHONE, "newer", deliver="poll")
    assert "old" not in texts(adapter, cursor)[0]


def test_an_unchanged_chat_is_not_read_again(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(PHONE, "one", deliver="poll")
    fake.customer_writes(OTHER, "two", deliver="poll")
    _found, cursor = texts(adapter, {})
    fake.calls.clear()
    fake.customer_writes(OTHER, "three", deliver="poll")
    found, cursor = texts(adapter, cursor)
    assert found == ["two", "three"]  # what overlaps is known by its event id
    assert fake.calls["/api/sync/messages/get"] == 1
    assert texts(adapter, cursor)[0] == []
    assert fake.calls["/api/sync/messages/get"] == 1


def test_the_polled_copy_has_the_id_of_the_posted_one(fake: FakeWappi, adapter: WappiAdapter) -> None:
    identifier = fake.customer_writes(PHONE, "hello", deliver="poll")
    [polled] = adapter.poll({}).events
    assert polled.external_id == f"message:{identifier}"


def test_names_come_from_the_chat_list(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.contacts[f"{PHONE}@c.us"] = {"FullName": "Aigul S", "BusinessName": "Tea House"}
    fake.customer_writes(PHONE, "hello", deliver="poll", name="Aigul")
    [event] = adapter.parse(adapter.poll({}).events[0].payload)
    assert isinstance(event, InboundMessage)
    assert (event.sender.name, event.sender.full_name, event.sender.business_name) == ("Aigul", "Aigul S", "Tea House")


def test_groups_and_newsletters_are_not_even_fetched(fake: FakeWappi, adapter: WappiAdapter) -> None:
    for chat in ("120363046984195036@g.us", "status@broadcast", "1203@newsletter", "0@s.whatsapp.net"):
        fake.customer_writes(chat, "hello all", deliver="poll")
    assert adapter.poll({}).events == []
    assert fake.calls["/api/sync/messages/get"] == 0


def test_long_histories_and_long_chat_lists_are_read_page_by_page(fake: FakeWappi, adapter: WappiAdapter) -> None:
    now = time.time()
    for number in range(120):
        fake.customer_writes(PHONE, f"m{number}", deliver="poll", time=now - 200 + number)
    for number in range(105):
        fake.customer_writes(f"7702{number:07}", f"c{number}", deliver="poll", time=now - 300 + number / 1000)
    found, cursor = texts(adapter, {})
    assert len(found) == len(set(found)) == 225
    assert [text for text in found if text[0] == "m"] == [f"m{number}" for number in range(120)]
    assert fake.calls["/api/sync/chats/get"] == 2
    assert len(cursor["chats"]) == 106


def test_rows_of_another_chat_are_dropped_and_the_chat_is_read_again(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(OTHER, "not yours", deliver="poll", time=time.time() - 3600)
    fake.customer_writes(PHONE, "mine", deliver="poll")
    fake.crossed[f"{PHONE}@c.us"] = f"{OTHER}@c.us"
    found, cursor = texts(adapter, {})
    assert found == ["mine"]
    fake.crossed.clear()
    assert texts(adapter, cursor)[0] == ["mine"]
    with pytest.raises(Retry):
        fake.crossed[f"{PHONE}@c.us"] = f"{OTHER}@c.us"
        adapter.sent_since(PHONE, datetime.now(UTC) - timedelta(hours=2))


def test_a_refused_chat_is_passed_over_until_it_changes(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(PHONE, "good", deliver="poll")
    fake.customer_writes(OTHER, "bad", deliver="poll")
    fake.refused_chats.add(f"{OTHER}@c.us")
    found, cursor = texts(adapter, {})
    assert found == ["good"]
    fake.calls.clear()
    _found, cursor = texts(adapter, cursor)
    assert fake.calls["/api/sync/messages/get"] == 0
    fake.refused_chats.clear()
    fake.customer_writes(OTHER, "better", deliver="poll")
    assert texts(adapter, cursor)[0] == ["bad", "better"]


def test_a_chat_that_could_not_be_read_comes_with_the_next_poll(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(OTHER, "behind", deliver="poll", time=time.time() - 550)
    fake.customer_writes(PHONE, "ahead", deliver="poll")
    fake.faults.append(Fault("messages/get", status=500))
    found, cursor = texts(adapter, {})
    assert found == ["ahead"]
    assert texts(adapter, cursor)[0] == ["behind"]


def test_a_poll_out_of_time_leaves_the_rest_to_the_next(
    fake: FakeWappi, adapter: WappiAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.customer_writes(OTHER, "first", deliver="poll", time=time.time() - 550)
    fake.customer_writes(PHONE, "second", deliver="poll")
    fake.customer_writes("77030000000", "third", deliver="poll", time=time.time() + 1)
    monkeypatch.setattr(wappi, "POLL_BUDGET", -1)
    cursor: dict[str, Any] = {}
    rounds = []
    for _round in range(4):
        found, cursor = texts(adapter, cursor)
        rounds.append(found)
    assert rounds == [["first"], ["second"], ["third"], []]


@pytest.mark.parametrize("path", ["chats/get", "messages/get"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=401), Unauthorized),
        (Fault(status=429, headers={"Retry-After": "9"}), Retry),
        (Fault(status=500), Retry),
        (Fault(body="<html>"), Retry),
        (Fault(body='{"status": "done", "dialogs": 1, "messages": 1}'), Retry),
        (Fault(drop=True), Retry),
    ],
)
def test_a_poll_that_reads_nothing_fails(
    fake: FakeWappi, adapter: WappiAdapter, path: str, fault: Fault, error: type[ProviderError]
) -> None:
    fake.customer_writes(PHONE, "hello", deliver="poll")
    fake.faults.append(Fault(path, 5, fault.delay, fault.status, fault.headers, fault.body, fault.accept, fault.drop))
    with pytest.raises(error) as caught:
        adapter.poll({})
    if fault.status == 429:
        assert isinstance(caught.value, Retry) and caught.value.after == 9
    fake.faults.clear()
    assert texts(adapter, {})[0] == ["hello"]


def test_an_empty_account_moves_no_cursor(fake: FakeWappi, adapter: WappiAdapter) -> None:
    first = adapter.poll({})
    assert (first.events, first.cursor["chats"]) == ([], {})
    assert adapter.poll(first.cursor).cursor == first.cursor


def test_a_message_from_the_future_does_not_blind_the_poll(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.customer_writes(PHONE, "future", deliver="poll", time=time.time() + 9000)
    _found, cursor = texts(adapter, {})
    fake.customer_writes(OTHER, "present", deliver="poll")
    assert texts(adapter, cursor)[0] == ["present"]


def test_replayed_messages_after_an_outage_are_found(fake: FakeWappi, adapter: WappiAdapter) -> None:
    now = time.time()
    with time_machine.travel(now - 7200, tick=True):
        fake.customer_writes(PHONE, "before", deliver="poll")
        _found, cursor = texts(adapter, {})
    fake.customer_writes(OTHER, "during", deliver="poll", time=now - 3600)
    assert texts(adapter, cursor)[0] == ["during"]


# ── History and files ────────────────────────────────────────────────────────────────────────────────────────────────
def test_history_holds_only_what_went_out_since(fake: FakeWappi, adapter: WappiAdapter) -> None:
    now = time.time()
    fake.customer_writes(PHONE, "theirs", deliver="poll", time=now - 5)
    fake.owner_types_on_phone(PHONE, "too old", deliver="poll", time=now - 500)
    fake.owner_types_on_phone(PHONE, "by hand", deliver="poll", time=now - 4)
    adapter.send(text_to(PHONE, "by us"))
    records = adapter.sent_since(PHONE, datetime.fromtimestamp(now - 60, UTC))
    assert [record.text for record in records] == ["by hand", "by us"]
    assert adapter.sent_since(OTHER, datetime.fromtimestamp(now - 60, UTC)) == []


@pytest.mark.parametrize("as_link", [False, True])
def test_a_file_comes_from_the_answer_or_its_link(fake: FakeWappi, adapter: WappiAdapter, as_link: bool) -> None:
    fake.profiles[PROFILE].media_as_link = as_link
    content = b"OggS" + bytes(range(256)) * 400
    fake.customer_writes(PHONE, type="ptt", content=content, mime="audio/ogg", seconds=4, deliver="poll")
    [event] = adapter.parse(adapter.poll({}).events[0].payload)
    assert isinstance(event, InboundMessage) and event.kind is Kind.VOICE
    assert adapter.fetch_media(event.media[0].ref) == content


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"status": "done"}', "no_file"),
        ('{"status": "done", "file_b64": "%%%"}', "unreadable"),
        ('{"status": "done", "file_link": "https://example.com/a.ogg"}', "foreign_link"),
        ('{"status": "done", "file_link": "http://127.0.0.1:1/a.ogg"}', "foreign_link"),
        ('{"status": "done", "file_link": "BASE/files/unknown"}', "403"),
        ('{"status": "error", "detail": "gone"}', "error"),
    ],
)
def test_a_file_that_cannot_be_had_is_rejected(fake: FakeWappi, adapter: WappiAdapter, body: str, code: str) -> None:
    fake.faults.append(Fault("media/download", body=body.replace("BASE", fake.base_url)))
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media("3A00")
    assert (type(caught.value), caught.value.code) == (Rejected, code)


def test_a_file_that_is_too_large_is_rejected(fake: FakeWappi, adapter: WappiAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.adapters.wappi_client.MAX_FILE_BYTES", 1000)
    for as_link in (False, True):
        fake.profiles[PROFILE].media_as_link = as_link
        identifier = fake.customer_writes(PHONE, type="image", content=b"x" * 1001, mime="image/png", deliver="poll")
        with pytest.raises(Rejected) as caught:
            adapter.fetch_media(identifier)
        assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("link", "trusted"),
    [
        ("https://wappi.pro/files/1", True),
        ("https://fs.wappi.pro/files/1", True),
        ("https://bucket.storage.yandexcloud.net/1?X-Amz-Signature=a@b", True),
        ("http://bucket.storage.yandexcloud.net/1", False),
        ("https://bucket.storage.yandexcloud.net:8443/1", False),
        ("https://evilwappi.pro/1", False),
        ("https://wappi.pro.evil.example/1", False),
        ("https://wappi.pro@evil.example/1", False),
        ("https://evil.example\\@wappi.pro/1", False),
        ("https://evil.example#@wappi.pro/1", False),
        ("https://169.254.169.254/1", False),
        ("file:///etc/passwd", False),
        ("https://[::1/1", False),
        ("//wappi.pro/1", False),
    ],
)
def test_which_links_are_followed(link: str, trusted: bool) -> None:
    client = WappiClient(Access("shop", "", {"token": "t"}, {"profile_id": PROFILE}, "secret"))
    assert client._trusted(link) is trusted


@pytest.mark.parametrize(
    "hosts", [["files.example.kz", "media.example.kz:8443"], " files.example.kz:443, Media.example.kz:8443"]
)
@pytest.mark.parametrize(
    ("link", "trusted"),
    [
        ("https://files.example.kz/1", True),
        ("https://files.example.kz:443/1", True),
        ("https://media.example.kz:8443/1", True),
        ("https://media.example.kz/1", False),
        ("https://files.example.kz:8443/1", False),
        ("https://a.files.example.kz/1", False),
        ("http://files.example.kz/1", False),
        ("https://files.example.kz@evil.example/1", False),
    ],
)
def test_a_channel_may_name_further_hosts_of_files(hosts: Any, link: str, trusted: bool) -> None:
    options = {"profile_id": PROFILE, "media_hosts": hosts}
    assert WappiClient(Access("shop", "", {"token": "t"}, options, "secret"))._trusted(link) is trusted


@pytest.mark.parametrize("own", ["http://127.0.0.1:9", "https://10.0.0.5", "http://[::1]:9"])
def test_only_a_private_server_may_send_into_a_private_network(own: str) -> None:
    assert WappiClient(Access("shop", own, {"token": "t"}, {"profile_id": PROFILE}, "secret"))._private
    assert not WappiClient(Access("shop", "https://8.8.8.8", {"token": "t"}, {"profile_id": PROFILE}, "secret"))._private


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::1"]])
def test_a_trusted_name_that_leads_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        found = ["8.8.4.4"] if host == "wappi.pro" else answers
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    client = WappiClient(Access("shop", "", {"token": "t"}, {"profile_id": PROFILE}, "secret"))
    with pytest.raises(Rejected) as caught:
        client._follow("https://fs.wappi.pro/files/1")
    assert caught.value.code == "private_address"


def test_a_redirect_is_not_followed(fake: FakeWappi, adapter: WappiAdapter) -> None:
    fake.profiles[PROFILE].media_as_link = True
    identifier = fake.customer_writes(PHONE, type="ptt", content=b"OggS", mime="audio/ogg", deliver="poll")
    fake.faults.append(Fault("/files/", status=302, headers={"Location": f"{fake.base_url}/files/{identifier}"}))
    with pytest.raises(Rejected) as caught:
        adapter.fetch_media(identifier)
    assert caught.value.code == "302"


# ── Signs of life ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_reading_and_typing_are_shown(fake: FakeWappi, adapter: WappiAdapter) -> None:
    adapter.mark_read(PHONE, "3A945DD9CDD3016BE11B")
    adapter.typing(PHONE)
    assert (fake.marked, fake.typed) == (["3A945DD9CDD3016BE11B"], [PHONE])


def days(number: float) -> str:
    return (datetime.now(UTC) + timedelta(days=number)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("state", "ok", "has_detail"),
    [
        ({}, True, False),
        ({"authorized": False}, False, True),
        ({"app_status": "connecting"}, False, True),
        ({"payment_expired_at": 2}, True, True),
        ({"payment_expired_at": 20}, True, False),
        ({"payment_expired_at": -1}, False, True),
        ({"payment_expired_at": "nonsense"}, True, False),
    ],
)
def test_check(fake: FakeWappi, adapter: WappiAdapter, state: dict[str, Any], ok: bool, has_detail: bool) -> None:
    for name, value in state.items():
        setattr(fake.profiles[PROFILE], name, days(value) if isinstance(value, int) and name.startswith("pay") else value)
    health = adapter.check()
    assert (health.ok, bool(health.detail), health.own_number) == (ok, has_detail, OWN_NUMBER)


def test_subscribing_sets_address_and_types(fake: FakeWappi, adapter: WappiAdapter) -> None:
    adapter.subscribe("https://example.kz/hook/wappi/se&cret?x=1")
    assert fake.profiles[PROFILE].webhook_url == "https://example.kz/hook/wappi/se&cret?x=1"
    assert set(fake.profiles[PROFILE].webhook_types) == set(wappi.WEBHOOK_TYPES)


# ── The fake server's own webhooks ───────────────────────────────────────────────────────────────────────────────────
class Receiver(Router):
    """Collects what is posted to it."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.route("POST", "/hook")(self._hook)

    async def _hook(self, request: Request) -> Response:
        self.bodies.append(request.body)
        return Response()


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_the_fake_server_posts_is_understood(fake: FakeWappi, adapter: WappiAdapter) -> None:
    receiver = Receiver()
    with running(receiver) as address:
        adapter.subscribe(f"{address}/hook")
        fake.profiles[PROFILE].auto_receipts = ["delivered"]
        asked = fake.customer_writes(PHONE, "Is it in stock?", name="Aigul")
        typed = fake.owner_types_on_phone(PHONE, "Yes")
        sent = adapter.send(text_to(PHONE)).external_id
        fake.reports_delivery(sent, "read", array=True)
        fake.reports_connection("offline", "logout from api")
        eventually(lambda: len(receiver.bodies) == 6)
    raws = [raw for body in receiver.bodies for raw in adapter.split(body)]
    for raw in raws:
        assert adapter.parse(raw.payload)
    expected = {f"message:{asked}", f"message:{typed}", f"message:{sent}", f"status:{sent}:delivered", f"status:{sent}:read"}
    assert expected <= {raw.external_id for raw in raws}


def test_the_fake_server_is_driven_over_http(fake: FakeWappi, adapter: WappiAdapter) -> None:
    def control(method: str, path: str, body: Any = None) -> Any:
        return http.call(method, f"{fake.base_url}/_sandbox/{path}", json=body, writes=False, label="sandbox").json()

    control("POST", "message", {"phone": PHONE, "text": "hello", "deliver": "poll"})
    control("POST", "owner", {"phone": PHONE, "text": "hi", "deliver": "poll"})
    assert texts(adapter, {})[0] == ["hello", "hi"]
    control("POST", "faults", {"path": "message/send", "status": 429})
    with pytest.raises(Retry):
        adapter.send(text_to(PHONE))
    adapter.send(text_to(PHONE))
    [sent] = control("GET", "ledger")
    assert (sent["recipient"], control("GET", "ledger?since=1")) == (PHONE, [])
    assert control("POST", "profile", {"authorized": False})["authorized"] is False
    assert control("GET", "state")["sends"] == 1
    control("POST", "reset", {})
    assert control("GET", "ledger") == []
