"""The editor of funnels: its tree, its numbers, and what it says when something leads nowhere."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from sales.funnels import checking, numbers, tree
from sales.models import Assistant, Bot, Funnel, FunnelChoice, FunnelEvent, FunnelStep, SegmentRule
from tests.conversations.rows import a_channel, a_conversation, a_manager, english  # noqa: F401
from tests.sales.funnel_world import DEMO

pytestmark = pytest.mark.django_db


@pytest.fixture
def funnel() -> Funnel:
    assistant = Assistant.objects.create(name="Aida", slug="aida", languages=["ru", "en"])
    made = Funnel.objects.create(assistant=assistant, slug="main", name="Main", enabled=True)
    menu = FunnelStep.objects.create(funnel=made, key="nav:menu", kind="menu", texts={"ru": "Меню", "en": "Menu"})
    price = FunnelStep.objects.create(funnel=made, key="faq:price", texts={"ru": "Даром", "en": "Free"}, back=menu)
    FunnelChoice.objects.create(step=menu, titles={"ru": "Цены", "en": "Prices"}, target=price)
    made.entry = menu
    made.save()
    return made


def step(funnel: Funnel, key: str) -> FunnelStep:
    return FunnelStep.objects.get(funnel=funnel, key=key)


def form(of: FunnelStep, **fields: Any) -> dict[str, Any]:
    """The page of a step as the browser sends it, with its choices."""
    data: dict[str, Any] = {
        "funnel": of.funnel_id, "key": of.key, "kind": of.kind, "stores": of.stores, "url": of.url, "next": of.next_id or "",
        "back": of.back_id or "", "position": of.position, "rules-TOTAL_FORMS": 0, "rules-INITIAL_FORMS": 0,
    }  # fmt: skip
    data |= {f"texts_{code}": text for code, text in of.texts.items()}
    choices = list(of.choices.all())
    data |= {"choices-TOTAL_FORMS": len(choices), "choices-INITIAL_FORMS": len(choices)}
    for n, choice in enumerate(choices):
        answers = "\n".join(f"{key} = {value}" for key, value in choice.sets.items())
        data |= {
            f"choices-{n}-id": choice.pk, f"choices-{n}-step": of.pk, f"choices-{n}-target": choice.target_id or "",
            f"choices-{n}-sets": answers, f"choices-{n}-position": n,
        }  # fmt: skip
        data |= {f"choices-{n}-titles_{code}": text for code, text in choice.titles.items()}
    return {**data, **fields}


def page(of: FunnelStep) -> str:
    return reverse("admin:sales_funnelstep_change", args=(of.pk,))


def test_the_page_shows_the_whole_tree_with_its_numbers(admin_client: Client, funnel: Funnel) -> None:
    conversations = [a_conversation(a_channel()) for _ in range(3)]
    choice = FunnelChoice.objects.get()
    for conversation in conversations:
        FunnelEvent.objects.create(conversation=conversation, step=step(funnel, "nav:menu"))
    FunnelEvent.objects.create(conversation=conversations[0], step=step(funnel, "faq:price"), choice=choice)
    assert numbers.of_steps(funnel.pk)[step(funnel, "nav:menu").pk] == numbers.Count(3, 1)
    assert numbers.of_choices(funnel.pk) == {choice.pk: 1}
    shown = admin_client.get(reverse("admin:sales_funnel_change", args=(funnel.pk,))).content.decode()
    assert "3 → 1 (33 %)" in shown and "faq:price" in shown and "Prices" in shown
    assert admin_client.get(reverse("admin:sales_funnel_add")).status_code == 200


def test_the_tree_ends_in_circles_and_names_each_step_once() -> None:
    call_command("provision", str(DEMO), stdout=StringIO())
    lines = tree.lines(Funnel.objects.get(), "ru")
    shown = [line.spot.key for line in lines if not line.again]
    assert sorted(shown) == sorted(FunnelStep.objects.values_list("key", flat=True))


def test_a_step_is_edited_with_its_choices(admin_client: Client, funnel: Funnel) -> None:
    menu = step(funnel, "nav:menu")
    shown = admin_client.get(page(menu)).content.decode()
    assert 'name="texts_kk"' in shown and 'name="choices-0-titles_en" value="Prices"' in shown
    data = form(menu, texts_ru="Главное меню", **{"choices-0-sets": "topic = prices\nwho = new"})
    response = admin_client.post(page(menu), data)
    assert response.status_code == 302, response.context["errors"]
    assert step(funnel, "nav:menu").texts == {"ru": "Главное меню", "en": "Menu"}
    assert FunnelChoice.objects.get().sets == {"topic": "prices", "who": "new"}


def test_a_step_is_added_below_its_funnel(admin_client: Client, funnel: Funnel) -> None:
    address = f"{reverse('admin:sales_funnelstep_add')}?funnel={funnel.pk}"
    assert f'value="{funnel.pk}" selected' in admin_client.get(address).content.decode()
    new = FunnelStep(funnel=funnel, key="sales:size", kind="question", texts={"ru": "Сколько?"}, stores="size")
    data = form(step(funnel, "faq:price")) | {
        "key": new.key, "kind": new.kind, "texts_ru": "Сколько?", "texts_en": "", "stores": "size", "back": "",
    }  # fmt: skip
    told = [str(m) for m in admin_client.post(address, data, follow=True).context["messages"]]
    assert step(funnel, "sales:size").stores == "size"
    assert any("Nothing comes after the answer" in text for text in told)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"key": "Price list"}, "key"), ({"kind": "question"}, "stores"), ({"kind": "link"}, "url"),
        ({"texts_ru": "", "texts_en": ""}, "texts"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(admin_client: Client, funnel: Funnel, fields: dict[str, str], where: str) -> None:
    price = step(funnel, "faq:price")
    response = admin_client.post(page(price), form(price, **fields))
    assert response.status_code == 200 and where in response.context["adminform"].form.errors


def test_a_target_in_another_funnel_is_not_offered(admin_client: Client, funnel: Funnel) -> None:
    other = Funnel.objects.create(assistant=funnel.assistant, slug="other", name="Other")
    elsewhere = FunnelStep.objects.create(funnel=other, key="faq:else", texts={"ru": "Там"})
    menu = step(funnel, "nav:menu")
    response = admin_client.post(page(menu), form(menu, **{"choices-0-target": elsewhere.pk}))
    assert response.status_code == 200 and FunnelChoice.objects.get().target == step(funnel, "faq:price")


def test_everything_that_may_be_wrong_is_said(funnel: Funnel) -> None:
    menu = step(funnel, "nav:menu")
    assert checking.findings(funnel) == []
    lonely = FunnelStep.objects.create(funnel=funnel, key="faq:lonely", texts={"ru": "Привет, {who}"})
    FunnelChoice.objects.create(step=menu, titles={"ru": "Заголовок, который не поместится"})
    FunnelChoice.objects.create(step=menu, titles={"ru": "Цены", "en": "Price"}, descriptions={"ru": "о" * 80}, target=menu)
    sorting = FunnelStep.objects.create(funnel=funnel, key="sales:sort", kind="segment")
    SegmentRule.objects.create(step=sorting, conditions="gpu = none", segment="diy")
    told = "\n".join(map(str, checking.findings(funnel)))
    for words in (
        "faq:lonely: No way leads here.", "faq:lonely: The text is missing in: en.", "faq:lonely: Nobody answers {who}",
        "leads nowhere", "longer than 24 signs" if menu.choices.count() > 3 else "longer than 20 signs",
        "longer than 72 signs", "is missing in: en", "Two choices have the same title.", "sales:sort: A rule leads nowhere.",
        "Where no rule holds",
    ):  # fmt: skip
        assert words in told, words
    assert lonely.pk in {finding.step for finding in checking.findings(funnel)}


def test_managers_see_only_funnels_of_their_own_and_shared_assistants(client: Client, funnel: Funnel) -> None:
    owner, other = a_manager(), a_manager()
    Assistant.objects.update(owner=owner)
    client.force_login(other)
    assert "Main" not in client.get(reverse("admin:sales_funnel_changelist")).content.decode()
    assert client.get(page(step(funnel, "nav:menu"))).status_code == 302
    client.force_login(owner)
    assert "Main" in client.get(reverse("admin:sales_funnel_changelist")).content.decode()
    assert client.get(page(step(funnel, "nav:menu"))).status_code == 200


def test_whoever_shares_an_assistant_sees_its_funnels_and_only_its_owner_changes_them(client: Client, funnel: Funnel) -> None:
    owner, colleague = a_manager(), a_manager()
    Assistant.objects.update(owner=owner)
    Bot.objects.create(channel=a_channel(owner=colleague), assistant=funnel.assistant)
    own = Assistant.objects.create(name="Own", slug="own", owner=colleague)
    menu = step(funnel, "nav:menu")
    whole = reverse("admin:sales_funnel_change", args=(funnel.pk,))
    client.force_login(colleague)
    assert "Main" in client.get(whole).content.decode() and client.get(page(menu)).status_code == 200
    assert client.post(page(menu), form(menu, texts_ru="Чужое")).status_code == 403
    assert client.post(whole, {"name": "Theirs", "slug": "main", "assistant": own.pk, "greetings": ""}).status_code == 403
    for address in (f"{reverse('admin:sales_funnel_delete', args=(funnel.pk,))}", reverse("admin:sales_funnelstep_delete", args=(menu.pk,))):
        assert client.post(address, {"post": "yes"}).status_code == 403
    added = client.post(reverse("admin:sales_funnelstep_add"), form(menu, key="nav:other"))
    assert added.status_code == 200 and "funnel" in added.context["adminform"].form.errors
    offered = client.get(reverse("admin:sales_funnel_add")).context["adminform"].form.fields["assistant"].queryset
    assert list(offered) == [own]
    assert step(funnel, "nav:menu").texts["ru"] == "Меню" and Funnel.objects.get().name == "Main"
    client.force_login(owner)
    assert client.post(page(menu), form(menu, texts_ru="Своё")).status_code == 302
    assert step(funnel, "nav:menu").texts["ru"] == "Своё"
