"""After a rotation everything is sealed with the new key and says what it said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from conversations.models import Contact, Message
from foundation import sealed_files
from tests.conftest import Broker, Company

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_old_key_is_not_needed_any_more(company: Company, broker: Broker, settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    recording = sealed_files.write(b"a recording")
    company.says("Здравствуйте!")
    broker.run()
    Contact.objects.update(phone="77011234567")
    texts = [m.text for m in Message.objects.order_by("id")]
    new = {"k2": os.urandom(32)}
    settings.ENCRYPTION_KEYS = new | settings.ENCRYPTION_KEYS
    call_command("rotate_keys", verbosity=0)
    settings.ENCRYPTION_KEYS = new
    assert [m.text for m in Message.objects.order_by("id")] == texts
    assert Contact.objects.get().phone == "77011234567"
    assert sealed_files.read(recording) == b"a recording"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [recording[-32:]]
