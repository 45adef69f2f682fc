"""The gate before any reply: is this contact a client? Silence towards all who are not known to be one.

Criteria of the offline model stand at the end; the language models get theirs as the prompt `moderate`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import BaseModel, Field

from channels import directory
from foundation.db import execute
from llm.base import ChatMessage, Request
from llm.completion import NoModel, complete
from llm.prompts import render
from llm.providers import offline

from . import history, turns
from .models import Contact, Turn

logger = logging.getLogger(__name__)

PURPOSE = "moderate"
#: Below so many messages of the customer only a clear yes is believed.
ENOUGH_MESSAGES = 3
#: A yes below this confidence is not a clear one.
CLEAR_CONFIDENCE = 0.6


class Verdict(BaseModel):
    """What the moderator says of a contact."""

    is_client: bool | None = Field(description="true: client; false: not a client; null: not enough to tell")
    confidence: float = Field(ge=0, le=1)
    reasoning: str = Field(description="one or two sentences")


def classify(turn_id: int) -> None:
    """Decide for the turn's contact; a client's turn goes on to the answer, others end in silence with a reason."""
    claimed = turns.claim(turn_id, Turn.Stage.CLASSIFY)
    if claimed is None:
        return
    with turns.working(claimed):
        contact = Contact.objects.get(pk=claimed.contact_id)
        lines = history.recent(claimed.conversation_id)
        try:
            verdict, completion = judge(contact, lines, claimed.channel_id, reference=f"turn:{turn_id}")
        except NoModel as error:
            turns.release(claimed, str(error))
            return
        _commit(claimed, contact, verdict, completion, written=sum(line.author == "customer" for line in lines))


def judge(contact: Contact, lines: list[history.Line], channel_id: int, *, reference: str = "") -> tuple[Verdict, Any]:
    """Ask the models for a verdict on a contact with this history. Raises NoModel."""
    channel = directory.entry(channel_id).channel
    names = {"name": contact.name, "full_name": contact.full_name, "business_name": contact.business_name}
    prompt = render(
        PURPOSE,
        company=channel.company,
        about=channel.about,
        contact="; ".join(f"{name}: {value or '—'}" for name, value in names.items()),
        history=history.as_text(lines),
    )
    request = Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), ChatMessage("user", history.as_text(lines[-3:]))],
        schema=Verdict,
        facts={**names, "messages": [line.text for line in lines if line.author == "customer"], "about": channel.about},
        temperature=0.0,
        max_output_tokens=2048,
    )
    completion = complete(request, reference=reference)
    return completion.answer, completion


def settle(verdict: Verdict, *, written: int) -> bool | None:
    """What a verdict is worth after `written` messages of the customer: too early only a clear yes counts."""
    if verdict.is_client is True and verdict.confidence >= CLEAR_CONFIDENCE:
        return True
    if written < ENOUGH_MESSAGES:
        return None
    return verdict.is_client


def _commit(claimed: Any, contact: Contact, verdict: Verdict, completion: Any, *, written: int) -> None:
    is_client = settle(verdict, written=written)
    with transaction.atomic():
        if turns.lock(claimed) is None or (is_client is not True and turns.redo(claimed)):
            return
        is_client = _keep(contact.pk, is_client, verdict)
        _note(claimed, completion)
        if is_client is True:
            turns.move_on(claimed, Turn.Stage.ANSWER)
        else:
            reason = Turn.Reason.NOT_CLIENT if is_client is False else Turn.Reason.UNSURE
            if turns.end(claimed.id, Turn.Stage.IGNORED, reason, token=claimed.lease_token):
                turns.open_next(claimed.conversation_id)


def _keep(contact_id: int, is_client: bool | None, verdict: Verdict) -> bool | None:
    """Store the verdict unless a manager has decided meanwhile; returns what holds."""
    contact = Contact.objects.select_for_update(no_key=True).get(pk=contact_id)
    if contact.verdict_final:
        return contact.is_client
    contact.is_client = is_client
    contact.confidence = verdict.confidence
    contact.reasoning = verdict.reasoning
    contact.save(update_fields=["is_client", "confidence", "reasoning", "updated_at"])
    execute("UPDATE conversations_contact SET classified_at = now() WHERE id = %(id)s", {"id": contact_id})
    return is_client


def _note(claimed: Any, completion: Any) -> None:
    """Add what the classification took to its turn."""
    execute(
        """
        UPDATE conversations_turn
        SET input_tokens = input_tokens + %(input)s, output_tokens = output_tokens + %(output)s, cost = cost + %(cost)s,
            model = %(model)s
        WHERE id = %(turn)s AND lease_token = %(token)s
        """,
        {
            "turn": claimed.id,
            "token": claimed.lease_token,
            "input": completion.input_tokens,
            "output": completion.output_tokens + completion.thinking_tokens,
            "cost": completion.cost,
            "model": completion.model,
        },
    )


def answer_silenced(conversation_id: int) -> int:
    """Let messages that were met with silence by the gate be looked at again. The caller holds the lock."""
    freed = execute(
        """
        UPDATE conversations_message m SET turn_id = NULL
        FROM conversations_turn t
        WHERE m.conversation_id = %(id)s AND m.direction = 'in' AND t.id = m.turn_id AND t.stage = 'ignored'
          AND t.reason IN ('unsure', 'not_client')
          AND m.created_at > now() - interval '24 hours'
          AND m.seq > coalesce((
            SELECT max(o.seq) FROM conversations_message o WHERE o.conversation_id = %(id)s AND o.direction = 'out'), 0)
        """,
        {"id": conversation_id},
    )
    if freed:
        turns.open_next(conversation_id)
    return int(freed > 0)


# ── The offline model's criteria ─────────────────────────────────────────────────────────────────────────────────────

_BUSINESS = re.compile(
    r"цен|стоим|сколько сто|почём|почем|прайс|купить|заказ|достав|оплат|гаранти|налич|скидк|договор|счёт|счет[а-я]* на|"
    r"коммерческ|\bкп\b|услуг|товар|каталог|консультац|тариф|срок|аренд|монтаж|установ|бюджет|тендер|закуп|аналог|"
    r"конкурент|опт|характеристик|интересует|подробн|записат|брон|"
    r"баға|қанша|сатып|жеткізу|тапсырыс|төлем|кепілдік|қызмет|"
    r"price|cost|how much|buy|order|deliver|warrant|invoice|quote|discount|available|interested",
    re.IGNORECASE,
)
_NOT_BUSINESS = re.compile(
    r"ошибся номером|ошиблись номером|не туда попал|кто это|wrong number|"
    r"предлагаем (вам |вашей )?(услуг|продвижен|реклам|сотруднич|кредит)|продвижение (в|сайт)|раскрут|заработок|казино|"
    r"ставки на спорт|займ|кредит без|вы выиграли|подпишись|мам[ауы]?\b|пап[ауы]?\b|братан|зай[ка]|"
    r"как дела|что делаешь|с днём рождения|с днем рождения|пошли (гулять|в кино)|скинь|займи",
    re.IGNORECASE,
)
_COMPANY_NAME = re.compile(r"\b(ТОО|ИП|ООО|АО|ЖШС|LLP|LLC|Ltd|Inc)\b|директор|менеджер|закуп|снабжен|бухгалтер", re.IGNORECASE)


def judge_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The stated criteria without a language model: words of business and of spam or private talk, company in the name."""
    texts = [str(text) for text in facts.get("messages", [])]
    names = " ".join(str(facts.get(key) or "") for key in ("name", "full_name", "business_name"))
    business = len({match.lower() for text in texts for match in _BUSINESS.findall(text)})
    foreign = len({match[0] if isinstance(match, tuple) else match for text in texts for match in _NOT_BUSINESS.findall(text)})
    company = bool(facts.get("business_name")) or bool(_COMPANY_NAME.search(names))
    if business > foreign:
        return {
            "is_client": True,
            "confidence": 0.9 if business > 1 or company else 0.7,
            "reasoning": _("It speaks of buying."),
        }
    if foreign > business and not company:
        return {
            "is_client": False,
            "confidence": 0.7,
            "reasoning": _("It looks like advertising, a wrong number or private talk."),
        }
    if company and len(texts) >= ENOUGH_MESSAGES:
        return {"is_client": True, "confidence": 0.6, "reasoning": _("The contact's name holds a company or a position.")}
    return {"is_client": None, "confidence": 0.4, "reasoning": _("Not enough is known yet.")}


offline.register(PURPOSE, judge_offline)
