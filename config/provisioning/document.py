"""What may stand in a company's file. Only what is given changes: fields left out keep their value in the database."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from channels.models import Channel, MessageTemplate
from foundation.phones import canonical
from llm.models import LanguageModel, Prompt
from llm.models import Voice as VoiceRow
from sales.funnels.models import LANGUAGES
from sales.models import WEEKDAYS, Assistant, FunnelStep, TouchTemplate

Slug = Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_]+$", max_length=60)]
State = Literal["present", "absent"]


class Strict(BaseModel):
    """No unknown keys, and numbers may stand where texts are expected: YAML reads an unquoted `71` as a number."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True, hide_input_in_errors=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Of these fields the ones that stand in the file."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


def _known(choices: Any) -> BeforeValidator:
    """A validator for the values of a model's choices."""

    def check(value: Any) -> Any:
        if value not in choices.values:
            raise ValueError(f"must be one of: {', '.join(choices.values)}")
        return value

    return BeforeValidator(check)


class Company(Strict):
    name: str = Field(min_length=1, max_length=200)
    about: str = ""


class Model(Strict):
    """A row of language models. Without any key, given or stored, a model that needs one is provisioned disabled."""

    name: Slug
    state: State = "present"
    kind: Annotated[str, _known(LanguageModel.Kind)] = ""
    model_id: str = ""
    base_url: str = ""
    api_key: str = ""
    enabled: bool = True
    position: int = Field(default=100, ge=0, le=32767)
    timeout: float = 30
    max_output_tokens: int = Field(default=2048, ge=1)
    temperature: float | None = None
    supports_temperature: bool = True
    supports_schema: bool = True
    supports_audio: bool = False
    token_parameter: Annotated[str, _known(LanguageModel.TokenParameter)] = LanguageModel.TokenParameter.MAX_TOKENS
    thinking: Annotated[str, _known(LanguageModel.Thinking)] = LanguageModel.Thinking.NONE
    thinking_value: str = ""
    input_price: float = Field(default=0, ge=0)
    output_price: float = Field(default=0, ge=0)


class VoiceShape(Strict):
    """A voice of a speech engine."""

    slug: Slug
    state: State = "present"
    name: str = Field(default="", max_length=100)
    engine: Annotated[str, _known(VoiceRow.Engine)] = ""
    base_url: str = ""
    path: str = Field(default="", max_length=100)
    voice: str = Field(default="", max_length=120)
    preset: str = Field(default="", max_length=200)
    language: Annotated[str, _known(VoiceRow.Language)] = VoiceRow.Language.RUSSIAN
    api_key: str = ""
    timeout: float = 20
    enabled: bool = True


class File(Strict):
    """A PDF, by a pattern beside the YAML file, or by name to take it away."""

    path: str
    title: str = Field(default="", max_length=200)
    state: State = "present"


class Base(Strict):
    """A knowledge base and its files. Files may be given as plain patterns."""

    base: Slug
    name: str = Field(default="", max_length=100)
    state: State = "present"
    files: list[File] = []

    @field_validator("files", mode="before")
    @classmethod
    def patterns(cls, value: Any) -> Any:
        return [{"path": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value


def _clock(text: str) -> str:
    hours, _colon, minutes = text.strip().partition(":")
    return f"{int(hours):02d}:{minutes}" if hours.isdigit() else text.strip()


def _days(text: str) -> list[str]:
    first, _dash, last = (part.strip() for part in text.lower().partition("-"))
    last = last or first
    if first not in WEEKDAYS or last not in WEEKDAYS or WEEKDAYS.index(first) > WEEKDAYS.index(last):
        raise ValueError("days are mon … sun, or a range such as mon-fri")
    return list(WEEKDAYS[WEEKDAYS.index(first) : WEEKDAYS.index(last) + 1])


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class AssistantShape(Strict):
    slug: Slug
    state: State = "present"
    name: str = Field(default="", max_length=100)
    owner: str = ""
    persona: str = ""
    knowledge_base: str = ""
    models: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    languages: list[str] = []
    time_zone: str = "Asia/Almaty"
    hours: dict[str, list[str]] = {}
    country: Annotated[str, _known(Assistant.Country)] = Assistant.Country.KAZAKHSTAN
    call_managers: list[str] = []
    call_minutes: int = 30
    call_reminder_minutes: int = 60
    follow_ups: bool = True
    voice: str = ""
    voice_when: Annotated[str, _known(Assistant.VoiceWhen)] = Assistant.VoiceWhen.SPOKEN
    touch_templates: dict[Annotated[str, _known(TouchTemplate.Purpose)], Annotated[list[str], BeforeValidator(_listed)]] = {}

    @field_validator("hours", mode="before")
    @classmethod
    def clock(cls, value: Any) -> Any:
        """`{mon-fri: 10:00-18:00}` or `{mon: ["10:00", "18:00"]}`, in the shape of the model's field."""
        if not isinstance(value, dict):
            return value
        hours: dict[str, list[str]] = {}
        for days, times in value.items():
            if isinstance(times, str):
                times = re.split(r"\s*[-–]\s*", times)
            if not isinstance(times, list) or len(times) != 2 or not all(isinstance(at, str) for at in times):
                raise ValueError('write opening and closing time as 10:00-18:00 or, quoted, ["10:00", "18:00"]')
            hours |= {day: [_clock(at) for at in times] for day in _days(str(days))}
        return {day: hours[day] for day in WEEKDAYS if day in hours}


class Number(Strict):
    """A phone in any usual form; it may be given without its note."""

    phone: str
    note: str = Field(default="", max_length=200)
    state: State = "present"

    @field_validator("phone")
    @classmethod
    def digits(cls, value: str) -> str:
        phone = canonical(value)
        if phone is None:
            raise ValueError("not a phone number; example: +7 701 123 45 67")
        return phone


def _numbers(value: Any) -> Any:
    return [item if isinstance(item, dict) else {"phone": item} for item in value] if isinstance(value, list) else value


Numbers = Annotated[list[Number], BeforeValidator(_numbers)]


class ChannelShape(Strict):
    """A channel. `company` and `about` are those of the file where they are not given."""

    slug: Slug
    state: State = "present"
    name: str = Field(default="", max_length=100)
    kind: Annotated[str, _known(Channel.Kind)] = ""
    owner: str = ""
    assistant: str = ""
    team: list[str] = []
    enabled: bool = True
    running: bool = True
    auto_start: bool = True
    company: str = Field(default="", max_length=200)
    about: str = ""
    base_url: str = ""
    credentials: dict[str, str] = {}
    options: dict[str, Any] = {}
    time_zone: str = "Asia/Almaty"
    hold: float = 0.7
    max_hold: float = 8
    moderation: bool = True
    answer_age_hours: float = 24
    rate_limit_count: int | None = None
    rate_limit_hours: float = 5
    pause_hours: float = 12
    own_number: str = Field(default="", max_length=20)
    allowed_numbers: Numbers = []
    blocked_numbers: Numbers = []
    excluded_numbers: Numbers = []


class VariableShape(Strict):
    """What fills one place of a template's text. A source alone may be given as its name."""

    source: str = ""
    default: str = ""

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


class TemplateShape(Strict):
    """A message template, our own or (with `provider_name`) one that the provider of its channel has approved."""

    slug: Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_]+$", max_length=100)]
    state: State = "present"
    name: str = Field(default="", max_length=100)
    channel: str = ""
    language: str = Field(default="", max_length=15)
    category: Annotated[str, _known(MessageTemplate.Category)] = ""
    body: str = ""
    variables: dict[str, VariableShape] = {}
    provider_name: str = Field(default="", max_length=512)
    enabled: bool = True


class ManagerChatShape(Strict):
    """A chat of managers. It is connected by people: with the code that the admin shows."""

    name: str = Field(min_length=1, max_length=100)
    state: State = "present"
    channel: str = ""
    sources: list[str] = []
    owner: str = ""
    enabled: bool = True
    leads: bool = True
    every_client: bool = False
    calls: bool = True


class PromptShape(Strict):
    """The active text of a prompt: given here, or in a file beside the YAML file."""

    purpose: Annotated[str, _known(Prompt.Purpose)]
    text: str = ""
    file: str = ""
    note: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def one_source(self) -> PromptShape:
        if bool(self.text) == bool(self.file):
            raise ValueError("give either a text or a file")
        return self


class Line(Strict):
    """One utterance of a sample conversation; `after` are the seconds since the one before."""

    author: Literal["customer", "bot", "manager"]
    text: str = Field(min_length=1)
    after: float = Field(default=20, ge=0)

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, value: Any) -> Any:
        """`customer: Hello` for `author: customer, text: Hello`."""
        authors = [author for author in ("customer", "bot", "manager") if isinstance(value, dict) and author in value]
        if len(authors) != 1 or "text" in value or "author" in value:
            return value
        rest = dict(value)
        return {"author": authors[0], "text": rest.pop(authors[0]), **rest}


class Sample(Strict):
    """A finished conversation to look at. It is made once and never changed; its messages are marked as a demonstration."""

    id: Slug
    channel: str
    name: str = Field(min_length=1, max_length=200)
    business_name: str = Field(default="", max_length=200)
    is_client: bool | None = None
    reasoning: str = ""
    days_ago: int = Field(default=1, ge=1, le=365)
    at: str = Field(default="12:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    messages: list[Line] = Field(min_length=1)


def _texts(value: Any) -> Any:
    """`{ru: …, kk: …, en: …}`, or one text, which is Russian."""
    return {LANGUAGES[0]: value} if isinstance(value, str) else value


Texts = Annotated[dict[Literal["ru", "kk", "en"], str], BeforeValidator(_texts)]


class ChoiceShape(Strict):
    """What may be tapped. The order in the file is the order in the menu."""

    title: Texts
    description: Texts = {}
    to: str = ""
    sets: dict[str, str] = {}


class RuleShape(Strict):
    """A line of a sorting step; its conditions are a text, one a line, or a list of such lines."""

    conditions: str = Field(default="", alias="if")
    segment: str = Field(min_length=1, max_length=40)
    to: str = ""

    @field_validator("conditions", mode="before")
    @classmethod
    def lines(cls, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value


class StepShape(Strict):
    """A step of a funnel; its choices and rules replace those it has."""

    key: str
    state: State = "present"
    kind: Annotated[str, _known(FunnelStep.Kind)] = FunnelStep.Kind.ANSWER
    text: Texts = {}
    url: str = ""
    stores: str = ""
    multiple: bool = False
    next: str = ""
    back: str = ""
    choices: list[ChoiceShape] = []
    rules: list[RuleShape] = []


class FunnelShape(Strict):
    """A funnel of an assistant. Steps that it does not name stay."""

    slug: Slug
    assistant: str
    state: State = "present"
    name: str = Field(default="", max_length=100)
    enabled: bool = False
    greetings: list[str] = []
    entry: str = ""
    steps: list[StepShape] = []


class Document(Strict):
    """The whole file; every section may be missing."""

    company: Company | None = None
    models: list[Model] = []
    voices: list[VoiceShape] = []
    knowledge: list[Base] = []
    assistants: list[AssistantShape] = []
    channels: list[ChannelShape] = []
    templates: list[TemplateShape] = []
    manager_chats: list[ManagerChatShape] = []
    excluded_numbers: Numbers = []
    prompts: list[PromptShape] = []
    funnels: list[FunnelShape] = []
    sample_conversations: list[Sample] = []
