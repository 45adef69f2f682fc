"""Words that customers and documents use for the same thing, in Russian, Kazakh and English.

A customer asks in Kazakh or English, the price list is in Russian. Each group: how the asked word may begin, and the
words that are looked for beside it. Only words of trade that every shop has; a company's own words are in its documents.
"""

from __future__ import annotations

GROUPS: tuple[tuple[str, str], ...] = (
    (
        "почем цена цены цену цене ценой ценам ценник стоит стоят стоимост прайс тариф расцен price cost rate баға құны тұрады",
        "цена стоимость стоит прайс тариф тенге price cost баға құны",
    ),
    (
        "доставк доставля доставит привез привоз курьер deliver shipping жеткіз",
        "доставка доставляем курьер delivery shipping жеткізу",
    ),
    ("гарант warrant guarant кепіл", "гарантия гарантийный warranty кепілдік"),
    (
        "оплат оплач платит платеж рассроч кредит pay payment installment төле төлем бөліп",
        "оплата оплатить рассрочка payment төлем",
    ),
    ("возврат вернут верну обмен return refund exchange қайтар алмастыр", "возврат вернуть обмен return refund қайтару"),
    (
        "график работаете открыт открыв закрыт закрыв часы расписан hours open opening schedule жұмыс уақыт ашық",
        "график часы режим работаете понедельник выходной hours жұмыс уақыты",
    ),
    ("компани юрлиц юридич тоо ооо", "юридические юридическое тоо компания"),
    ("адрес находит находитесь где location address where мекенжай орналас қайда", "адрес находимся address мекенжай"),
    ("скидк скидок акци дешевле discount sale жеңілдік", "скидка акция discount жеңілдік"),
    (
        "установк установит монтаж подключ пусконалад install setup орнат қосу",
        "установка монтаж подключение installation орнату",
    ),
    (
        "ремонт сервис обслужив починит поломк сломал repair service maintenance жөнде",
        "ремонт сервис обслуживание repair жөндеу",
    ),
    ("аренд прокат rent lease жалға", "аренда аренды rent жалға"),
    ("налич склад stock available қоймада", "наличие наличии складе stock қоймада"),
    ("самовывоз забрат pickup алып", "самовывоз забрать pickup"),
    ("заказ order тапсырыс", "заказ заказать order тапсырыс"),
    ("договор счет счёт contract invoice шарт шот", "договор счет invoice шарт"),
    ("опт оптов wholesale көтерме", "оптовый опт wholesale көтерме"),
    ("телефон позвонит контакт phone contact байланыс", "телефон контакты phone байланыс"),
    ("срок долго days мерзім қашан", "срок дней рабочих мерзім"),
    ("coffee", "кофе"),
    ("кофемашин кофеаппарат кофеварк machine", "кофемашина кофеаппарат кофеварка machine"),
    ("зерн зерно beans дән", "зерно зерна beans дән"),
)

_BY_START: dict[str, str] = {start: words for starts, words in GROUPS for start in starts.split()}
_LONGEST = max(map(len, _BY_START))

#: Short words match whole: `опт` is no start of `оптика`.
_WHOLE = 3

_STOP_WORDS = """
а без бы был была были было быть в вам вас ваш ваша ваше ваши вашей вашего во вот все всего вы где да для до
добрый день вечер утро доброе его ее если есть еще же за здравствуйте здраствуйте и из или им их й к как какая
какие какой какую какова ко когда кто ли либо мне могу можем можете можно мой моя мы на над надо нам нас наш не
него нее нет нету ни них но ну о об он она они оно от очень по под подскажите пожалуйста пожалуста при привет про
с салем сколько со спасибо так также такое там те тебе тем то тоже только ты у уже хотел хотела хотелось хочу
хотим чего чем что чтобы это этот эта эти этого я скажите интересует нужен нужна нужно нужны меня
бұл ба бе ма ме па пе пен бар және мен сен сіз сіздің біз біздің ол не қандай қанша қалай үшін бойынша керек
сәлеметсіз сәлем рахмет жоқ болады бола ала аламын аласыз де да та те бен кім қай осы сол
a an and are at be by can could do does did for from hello hey hi how i if in is it me much many my of on or our
please s so t that the their there this to us was we what when which will with would you your
"""
#: Words that carry nothing to look for: forms of address, question words, function words.
STOP_WORDS: frozenset[str] = frozenset(_STOP_WORDS.split())


def related(word: str) -> list[str]:
    """The other words of trade that mean the same as `word` (normalised by `index.words`)."""
    for length in range(min(len(word), _LONGEST), 1, -1):
        found = _BY_START.get(word[:length])
        if found is not None and (length > _WHOLE or length == len(word)):
            return [other for other in found.split() if other != word]
    return []
