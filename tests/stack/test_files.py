"""Procfile, docker-compose.yml, render.yaml and .env.example agree with the code."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from config.celery_settings import QUEUES

ROOT = Path(__file__).resolve().parent.parent.parent


def commands(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    if name == "Procfile":
        return text.splitlines()
    services = yaml.safe_load(text)["services"]
    entries = services.values() if isinstance(services, dict) else services
    return [str(each.get("command") or each.get("dockerCommand") or "") for each in entries]


@pytest.mark.parametrize("name", ["Procfile", "docker-compose.yml", "render.yaml"])
def test_every_queue_has_exactly_one_kind_of_worker(name: str) -> None:
    consumed = Counter(
        queue for each in commands(name) for queue in re.findall(r"-Q (\S+)", each)[0:1] for queue in queue.split(",")
    )
    assert consumed == Counter(list(QUEUES))


@pytest.mark.parametrize("name", ["Procfile", "docker-compose.yml", "render.yaml"])
def test_one_beat(name: str) -> None:
    assert sum(" beat" in each for each in commands(name)) == 1


def test_every_setting_is_explained() -> None:
    read = re.findall(r"\b(?:env(?:\.\w+)?|secret|required)\(\s*\"([A-Z_]+)\"", (ROOT / "config" / "settings.py").read_text())
    assert len(read) > 30
    explained = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(read) - explained - {"TEST_DATABASE_NAME"} == set()


def test_every_chosen_package_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for name in ("requirements.txt", "requirements-dev.txt"):
        chosen = (ROOT / name).read_text().partition("# transitive")[0]
        for package in re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", chosen, re.MULTILINE):
            assert re.search(rf"[| ,]{re.escape(package)}[ ,]", reasons), package
