"""The short story of each kind of channel: what all have, and what only this one has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any

from ..clock import HOME, Clock
from . import everywhere
from .office import Office
from .scene import Scene
from .sides import AvitoSide, CloudSide, Side, TelegramSide, WahaSide, WappiSide
from .visitor import VisitorSide

WHATSAPP = "whatsapp/instances"
PHONE = "77015551212"
BILL = "Здравствуйте! Ваш счёт готов. Прислать?"


def widget(scene: Scene, office: Office) -> None:
    assert isinstance(scene.side, VisitorSide)
    everywhere.starts(scene, office, wants_webhook=False)
    opened = scene.side.opens()
    scene.check("a new visitor", (opened["resumed"], opened["company"], opened["history"]), (False, "Демо-Кофе", []))
    scene.note("the page opens its stream; each message is posted twice and counts once")
    everywhere.greeting(scene)
    everywhere.quick_messages(scene)
    everywhere.numbered(scene)
    everywhere.people_first(scene, echoes=False)
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=False)
    shown = [message["author"] for message in scene.side.reopened()]
    scene.check("the history of a page opened anew", len(shown), scene.inbound + scene.replies)
    scene.check("messages of the visitor in it", shown.count("customer"), scene.inbound)
    scene.check("the stream", scene.side.failure, "")


def wappi(scene: Scene, office: Office) -> None:
    everywhere.starts(scene, office, family=WHATSAPP)
    everywhere.greeting(scene)
    everywhere.quick_messages(scene)
    everywhere.voice(scene)
    everywhere.numbered(scene)
    everywhere.picture(scene)
    everywhere.people_first(scene, echoes=True)
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=True)


def telegram(scene: Scene, office: Office) -> None:
    side = scene.side
    assert isinstance(side, TelegramSide)
    everywhere.starts(scene, office)
    everywhere.tapped(scene, "/start vesna")
    scene.check("where the customer came from", scene.manager.conversation().source, "tg:vesna")
    scene.until("every tapped button is told so", lambda: side.unanswered_taps() == 0)
    everywhere.greeting(scene)
    everywhere.quick_messages(scene)
    everywhere.voice(scene)
    everywhere.picture(scene)
    with scene.expecting("the customer shares the phone, and asks", containing="рассрочка"):
        scene.say("customer", "📇 (shares the own number)")
        scene.inbound += 1
        side.shares_contact(PHONE)
        scene.writes("Вот номер. Можно ли купить в рассрочку?")
    scene.check("the phone in the contact", scene.manager.conversation().contact.phone, PHONE)
    everywhere.people_first(scene, echoes=False)
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=False)


def cloud(scene: Scene, office: Office) -> None:
    """Up to the day of silence; `cloud_next_day` tells the rest."""
    everywhere.starts(scene, office, family=WHATSAPP)
    everywhere.greeting(scene)
    everywhere.quick_messages(scene)
    everywhere.tapped(scene)
    everywhere.voice(scene)
    everywhere.picture(scene)
    everywhere.people_first(scene, echoes=True)


def cloud_next_day(scene: Scene, office: Office, clock: Clock) -> None:
    """More than a day later, at night: only a template may be sent, until the customer writes again."""
    assert isinstance(scene.side, CloudSide)
    later = night_after(clock.now())
    clock.set(later)
    scene.side.at = later.timestamp()
    scene.tell(f"  ⏱  {later:%A, %H:%M} in Almaty: the window is closed")
    with scene.expecting("a text outside of the window", 0):
        scene.say("manager", "Ваш счёт готов.")
        refused = scene.manager.is_refused("Ваш счёт готов.")
        scene.note(refused or "not refused")
    scene.check("the text was refused with words for the manager", bool(refused), True)
    scene.side.do("template", name="bill_ready", language="ru", body=BILL)
    scene.check("templates taken over from Meta", office.post("templates/load/", {"channel": scene.slug})["new"], 1)
    [template] = [row for row in _listed(office.get("templates/")) if row["channel"] == scene.slug]
    with scene.expecting("an approved template", by="manager") as arrived:
        asked = {"channel": scene.slug, "phone": f"+{scene.side.address}", "template": template["slug"]}
        office.post("test/send-message/", asked)
    scene.check("it was sent as a template", [message.kind for message in arrived], ["template"])
    scene.check("its words in the conversation", scene.sent().order_by("seq").last().text, BILL)
    with scene.expecting("the customer writes again, to the manager", 0):
        scene.writes("Спасибо. А самовывоз есть?")
    with scene.expecting("the window is open: the assistant answers in its own words", containing="склада"):
        scene.say("manager", "(gives the conversation back)")
        scene.manager.gives_back()
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=True)


def _listed(answer: Any) -> list[dict[str, Any]]:
    return list(answer["results"] if isinstance(answer, dict) else answer)


def night_after(now: datetime) -> datetime:
    """The first half past eleven in the evening more than 26 hours away: nothing unasked is sent then."""
    day = (now + timedelta(hours=26)).astimezone(HOME).date()
    at = datetime.combine(day, time(23, 30), HOME)
    return at if at > now + timedelta(hours=26) else at + timedelta(days=1)


def waha(scene: Scene, office: Office) -> None:
    """The session is linked first, by its QR code or a code to type; the customer is behind a hidden id."""
    assert isinstance(scene.side, WahaSide)
    scene.side.do("session", status="SCAN_QR_CODE")
    everywhere.starts(scene, office, family=WHATSAPP, health="trouble")
    session = f"waha/sessions/{scene.slug}/"
    scene.check("the session", office.get(session)["state"], "linking")
    scene.check("the QR code is a picture", office.qr(scene.slug).startswith(b"\x89PNG"), True)
    code = office.post(f"{session}pairing-code/", {"phone": "+7 701 999 00 00"})["code"]
    scene.note(f"QR code shown, or the code {code} to type; the phone is linked")
    scene.side.do("status", status="WORKING")
    scene.until("the session works", lambda: office.get(session)["state"] == "working")
    scene.until("the channel is known to work", lambda: office.get(f"{WHATSAPP}/{scene.slug}/status/")["health"] == "ok")
    everywhere.greeting(scene)
    scene.check("the phone behind the hidden id", scene.manager.conversation().contact.phone, scene.side.phone)
    everywhere.quick_messages(scene)
    everywhere.voice(scene)
    everywhere.numbered(scene)
    everywhere.picture(scene)
    everywhere.people_first(scene, echoes=True)
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=True)


def avito(scene: Scene, office: Office) -> None:
    assert isinstance(scene.side, AvitoSide)
    everywhere.starts(scene, office)
    everywhere.greeting(scene)
    conversation = scene.manager.conversation()
    about = conversation.about or {}
    scene.check("the tag of the enquiry", conversation.source, "avito-lead")
    scene.check("what the chat is about", about.get("title"), scene.side.TITLE)
    scene.note(f"{conversation.source}: {about.get('title')}, {about.get('price')} {about.get('currency', '')}")
    everywhere.quick_messages(scene)
    everywhere.voice(scene)
    everywhere.numbered(scene)
    everywhere.picture(scene)
    everywhere.people_first(scene, echoes=True)
    everywhere.opt_out(scene)
    everywhere.adds_up(scene, receipts=False)


#: Each kind's story, and the customer in it; a site's visitor needs no fake.
STORIES: Mapping[str, tuple[Callable[[Scene, Office], None], type[Side]]] = {
    "widget": (widget, VisitorSide),
    "wappi": (wappi, WappiSide),
    "telegram": (telegram, TelegramSide),
    "whatsapp_cloud": (cloud, CloudSide),
    "waha": (waha, WahaSide),
    "avito": (avito, AvitoSide),
}
