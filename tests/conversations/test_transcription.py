"""Voice messages: written down before anything else looks at them, each once, and never lost when they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from channels import directory
from channels.adapters.wappi import WappiAdapter
from conversations import moderation, outbox, takeover, transcription, turns, verdicts
from conversations.models import Contact, Message, Turn
from foundation.errors import Retry, Unauthorized
from llm import roster
from llm.models import LanguageModel
from sales import agent
from tests.sandbox.server import Fault
from tests.sandbox.wappi_rows import PROFILE

from .voice import PHONE, Shop, script

pytestmark = pytest.mark.django_db(transaction=True)

ASKS = "Сколько стоит доставка по Алматы?"


def whats(turn: Turn) -> list[str]:
    return [entry["what"] for entry in turn.timeline]


def while_listening(monkeypatch: pytest.MonkeyPatch, action: Any, *, times: int = 1) -> None:
    """Let `action` happen while the model listens, the first `times` times."""
    original, left = transcription.complete, iter(range(times))

    def complete(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is not None:
            action()
        return original(*args, **kwargs)

    monkeypatch.setattr(transcription, "complete", complete)


def bot_texts() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


# ── Heard ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_voice_message_is_heard_and_answered(shop: Shop) -> None:
    shop.speaks(ASKS)
    shop.run()
    voice = shop.voice()
    assert (voice.text, voice.transcribed, voice.unheard, voice.error) == (ASKS, True, False, "")
    turn = shop.turn()
    assert turn.stage == Turn.Stage.DONE
    assert whats(turn)[:3] == ["received", "transcribe", "answer"]
    assert len(shop.arrived()) == 1
    assert shop.listened() == 1
    assert ASKS in shop.asked()[-1]
    assert "conversations.transcribe" in [name for name, _row in shop.broker.done]


def test_its_cost_is_on_the_turn_and_in_the_journal(shop: Shop) -> None:
    shop.speaks(ASKS)
    shop.until("sales.answer")
    turn = shop.turn()
    assert (turn.stage, turn.model) == (Turn.Stage.ANSWER, "fake")
    assert turn.input_tokens > 0 and turn.output_tokens > 0 and turn.cost > 0
    [usage] = LanguageModel.objects.get().usage.all()
    assert (usage.purpose, usage.outcome, usage.reference) == ("transcribe", "ok", f"turn:{turn.pk}")


def test_voice_and_text_of_one_breath_get_one_reply(shop: Shop) -> None:
    shop.writes("Здравствуйте!")
    shop.speaks(ASKS)
    shop.writes("Жду ответа")
    shop.run()
    assert len(shop.arrived()) == 1
    assert [m.text for m in shop.inbound()] == ["Здравствуйте!", ASKS, "Жду ответа"]
    assert shop.turn().stage == Turn.Stage.DONE


def test_several_voice_messages_are_heard_in_order(shop: Shop) -> None:
    for words in ("Раз", "Два", "Три"):
        shop.speaks(words)
    shop.run()
    assert [m.text for m in shop.inbound()] == ["Раз", "Два", "Три"]
    assert shop.listened() == 3
    assert len(shop.arrived()) == 1


def test_a_caption_stays(shop: Shop) -> None:
    shop.speaks(ASKS, caption="Послушайте")
    shop.run()
    assert shop.voice().text == f"Послушайте\n{ASKS}"


def test_the_same_event_and_every_task_twice_is_one_transcript(shop: Shop) -> None:
    identifier = shop.speaks(ASKS)
    shop._arrives(identifier)
    while shop.broker.waiting:
        shop.broker.waiting.extend(shop.broker.waiting[:1])
        shop.broker.run_one()
        shop.broker.run_one()
    assert (shop.listened(), len(shop.arrived()), len(shop.inbound())) == (1, 1, 1)


@pytest.mark.parametrize("lost_after", [1, 2, 3])
def test_a_flushed_broker_costs_only_time(shop: Shop, lost_after: int) -> None:
    shop.speaks(ASKS)
    for _ in range(lost_after):
        shop.broker.run_one()
    shop.later(2)
    assert (shop.listened(), len(shop.arrived())) == (1, 1)


def test_an_unknown_contact_is_heard_before_it_is_judged(shop: Shop) -> None:
    shop.channel.moderation = True
    shop.channel.save()
    shop.speaks("Хочу купить кофемашину, сколько стоит?")
    shop.run()
    assert Contact.objects.get().is_client is True
    assert whats(shop.turn())[:4] == ["received", "transcribe", "classify", "answer"]
    assert len(shop.arrived()) == 1


def test_what_the_provider_declares_of_the_sound_is_not_believed(shop: Shop) -> None:
    shop.speaks(ASKS, mime="application/octet-stream")
    shop.run()
    [call] = [call for call in shop.llm.calls if "inlineData" in str(call.body)]
    [part] = call.body["contents"][-1]["parts"]
    assert part["inlineData"]["mimeType"] == "audio/wav"


# ── Meanwhile ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_voice_joins_while_another_is_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def speaks_on() -> None:
        shop.speaks("И ещё гарантия")
        shop.broker.run_one("conversations.receive")

    while_listening(monkeypatch, speaks_on)
    shop.speaks(ASKS)
    shop.run()
    assert [m.text for m in shop.inbound()] == [ASKS, "И ещё гарантия"]
    assert (shop.listened(), len(shop.arrived()), Turn.objects.count()) == (2, 1, 1)


def test_text_joins_while_voice_is_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def writes_on() -> None:
        shop.writes("Это срочно")
        shop.broker.run_one("conversations.receive")

    while_listening(monkeypatch, writes_on)
    shop.speaks(ASKS)
    shop.run()
    assert (shop.listened(), len(shop.arrived())) == (1, 1)
    assert not shop.turn().redone


def test_voice_joins_a_turn_that_waits_for_its_answer(shop: Shop) -> None:
    shop.writes("Здравствуйте!")
    shop.until("sales.answer")
    shop.speaks(ASKS)
    shop.broker.run_one("conversations.receive")
    shop.run()
    turn = shop.turn()
    assert whats(turn)[:4] == ["received", "joined", "transcribe", "answer"]
    assert len(shop.arrived()) == 1
    assert not turn.redone


def test_voice_during_the_answer_is_heard_first_and_that_only_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["Первое", "Второе", "Третье"])
    original = agent.compose

    def compose(*args: Any, **kwargs: Any) -> Any:
        if words := next(said, ""):
            shop.speaks(words)
            shop.broker.run_one("conversations.receive")
        return original(*args, **kwargs)

    monkeypatch.setattr(agent, "compose", compose)
    shop.writes("Здравствуйте!")
    shop.run()
    first, *_rest = Turn.objects.order_by("pk")
    assert first.redone
    assert [m.text for m in shop.inbound()] == ["Здравствуйте!", "Первое", "Второе", "Третье"]
    assert all(m.transcribed for m in shop.inbound()[1:])
    assert first.messages.filter(direction="in").count() == 2
    assert not Turn.objects.exclude(stage="done").exists()
    assert not Message.objects.filter(direction="in", turn=None).exists()


def test_voice_that_joins_before_the_second_computation_is_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    original, overtaken = agent.compose, iter([True])

    def compose(*args: Any, **kwargs: Any) -> Any:
        if next(overtaken, False):
            shop.writes("И ещё вопрос.")
            shop.broker.run_one("conversations.receive")
        return original(*args, **kwargs)

    monkeypatch.setattr(agent, "compose", compose)
    shop.writes("Здравствуйте!")
    shop.broker.run_one("conversations.receive")
    shop.broker.run_one("sales.answer")
    shop.speaks("Третье")
    shop.broker.run_one("conversations.receive")
    shop.run()
    turn = Turn.objects.get()
    assert turn.redone and turn.stage == "done"
    assert shop.inbound()[-1].text == "Третье" and shop.inbound()[-1].transcribed


def test_voice_beside_a_second_computation_whose_worker_died_is_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    original, happens = agent.compose, iter(["text", "voice and death"])

    def compose(*args: Any, **kwargs: Any) -> Any:
        what = next(happens, "")
        if what:
            shop.writes("И ещё вопрос.") if what == "text" else shop.speaks("Третье")
            shop.broker.run_one("conversations.receive")
        if "death" in what:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(agent, "compose", compose)
    shop.writes("Здравствуйте!")
    with pytest.raises(Killed):
        shop.run()
    shop.later()
    turn = Turn.objects.get()
    assert turn.redone and turn.stage == "done"
    assert shop.inbound()[-1].text == "Третье" and shop.inbound()[-1].transcribed
    assert len(shop.arrived()) == 1


def test_voice_during_a_second_classification_gets_a_turn_of_its_own(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.channel.moderation = True
    shop.channel.save()
    original = moderation.complete
    meanwhile = iter([lambda: shop.writes("Вы здесь?"), lambda: shop.speaks("Хочу купить кофемашину, сколько стоит?")])

    def complete(*args: Any, **kwargs: Any) -> Any:
        if (happens := next(meanwhile, None)) is not None:
            happens()
            shop.broker.run_one("conversations.receive")
        return original(*args, **kwargs)

    monkeypatch.setattr(moderation, "complete", complete)
    shop.writes("Добрый вечер")
    shop.run()
    first, second = Turn.objects.order_by("pk")
    assert (first.stage, first.reason, first.redone) == (Turn.Stage.IGNORED, Turn.Reason.UNSURE, True)
    assert second.stage == Turn.Stage.DONE
    assert shop.voice().transcribed and shop.voice().turn_id == second.pk
    assert len(shop.arrived()) == 1


def test_a_takeover_while_it_is_heard_keeps_the_words_and_sends_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    while_listening(monkeypatch, lambda: takeover.take_over(shop.conversation().pk))
    shop.speaks(ASKS)
    shop.run()
    assert (shop.voice().text, shop.voice().unheard) == (ASKS, False)
    assert shop.turn().stage == Turn.Stage.SUPERSEDED
    assert bot_texts() == []
    assert takeover.give_back(shop.conversation().pk)
    shop.run()
    assert (shop.listened(), len(shop.arrived())) == (1, 1)


def test_giving_up_after_a_takeover_leaves_the_message_to_be_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    while_listening(monkeypatch, lambda: takeover.take_over(shop.conversation().pk))
    shop.speaks("")
    shop.run()
    assert (shop.voice().unheard, shop.voice().error) == (True, "")
    assert not shop.conversation().needs_attention


def test_giving_back_hears_what_came_while_a_manager_led(shop: Shop) -> None:
    shop.writes("Здравствуйте!")
    shop.run()
    takeover.take_over(shop.conversation().pk)
    shop.speaks(ASKS)
    shop.run()
    assert (shop.listened(), shop.voice().unheard) == (0, True)
    assert takeover.give_back(shop.conversation().pk)
    shop.run()
    assert shop.voice().text == ASKS
    assert len(shop.arrived()) == 2
    assert Turn.objects.latest("pk").stage == Turn.Stage.DONE


def test_a_worker_that_dies_while_it_listens_is_replaced(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.speaks(ASKS)
    shop.until("conversations.transcribe")
    assert turns.claim(shop.turn().pk, Turn.Stage.TRANSCRIBE) is not None
    shop.run()
    assert shop.listened() == 0  # the lease of the dead one still holds
    shop.later()
    assert (shop.listened(), shop.voice().text, len(shop.arrived())) == (1, ASKS, 1)


def test_a_worker_that_comes_back_from_the_dead_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken() -> None:
        past = timezone.now() - timedelta(seconds=1)
        Turn.objects.update(leased_until=past)
        shop.broker.waiting.append(("conversations.transcribe", shop.turn().pk, 0))
        shop.run()

    while_listening(monkeypatch, overtaken)
    shop.speaks(ASKS)
    shop.run()
    assert shop.listened() == 2
    assert (shop.voice().text, len(shop.arrived()), Turn.objects.count()) == (ASKS, 1, 1)
    assert whats(shop.turn()).count("answer") == 1


def test_one_that_keeps_killing_its_workers_needs_attention(shop: Shop, settings: Any) -> None:
    shop.speaks(ASKS)
    shop.until("conversations.transcribe")
    for _ in range(settings.MAX_RETRIES + 1):
        assert turns.claim(shop.turn().pk, Turn.Stage.TRANSCRIBE) is not None
        Turn.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    shop.later()
    assert (shop.turn().stage, shop.turn().reason) == (Turn.Stage.FAILED, Turn.Reason.ATTEMPTS)
    assert shop.conversation().needs_attention


# ── Given up ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def assert_asked_to_type(shop: Shop, error: str) -> None:
    """The customer was asked once to type it, and a manager knows."""
    voice = shop.voice()
    assert (voice.text, voice.unheard, voice.transcribed) == ("", False, False)
    assert error.casefold() in voice.error.casefold()
    [reply] = bot_texts()
    assert (reply.turn_id, reply.state) == (voice.turn_id, Message.State.SENT)
    assert shop.arrived() == [reply.text]
    assert shop.turn().stage == Turn.Stage.DONE
    assert shop.conversation().needs_attention
    assert shop.conversation().attention_reason == str(Turn.Reason.UNHEARD.label)


@pytest.fixture
def english(settings: Any) -> Iterator[None]:
    settings.LANGUAGE_CODE = "en"
    with translation.override("en"):
        yield


def test_silence_is_not_made_up(shop: Shop, english: None) -> None:
    shop.speaks("")
    shop.run()
    assert_asked_to_type(shop, "no words")
    assert shop.listened() == 1


@pytest.mark.parametrize("said", ["", "   ", "[неразборчиво]", "… [музыка] …"])
def test_nothing_but_remarks_is_nothing(shop: Shop, english: None, said: str) -> None:
    script(shop, lambda prompted: {"heard": True, "transcript": said, "language": "ru"})
    shop.speaks(ASKS)
    shop.run()
    assert_asked_to_type(shop, "no words")


def test_too_long_is_not_even_fetched(shop: Shop, english: None, settings: Any) -> None:
    shop.speaks(ASKS, seconds=3)
    settings.MAX_VOICE_SECONDS = 2
    shop.run()
    assert_asked_to_type(shop, "longer than")
    assert shop.provider.calls["/api/sync/message/media/download"] == 0
    assert shop.listened() == 0


@pytest.mark.parametrize("declared", [True, False])
def test_too_big(shop: Shop, english: None, settings: Any, declared: bool) -> None:
    settings.MAX_VOICE_MB = 0.001
    more = {} if declared else {"extra": {"media_info": {}}}
    shop.speaks(ASKS, **more)
    if not declared:
        strip_size(shop)
    shop.run()
    assert_asked_to_type(shop, "larger than 0.001 MB")
    assert shop.provider.calls["/api/sync/message/media/download"] == (0 if declared else 1)
    assert shop.listened() == 0


def strip_size(shop: Shop) -> None:
    """As where the provider does not say how large a file is."""
    shop.broker.run_one("conversations.receive")
    voice = shop.voice()
    voice.details = {"media": [{**voice.details["media"][0], "size": None, "seconds": None}]}
    voice.save()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("media/download", status=404, count=99),
        Fault("media/download", body='{"status": "done"}', count=99),
        Fault("media/download", body='{"status": "done", "file_link": "https://evil.example/a.ogg"}', count=99),
        Fault("media/download", body='{"status": "done", "file_link": "https://169.254.169.254/latest/meta-data"}', count=99),
    ],
    ids=["404", "no file", "foreign host", "metadata service"],
)
def test_what_cannot_be_downloaded_is_given_up_at_once(shop: Shop, english: None, fault: Fault) -> None:
    shop.provider.faults.append(fault)
    shop.speaks(ASKS)
    shop.run()
    assert_asked_to_type(shop, "could not be downloaded")
    assert shop.provider.calls["/api/sync/message/media/download"] <= 1


def test_a_download_that_fails_is_tried_again(shop: Shop) -> None:
    shop.provider.faults.append(Fault("media/download", status=502))
    shop.speaks(ASKS)
    shop.run()
    shop.later()
    assert shop.voice().text == ASKS
    assert len(shop.arrived()) == 1


def test_a_download_that_keeps_failing_is_given_up(shop: Shop, english: None, settings: Any) -> None:
    shop.provider.faults.append(Fault("media/download", status=500, count=99))
    shop.speaks(ASKS)
    shop.run()
    shop.later(settings.MAX_RETRIES + 1)
    assert_asked_to_type(shop, "could not be downloaded (500)")


def test_a_refused_token_is_the_channels_trouble(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: WappiAdapter, ref: str) -> bytes:
        raise Unauthorized("refused", code="401")

    with monkeypatch.context() as patched:
        patched.setattr(WappiAdapter, "fetch_media", refused)
        directory.forget()
        shop.speaks(ASKS)
        shop.run()
    shop.channel.refresh_from_db()
    assert shop.channel.health == "needs_attention"
    directory.forget()
    shop.later()
    assert shop.voice().text == ASKS


def test_a_provider_that_names_a_delay_is_given_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: WappiAdapter, ref: str) -> bytes:
        raise Retry("busy", code="429", after=45)

    monkeypatch.setattr(WappiAdapter, "fetch_media", busy)
    directory.forget()
    shop.speaks(ASKS)
    shop.run()
    assert shop.turn().due_at > timezone.now() + timedelta(seconds=40)


def test_a_model_that_is_down_for_a_while_hears_it_later(shop: Shop) -> None:
    shop.llm.fail("unavailable", times=3)
    shop.speaks(ASKS)
    shop.run()
    assert (shop.turn().stage, shop.voice().unheard, shop.arrived()) == (Turn.Stage.TRANSCRIBE, True, [])
    assert shop.turn().due_at > timezone.now()
    shop.later()
    assert (shop.voice().text, len(shop.arrived())) == (ASKS, 1)
    # It was fetched once; the second time it came from our own disk.
    assert shop.provider.calls["/api/sync/message/media/download"] == 1
    assert not shop.conversation().needs_attention or shop.conversation().attention_reason != str(Turn.Reason.UNHEARD.label)


def test_a_model_that_stays_down_is_waited_for_and_then_given_up(shop: Shop, english: None, settings: Any) -> None:
    shop.llm.fail("unauthorized", times=99)
    shop.speaks(ASKS)
    shop.run()
    for attempt in range(1, settings.MAX_RETRIES + 1):
        wait = (shop.turn().due_at - timezone.now()).total_seconds()
        assert wait == pytest.approx(transcription.PAUSES[attempt - 1], abs=1)
        assert (shop.turn().attempts, shop.arrived()) == (attempt, [])
        shop.later()
    assert_asked_to_type(shop, "no language model could listen")


def test_without_a_model_that_can_listen_nobody_waits(shop: Shop, english: None) -> None:
    LanguageModel.objects.update(supports_audio=False)
    roster.forget()
    shop.speaks(ASKS)
    shop.run()
    assert_asked_to_type(shop, "no language model that can listen")
    assert shop.turn().timeline[1]["what"] == "transcribe"


def test_a_recording_that_the_model_refuses_is_not_offered_again(shop: Shop, english: None) -> None:
    shop.llm.fail("bad_request", times=99)
    shop.speaks(ASKS)
    shop.run()
    assert "takes this recording" in shop.voice().error


def test_an_open_breaker_is_no_refusal(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("llm.breaker.enter", lambda model_id: None)
        shop.speaks(ASKS)
        shop.run()
    assert (shop.turn().stage, shop.voice().unheard) == (Turn.Stage.TRANSCRIBE, True)
    shop.later()
    assert shop.voice().text == ASKS


def test_other_words_of_the_customer_are_answered_all_the_same(shop: Shop, english: None) -> None:
    shop.writes("Сколько стоит кофемашина?")
    shop.speaks("")
    shop.run()
    assert len(shop.arrived()) == 1
    assert shop.turn().stage == Turn.Stage.DONE
    assert "answer" in whats(shop.turn())
    assert "voice message]" in str(shop.llm.calls[-1].body)
    assert shop.voice().error
    assert shop.conversation().needs_attention


def test_heard_and_unheard_in_one_turn(shop: Shop) -> None:
    shop.speaks("")
    shop.speaks(ASKS)
    shop.run()
    first, second = shop.inbound()
    assert first.error and not first.text and second.text == ASKS
    assert "answer" in whats(shop.turn())
    assert len(shop.arrived()) == 1


def test_a_picture_beside_it_counts_as_something_said(shop: Shop) -> None:
    shop.writes("", type="image", content=b"\xff\xd8\xff", mime="image/jpeg")
    shop.speaks("")
    shop.run()
    assert "answer" in whats(shop.turn())
    assert len(shop.arrived()) == 1


@pytest.mark.parametrize("is_client", [None, False])
def test_a_stranger_on_a_moderated_channel_meets_silence(shop: Shop, is_client: bool | None) -> None:
    shop.channel.moderation = True
    shop.channel.save()
    if is_client is False:
        shop.writes("казино, ставки на спорт")
        shop.run()
        Contact.objects.update(is_client=False)
        Turn.objects.all().delete()
        Message.objects.all().delete()
    shop.speaks("")
    shop.run()
    turn = shop.turn()
    assert (turn.stage, turn.reason) == (Turn.Stage.IGNORED, Turn.Reason.UNHEARD)
    assert bot_texts() == [] and shop.arrived() == []
    assert shop.conversation().needs_attention
    verdicts.decide(Contact.objects.get().pk, True, user=None)
    shop.run()
    assert len(shop.arrived()) == 1


def test_a_client_on_a_moderated_channel_is_asked_to_type(shop: Shop, english: None) -> None:
    shop.channel.moderation = True
    shop.channel.save()
    shop.speaks("")
    shop.broker.run_one("conversations.receive")
    Contact.objects.update(is_client=True)
    shop.run()
    assert_asked_to_type(shop, "no words")


def test_the_request_to_type_is_in_the_customers_language(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    override = transcription.translation.override

    def noted(language: str) -> Any:
        asked.append(language)
        return override(language)

    monkeypatch.setattr(transcription.translation, "override", noted)
    for language in ("kk", "en", "", "xx"):
        Contact.objects.update(language=language)
        shop.speaks("")
        shop.broker.run_one("conversations.receive")
        Contact.objects.update(language=language)
        shop.run()
    assert asked == ["kk", "en", "ru", "ru"]


def test_giving_up_twice_asks_once(shop: Shop, english: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies after the commit and before its acknowledgement: the task comes again."""
    shop.speaks("")
    shop.until("conversations.transcribe")
    turn_id = shop.turn().pk
    shop.broker.waiting.append(("conversations.transcribe", turn_id, 0))
    shop.run()
    transcription.transcribe(turn_id)
    shop.run()
    assert_asked_to_type(shop, "no words")


def test_a_takeover_withdraws_the_request_to_type(shop: Shop) -> None:
    shop.speaks("")
    shop.run(skip=("conversations.deliver",))
    takeover.take_over(shop.conversation().pk)
    shop.run()
    assert [m.state for m in bot_texts()] == ["suppressed"]
    assert shop.arrived() == []


def test_what_comes_while_the_request_to_type_leaves_has_a_turn_of_its_own(shop: Shop) -> None:
    shop.speaks("")
    shop.run(skip=("conversations.deliver",))
    shop.speaks(ASKS)
    shop.run()
    assert len(shop.arrived()) == 2
    assert [t.stage for t in Turn.objects.order_by("pk")] == ["done", "done"]
    assert outbox.deliver(shop.conversation().pk) == 0


def test_no_word_of_it_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    secret = "мой пин четыре два ноль"
    shop.speaks(secret)
    shop.run()
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    assert secret not in logged and PHONE not in logged and PROFILE not in logged
