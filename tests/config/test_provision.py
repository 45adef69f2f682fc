"""`manage.py provision`: what is read, what is written, what is printed, and what is refused."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.models import Channel, NumberRule
from channels.registry import adapter_class
from config.provisioning.document import AssistantShape, ChannelShape, ManagerChatShape, Model, VoiceShape
from config.provisioning.reading import ProvisionError, read
from conversations.models import Contact, Conversation, ManagerChat, Message, Turn
from knowledge.models import KnowledgeBase, Source
from llm.models import LanguageModel, Prompt, Voice
from sales.models import Assistant, AssistantModel, Bot
from tests.conftest import Broker

pytestmark = pytest.mark.django_db

DEMO = Path(__file__).resolve().parents[2] / "demo" / "company.yaml"
PDF = DEMO.parent / "knowledge" / "faq.pdf"

COMPANY = """
company: {name: Shop, about: Sells things.}
models:
  - {name: main, kind: gemini, model_id: gemini-3.8-flash, api_key: "${KEY:-}", position: 5}
  - {name: spare, kind: offline}
knowledge:
  - base: shop
    name: Shop
    files: ["*.pdf"]
assistants:
  - {slug: aida, name: Aida, knowledge_base: shop, models: [main, spare], hours: {mon-wed: "9:00-18:00"}}
channels:
  - slug: wa
    name: WhatsApp
    kind: wappi
    assistant: aida
    credentials: {token: "${TOKEN}"}
    options: {profile_id: 71}
    hold: 1.5
    blocked_numbers: [+7 701 123 45 67]
excluded_numbers:
  - {phone: 8 702 123 45 67, note: Owner}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: Broker) -> Any:
    monkeypatch.setenv("TOKEN", "wappi-token-secret")
    monkeypatch.delenv("KEY", raising=False)
    (tmp_path / "faq.pdf").write_bytes(PDF.read_bytes())

    def written(text: str = COMPANY) -> Path:
        file = tmp_path / "company.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def provision(file: Path, **options: Any) -> str:
    out = StringIO()
    call_command("provision", str(file), stdout=out, **options)
    return out.getvalue()


def test_everything_becomes_rows(write: Any, broker: Broker, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        out = provision(write())
    channel = Channel.objects.get(slug="wa")
    assert (channel.company, channel.about, channel.hold, channel.enabled) == ("Shop", "Sells things.", 1.5, True)
    assert channel.credentials == {"token": "wappi-token-secret"} and channel.options == {"profile_id": 71}
    assistant = Bot.objects.get(channel=channel).assistant
    assert assistant.hours == {day: ["09:00", "18:00"] for day in ("mon", "tue", "wed")}
    places = AssistantModel.objects.filter(assistant=assistant).order_by("position")
    assert [place.model.name for place in places] == ["main", "spare"]
    source = Source.objects.get(base__slug="shop")
    assert (source.file_name, source.origin, source.state) == ("faq.pdf", "provision", "queued")
    assert broker.named("knowledge.parse") == [source.pk]
    rules = {(rule.rule, rule.phone, rule.note, rule.channel) for rule in NumberRule.objects.all()}
    assert rules == {("blocked", "77011234567", "", channel), ("excluded", "77021234567", "Owner", None)}
    assert "channel wa: created" in out and "excluded number 7702…67: created" in out


def test_a_second_run_changes_nothing(write: Any) -> None:
    file = write()
    provision(file)
    before = Channel.objects.get().updated_at
    out = provision(file)
    assert "created" not in out and "changed\n" not in out.replace("unchanged", "")
    assert out.strip().splitlines()[-1] == "8 unchanged"
    assert Channel.objects.get().updated_at == before


def test_a_dry_run_finds_the_same_and_writes_nothing(write: Any, broker: Broker) -> None:
    file = write()
    dry = provision(file, dry_run=True)
    assert not any(model.objects.exists() for model in (Channel, LanguageModel, Assistant, KnowledgeBase, Source, NumberRule))
    assert broker.waiting == []
    assert "Dry run" in dry
    assert provision(file) == dry.replace("Dry run: nothing was written.\n", "")


def test_a_changed_file_changes_only_what_it_says(write: Any) -> None:
    provision(write())
    Channel.objects.update(running=False, pause_hours=3)
    text = COMPANY.replace("hold: 1.5", "hold: 2").replace("models: [main, spare]", "models: [spare]")
    out = provision(write(text))
    assert "channel wa: changed\n    hold: 1.5 → 2.0\n" in out
    assert "assistant aida: changed\n    models: main, spare → spare\n" in out
    channel = Channel.objects.get()
    assert (channel.hold, channel.running, channel.pause_hours) == (2, False, 3)
    assert AssistantModel.objects.get().model.name == "spare"


def test_secrets_and_phones_are_not_printed(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "gemini-key-secret")
    out = provision(write())
    monkeypatch.setenv("TOKEN", "another-token-secret")
    out += provision(write())
    assert "credentials.token: ••• → •••" in out and "api_key: •••" in out
    for hidden in ("secret", "77011234567", "77021234567"):
        assert hidden not in out


def test_a_model_without_a_key_is_disabled_until_it_has_one(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(COMPANY.replace("position: 5", "position: 5, enabled: true"))
    assert "model main: created (disabled: it has no key)" in provision(file)
    assert not LanguageModel.objects.get(name="main").enabled
    monkeypatch.setenv("KEY", "k" * 20)
    assert "enabled: no → yes" in provision(file)
    monkeypatch.delenv("KEY")
    provision(file)
    model = LanguageModel.objects.get(name="main")
    assert model.enabled and model.api_key == "k" * 20, "a file without the key does not take the stored one away"


def test_a_channel_without_credentials_is_disabled(write: Any) -> None:
    out = provision(write(COMPANY.replace("${TOKEN}", "${NOTHING:-}")))
    assert "channel wa: created (disabled: without token)" in out
    assert not Channel.objects.get().enabled


def test_missing_variables_are_all_named(write: Any) -> None:
    text = COMPANY.replace("${TOKEN}", "${MISSING_ONE}").replace("${KEY:-}", "${MISSING_TWO}")
    with pytest.raises(CommandError) as caught:
        provision(write(text))
    assert "MISSING_ONE (channels[0].credentials.token)" in str(caught.value)
    assert "MISSING_TWO (models[0].api_key)" in str(caught.value)
    assert not Channel.objects.exists()


def test_variables_defaults_and_escapes(write: Any) -> None:
    file = write("company: {name: '${A:-x}/${B}/$${C}/${D:-}', about: '${E:-with: colon # and more}'}")
    company = read(file, {"B": "b: ${A}", "D": ""}).company
    assert company is not None
    assert company.name == "x/b: ${A}/${C}/", "what comes out of the environment is not looked into again"
    assert company.about == "with: colon # and more"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("hold: 1.5", "holt: 1.5", "channels[0].holt: there is no such setting"),
        ("hold: 1.5", "hold: soon", "channels[0].hold: "),
        ("kind: wappi", "kind: fax", "channels[0].kind: must be one of: wappi, waha, whatsapp_cloud, telegram, avito, widget"),
        ("- slug: wa", "- slug: w a", "channels[0].slug: "),
        ("slug: aida,", "", "assistants[0].slug: is missing"),
        ("+7 701 123 45 67", "12", "channels[0].blocked_numbers[0].phone: not a phone number"),
        ('"9:00-18:00"', "9:00", "assistants[0].hours: write opening and closing time"),
        ("mon-wed", "wed-mon", "assistants[0].hours: days are"),
        ("knowledge_base: shop", "knowledge_base: shelf", "assistant aida: there is no knowledge base “shelf”"),
        ("assistant: aida", "assistant: bob", "channel wa: there is no assistant “bob”"),
        ("models: [main, spare]", "models: [other]", "assistant aida: there is no model “other”"),
        ("hold: 1.5", "hold: 99", "channel wa: hold: "),
        ("hold: 1.5", "time_zone: Almaty", "channel wa: time_zone: "),
        ("profile_id: 71", "other: 71", "channel wa: options: "),
        ("kind: gemini,", "", "model main: kind is missing"),
        ("model_id: gemini-3.8-flash", "model_id: ''", "model main: model_id: "),
        ("*.pdf", "*.docx", "knowledge base shop: no file matches *.docx"),
        ("hold: 1.5", "hold: 1.5\n    hold: 2", "this key is given twice"),
        ("hold: 1.5", "hold: [1.5", "company.yaml, line"),
        ("hold: 1.5", "owner: nobody", "channel wa: there is no user “nobody”"),
    ],
)
def test_mistakes_are_named_by_their_place(write: Any, old: str, new: str, told: str) -> None:
    assert old in COMPANY
    with pytest.raises(CommandError) as caught:
        provision(write(COMPANY.replace(old, new, 1)))
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not Channel.objects.exists() and not LanguageModel.objects.exists(), "one transaction, or nothing"


def test_mistakes_do_not_repeat_values(write: Any) -> None:
    with pytest.raises(CommandError) as caught:
        provision(write(COMPANY.replace('credentials: {token: "${TOKEN}"}', 'credentials: ["${TOKEN}"]')))
    assert "channels[0].credentials" in str(caught.value) and "secret" not in str(caught.value)


def test_a_file_that_is_no_company(write: Any, tmp_path: Path) -> None:
    for text in ("- a list", "just words", "", "\t bad: [yaml"):
        with pytest.raises(ProvisionError):
            read(write(text), {})
    with pytest.raises(CommandError, match=r"nowhere\.yaml cannot be read"):
        provision(tmp_path / "nowhere.yaml")


def test_absent_takes_away_what_nothing_stands_on(write: Any) -> None:
    provision(write())
    with pytest.raises(CommandError, match="assistant aida cannot be deleted, it is in use"):
        provision(write("assistants: [{slug: aida, state: absent}]"))
    out = provision(
        write(
            """
            channels: [{slug: wa, state: absent}, {slug: never, state: absent}]
            excluded_numbers: [{phone: "87021234567", state: absent}]
            models: [{name: spare, state: absent}]
            """
        )
    )
    assert "channel wa: deleted" in out and "channel never: absent" in out and "model spare: deleted" in out
    out = provision(write("assistants: [{slug: aida, state: absent}]\nknowledge: [{base: shop, state: absent}]"))
    assert "knowledge base shop: deleted" in out
    assert not Source.objects.exists() and not NumberRule.objects.exists()
    assert LanguageModel.objects.get().name == "main"


def test_a_channel_with_conversations_is_not_deleted(write: Any) -> None:
    provision(DEMO)
    with pytest.raises(CommandError, match="channel site holds conversations"):
        provision(write("channels: [{slug: site, state: absent}]"))


def test_owners(write: Any) -> None:
    user = get_user_model().objects.create_user("boss", is_staff=True)
    provision(write(COMPANY.replace("hold: 1.5", "owner: boss").replace("slug: aida,", "slug: aida, owner: boss,")))
    assert Channel.objects.get().owner == user and Assistant.objects.get().owner == user


def test_prompts(write: Any, tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text("You work for {company}. {knowledge} Now: {now}\n")
    file = write("prompts: [{purpose: answer, file: answer.md, note: Ours}]")
    assert "prompt answer: changed\n    text: the shipped text → version 1" in provision(file)
    assert "prompt answer: unchanged" in provision(file)
    (tmp_path / "answer.md").write_text("No places at all")
    with pytest.raises(CommandError, match=r"prompt answer: .*company"):
        provision(file)
    assert Prompt.objects.get().note == "Ours"


def test_documents_follow_their_files(write: Any, tmp_path: Path) -> None:
    file = write("knowledge: [{base: shop, files: [{path: faq.pdf, title: First}]}]")
    provision(file)
    assert "document shop/faq.pdf: unchanged" in provision(file)
    (tmp_path / "faq.pdf").write_bytes(PDF.read_bytes() + b"\n% more")
    assert "document shop/faq.pdf: changed\n    size:" in provision(file)
    file = write("knowledge: [{base: shop, files: [{path: faq.pdf, title: Second}]}]")
    assert "title: First → Second" in provision(file)
    (tmp_path / "faq.pdf").write_bytes(b"no PDF")
    with pytest.raises(CommandError, match=r"document shop/faq\.pdf: "):
        provision(file)
    out = provision(write("knowledge: [{base: shop, files: [{path: faq.pdf, state: absent}]}]"))
    assert "document shop/faq.pdf: deleted" in out


def test_the_demo_company(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "WAPPI_TOKEN", "WAPPI_PROFILE_ID"):
        monkeypatch.delenv(name, raising=False)
    provision(DEMO)
    out = provision(DEMO)
    assert out.strip().splitlines()[-1].endswith(" unchanged") and out.count("unchanged") == len(out.splitlines())
    site, whatsapp = Channel.objects.order_by("slug")
    assert (site.kind, site.enabled, site.moderation, site.hold) == ("widget", True, False, 0.7)
    assert (whatsapp.kind, whatsapp.enabled) == ("wappi", False)
    assert list(LanguageModel.objects.filter(enabled=True).values_list("name", flat=True)) == ["offline"]
    excluded = NumberRule.objects.filter(channel=None, rule="excluded")
    assert sorted(rule.phone for rule in excluded) == ["77018855588", "77088098009", "77752837306"]
    assert Assistant.objects.get().hours == {day: ["10:00", "18:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
    assert Source.objects.count() == 3


def test_sample_conversations_are_finished_and_marked(broker: Broker) -> None:
    provision(DEMO)
    assert Conversation.objects.count() == 4
    assert all(message.details == {"demo": True} for message in Message.objects.all())
    assert all("Демо-" in contact.name and contact.phone is None for contact in Contact.objects.all())
    assert not Message.objects.filter(direction="in", turn=None).exists(), "a later turn would answer it"
    assert not Message.objects.filter(state__in=("queued", "sending")).exists()
    assert not Turn.objects.filter(stage__in=Turn.OPEN).exists()
    assert set(Turn.objects.values_list("stage", "reason")) == {("done", ""), ("ignored", "manager"), ("ignored", "not_client")}
    led = Conversation.objects.get(mode="manager")
    assert led.takeovers.get().after_seq == 4 and led.last_seq == 5
    assert broker.named("conversations.deliver") == []


def test_the_key_switches_the_models_on(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    provision(DEMO)
    monkeypatch.setenv("GEMINI_API_KEY", "g" * 30)
    provision(DEMO)
    names = LanguageModel.objects.filter(enabled=True).order_by("position").values_list("name", flat=True)
    assert list(names) == ["gemini-flash", "gemini-flash-lite", "offline"]


VOICES = """
voices:
  - {slug: irina, name: Irina, engine: piper, base_url: "http://127.0.0.1:5000", voice: ru_RU-irina-medium, api_key: "${KEY:-}"}
assistants:
  - {slug: aida, name: Aida, voice: irina, voice_when: always}
"""


def test_voices_become_rows_and_are_given_to_assistants(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-voice-secret")
    out = provision(write(VOICES))
    assistant = Assistant.objects.get()
    assert assistant.voice is not None
    assert (assistant.voice.engine, assistant.voice.language, assistant.voice_when) == ("piper", "ru", "always")
    assert "voice irina: created" in out and "sk-voice-secret" not in out
    monkeypatch.delenv("KEY")
    assert "2 unchanged" in provision(write(VOICES))
    assert Voice.objects.get().api_key == "sk-voice-secret"
    provision(write(VOICES.replace("voice: irina", 'voice: ""')))
    assert Assistant.objects.get().voice is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("engine: piper", "engine: parrot"), "voices[0].engine"),
        (("engine: piper, ", ""), "engine is missing"),
        (("voice: irina,", "voice: boris,"), "boris"),
        (("engine: piper", "engine: xtts, language: kk"), "language"),
    ],
)
def test_voices_that_cannot_speak_are_refused(write: Any, wrong: tuple[str, str], says: str) -> None:
    with pytest.raises((CommandError, ProvisionError), match=re.escape(says)):
        provision(write(VOICES.replace(*wrong)))
    assert not Assistant.objects.exists()


BOT = """
assistants: [{slug: aida, name: Aida}]
channels:
  - slug: bot
    name: Bot
    kind: %(kind)s
    company: Shop
    assistant: aida
    credentials: {%(credentials)s}
    options: {%(options)s}
    allowed_numbers: [+7 701 123 45 67]
"""


@pytest.mark.parametrize("kind", Channel.Kind.values)
def test_a_bot_of_every_kind_from_the_environment(write: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    adapter = adapter_class(kind)
    credentials, options = adapter.credential_names, adapter.option_names
    places = [", ".join(f'{name}: "${{BOT_{name.upper()}:-}}"' for name in names) for names in (credentials, options)]
    file = write(BOT % {"kind": kind, "credentials": places[0], "options": places[1]})
    for name in (*credentials, *options):
        monkeypatch.delenv(f"BOT_{name.upper()}", raising=False)
    out = provision(file)
    if credentials:
        assert f"channel bot: created (disabled: without {', '.join((*credentials, *options))})" in out
    for name in (*credentials, *options):
        monkeypatch.setenv(f"BOT_{name.upper()}", f"{name}-from-outside")
    Channel.objects.update(enabled=True)
    out = provision(file)
    channel = Channel.objects.get()
    assert channel.enabled
    assert channel.credentials == {name: f"{name}-from-outside" for name in credentials}
    assert channel.options == {name: f"{name}-from-outside" for name in options}
    assert not any(f"{name}-from-outside" in out for name in credentials)
    for name in (*credentials, *options):
        monkeypatch.delenv(f"BOT_{name.upper()}")
    assert provision(file).strip().endswith("3 unchanged"), "an environment without them takes nothing away"


def test_several_bots_as_the_guide_has_them(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    example = (DEMO.parent.parent / "docs" / "provision.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    names = set(re.findall(r"\$\{([A-Z_]+):-", example))
    for name in names:
        monkeypatch.delenv(name, raising=False)
    provision(write(example))
    rows = {channel.kind: channel for channel in Channel.objects.all()}
    assert set(rows) == set(Channel.Kind.values)
    assert {kind for kind, channel in rows.items() if channel.enabled} == {"widget"}
    for name in names:
        monkeypatch.setenv(name, "http://127.0.0.1:3000" if name.endswith("_URL") else f"value-of-{name}")
    Channel.objects.update(enabled=True)
    provision(write(example))
    assert Channel.objects.filter(enabled=True).count() == len(rows)
    assert {bot.channel.slug: bot.assistant.slug for bot in Bot.objects.all()}["wholesale"] == "marat"
    numbers = {(rule.channel and rule.channel.slug, rule.rule) for rule in NumberRule.objects.all()}
    assert numbers == {("office", "blocked"), ("wholesale", "allowed"), (None, "excluded")}
    marat = Assistant.objects.get(slug="marat")
    assert (marat.temperature, marat.max_tokens, marat.follow_ups) == (0.2, 800, False)
    assert provision(write(example)).count("unchanged") == len(provision(write(example)).splitlines())


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        (Channel, ChannelShape), (Assistant, AssistantShape), (LanguageModel, Model), (Voice, VoiceShape),
        (ManagerChat, ManagerChatShape),
    ],
)  # fmt: skip
def test_whatever_the_admin_can_set_the_file_can(row: Any, shape: Any) -> None:
    editable = {field.name for field in row._meta.fields if field.editable and not field.primary_key}
    assert editable <= set(shape.model_fields)
