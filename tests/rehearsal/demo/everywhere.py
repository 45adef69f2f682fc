"""The parts of a conversation that every channel plays, each with what the channel has of it."""

from __future__ import annotations

from .office import Office
from .scene import Scene
from .sides import PICTURE


def starts(
    scene: Scene, office: Office, *, family: str = "channels", health: str = "ok", wants_webhook: bool = True
) -> None:
    """Start the channel as a manager does: the credentials are proven, and the provider is told where to post."""
    scene.side.tell_receipts()
    before = office.get(f"{family}/{scene.slug}/status/")
    scene.check("before it is started", (before["status"], before["missing"]), ("stopped", []))
    after = office.post(f"{family}/{scene.slug}/start/")
    scene.check("after it is started", (after["status"], after["health"]), ("running", health))
    leading = [url for url in scene.side.webhooks() if f"/{scene.slug}/" in url]
    scene.check("webhooks at the provider", len(leading), int(wants_webhook))
    detail = f" · {after['health_detail']}" if after["health_detail"] else ""
    scene.note(f"started: {after['health']}{detail}{' · webhook subscribed' if leading else ''}")


def greeting(scene: Scene) -> None:
    with scene.expecting("a greeting with a question", containing="1 500 ₸"):
        scene.writes("Здравствуйте! Сколько стоит доставка по Алматы?")


def quick_messages(scene: Scene) -> None:
    with scene.expecting("three quick messages", containing="24 месяца"):
        scene.writes("А гарантия", "какая", "на DK-200?")


def voice(scene: Scene) -> None:
    with scene.expecting("a voice note", containing="рассрочка"):
        scene.speaks("Можно ли купить в рассрочку?")
    heard = scene.newest("voice")
    scene.check("the voice note's words", (heard.transcribed, heard.text), (True, "Можно ли купить в рассрочку?"))


def picture(scene: Scene) -> None:
    """A picture in; a manager who opens it in the admin sees the very bytes."""
    with scene.expecting("a picture", containing="12 900"):
        scene.shows("Сколько стоит фильтр для воды, как на фото?")
    seen = scene.newest("image")
    if seen is None:
        scene.wrong.append("the picture has not become a message")
    else:
        scene.check("the picture in the admin", scene.manager.opens_file(seen.pk) == PICTURE, True)


def tapped(scene: Scene, first: str = "Меню") -> None:
    """Buttons, a list, and the taps on them coming back."""
    with scene.expecting("the menu", containing="Что подсказать?") as menu:
        scene.writes(first)
    with scene.expecting("a tap", containing="Сколько человек") as sizes:
        scene.taps(menu[-1], "Подобрать машину")
    with scene.expecting("a second tap", containing="DK-200"):
        scene.taps(sizes[-1], "6–20")
    scene.check("taps that were received", scene.rows().filter(direction="in", kind="button").count(), 2)


def numbered(scene: Scene) -> None:
    """The same menu where nothing can be tapped."""
    with scene.expecting("the menu in words", containing="3"):
        scene.writes("Меню")
    with scene.expecting("a number instead of a tap", containing="по всему Казахстану"):
        scene.writes("3")


def people_first(scene: Scene, *, echoes: bool) -> None:
    """The owner (or a manager) takes over, the assistant is silent, and leads again when it is given back."""
    if echoes:
        with scene.expecting("the owner writes past us", 0):
            scene.owner_types("Добрый день, это менеджер, сейчас всё расскажу.")
            scene.led_by("manager")
        with scene.expecting("a question to the owner", 0):
            scene.writes("Хорошо, жду. А рассрочка есть?")
    with scene.expecting("a reply from the admin", by="manager", containing="пришлю условия"):
        scene.manager.replies("Да, рассрочка есть, пришлю условия.")
    scene.led_by("manager")
    with scene.expecting("a question while a manager leads", 0):
        scene.writes("Спасибо! А какие способы оплаты у вас есть?")
    with scene.expecting("given back: the assistant answers what waited", containing="карт"):
        scene.say("manager", "(gives the conversation back)")
        scene.manager.gives_back()
    scene.led_by("bot")


def opt_out(scene: Scene) -> None:
    with scene.expecting("opting out"):
        scene.writes("Не пишите мне больше, пожалуйста")
    scene.check("opted out", scene.manager.conversation().contact.opted_out_at is not None, True)


def adds_up(scene: Scene, *, receipts: bool) -> None:
    """The product's own rows must tell the same story as the provider's record."""
    from channels.models import InboundEvent
    from conversations.models import Turn

    if receipts:
        scene.until("every message is known as read", lambda: not scene.sent().exclude(state="read").exists())
    scene.check("messages on the provider's record", len(scene.side.ledger()), scene.replies)
    scene.check("messages marked as sent", scene.sent().count(), scene.replies)
    turns, events = Turn.objects.filter(conversation__channel__slug=scene.slug), InboundEvent.objects.filter(channel__slug=scene.slug)
    scene.check("turns that need attention", turns.filter(stage="failed").count(), 0)
    scene.check("events that need attention", events.filter(state="failed").count(), 0)
    scene.note(f"{scene.inbound} messages in, {scene.replies} out{', each delivered and read' if receipts else ''}")
