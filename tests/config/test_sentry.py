"""What leaves for Sentry carries no personal datum."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk

from config import sentry

SECRET = "+7 701 123 45 67 секретный текст"


class Recorder(sentry_sdk.Transport):
    """Keeps what would be sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [item.payload.bytes.decode() if item.payload.bytes else json.dumps(item.payload.json) for item in envelope.items]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Any:
    kept = Recorder()
    original = sentry_sdk.init
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: original(transport=kept, default_integrations=False, **options))
    yield kept
    original()


def test_an_exception_leaves_with_its_type_and_places_only(recorder: Recorder) -> None:
    sentry.start("http://key@127.0.0.1:1/1", "test")
    sentry_sdk.set_user({"phone": SECRET})
    sentry_sdk.set_context("task", {"args": SECRET})
    sentry_sdk.add_breadcrumb(message=SECRET)
    text = SECRET
    try:
        raise ValueError(f"cannot send {text}")
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.capture_message(SECRET)
    sentry_sdk.flush()
    everything = "".join(recorder.sent)
    assert "ValueError" in everything
    assert "test_sentry.py" in everything
    assert "701 123" not in everything
    assert "секретный" not in json.loads(json.dumps(everything)).encode().decode("unicode_escape", "ignore")


def test_without_a_dsn_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: Any) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(sentry_sdk, "init", refuse)
    sentry.start("", "test")
