"""What the agent may do with a model's answer: book only what was agreed, send only what is true, remember what was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model

from channels.models import Channel
from conversations.models import Contact, Conversation, Message, Turn
from foundation import db
from llm.base import Completion, Request
from sales import assistants, calls, guard, truth
from sales.models import Assistant, Qualification, ScheduledCall
from sales.reply import Reply
from tests.conftest import Broker, Company

pytestmark = pytest.mark.django_db(transaction=True)

ALMATY = ZoneInfo("Asia/Almaty")
HOSTILE = Path(__file__).resolve().parent.parent.parent / "evals" / "hostile.jsonl"
Say = Callable[[str], str]


@pytest.fixture
def manager(company: Company) -> Any:
    return get_user_model().objects.create_superuser("asel", first_name="Asel")


@pytest.fixture
def say(company: Company, broker: Broker) -> Say:
    """The customer writes; returns what was sent back, messages joined by a blank line."""

    def say(text: str) -> str:
        before = len(company.sent())
        company.says(text)
        broker.run()
        return "\n\n".join(message.text for message in company.sent()[before:])

    return say


class Scripted:
    """Stands where the models stand: gives the answers it was told, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Reply] = []
        self.asked: list[Request[Any]] = []
        self.before: Callable[[], None] = lambda: None

    def will_say(self, *replies: str, **fields: Any) -> None:
        self.answers = [Reply(reply=reply, **{"language": "ru", **fields}) for reply in replies]

    def __call__(self, request: Request[Any], **_: Any) -> Completion[Any]:
        self.asked.append(request)
        self.before()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Completion(answer, "scripted", 10, 5, 0, 0.001, 7, degraded=False)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    scripted = Scripted()
    monkeypatch.setattr(truth, "complete", scripted)
    yield scripted


def free_times(company: Company) -> list[datetime]:
    configured = assistants.configuration(company.channel.pk)
    assert configured is not None
    now = db.now()
    return [at.astimezone(ALMATY) for at in calls.free(configured, now + timedelta(days=1), now=now)]


def in_words(at: datetime) -> str:
    return at.strftime("%d.%m в %H:%M")


def the_call() -> ScheduledCall:
    return ScheduledCall.objects.get()


def knows_phone(company: Company, phone: str = "77012223344") -> None:
    Contact.objects.update(phone=phone)


# ── Calls, without a language model ──────────────────────────────────────────────────────────────────────────────────


def test_a_named_free_time_is_booked_once_the_number_is_known(company: Company, manager: Any, say: Say) -> None:
    start = free_times(company)[0]
    asked = say(f"Давайте созвонимся {in_words(start)}")
    assert not ScheduledCall.objects.exists() and start.strftime("%H:%M") in asked
    confirmed = say("8 701 222 33 44")
    call = the_call()
    assert (call.starts_at, call.manager, call.phone, call.status) == (start, manager, "77012223344", "scheduled")
    assert all(word in confirmed for word in (start.strftime("%H:%M"), "Asel", "+7 701 222 3344"))


def test_outside_hours_the_nearest_time_is_offered_and_a_yes_books_it(company: Company, manager: Any, say: Say) -> None:
    say("Здравствуйте!")
    knows_phone(company)
    late = free_times(company)[0].replace(hour=20, minute=0)
    say(f"Позвоните мне {in_words(late)}")
    assert not ScheduledCall.objects.exists()
    offered = Turn.objects.latest("id").outcome["offered"]
    say("Да, подойдёт")
    assert [the_call().starts_at] == [datetime.fromisoformat(text) for text in offered]


def test_a_taken_time_is_not_given_twice(company: Company, manager: Any, say: Say) -> None:
    start = free_times(company)[0]
    other = Contact.objects.create()
    ScheduledCall.objects.create(
        contact=other, assistant=Assistant.objects.get(), manager=manager, starts_at=start,
        ends_at=start + timedelta(minutes=30), phone="77010000001",
    )  # fmt: skip
    say("Здравствуйте!")
    knows_phone(company)
    say(f"Давайте созвонимся {in_words(start)}")
    assert ScheduledCall.objects.count() == 1
    assert Turn.objects.latest("id").outcome["offered"]


def test_a_time_for_something_else_books_no_call(company: Company, manager: Any, say: Say) -> None:
    say("Здравствуйте!")
    knows_phone(company)
    say(f"А забрать заказ {in_words(free_times(company)[0])} получится?")
    assert not ScheduledCall.objects.exists()


def test_a_call_is_called_off(company: Company, manager: Any, say: Say) -> None:
    say("Здравствуйте!")
    knows_phone(company)
    say(f"Давайте созвонимся {in_words(free_times(company)[0])}")
    assert say("Отмените, пожалуйста, созвон")
    assert the_call().status == ScheduledCall.Status.CANCELLED


def test_a_customer_elsewhere_is_told_both_times(company: Company, manager: Any, say: Say) -> None:
    say("Здравствуйте! Я из Москвы")
    knows_phone(company)
    assert Contact.objects.get().time_zone == "Europe/Moscow"
    start = next(at for at in free_times(company) if at.hour >= 13)
    there = start.astimezone(ZoneInfo("Europe/Moscow"))
    confirmed = say(f"Давайте созвонимся {in_words(there)}")
    assert the_call().starts_at == start
    assert there.strftime("%H:%M") in confirmed and start.strftime("%H:%M") in confirmed


# ── Calls that a model asks for ──────────────────────────────────────────────────────────────────────────────────────


def test_a_model_cannot_book_what_the_customer_did_not_agree_to(
    company: Company, manager: Any, say: Say, model: Scripted
) -> None:
    start = free_times(company)[0]
    model.will_say("", actions=["book_call"], call_at=start.isoformat(), commitment="yes")
    told = say("Сколько стоит аренда?")
    assert not ScheduledCall.objects.exists()
    assert told, "the customer is asked for a time instead"


def test_a_refused_time_may_be_named_beside_the_one_that_is_offered(
    company: Company, manager: Any, say: Say, model: Scripted
) -> None:
    model.will_say("Здравствуйте!")
    say("Здравствуйте!")
    knows_phone(company)
    late = free_times(company)[0].replace(hour=20, minute=0)
    configured = assistants.configuration(company.channel.pk)
    assert configured is not None
    nearest = calls.nearest(configured, late, now=db.now())
    assert nearest is not None
    offer = f"К сожалению, в 20:00 мы не работаем. Могу предложить {in_words(nearest.astimezone(ALMATY))}. Подойдёт?"
    model.will_say(offer, intent="call")
    assert say(f"Позвоните мне {in_words(late)}") == offer
    model.will_say("", actions=["book_call"], call_at=nearest.isoformat(), commitment="yes")
    say("Да, подойдёт")
    assert the_call().starts_at == nearest


def test_a_refused_time_cannot_be_confirmed(company: Company, manager: Any, say: Say, model: Scripted) -> None:
    model.will_say("Здравствуйте!")
    say("Здравствуйте!")
    late = free_times(company)[0].replace(hour=20, minute=0)
    model.will_say(f"Отлично, ждите звонка {in_words(late)}!", intent="call")
    assert "20:00" not in say(f"Позвоните мне {in_words(late)}")


def test_a_model_cannot_book_another_time_than_the_named_one(
    company: Company, manager: Any, say: Say, model: Scripted
) -> None:
    model.will_say("Здравствуйте!")
    say("Здравствуйте!")
    knows_phone(company)
    first, second = free_times(company)[:2]
    model.will_say("", actions=["book_call"], call_at=second.isoformat(), commitment="yes")
    say(f"Давайте созвонимся {in_words(first)}")
    assert not ScheduledCall.objects.exists()


def test_what_was_booked_for_an_overtaken_reply_is_undone(
    company: Company, manager: Any, say: Say, model: Scripted, broker: Broker
) -> None:
    model.will_say("Здравствуйте!")
    say("Здравствуйте!")
    knows_phone(company)
    start = free_times(company)[0]

    def customer_thinks_again() -> None:
        model.before = lambda: None
        company.says("Ой нет, подождите")
        broker.run_one("conversations.receive")

    model.before = customer_thinks_again
    agreed = Reply(reply="", language="ru", actions=["book_call"], call_at=start.isoformat(), commitment="yes")
    model.answers = [agreed, Reply(reply="Хорошо, жду.", language="ru", commitment="vague")]
    assert say(f"Давайте созвонимся {in_words(start)}") == "Хорошо, жду."
    assert not ScheduledCall.objects.exists()


# ── The truth ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_made_up_price_is_composed_anew(company: Company, say: Say, model: Scripted) -> None:
    model.will_say("Скидка 30 %, всего 9 900 ₸!", "Цену уточнит менеджер.")
    assert say("Сколько стоит?") == "Цену уточнит менеджер."
    assert len(model.asked) == 2
    assert "9 900" in model.asked[1].messages[-1].text
    turn = Turn.objects.get()
    assert (turn.input_tokens, turn.output_tokens) == (20, 10), "the attempt that was thrown away is paid for as well"


def test_a_price_made_up_twice_calls_a_person(company: Company, say: Say, model: Scripted) -> None:
    model.will_say("Отдам за 9 900 ₸!", "Ладно, 8 800 ₸!")
    told = say("Сколько стоит?")
    assert "9 900" not in told and "8 800" not in told and told
    assert Conversation.objects.get().needs_attention
    assert "8 800 ₸" in Turn.objects.get().outcome["unproven"][0]


def test_the_price_of_the_documents_passes(company: Company, say: Say, model: Scripted) -> None:
    Channel.objects.update(about="Аренда кофемашины 45 000 ₸ в месяц.")
    model.will_say("Аренда — 45 тыс. тенге в месяц.")
    assert say("Сколько стоит?") == "Аренда — 45 тыс. тенге в месяц."


@pytest.mark.parametrize("dialog", [json.loads(line) for line in HOSTILE.read_text().splitlines() if line.strip()], ids=lambda d: d["messages"][-1][:40])  # fmt: skip
def test_a_fooled_model_sends_nothing_untraceable(company: Company, say: Say, model: Scripted, dialog: dict[str, Any]) -> None:
    model.will_say(dialog["temptation"], language=dialog["language"])
    for text in dialog["messages"]:
        say(text)
    sources = [company.channel.company, company.channel.about]
    for message in Message.objects.filter(direction="out"):
        assert message.text != dialog["temptation"]
        assert not guard.untraceable(message.text, sources, today=db.now().date())


# ── What is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_understood_stands_on_the_turn(company: Company, say: Say, model: Scripted) -> None:
    model.will_say("Понимаю.", intent="objection", emotion="doubting", commitment="vague", language="kk")
    say("Қымбат екен, ойланайын")
    turn = Turn.objects.get()
    assert (turn.intent, turn.emotion, turn.commitment, turn.language) == ("objection", "doubting", "vague", "kk")


def test_what_was_learnt_stays_with_the_contact(company: Company, say: Say, model: Scripted) -> None:
    model.will_say("А что не устраивает?", spin_stage="problem", learnt={"situation": "40 человек в офисе"})
    say("Нас 40 человек")
    model.will_say("Ясно.", spin_stage="situation", learnt={"situation": "зерно берут в магазине", "problem": "дорого"})
    say("Берём зерно в магазине, дорого")
    known = Qualification.objects.get()
    assert known.stage == Qualification.Stage.PROBLEM, "the furthest stage stays"
    assert "40 человек" in known.situation and "магазине" in known.situation and known.problem == "дорого"
    model.will_say("И ещё?")
    say("Вот так")
    assert "40 человек в офисе" in model.asked[-1].messages[0].text, "the next reply knows it"


@pytest.mark.parametrize(
    ("text", "gone"), [("Не пишите мне больше", True), ("Стоп, я сегодня не приеду", False), ("Маған енді жазбаңыз", True)]
)
def test_who_asks_not_to_be_written_to_is_left_in_peace(company: Company, say: Say, text: str, gone: bool) -> None:
    assert say(text)
    assert (Contact.objects.get().opted_out_at is not None) is gone
