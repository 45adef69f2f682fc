"""The website chat as people meet it: the script, the start page, and both in a browser."""

from __future__ import annotations

import gzip
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client

from channels.models import Channel, InboundEvent
from conversations import outbox, widget
from conversations import receive as receiving
from conversations.drafts import Draft
from conversations.models import Conversation
from tests.conversations.widget_server import Server, running

pytestmark = pytest.mark.django_db(transaction=True)

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def test_the_script_is_small_and_asks_for_nothing_forbidden() -> None:
    text = widget.SCRIPT.read_text()
    assert len(text.encode()) < 15_000
    for word in ("eval(", "new Function", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "document.cookie"):
        assert word not in text
    assert not re.search(r"setAttribute\(\s*[\"']on", text)
    for language in ("ru", "kk", "en"):
        assert re.search(rf"^  {language}: \[", text, re.M)


def test_the_script_has_a_stable_address_and_is_cached(client: Client) -> None:
    answer = client.get("/widget/widget.js")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert "max-age=300" in answer["Cache-Control"]
    assert answer.content == widget.SCRIPT.read_bytes()
    packed = client.get("/widget/widget.js", headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(packed.content) == answer.content
    again = client.get("/widget/widget.js", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_start_page_shows_the_chat_and_loads_nothing_from_elsewhere(client: Client) -> None:
    Channel.objects.create(name="Site", slug="site", kind=Channel.Kind.WIDGET, company="<b>Demo</b>")
    page = client.get("/", headers={"Accept-Language": "en"}).content.decode()
    assert 'data-channel="site"' in page
    assert "<b>Demo</b>" not in page
    loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"([^\"]+)\"", page)
    assert loaded
    assert all(address.startswith("/") for address in loaded)


def test_the_start_page_without_a_chat(client: Client) -> None:
    Channel.objects.create(name="Site", slug="site", kind=Channel.Kind.WIDGET, company="Demo", enabled=False)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "data-channel" not in answer.content.decode()


# ── In a browser ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    # DEBUG serves the static files from where they lie, without collecting them first.
    with django_db_blocker.unblock(), running(DEBUG="true") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (apt-get install chromium, or set CHROMIUM)")
    playwright = pytest.importorskip("playwright.sync_api")
    # Playwright's loop runs in this thread, where Django would refuse the database; nothing here is really concurrent.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def answer_next(text: str) -> None:
    """Receive the visitor's message, as soon as it is there, and reply."""
    for _ in range(200):
        waiting = InboundEvent.objects.filter(state=InboundEvent.State.NEW).order_by("id")
        if waiting:
            break
        threading.Event().wait(0.05)
    for event in waiting:
        receiving.receive(event.pk)
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().get()
        outbox.queue(conversation, conversation.channel_id, Draft(text), author="bot")
    outbox.deliver(conversation.pk)


@pytest.fixture
def channel(transactional_db: None) -> Channel:
    """An identifier of its own: the server remembers channels for two seconds."""
    return Channel.objects.create(
        name="Site", slug=f"site-{uuid4().hex[:8]}", kind=Channel.Kind.WIDGET, company="Demo", hold=0, moderation=False,
        options={"name": "Aida", "title": "consultant", "greeting": "Hello! What are you looking for?"},
    )  # fmt: skip


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    context.close()
    assert not troubles


@pytest.mark.browser
def test_a_visitor_talks_on_the_start_page(server: Server, channel: Channel, page: Any) -> None:
    page.goto(server.url)
    page.get_by_text("Hello! What are you looking for?").wait_for()
    page.get_by_role("textbox").fill("How much is it?")
    page.get_by_role("textbox").press("Enter")
    page.locator(".own", has_text="How much is it?").wait_for()
    answer_next("That depends: https://example.com/prices. <img src=x onerror=alert(1)>")
    answer = page.locator(".bot", has_text="That depends")
    answer.wait_for()
    link = answer.get_by_role("link")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == ("https://example.com/prices", "noopener")
    assert answer.locator("img").count() == 0
    page.locator(".own .i", has_text="✓✓").wait_for()
    page.reload()
    page.locator(".bot", has_text="That depends").wait_for()
    assert page.locator(".own").count() == 1
    assert page.locator(".bot").count() == 2


@pytest.fixture
def shop(server: Server, channel: Channel) -> Iterator[str]:
    """Another site that embeds the chat, with the strictest policy under which it can."""
    policy = f"default-src 'none'; script-src {server.url}; connect-src {server.url}"
    script = f'<script src="{server.url}/widget/widget.js" data-channel="{channel.slug}"></script>'
    html = f'<!doctype html><html lang="kk"><body>{script}'

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http.server_port}"
        channel.options["origins"] = [address]
        channel.save()
        yield address
        http.shutdown()


@pytest.mark.browser
def test_another_site_embeds_the_chat(server: Server, shop: str, channel: Channel, page: Any) -> None:
    page.goto(shop)
    launcher = page.get_by_role("button", name="Чат")
    launcher.click()
    field = page.get_by_role("textbox", name="Хабарлама")
    assert field.evaluate("node => node.getRootNode().activeElement === node")
    field.fill("One")
    field.press("Shift+Enter")
    field.type("two")
    field.press("Enter")
    assert page.locator(".own .t").inner_text() == "One\ntwo"
    field.press("Escape")
    launcher.wait_for()
    answer_next("Три")
    page.locator(".badge", has_text="1").wait_for()
    launcher.click()
    page.locator(".bot", has_text="Три").wait_for()
    assert not page.locator(".badge").is_visible()


@pytest.mark.browser
def test_what_is_written_offline_is_sent_later_and_once(server: Server, channel: Channel, page: Any) -> None:
    page.goto(server.url)
    page.get_by_text("Hello! What are you looking for?").wait_for()
    lost = []

    def lose(route: Any) -> None:
        """The first request arrives, its answer does not; the second does not even arrive."""
        lost.append(route.request.post_data)
        if len(lost) == 1:
            route.fetch()
        route.abort()

    page.route("**/messages/", lose)
    page.get_by_role("textbox").fill("Is anybody there?")
    page.get_by_role("textbox").press("Enter")
    page.get_by_text("no connection").wait_for()
    while len(lost) < 2:
        page.wait_for_timeout(50)
    page.reload()
    page.locator(".wait", has_text="Is anybody there?").wait_for()
    page.unroute("**/messages/")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.locator(".own:not(.wait)", has_text="Is anybody there?").wait_for()
    answer_next("Yes")
    page.locator(".bot", has_text="Yes").wait_for()
    assert page.locator(".own").count() == 1
    assert InboundEvent.objects.count() == 1
    assert len({json.loads(body)["client_id"] for body in lost}) == 1


@pytest.mark.browser
def test_without_streams_the_page_polls(server: Server, channel: Channel, page: Any) -> None:
    page.route("**/events/*", lambda route: route.abort())
    page.goto(server.url)
    page.get_by_role("textbox").fill("Hello")
    page.get_by_role("textbox").press("Enter")
    page.locator(".own").wait_for()
    answer_next("Good day")
    page.locator(".bot", has_text="Good day").wait_for(timeout=10_000)


@pytest.mark.browser
@pytest.mark.parametrize("size", [(390, 844), (320, 568)])
def test_a_phone_shows_the_chat_on_the_whole_screen(
    server: Server, shop: str, channel: Channel, page: Any, size: tuple[int, int]
) -> None:
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    page.goto(shop)
    page.get_by_role("button", name="Чат").click()
    box = page.get_by_role("dialog").bounding_box()
    assert (round(box["width"]), round(box["height"])) == (width, height)
    page.get_by_role("button", name="Жабу").click()
    page.get_by_role("button", name="Чат").wait_for()
