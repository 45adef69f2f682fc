"""The offline criteria of the gate, and what a verdict is worth after how many messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.criteria import judge_offline
from conversations.moderation import Verdict, settle

EVALS = Path(__file__).resolve().parent.parent.parent / "evals"
NOBODY = {"name": "", "full_name": "", "business_name": ""}


def settled(*messages: str, **names: str) -> bool | None:
    """What the gate makes of these messages."""
    return settle(Verdict(**judge_offline({**NOBODY, **names, "messages": list(messages)})), written=len(messages))


@pytest.mark.parametrize(
    "messages",
    [
        ["Здравствуйте, сколько стоит доставка до Астаны?"],
        ["привет, почём кофе?"],
        ["skolko stoit"],
        ["скока будет покраска бампера"],
        ["Қанша тұрады?"],
        ["how much is the standard package?"],
        ["прайс скиньте"],
        ["Третий день жду доставку! Безобразие! Верните деньги"],
        ["Кофемашина сломалась, гарантия ещё действует?"],
        ["Хотим заказать у вас продвижение в инстаграм, сколько это стоит?"],
        ["Можно в кредит взять?"],
        ["Мы проводим тендер на поставку мебели, пришлите КП"],
        ["брат почем арматура?"],
        ["Здравствуйте", "Хочу узнать про курсы", "для ребенка 8 лет"],
        ["белый ещё остался?"],
        ["а на завтра есть окошко"],
        ["вы до скольки сегодня"],
        ["С наступающим! ёлки ещё есть?"],
        ["мы занимаемся перевозками, нужна страховка на груз"],
    ],
)
def test_clients(messages: list[str]) -> None:
    assert settled(*messages) is True


@pytest.mark.parametrize(
    "messages",
    [
        ["Предлагаем услуги SEO продвижения вашего сайта"],
        ["Здравствуйте! предлагаем сотрудничество, сколько готовы платить за рекламу?"],
        ["Займ на карту за 5 минут без отказа"],
        ["Ваш код подтверждения 4821. Никому не сообщайте"],
        ["Здравствуйте, ищу работу, есть вакансии?"],
        ["Ой извините, ошиблась номером"],
        ["Мам, ты дома? Купи хлеба"],
        ["Қалайсың, не істеп жатырсың?"],
        ["Your verification code is 123456. Do not share it with anyone"],
        ["Дрова берёзовые колотые, машина 5 кубов, привезём"],
        ["Сделаю вам карточки для маркетплейса, первые две даром"],
        ["Перешли это десяти людям и вечером услышишь хорошую новость"],
        ["Ваш пакет ждёт на почте, подтвердите адрес: short.example/aa1"],
        ["привет", "как ты?", "давно не виделись, пошли в баню в субботу"],
    ],
)
def test_strangers_are_known_at_once(messages: list[str]) -> None:
    assert settled(*messages) is False


@pytest.mark.parametrize(
    "messages", [[], ["Здравствуйте"], ["👋"], ["алло", "вы тут?"], ["Кто это?"], ["ок"], ["У меня вопрос"]]
)
def test_nothing_said_is_nothing_known(messages: list[str]) -> None:
    assert settled(*messages) is None


@pytest.mark.parametrize(
    "messages",
    [
        ["Мы занимаемся стройкой"],
        ["we are a small cafe"],
        ["реквизиты карты отправьте"],
        ["акция ещё действует до завтра?"],
        ["каспи одобрил рассрочку"],
        ["деньги верните срочно"],
        ["код от домофона скажите, я за заказом"],
        ["у меня кредит в трёх банках, банкротство поможете оформить?"],
        ["зай, на завтра брови впишешь?"],
        ["братишка, доставь до подъезда пожалуйста"],
        ["ты плитку кладёшь?"],
        ["завтра не приду, ребёнок с температурой, перезапишите"],
        ["Не приходит код подтверждения в вашем приложении"],
        ["Ваш сервис поможет увеличить продажи?"],
        ["ошибся в заказе, поменяйте размер на L"],
        ["ты когда мне плитку довезёшь? деньги ещё на той неделе отдал"],
        ["Извините, ошибся номером... хотя вы случайно не продаёте двери?"],
    ],
)
def test_no_client_is_called_a_stranger(messages: list[str]) -> None:
    assert settled(*messages) is not False


def test_a_friends_name_does_not_outweigh_business() -> None:
    assert settled("Салам бро, сколько щас стоит у вас установка кондея?", name="Серега братан") is True


def test_a_companys_name_is_no_talk_of_business() -> None:
    assert settled("Здравствуйте", business_name="ТОО Береке") is None


@pytest.mark.parametrize(
    ("is_client", "confidence", "written", "expected"),
    [
        (True, 0.6, 1, True),
        (True, 0.5, 1, None),
        (True, 0.5, 3, True),
        (False, 0.85, 1, False),
        (False, 0.8, 2, None),
        (False, 0.7, 3, False),
        (None, 0.9, 9, None),
    ],
)
def test_what_a_verdict_is_worth(is_client: bool | None, confidence: float, written: int, expected: bool | None) -> None:
    verdict = Verdict(is_client=is_client, confidence=confidence, reasoning="")
    assert settle(verdict, written=written) is expected


@given(
    st.dictionaries(
        st.sampled_from(["name", "full_name", "business_name", "about"]), st.one_of(st.none(), st.text(max_size=30))
    ),
    st.lists(st.text(max_size=120), max_size=5),
)
def test_no_message_is_too_strange(names: dict[str, Any], messages: list[str]) -> None:
    verdict = Verdict(**judge_offline({**names, "messages": messages}))
    assert verdict.is_client is not False or messages
