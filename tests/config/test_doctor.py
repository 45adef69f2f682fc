"""`manage.py doctor`: every check against what works and what is broken, and what of it is shown."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection
from django.utils import translation

from channels.adapters import whatsapp_cloud
from channels.control import webhook_url
from channels.models import Channel
from channels.registry import adapter_for
from config import backup, pulse
from config.doctor import (
    backups,
    broker,
    checkup,
    clock,
    database,
    database_connections,
    disk,
    keys,
    language_models,
    languages,
    public_address,
)
from config.doctor import channels as channel_checks
from config.doctor import voices as voice_checks
from config.doctor.findings import Check, Finding, Level, fail, ok, warn
from foundation.crypto import seal
from foundation.db import execute
from foundation.errors import Retry
from llm import voices
from llm.models import LanguageModel, Voice
from sales.models import Assistant, Bot
from tests.conversations.rows import english  # noqa: F401
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.llm import FakeLLM
from tests.sandbox.server import Request, Response, Router, as_json, running
from tests.sandbox.telegram import FakeTelegram
from tests.sandbox.telegram_rows import TOKEN
from tests.sandbox.telegram_rows import Bot as TelegramBot
from tests.sandbox.voices import FakeVoices
from tests.sandbox.waha import FakeWaha
from tests.sandbox.waha_rows import API_KEY, SESSION
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import PROFILE
from tests.sandbox.wappi_rows import TOKEN as WAPPI_TOKEN
from tests.sandbox.whatsapp_cloud import FakeCloud
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, VERIFY_TOKEN
from tests.sandbox.whatsapp_cloud_rows import TOKEN as CLOUD_TOKEN

pytestmark = pytest.mark.django_db

NOWHERE = "http://127.0.0.1:1"


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level.value for finding in findings]


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are not well; each of them says what to do."""
    found = [finding for finding in findings if finding.level != Level.OK]
    assert all(finding.do for finding in found)
    return found


def doctor(*checks: Check, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[str, int]:
    """What the command prints with these checks, and its exit status."""
    monkeypatch.setattr(checkup, "CHECKS", checks)
    out, status = StringIO(), 0
    try:
        call_command("doctor", stdout=out, **({"language": "en"} | options))
    except SystemExit as ended:
        status = int(str(ended.code))
    return out.getvalue(), status


# ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    well = Check("one", "Disk", lambda: [ok("VAR_DIR", "5 GB free"), warn("LOG_DIR", "Nearly full. " * 6, "Free some.")])
    out, status = doctor(well, Check("none", "Nothing", list), monkeypatch=monkeypatch)
    assert status == 0, "a warning is no failure"
    assert out.splitlines()[:3] == [
        "Disk",
        "  ok       VAR_DIR  5 GB free",
        "  warning  LOG_DIR  Nearly full. Nearly full. Nearly full. Nearly",
    ]
    assert "→ Free some." in out and "Nothing" not in out
    assert out.splitlines()[-1] == "Fine: 1, warnings: 1, failures: 0."
    assert all(len(line) <= 70 for line in out.splitlines())


def test_a_failure_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    ill = Check("one", "Disk", lambda: [fail("VAR_DIR", "Full.", "Free some.")])
    out, status = doctor(ill, monkeypatch=monkeypatch, json=True)
    assert status == 1
    assert json.loads(out) == {
        "ok": False,
        "findings": [{"check": "one", "level": "fail", "subject": "VAR_DIR", "what": "Full.", "do": "Free some."}],
    }


def test_only_the_checks_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [Check(name, name, lambda: [ok("all", "well")]) for name in ("one", "two")]
    monkeypatch.setattr(checkup, "CHECKS", named)
    out = StringIO()
    call_command("doctor", "--only", "two", "--language", "en", stdout=out)
    assert "two" in out.getvalue() and "one" not in out.getvalue()


def test_in_russian(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = next(check for check in checkup.CHECKS if check.name == "database")
    disabled = Check("voice", listed.title, lambda: [ok(translation.gettext("Channels"), translation.gettext("works"))])
    out, _status = doctor(disabled, monkeypatch=monkeypatch, language="ru")
    assert "База данных" in out and "Каналы" in out and "работает" in out


def test_the_fault_of_one_check_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def first() -> Iterator[Finding]:
        yield ok("before", "seen")
        raise KeyError("a secret of somebody")

    def second() -> Iterator[Finding]:
        raise DatabaseError("a value of a row")
        yield

    out, status = doctor(
        Check("one", "One", first), Check("two", "Two", second, reads_rows=True), Check("three", "Three", lambda: [ok("x", "y")]),
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert status == 1
    assert "before" in out and "KeyError at test_doctor.py" in out and "DatabaseError" in out and "Three" in out
    assert "somebody" not in out and "of a row" not in out


def test_without_a_database_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError('connection failed: FATAL: password authentication failed for user "shop"\nsecond line')

    monkeypatch.setattr(connection, "ensure_connection", away)
    out, status = doctor(
        Check("database", "Database", database.look), Check("rows", "Rows", lambda: [ok("x", "never")], reads_rows=True),
        Check("disk", "Disk", lambda: [ok("disk", "fine")]), monkeypatch=monkeypatch,
    )  # fmt: skip
    assert status == 1
    assert "authentication failed" in out and "second line" not in out and "DATABASE_URL" in out
    assert "never" not in out and "Not looked at" in out and "fine" in out


def test_neither_secrets_nor_phones_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    Channel.objects.create(name="+7 701 123 45 67", slug="t", kind="telegram", company="x", credentials={"token": TOKEN})
    LanguageModel.objects.create(name="m", kind="openai", model_id="x", api_key="sk-model-secret")
    secret = Channel.objects.get().webhook_secret
    told = (
        f"{TOKEN} sk-model-secret 77011234567 8 (701) 123-45-67 +7 701 123 45 67 {secret} redis://u:pass@host 2026-11-20 12:30"
    )
    out, _status = doctor(
        Check("one", "One", lambda: [fail("+7 701 123 45 67", told, told)]), monkeypatch=monkeypatch, json=True
    )
    for hidden in (TOKEN, "sk-model-secret", "123", "4567", secret, "pass@"):
        assert hidden not in out
    assert "2026-11-20 12:30" in out


def test_every_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in checkup.CHECKS]
    assert len(set(names)) == len(names)


# ── What everything stands on ────────────────────────────────────────────────────────────────────────────────────────


def executor(missing: int, applied: Iterable[tuple[str, str]] = ()) -> Any:
    loader = SimpleNamespace(
        graph=SimpleNamespace(leaf_nodes=list),
        disk_migrations={("channels", "0001"): 1},
        applied_migrations=dict.fromkeys(applied),
    )
    return lambda _connection: SimpleNamespace(loader=loader, migration_plan=lambda _leaves: [None] * missing)


def test_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MigrationExecutor", executor(0, [("channels", "0001"), ("gone_app", "0001")]))
    found = {one.subject: one for one in database.look()}
    assert "PostgreSQL" in found["version"].what and {one.level for one in found.values() if one.subject != "pgvector"} == {
        "ok"
    }
    monkeypatch.setattr(database, "_vector", lambda: ok("pgvector", "0.8.5"))
    monkeypatch.setattr(database, "MigrationExecutor", executor(2))
    assert "2 migrations" in bad(database.look())[0].what
    monkeypatch.setattr(database, "MigrationExecutor", executor(0, [("channels", "0001"), ("channels", "0099")]))
    assert levels(bad(database.look())) == ["warn"]
    monkeypatch.setattr(database, "OLDEST", 99)
    assert "too old" in bad(database.look())[0].what


@pytest.mark.parametrize(("row", "level"), [(None, "warn"), (SimpleNamespace(version="0.8.5"), "ok")])
def test_pgvector(monkeypatch: pytest.MonkeyPatch, row: Any, level: str) -> None:
    monkeypatch.setattr(database, "row", lambda sql, params: row)
    assert database._vector().level == level


PROCFILE = (Path(__file__).resolve().parents[2] / "Procfile").read_text()


def test_how_many_connections_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_connections.may_open(PROCFILE, {}) == (16 + 4) + (96 + 4) + (1 + 1) + 1 + 12
    assert database_connections.may_open(PROCFILE, {"DATABASE_POOL": "30"}) == 123 + 30
    monkeypatch.setattr(database_connections, "_wanted", lambda: 1)
    assert not bad(database_connections.look())
    monkeypatch.setattr(database_connections, "_wanted", lambda: 10_000)
    assert "10000" in bad(database_connections.look())[0].what
    monkeypatch.setattr(database_connections, "_wanted", lambda: 1)
    monkeypatch.setattr(database_connections, "CROWDED", 0.0)
    assert "in use" in bad(database_connections.look())[0].what


def test_a_pooler_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not database_connections.through_a_pooler()
    monkeypatch.setattr(database_connections, "through_a_pooler", lambda: True)
    found = bad(database_connections.look())
    assert levels(found) == ["warn"] and "DATABASE_PREPARED=0" in found[0].do
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert not bad(database_connections.look())
    monkeypatch.setattr(database_connections, "_setting", lambda name: "0" if name == "lock_timeout" else "30s")
    [found_timeouts] = bad(database_connections.look())
    assert found_timeouts.level == Level.FAIL and "ALTER ROLE … SET lock_timeout = '5s';" in found_timeouts.do


@pytest.mark.parametrize(("hours_off", "level"), [(0, "ok"), (20 / 3600, "warn"), (-1, "fail")])
def test_clocks(monkeypatch: pytest.MonkeyPatch, hours_off: float, level: str) -> None:
    monkeypatch.setattr(clock, "now", lambda: time.time() + hours_off * 3600)
    with running(Router()) as provider:
        Channel.objects.create(name="a", slug="a", kind="telegram", company="x", base_url=f"{NOWHERE}/x")
        LanguageModel.objects.create(name="m", kind="vllm", model_id="m", base_url=f"{provider}/v1")
        found = list(clock.look())
    assert levels(found) == [level] * 3
    assert [finding.subject for finding in found] == ["PostgreSQL", "Redis", "127.0.0.1"]
    if level != "ok":
        assert ("behind" if hours_off > 0 else "ahead") in found[0].what and "NTP" in found[0].do


def test_a_provider_that_tells_no_time(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    Channel.objects.create(name="a", slug="a", kind="telegram", company="x", base_url=NOWHERE)
    monkeypatch.setattr(clock, "PATIENCE", 1.0)
    assert [finding.subject for finding in clock.look()] == ["PostgreSQL"]


def test_folders(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAR_DIR", "MEDIA_ROOT", "KNOWLEDGE_BASE_PATH", "BACKUP_PATH"):
        setattr(settings, name, tmp_path / name.lower())
    monkeypatch.setattr(disk, "SHORT_BYTES", 0)
    monkeypatch.setattr(disk, "SHORT_SHARE", 0)
    monkeypatch.setattr(disk, "NOTHING_LEFT", 0)
    assert not bad(disk.look()), "what will be made is made where one may write"
    (tmp_path / "backup_path").write_text("no folder")
    [found] = bad(disk.look())
    assert (found.subject, found.level) == ("BACKUP_PATH", Level.FAIL) and list(tmp_path.iterdir()) == [
        tmp_path / "backup_path"
    ]
    (tmp_path / "backup_path").unlink()
    usage = SimpleNamespace(total=2**40, free=2**29)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _path: usage)
    monkeypatch.setattr(disk, "SHORT_BYTES", 2**30)
    assert levels(bad(disk.look())) == ["warn"]
    monkeypatch.setattr(disk, "NOTHING_LEFT", 2**30)
    assert levels(bad(disk.look())) == ["fail"]


# ── Broker, workers, beat ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A broker with workers that answer, and signs of life that no running copy writes."""
    for name in ("QUEUES_KEY", "BEATS_KEY"):
        monkeypatch.setattr(pulse, name, f"test:{name}:{os.getpid()}")
    monkeypatch.setattr(broker, "queue_sizes", lambda: dict.fromkeys(pulse.settings.CELERY["task_routes"], 0))
    monkeypatch.setattr(broker, "workers", lambda: ["answers@host"])
    client = pulse._client()
    at = f"{pulse._now():.3f}"
    client.hset(pulse.BEATS_KEY, mapping={"host:1": at})
    client.hset(pulse.QUEUES_KEY, mapping={queue.name: f"{at} w@host" for queue in pulse.settings.CELERY["task_queues"]})
    yield client
    client.delete(pulse.QUEUES_KEY, pulse.BEATS_KEY)


def test_all_work(signs: redis.Redis) -> None:
    assert not bad(broker.look())


def test_a_queue_that_nobody_reads(signs: redis.Redis) -> None:
    signs.hdel(pulse.QUEUES_KEY, "answers")
    [found] = bad(broker.look())
    assert found.level == Level.FAIL and "answers" in found.what


def test_without_beat_the_queues_are_not_blamed(signs: redis.Redis) -> None:
    signs.delete(pulse.BEATS_KEY, pulse.QUEUES_KEY)
    assert [(found.subject, found.level) for found in bad(broker.look())] == [("beat", Level.FAIL)]


def test_two_beats_are_one_too_many(signs: redis.Redis) -> None:
    signs.hset(pulse.BEATS_KEY, "host:2", f"{pulse._now():.3f}")
    assert levels(bad(broker.look())) == ["warn"]


def test_nobody_works_and_much_waits(signs: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "workers", list)
    monkeypatch.setattr(broker, "queue_sizes", lambda: {"answers": 5_000, "poll": None})
    found = bad(broker.look())
    assert levels(found) == ["warn", "fail"] and "answers 5000" in found[0].what


def test_no_broker(settings: Any) -> None:
    settings.BROKER_URL = settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert [found.subject for found in bad(broker.look())] == ["Redis", "broker"]


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"redis_version": "5.0.7"}, "too old"),
        ({"maxmemory": 100, "maxmemory_policy": "allkeys-lru"}, "allkeys-lru"),
        ({"maxmemory": 100, "used_memory": 95}, "95 %"),
    ],
)
def test_a_redis_that_will_lose_tasks(monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], told: str) -> None:
    monkeypatch.setattr(redis.Redis, "info", lambda self: {"redis_version": "7.4.1", **info})
    assert told in bad(broker._redis())[0].what


# ── Keys, words, zones, backups ──────────────────────────────────────────────────────────────────────────────────────


def test_keys(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    Channel.objects.create(name="a", slug="a", kind="widget", company="x", credentials={"token": "t"})
    assert not bad(keys.look())
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = {"new": b"n" * 32, **old}
    [left] = bad(keys.look())
    assert left.level == Level.WARN and "channels_channel.credentials" in left.what and "rotate_keys" in left.do
    call_command("rotate_keys", stdout=StringIO())
    found = list(keys.look())
    assert not bad(found) and "finished" in found[-1].what
    settings.ENCRYPTION_KEYS = old
    [lost] = bad(keys.look())
    assert lost.level == Level.FAIL and "channels_channel" in lost.what


def test_a_value_that_was_altered_and_a_file_of_a_lost_key(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    channel = Channel.objects.create(name="a", slug="a", kind="widget", company="x", credentials={"token": "t"})
    execute(
        "UPDATE channels_channel SET cursor = %(v)s WHERE id = %(id)s", {"v": seal(b"{}", "other.column"), "id": channel.pk}
    )
    folder = tmp_path / "2026" / "11"
    folder.mkdir(parents=True)
    (folder / ("a" * 32)).write_bytes(b"\x01\x04gone" + b"x" * 40)
    [found] = bad(keys.look())
    assert "channels_channel.cursor" in found.what and "MEDIA_ROOT" in found.what


def test_lost_keys_are_what_it_says(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MEDIA_ROOT = tmp_path
    channel("telegram", NOWHERE, {"token": TOKEN})
    settings.ENCRYPTION_KEYS = {"other": b"o" * 32}
    chosen = [check for check in checkup.CHECKS if check.name in ("keys", "channels")]
    out, status = doctor(*chosen, monkeypatch=monkeypatch)
    assert status == 1
    assert "channels_channel.credentials" in out and "do not open with the configured keys" in out
    assert "broke" not in out


def test_translations(settings: Any, tmp_path: Path) -> None:
    assert not bad(languages.catalogues())
    settings.LOCALE_PATHS = [tmp_path]
    assert "ru, kk" in bad(languages.catalogues())[0].what


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not bad(languages.time_zones())
    Channel.objects.create(name="a", slug="a", kind="widget", company="x", time_zone="Asia/Nowhere")
    assert "Asia/Nowhere" in bad(languages.time_zones())[0].what
    Channel.objects.all().delete()
    monkeypatch.setattr(languages, "PROOF", ("Asia/Tashkent", languages.PROOF[1], languages.timedelta(hours=6)))
    assert "before 2024" in bad(languages.time_zones())[0].what
    monkeypatch.setattr(languages, "available_timezones", set)
    assert levels(bad(languages.time_zones())) == ["fail"]


def test_backups(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BACKUP_PATH = tmp_path
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.1'\n")
    program.chmod(0o755)
    monkeypatch.setattr(backup, "_pg_dump", lambda: str(program))
    assert levels(bad(backups.look())) == ["warn"]
    copy = tmp_path / "saudager-20261120-033000.dump"
    copy.write_bytes(b"PGDMP")
    assert not bad(backups.look())
    os.utime(copy, (time.time() - 30 * 3600,) * 2)
    assert levels(bad(backups.look())) == ["fail"]
    os.utime(copy)
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6'\n")
    assert "refuses" in bad(backups.look())[0].what

    def missing() -> str:
        raise backup.CannotBackUp("no program")

    monkeypatch.setattr(backup, "_pg_dump", missing)
    assert [found.subject for found in bad(backups.look())] == ["pg_dump"]


# ── The public address ───────────────────────────────────────────────────────────────────────────────────────────────


class Site(Router):
    """What answers at PUBLIC_URL."""

    def __init__(self, told: Any) -> None:
        super().__init__()
        self.told = told
        self.route("GET", "/health")(self._health)

    async def _health(self, request: Request) -> Response:
        return as_json(self.told)


def channel(kind: str, base_url: str = "", credentials: Any = None, options: Any = None, **fields: Any) -> Channel:
    values = {"name": kind, "slug": kind, "company": "x", **fields}
    return Channel.objects.create(kind=kind, base_url=base_url, credentials=credentials or {}, options=options or {}, **values)


def test_the_public_address_is_ours(settings: Any) -> None:
    with running(Site({"queue_connection": "ok"})) as settings.PUBLIC_URL:
        assert levels(public_address.look()) == ["ok"]
        channel("telegram")
        assert levels(bad(public_address.look())) == ["warn"], "it polls where nobody can post"
        channel("whatsapp_cloud")
        [found] = bad(public_address.look())
        assert found.level == Level.FAIL and "whatsapp_cloud" in found.what


@pytest.mark.parametrize("told", [{"status": "healthy"}, "a page", None])
def test_the_public_address_is_somebody_elses(settings: Any, told: Any) -> None:
    with running(Site(told)) as settings.PUBLIC_URL:
        assert "somebody else" in bad(public_address.look())[-1].what


def test_nobody_answers_at_the_public_address(settings: Any) -> None:
    settings.PUBLIC_URL = NOWHERE
    assert levels(bad(public_address.look())) == ["warn"]
    channel("telegram")
    assert levels(bad(public_address.look())) == ["warn", "fail"]


def test_a_certificate_that_nobody_accepts(settings: Any) -> None:
    with running(Site({})) as plain:
        [found] = bad(public_address._certificate("127.0.0.1", int(plain.rpartition(":")[2])))
    assert (found.subject, found.level) == ("TLS", Level.FAIL)
    assert list(public_address._certificate("127.0.0.1", 1)) == [], "that nobody answers is told elsewhere"


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every channel has an assistant, so that only providers are at fault."""
    monkeypatch.setattr(channel_checks, "_ours", lambda channel: ())


def subscribed(row: Channel) -> None:
    adapter_for(row).subscribe(webhook_url(row))


def test_telegram(served: None) -> None:
    fake = FakeTelegram([TelegramBot()])
    with running(fake) as base:
        row = channel("telegram", base, {"token": TOKEN})
        [unhooked] = bad(channel_checks.look())
        assert unhooked.level == Level.FAIL and "no webhook" in unhooked.what and "docs/channels/telegram.md" in unhooked.do
        subscribed(row)
        [found] = channel_checks.look()
        assert found.level == Level.OK and "@" in found.what
        Channel.objects.update(credentials={"token": "700100200:another-token-of-nobody_00000000"})
        [refused] = bad(channel_checks.look())
        assert refused.level == Level.FAIL and "credentials anew" in refused.do


def test_wappi_and_waha(served: None) -> None:
    wappi, waha = FakeWappi(), FakeWaha()
    with running(wappi) as first, running(waha) as second:
        channel("wappi", first, {"token": WAPPI_TOKEN}, {"profile_id": PROFILE})
        row = channel("waha", second, {"api_key": API_KEY, "hmac_key": "h" * 32}, {"session": SESSION})
        assert [(found.subject, found.level) for found in bad(channel_checks.look())] == [("waha", Level.WARN)]
        subscribed(row)
        assert levels(channel_checks.look()) == ["ok", "ok"]
        wappi.profiles[PROFILE].authorized = False
        waha.sessions[SESSION].status = "SCAN_QR_CODE"
        found = bad(channel_checks.look())
        assert levels(found) == ["fail", "fail"] and any("QR" in one.what for one in found)


def test_avito_and_the_cloud(served: None) -> None:
    whatsapp_cloud._subscribed.clear()
    avito, cloud = FakeAvito(), FakeCloud()
    cloud.number.subscribed = False
    with running(avito) as first, running(cloud) as second:
        channel("avito", first, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        secrets = {"access_token": CLOUD_TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN}
        channel("whatsapp_cloud", second, secrets, {"phone_number_id": NUMBER, "waba_id": ACCOUNT})
        found = {one.subject: one for one in channel_checks.look()}
    assert found["avito"].level == Level.WARN and "no webhook" in found["avito"].what
    assert found["whatsapp_cloud"].level == Level.FAIL and "subscribe" in found["whatsapp_cloud"].what


def test_a_provider_out_of_reach_and_an_adapter_with_a_fault(served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    channel("telegram", NOWHERE, {"token": TOKEN})
    channel("widget")
    monkeypatch.setattr("channels.adapters.widget.WidgetAdapter.check", lambda self: 1 // 0)
    found = {one.subject: one for one in bad(channel_checks.look())}
    assert "network" in found["telegram"].do and TOKEN not in found["telegram"].what
    assert "ZeroDivisionError" in found["widget"].what


def test_what_our_own_rows_say_of_a_channel() -> None:
    row = channel("widget")
    [alone] = bad(channel_checks.look())
    assert "No assistant" in alone.what
    Bot.objects.create(channel=row, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    assert levels(channel_checks.look()) == ["ok"]
    Channel.objects.update(running=False, poll_failures=1_000)
    assert levels(channel_checks.look()) == ["ok", "warn", "warn"]
    Channel.objects.update(kind="telegram", running=True, poll_failures=0)
    [incomplete] = bad(channel_checks.look())
    assert incomplete.level == Level.FAIL and "token" in incomplete.what
    Channel.objects.update(enabled=False)
    assert levels(channel_checks.look()) == ["warn"]


# ── Models and voices ────────────────────────────────────────────────────────────────────────────────────────────────


def a_model(base_url: str, name: str = "main", **fields: Any) -> LanguageModel:
    return LanguageModel.objects.create(name=name, kind="vllm", model_id=name, base_url=base_url, **fields)


@pytest.mark.django_db(transaction=True)
def test_models() -> None:
    fake = FakeLLM(script=lambda _prompted: {"ready": True})
    with running(fake) as base:
        channel("telegram")
        a_model(f"{base}/v1")
        assert levels(language_models.look()) == ["ok", "warn"], "nobody hears voice messages"
        a_model(f"{base}/v1", name="second", supports_audio=True)
        assert levels(language_models.look()) == ["ok", "ok"]
        fake.fail("unauthorized", model="second")
        [refused] = bad(language_models.look())
        assert (refused.subject, refused.level) == ("second", Level.FAIL)
    LanguageModel.objects.update(enabled=False)
    assert levels(bad(language_models.look())) == ["warn"]


def test_voices() -> None:
    voices.forget()
    fake = FakeVoices()
    with running(fake) as base:
        voice = Voice.objects.create(
            name="Irina", slug="irina", engine="piper", base_url=base, voice="ru_RU-irina-medium", timeout=5
        )
        [found] = voice_checks.look()
        assert found.level == Level.OK and "Piper" in found.what
        fake.mode = "garbage"
        assert levels(bad(voice_checks.look())) == ["warn"]
        Assistant.objects.create(name="Aida", slug="aida", voice=voice)
        assert levels(bad(voice_checks.look())) == ["fail"]
    Voice.objects.update(enabled=False)
    [switched_off] = bad(voice_checks.look())
    assert (switched_off.subject, switched_off.level) == ("Aida", Level.WARN)


def test_a_voice_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    Voice.objects.create(name="Irina", slug="irina", engine="piper", base_url=NOWHERE)

    def nobody(*_args: Any) -> bytes:
        raise Retry("Irina: the engine is not reachable", code="connect")

    monkeypatch.setattr(voices, "say", nobody)
    [found] = bad(voice_checks.look())
    assert "not reachable" in found.what and "address" in found.do
