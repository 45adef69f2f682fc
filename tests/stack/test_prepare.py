"""`manage.py prepare`, which script/server and docker-compose run before anything else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import Settings

from config.management.commands import prepare

pytestmark = pytest.mark.django_db


def test_the_first_start_makes_an_administrator_whose_password_is_said_once() -> None:
    password = prepare.first_start(None)
    assert password and len(password) >= 12
    admin = User.objects.get(username="admin")
    assert admin.is_superuser and admin.check_password(password)
    assert prepare.first_start(None) is None


def test_a_first_start_that_failed_is_one_again(tmp_path: Path) -> None:
    broken = tmp_path / "company.yaml"
    broken.write_text("nonsense: [")
    with pytest.raises(CommandError):
        prepare.first_start(str(broken))
    assert not User.objects.exists()


def test_an_administrator_by_another_name_is_enough() -> None:
    User.objects.create_superuser("somebody", "", "a long password")
    assert prepare.first_start(None) is None
    assert User.objects.count() == 1


def test_static_files_are_collected_only_when_they_changed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    calls: list[str] = []

    def collect(name: str, **_: object) -> None:
        calls.append(name)
        (settings.STATIC_ROOT / "staticfiles.json").touch()

    monkeypatch.setattr(prepare, "call_command", collect)
    prepare.collect_static()
    prepare.collect_static()
    assert calls == ["collectstatic"]
    (settings.STATIC_ROOT / "staticfiles.json").unlink()
    prepare.collect_static()
    assert len(calls) == 2


def test_script_server_reads_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "collect_static", lambda: None)
    output = io.StringIO()
    call_command("prepare", json=True, stdout=output)
    made = json.loads(output.getvalue().splitlines()[-1])
    assert User.objects.get().check_password(made["admin_password"])
