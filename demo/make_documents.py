"""Makes the documents of the demo company: `python -m demo.make_documents [directory]`.

«Демо-Кофе» does not exist; every page says so. The PDFs in `demo/knowledge/` are the output of this program; what they
say stands in `demo/company.py`. The letters are those of DejaVu Sans (see `demo/fonts/LICENSE`), embedded as a subset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from .company import BEANS, COMPANY, DESCRIPTIONS, EXTRAS, FAQ, MACHINES, RENT, SERVICES

HERE = Path(__file__).resolve().parent
NOTICE = "ДЕМО · вымышленная компания, документ для демонстрации"

COFFEE, CREAM, SAND, CARAMEL, INK = (HexColor(c) for c in ("#4A2C20", "#FBF6EF", "#EADBC8", "#B5713A", "#2B211C"))


def tenge(amount: int) -> str:
    """`149900` as `149 900 ₸`."""
    return f"{amount:,} ₸".replace(",", "\u00a0").replace(" ₸", "\u00a0₸")


# ── Appearance ───────────────────────────────────────────────────────────────────────────────────────────────────────
def register_fonts() -> None:
    pdfmetrics.registerFont(TTFont("DejaVu", HERE / "fonts" / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont("DejaVu-Bold", HERE / "fonts" / "DejaVuSans-Bold.ttf"))
    pdfmetrics.registerFontFamily("DejaVu", normal="DejaVu", bold="DejaVu-Bold", italic="DejaVu", boldItalic="DejaVu-Bold")


BODY = ParagraphStyle("body", fontName="DejaVu", fontSize=9.5, leading=13.5, textColor=INK, spaceAfter=4)
CELL = ParagraphStyle("cell", BODY, fontSize=9, leading=12, spaceAfter=0)
AMOUNT = ParagraphStyle("amount", CELL, alignment=TA_RIGHT)
COLUMN = ParagraphStyle("column", CELL, fontName="DejaVu-Bold", textColor=white)
COLUMN_AMOUNT = ParagraphStyle("column amount", COLUMN, alignment=TA_RIGHT)
SECTION = ParagraphStyle(
    "section", BODY, fontName="DejaVu-Bold", fontSize=14, leading=18, textColor=CARAMEL, spaceBefore=10, spaceAfter=5
)
ITEM = ParagraphStyle(
    "item", BODY, fontName="DejaVu-Bold", fontSize=11, leading=14, textColor=COFFEE, spaceBefore=6, spaceAfter=2
)


class Cover(Flowable):
    """The band with the title at the top of a document."""

    def __init__(self, title: str, subtitle: str) -> None:
        super().__init__()
        self.title, self.subtitle = title, subtitle
        self.width, self.height = A4[0] - 36 * mm, 30 * mm

    def draw(self) -> None:
        canvas: Canvas = self.canv
        canvas.setFillColor(COFFEE)
        canvas.roundRect(0, 0, self.width, self.height, 4 * mm, stroke=0, fill=1)
        canvas.setFillColor(CARAMEL)
        canvas.circle(self.width - 17 * mm, self.height / 2, 9 * mm, stroke=0, fill=1)
        canvas.setFillColor(SAND)
        canvas.circle(self.width - 17 * mm, self.height / 2, 5.5 * mm, stroke=0, fill=1)
        canvas.setFillColor(white)
        canvas.setFont("DejaVu-Bold", 20)
        canvas.drawString(8 * mm, self.height - 14 * mm, self.title)
        canvas.setFillColor(SAND)
        canvas.setFont("DejaVu", 10)
        canvas.drawString(8 * mm, 7.5 * mm, self.subtitle)


def decorate(canvas: Canvas, document: BaseDocTemplate) -> None:
    """What stands on every page: the demo notice, a pale watermark, the page number."""
    width, height = A4
    canvas.saveState()
    canvas.setFillColor(Color(0.71, 0.44, 0.23, alpha=0.06))
    canvas.setFont("DejaVu-Bold", 130)
    canvas.translate(width / 2, height / 2)
    canvas.rotate(50)
    canvas.drawCentredString(0, -45, "ДЕМО")
    canvas.restoreState()
    canvas.saveState()
    canvas.setFont("DejaVu-Bold", 8)
    canvas.setFillColor(CARAMEL)
    canvas.drawString(18 * mm, height - 11 * mm, NOTICE)
    canvas.setFont("DejaVu", 8)
    canvas.drawString(18 * mm, 10 * mm, f"«{COMPANY}»: кофемашины и зерно для офиса")
    canvas.drawRightString(width - 18 * mm, 10 * mm, f"Страница {document.page}")
    canvas.setStrokeColor(SAND)
    canvas.line(18 * mm, 14 * mm, width - 18 * mm, 14 * mm)
    canvas.restoreState()


def price_table(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], amounts: int = 1) -> Table:
    """A ruled table whose last `amounts` columns are sums."""
    last = len(head) - amounts

    def styled(row: Sequence[str], words: ParagraphStyle, sums: ParagraphStyle) -> list[Paragraph]:
        return [Paragraph(escape(cell), sums if at >= last else words) for at, cell in enumerate(row)]

    body = [styled(row, CELL, AMOUNT) for row in rows]
    table = Table([styled(head, COLUMN, COLUMN_AMOUNT), *body], [width * mm for width in widths], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), COFFEE),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, CREAM]),
                ("LINEBELOW", (0, 0), (-1, -1), 0.5, SAND),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
            ]
        )
    )
    return table


def build(path: Path, title: str, subtitle: str, story: list[Flowable]) -> None:
    """Write one document; the same input gives the same bytes."""
    document = BaseDocTemplate(
        str(path), pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=17 * mm, bottomMargin=18 * mm,
        title=f"{COMPANY}: {title} (ДЕМО)", author=f"{COMPANY} (ДЕМО)", subject=NOTICE, lang="ru", invariant=1,
    )  # fmt: skip
    frame = Frame(document.leftMargin, document.bottomMargin, document.width, document.height, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("page", [frame], onPage=decorate)])
    document.build([Cover(title, subtitle), Spacer(0, 5 * mm), *story])


# ── Documents ────────────────────────────────────────────────────────────────────────────────────────────────────────
def products() -> list[Flowable]:
    story: list[Flowable] = [
        Paragraph(
            f"«{COMPANY}» продаёт, сдаёт в аренду и обслуживает кофемашины для офисов и кафе в Казахстане, а также "
            "обжаривает зерновой кофе. Здесь описано, что выбрать и чем модели отличаются.",
            BODY,
        ),
        Paragraph("Кофемашины", SECTION),
    ]
    for code, name, audience, cups, warranty, price in MACHINES:
        text, facts = DESCRIPTIONS[code]
        months = "месяцев" if warranty == 12 else "месяца"
        summary = f"Для кого: {audience}. До {cups} чашек в день. Гарантия {warranty} {months}. Цена {tenge(price)}."
        story.append(
            KeepTogether(
                [
                    Paragraph(f"{name} ({code})", ITEM), Paragraph(escape(text), BODY), Paragraph(escape(summary), BODY),
                    Paragraph(escape(f"Характеристики: {'; '.join(facts)}."), BODY),
                ]
            )
        )  # fmt: skip
    story += [
        Paragraph("Как выбрать кофемашину", SECTION),
        Paragraph(
            "Считайте две чашки на человека в день. До 5 человек хватит «Демо Соло», до 20 — «Демо Офис», до 50 — «Демо "
            "Бизнес». Если пьют в основном капучино и латте, берите модель с автоматическим капучинатором: DK-200 или выше. "
            "Если воду в бак доливать некому, подойдёт только DK-500: она подключается к водопроводу.",
            BODY,
        ),
        Paragraph("Кофе в зёрнах", SECTION),
        Paragraph("Обжариваем по вторникам и пятницам, на упаковке стоит дата обжарки. Срок годности 12 месяцев.", BODY),
    ]
    tastes = (
        "Вкус цитруса и молочного шоколада, лёгкая кислинка. Хорош для американо и фильтра.",
        "Сбалансированный вкус ореха и карамели. Универсальный кофе для офиса, лучший выбор для капучино.",
        "Плотный, горьковатый, с нотами тёмного шоколада и высоким содержанием кофеина. Для крепкого эспрессо.",
        "Мягкий вкус с нотами какао. Кофеин удалён водой, без химических растворителей.",
    )
    for (code, name, composition, _kilo, _quarter), taste in zip(BEANS, tastes, strict=True):
        story.append(KeepTogether([Paragraph(f"{name} ({code})", ITEM), Paragraph(escape(f"{composition}. {taste}"), BODY)]))
    story += [
        Paragraph("Дополнительно", SECTION),
        Paragraph(
            "Кофемолка DG-20 мелет 10 г за 4 секунды, 30 степеней помола. Холодильник DF-10 держит молоко при 3–5 °C рядом с "
            "машиной и подходит к моделям DK-300 и DK-500. Фильтр для воды A-01 рассчитан на 3 месяца или 150 литров: с ним "
            "накипи меньше, а гарантия на бойлер сохраняется.",
            BODY,
        ),
    ]
    return story


def prices() -> list[Flowable]:
    return [
        Paragraph("Все цены указаны в тенге с НДС и действуют до выхода нового прайс-листа.", BODY),
        Paragraph("Кофемашины", SECTION),
        price_table(
            ("Код", "Модель", "Для кого", "Чашек в день", "Цена"),
            [(code, name, audience, f"до {cups}", tenge(price)) for code, name, audience, cups, _w, price in MACHINES],
            (18, 36, 58, 32, 30),
        ),
        Paragraph("Кофе в зёрнах", SECTION),
        price_table(
            ("Код", "Сорт", "Состав", "1 кг", "250 г"),
            [(code, name, composition, tenge(kilo), tenge(quarter)) for code, name, composition, kilo, quarter in BEANS],
            (20, 38, 62, 28, 26), amounts=2,
        ),
        Spacer(0, 2 * mm),
        Paragraph("Скидка на зерно: от 10 кг — 5 %, от 30 кг — 10 %. Скидки не суммируются.", BODY),
        Paragraph("Оборудование, уход и расходные материалы", SECTION),
        price_table(
            ("Код", "Товар", "Цена"), [(code, name, tenge(price)) for code, name, price in EXTRAS], (20, 112, 42)
        ),
        KeepTogether(
            [
                Paragraph("Услуги", SECTION),
                price_table(
                    ("Код", "Услуга", "Единица", "Цена"),
                    [(code, name, unit, tenge(price)) for code, name, unit, price in SERVICES],
                    (20, 86, 30, 38),
                ),
            ]
        ),
        Spacer(0, 2 * mm),
        Paragraph("Доставка по Алматы бесплатна при заказе от 30 000 ₸.", BODY),
        KeepTogether(
            [
                Paragraph("Аренда кофемашин", SECTION),
                price_table(
                    ("Код", "Модель", "В месяц", "Залог"),
                    [(code, name, tenge(month), tenge(deposit)) for code, name, month, deposit in RENT],
                    (20, 86, 34, 34), amounts=2,
                ),
                Spacer(0, 2 * mm),
                Paragraph("Срок аренды от 6 месяцев. Обслуживание и ремонт входят в платёж.", BODY),
            ]
        ),
    ]  # fmt: skip


def faq() -> list[Flowable]:
    story: list[Flowable] = []
    for section, questions in FAQ:
        for number, (question, answer) in enumerate(questions):
            title = [Paragraph(escape(section), SECTION)] if number == 0 else []
            story.append(KeepTogether([*title, Paragraph(escape(question), ITEM), Paragraph(escape(answer), BODY)]))
    return story


def main(directory: Path) -> None:
    register_fonts()
    directory.mkdir(parents=True, exist_ok=True)
    build(directory / "products.pdf", "Каталог", "Кофемашины и зерно для офиса · «Демо-Кофе»", products())
    build(directory / "prices.pdf", "Прайс-лист", "Действует с 1 января 2026 года · «Демо-Кофе»", prices())
    build(directory / "faq.pdf", "Вопросы и ответы", "О чём спрашивают покупатели · «Демо-Кофе»", faq())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "knowledge")
