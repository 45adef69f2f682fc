"""The chapters of the demo: from the first greeting over a call and five touches to “do not write to me any more”."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from .clock import HOME, in_working_hours, working_time_after
from .manager import Manager
from .story import Customer, Story, chapter, say

FIRST = Customer("customer", "77015550101")
SECOND = Customer("second", "77015550202")
THIRD = Customer("third", "77015550303")
#: Hours after our last word at which the touches are due.
INTERVALS = (24, 72, 168, 336, 720)
CLOCK_TASKS = ("sales.plan_follow_ups", "sales.fire_touches", "sales.remind_calls")


def questions(story: Story) -> None:
    chapter("Questions, also spoken ones, are answered from the documents")
    with story.expecting("greeting", FIRST):
        story.writes(FIRST, "Здравствуйте! Интересует кофемашина для офиса.")
    with story.expecting("a voice note", FIRST, containing="₸"):
        story.speaks(FIRST, "Сколько стоит доставка?")
    with story.expecting("a product question", FIRST, containing="Демо Офис"):
        story.writes(FIRST, "Нас 15 человек, подойдёт DK-200 «Демо Офис»?")
    with story.expecting("three quick messages", FIRST, containing="24 месяца"):
        for text in ("А гарантия", "какая", "на DK-200?"):
            story.writes(FIRST, text)


def takeover(story: Story, manager: Manager) -> None:
    chapter("People first: the owner's phone, the admin, and back")
    with story.expecting("the owner types on the phone"):
        story.owner_types(FIRST, "Добрый день, это менеджер, сейчас всё расскажу.")
        story.led_by(manager, "manager")
    with story.expecting("a question to the manager"):
        story.writes(FIRST, "Хорошо, жду. А рассрочка есть?")
    with story.expecting("a reply from the admin", FIRST, by="manager", containing="пришлю условия"):
        manager.replies("Да, рассрочка есть, пришлю условия.")
    with story.expecting("given back: nothing is left to answer"):
        say("manager", "(gives the conversation back)")
        manager.gives_back()
        story.led_by(manager, "bot")
    with story.expecting("the assistant leads again", FIRST):
        story.writes(FIRST, "Спасибо! Какие способы оплаты у вас есть?")


def a_call(story: Story) -> None:
    chapter("A call is agreed")
    with story.expecting("agreement without a time", FIRST, containing="11:30"):
        story.writes(FIRST, "Давайте созвонимся")
    with story.expecting("a time outside of hours", FIRST, containing="17:30"):
        story.writes(FIRST, "Давайте сегодня в 20:00")
    with story.expecting("agreement to the time offered", FIRST, containing="17:30"):
        story.writes(FIRST, "Да, подойдёт")
    call = _only_call(story)
    story.moves_to(call.starts_at - timedelta(minutes=55))
    with story.expecting("a reminder an hour before", FIRST, containing="17:30"):
        story.tick(*CLOCK_TASKS)


def _only_call(story: Story) -> Any:
    """The one call there is; that it is as agreed, and that the customer was told all of it."""
    from django.utils import translation

    from conversations.models import Message
    from sales import call_texts
    from sales.models import ScheduledCall

    calls = list(ScheduledCall.objects.select_related("manager"))
    story.check("calls", len(calls), 1)
    at = calls[0].starts_at.astimezone(HOME)
    story.check("time of the call", at, story.clock.now().replace(hour=17, minute=30, second=0, microsecond=0))
    told = str(Message.objects.filter(direction="out").order_by("-id")[0].text)
    story.check("phone in the confirmation", FIRST.phone in re.sub(r"\D", "", told), True)
    with translation.override("ru"):
        for what in (call_texts.of_call(calls[0]), call_texts.zone_name(at), calls[0].manager.get_full_name(), str(at.day)):
            story.check(f"the confirmation names {what}", what in told, True)
    return calls[0]


def two_fall_silent(story: Story) -> None:
    chapter("In the evening two more customers ask, and fall silent")
    story.moves_to(story.clock.now().replace(hour=18, minute=40))
    with story.expecting("the second customer asks", SECOND, containing="рассрочка"):
        story.writes(SECOND, "Здравствуйте! Можно ли купить кофемашину в рассрочку?")
    with story.expecting("the third customer asks", THIRD, containing="₸"):
        story.writes(THIRD, "Здравствуйте! Сколько стоит доставка по Алматы?")
    with story.expecting("a vague answer", SECOND):
        story.writes(SECOND, "Спасибо, подумаю")
    story.moves_to(story.clock.now() + timedelta(minutes=20))
    with story.expecting("touches are planned, none is made"):
        story.tick(*CLOCK_TASKS)
    for customer, cause in ((SECOND, "vague"), (THIRD, "silence")):
        _planned_as_meant(story, customer, cause)


def _planned_as_meant(story: Story, customer: Customer, cause: str) -> None:
    follow_up = _follow_up(customer)
    story.check(f"why {customer.who} is followed up", follow_up.cause, cause)
    touches = list(follow_up.touches.order_by("number"))
    due = [follow_up.anchor_at + timedelta(hours=hours) for hours in INTERVALS]
    story.check(f"when touches to {customer.who} are due", [touch.due_at for touch in touches], due)
    story.check("touches planned in working hours", [in_working_hours(touch.planned_at) for touch in touches], [True] * 5)
    planned = ", ".join(f"{touch.planned_at.astimezone(HOME):%a %d.%m. %H:%M}" for touch in touches)
    say(customer.who, f"(five touches are planned: {planned})")


def _follow_up(customer: Customer) -> Any:
    """The newest follow-up of a customer."""
    from foundation.crypto import blind_index
    from sales.models import FollowUp

    index = blind_index(customer.phone, "phone")
    return FollowUp.objects.filter(conversation__contact__phone_index=index).order_by("-cycle")[0]


def _time_of(customer: Customer, number: int) -> datetime:
    """When a touch is planned, and a second later."""
    at: datetime = _follow_up(customer).touches.get(number=number).planned_at
    return at + timedelta(seconds=1)


def touches(story: Story, manager: Manager) -> None:
    chapter("The first touch; the third customer replies, which ends theirs")
    story.moves_to(_follow_up(SECOND).anchor_at + timedelta(hours=24, minutes=5))
    with story.expecting("due after hours: nothing leaves in the evening"):
        story.tick(*CLOCK_TASKS)
    say("", "(due, but after hours: nothing is sent)")
    story.moves_to(max(_time_of(SECOND, 1), _time_of(THIRD, 1)))
    with story.expecting("first touches", SECOND, THIRD):
        story.tick(*CLOCK_TASKS)
    with story.expecting("the third customer replies", THIRD, containing="24 месяца"):
        story.writes(THIRD, "Здравствуйте! Да, ещё актуально. Какая гарантия на DK-200?")
    ended = _follow_up(THIRD)
    story.check("the third customer's follow-up", (ended.state, ended.stop_reason), ("stopped", "client_responded"))
    states = list(ended.touches.order_by("number").values_list("state", flat=True))
    story.check("the third customer's touches", states, ["fired", *["cancelled"] * 4])
    say("", "(the other four touches are called off; a manager goes on)")
    with story.expecting("a manager goes on", THIRD, by="manager"):
        manager.replies("Здравствуйте! Пришлю Вам счёт сегодня.")

    chapter("The other touches to the second customer")
    for number in range(2, 6):
        story.moves_to(_time_of(SECOND, number))
        with story.expecting(f"touch {number}", SECOND):
            story.tick(*CLOCK_TASKS)
    ended = _follow_up(SECOND)
    story.check("the second customer's follow-up", (ended.state, ended.stop_reason), ("completed", "completed_5_touches"))


def opting_out(story: Story) -> None:
    chapter("“Do not write to me any more”")
    with story.expecting("opting out", SECOND):
        story.writes(SECOND, "Не пишите мне больше, пожалуйста")
    story.check("opted out", _follow_up(SECOND).conversation.contact.opted_out_at is not None, True)
    for later in (timedelta(minutes=20), timedelta(days=1), timedelta(days=30)):
        story.moves_to(working_time_after(story.clock.now() + later))
        with story.expecting(f"nothing is sent {later} later"):
            story.tick(*CLOCK_TASKS)
        say("", "(nothing is sent)")


def check_rows(story: Story) -> None:
    """The product's own rows must tell the same story as the provider's record."""
    from channels.models import InboundEvent
    from conversations.models import Message, Turn
    from sales.models import FollowUp, ScheduledCall

    sent = Message.objects.filter(direction="out", external_id__isnull=False).exclude(author="manager", user=None)
    story.check("messages marked as sent, and accepted by the provider", sent.count(), story.replies.total())
    story.check("open turns", Turn.objects.filter(stage__in=Turn.OPEN).count(), 0)
    failed = Turn.objects.filter(stage="failed").count() + InboundEvent.objects.filter(state="failed").count()
    story.check("turns or events that need attention", failed, 0)
    unasked = Message.objects.filter(direction="out", turn__trigger="follow_up")
    story.check("touches sent", unasked.count(), 6)
    story.check("touches sent in working hours", all(in_working_hours(touch.sent_at) for touch in unasked), True)
    texts = [str(touch.text) for touch in unasked.filter(conversation=_follow_up(SECOND).conversation_id)]
    story.check("different touches to the second customer", len(set(texts)), 5)
    story.check("follow-ups", FollowUp.objects.count(), 2)
    story.check("calls", ScheduledCall.objects.count(), 1)
