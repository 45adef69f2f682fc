"""Funnels on the road: greetings, taps, numbers, quizzes, languages, stale buttons, people who take over. No model is asked."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import gettext

from channels import rich
from conversations import drafts, takeover
from conversations.models import Contact, Conversation, Message, Turn
from llm.models import Usage
from sales.funnels import chart
from sales.funnels.models import default_greetings
from sales.models import Funnel, FunnelChoice, FunnelEvent, FunnelProgress, FunnelStep
from tests.conftest import Broker
from tests.sales import funnel_world, test_agent
from tests.sales.funnel_world import Customer
from tests.sales.test_agent import Scripted

pytestmark = pytest.mark.django_db(transaction=True)
customer, either, model = funnel_world.customer, funnel_world.either, test_agent.model

FAQ = {
    "О продукте": ["Что это такое?", "Работает без сети?", "Что с безопасностью?", "Чем лучше облака?", "Облачные модели?"],
    "Установка": ["Какое оборудование?", "Как установить?", "Какие интеграции?"],
    "Цены и поддержка": ["Сколько стоит?", "Какая поддержка?", "Есть пробный период?"],
}


def test_a_greeting_opens_the_menu_and_costs_nothing(either: Customer) -> None:
    told = either.send("Здравствуйте!")
    assert told.startswith("Здравствуйте! Я Мадина"), "nobody's name leaves no comma"
    assert either.titles()[0] == "Подобрать решение"
    turn = either.turn()
    assert (turn.stage, turn.model, turn.intent, turn.language, turn.cost) == ("done", "", "greeting", "ru", 0)
    assert [entry["what"] for entry in turn.timeline] == ["received", "answer", "funnel", "deliver", "done"]
    assert not Usage.objects.exists() and either.step == "nav:menu"


@pytest.mark.parametrize("text", [*default_greetings(), "приветт", "privet", "/start", "Добрый день, Мадина"])  # fmt: skip
def test_every_trigger_word_opens_it(customer: Customer, text: str) -> None:
    customer.send(text)
    assert customer.step == "nav:menu"


@pytest.mark.parametrize(
    "text", ["Здравствуйте, сколько стоит доставка в Астану?", "Мадина", "привет передайте директору", "."]
)
def test_more_than_a_greeting_is_for_the_model(customer: Customer, text: str) -> None:
    customer.send(text)
    assert not FunnelProgress.objects.exists() and customer.turn().model


@pytest.mark.parametrize(("section", "question"), [(s, q) for s, questions in FAQ.items() for q in questions])
def test_every_question_is_answered_and_leads_back(either: Customer, section: str, question: str) -> None:
    either.send("Меню")
    if section not in [choice.title for choice in rich.page(offered(either), 1, 5)] and either.taps:
        either.send("Ещё", "more:2")
    either.choose(section)
    told = either.choose(question)
    step = FunnelStep.objects.get(key=either.step)
    assert told.startswith(step.texts["ru"]) and step.key.startswith("faq:")
    either.choose(either.titles()[-1])
    assert (
        either.step == f"faq:cat_{'product' if section == 'О продукте' else 'install' if section == 'Установка' else 'prices'}"
    )
    either.choose(either.titles()[-1])
    assert either.step == "nav:menu" and not Usage.objects.exists()


def offered(who: Customer) -> Any:
    return drafts.choices_of(who.last.details)


def test_more_pages_show_the_other_choices_and_change_nothing(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    customer.can_tap(monkeypatch)
    first = customer.send("Привет")
    before = FunnelEvent.objects.count()
    assert customer.send("Ещё", "more:2") == first
    assert (customer.last.details or {})["page"] == 2
    assert FunnelEvent.objects.count() == before


# ── Quiz ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("who", "dialogs", "segment", "step"),
    [
        ("Сами, есть специалист", "около 30", "diy", "sales:diy"),
        ("Нужна помощь", "30", "basic", "sales:basic"),
        ("Всё под ключ", "5", "custom", "sales:custom_step_1"),
        ("Нужна помощь", "1 000 в день", "custom", "sales:custom_step_1"),
    ],
)
def test_the_quiz_finds_the_segment(either: Customer, who: str, dialogs: str, segment: str, step: str) -> None:
    either.send("Начать")
    either.choose("Подобрать решение")
    either.choose(who)
    either.send(dialogs)
    assert "WhatsApp" in either.choose("WhatsApp")
    more, done = either.titles()
    either.choose(more)
    assert "WhatsApp" not in either.titles() and done in either.titles()
    either.choose("Avito")
    either.choose(done)
    assert (either.step, either.progress.segment) == (step, segment)
    assert either.progress.answers["channels"] == ["whatsapp", "avito"]


def test_five_questions_lead_to_the_price(either: Customer, model: Scripted) -> None:
    either.send("", "sales:custom") if either.taps else either.send("Меню")
    if not either.taps:
        for title in ("Подобрать решение", "Всё под ключ"):
            either.choose(title)
        either.send("10")
        either.choose("Пока нигде")
    for text in ("Принимать заказы", "1С"):
        either.send(text)
    either.choose("Да")
    either.send("К весне")
    assert "Принимать заказы" in either.send("500 000")
    model.will_say("Посчитает менеджер.")
    assert either.choose("Рассчитать стоимость") == "Посчитает менеджер."
    prompt = model.asked[0].messages[0].text
    assert "task — Принимать заказы" in prompt and "budget — 500 000" in prompt and "расчёта стоимости" in prompt
    assert either.step == "sales:quote"


@pytest.mark.parametrize("text", ["Позовите менеджера", "Не пишите мне больше", "А сколько это стоит?", "Спасибо!"])
def test_other_wishes_are_no_answers_to_a_question(customer: Customer, text: str) -> None:
    customer.send("", "sales:custom_step_1")
    customer.send(text)
    assert customer.turn().model and "task" not in customer.progress.answers
    customer.send("Отвечать клиентам")
    assert customer.progress.answers["task"] == "Отвечать клиентам", "the question still waits"


def test_a_number_is_an_answer_where_one_is_asked_for(customer: Customer) -> None:
    customer.send("", "sales:quiz_size")
    assert customer.titles() == [], "nothing is numbered beside a free answer"
    customer.send("1")
    assert customer.progress.answers["dialogs"] == "1"
    with translation.override("ru"):
        customer.send(gettext("Back").lower())
    assert customer.step == "sales:quiz_size", "what leads back may be typed"


def test_a_tap_that_calls_a_person_does(either: Customer) -> None:
    either.send("", "nav:manager")
    assert either.conversation().needs_attention and either.turn().intent == "handoff"


def test_a_link_and_what_comes_before_it_are_one_message(customer: Customer) -> None:
    customer.send("", "sales:diy_gpu_custom")
    told = customer.send("RTX [купить](https://evil.example) **4090**")
    assert "https://github.com/" in told and "[купить]" not in told
    assert customer.step == "sales:diy_link"


# ── Several messages, stale buttons, two funnels ─────────────────────────────────────────────────────────────────────


def test_a_tap_on_an_older_menu_still_works(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    customer.can_tap(monkeypatch)
    customer.send("Меню")
    old = {choice.title: choice.id for choice in offered(customer)}
    customer.send("Что-то другое, расскажите о себе подробнее")
    FunnelChoice.objects.filter(target__key="faq:cat_install").update(position=0)
    chart.chart_of.forget()
    customer.send("Установка", old["Установка"])
    assert customer.step == "faq:cat_install"


def test_a_tap_on_what_is_gone_opens_the_menu_as_it_is_now(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    customer.can_tap(monkeypatch)
    customer.send("Меню")
    old = {choice.title: choice.id for choice in offered(customer)}
    FunnelChoice.objects.get(target__key="faq:cat_install").delete()
    customer.send("Установка", old["Установка"])
    assert customer.step == "nav:menu" and "Установка" not in customer.titles()
    FunnelStep.objects.get(key="faq:cat_product").delete()
    customer.send("Назад", "f:faq:cat_product:0")
    assert customer.step == "nav:menu"


def test_a_switched_off_funnel_leaves_everything_to_the_model(customer: Customer) -> None:
    customer.send("Меню")
    funnel = Funnel.objects.get()
    funnel.enabled = False
    funnel.save()
    customer.send("Установка", "f:faq:cat_install:0")
    assert customer.turn().model


def test_a_question_after_a_tap_is_answered_by_the_model_and_the_tap_is_kept(customer: Customer) -> None:
    customer.send("Меню")
    customer.send("Цены", "faq:cat_prices", run=False)
    customer.send("А рассрочка у вас есть?", run=False)
    customer.broker.run()
    assert customer.step == "faq:cat_prices"
    assert Message.objects.filter(direction="out").count() >= 2


def test_a_greeting_and_a_tap_in_one_go(customer: Customer) -> None:
    customer.send("Здравствуйте", run=False)
    customer.send("Цены", "faq:price", run=False)
    customer.broker.run()
    assert customer.step == "faq:price"


def test_two_funnels_have_their_own_words_and_may_share_keys(customer: Customer) -> None:
    other = Funnel.objects.create(
        assistant=Funnel.objects.get().assistant, slug="two", name="Two", enabled=True, greetings=["Акция"]
    )
    menu = FunnelStep.objects.create(funnel=other, key="nav:menu", kind="menu", texts={"ru": "Акция дня"})
    price = FunnelStep.objects.create(funnel=other, key="faq:price", texts={"ru": "Полцены"}, back=menu)
    FunnelChoice.objects.create(step=menu, titles={"ru": "Сколько?"}, target=price)
    other.entry = menu
    other.save()
    assert customer.send("акция!").startswith("Акция дня")
    assert customer.choose("Сколько?").startswith("Полцены")
    customer.choose(customer.titles()[-1])
    assert customer.last.text.startswith("Акция дня")
    assert "Мадина" in customer.send("Привет")
    assert customer.send("Цены", "faq:price").startswith("Самостоятельная"), "the same key near where the customer stands"


# ── Languages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_language_of_the_greeting_is_that_of_the_menu(either: Customer) -> None:
    assert either.send("Сәлем").startswith("Сәлеметсіз бе")
    either.choose("Орнату")
    assert either.last.text.startswith("Орнату: сұрақты")
    assert Contact.objects.get().language == "kk"
    assert either.send("Hello").startswith("Hello")
    assert either.send("Меню").startswith("Hello"), "this word is of no language"


def test_a_choice_may_switch_the_language(either: Customer) -> None:
    either.send("Привет")
    either.send("Язык / Тіл / Language")
    assert either.choose("English").startswith("Hello") and "Find a solution" in either.titles()


def test_a_short_answer_in_latin_letters_changes_no_language(customer: Customer) -> None:
    customer.send("", "sales:custom_step_1")
    assert customer.send("Telegram bot").startswith("2 из 5")
    assert customer.send("1С мен Kaspi дүкені").startswith("5-тен 3")


# ── Takeover ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_takes_over_in_the_middle_is_not_talked_over(customer: Customer, broker: Broker) -> None:
    customer.send("", "sales:custom_step_1")
    takeover.take_over(customer.conversation().pk)
    customer.send("Принимать заказы")
    assert "task" not in customer.progress.answers and customer.turn().reason == "manager"
    takeover.give_back(customer.conversation().pk)
    broker.run()
    assert customer.progress.answers["task"] == "Принимать заказы", "what waited for the manager is answered now"
    assert customer.step == "sales:custom_step_2"


def test_a_takeover_during_the_answer_voids_it(customer: Customer, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    from sales.funnels import routing

    customer.send("Меню")
    before, sent = FunnelEvent.objects.count(), customer.count()
    route = routing.route

    def slow(*args: Any) -> Any:
        walk = route(*args)
        takeover.take_over(Conversation.objects.get().pk)
        return walk

    monkeypatch.setattr(routing, "route", slow)
    customer.send("Цены", "faq:price")
    assert (FunnelEvent.objects.count(), customer.count(), customer.step) == (before, sent, "nav:menu")


def test_a_step_done_twice_is_answered_once(customer: Customer, broker: Broker) -> None:
    customer.send("Меню", run=False)
    broker.run_one("conversations.receive")
    broker.run_one("conversations.receive") if broker.named("conversations.receive") else None
    [turn] = broker.named("sales.answer")
    broker.publish("sales.answer", turn, 0)
    broker.run()
    assert customer.count() == 1 and FunnelEvent.objects.count() == 1


# ── What the model knows ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_model_knows_the_segment_and_may_repeat_the_funnels_prices(customer: Customer, model: Scripted) -> None:
    customer.send("", "sales:segment")
    assert customer.progress.segment == "basic"
    model.will_say("Пакет «Базовый» стоит 190 000 ₸.")
    assert customer.send("Так сколько в итоге за базовый?") == "Пакет «Базовый» стоит 190 000 ₸."
    assert "Сегмент клиента по опросу: basic" in model.asked[0].messages[0].text
    assert Turn.objects.latest("id").model == "scripted"
