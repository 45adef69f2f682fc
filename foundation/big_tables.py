"""Counting rows of tables that grow without end: exactly while they are few, by the planner's statistics beyond that.

`count(*)` reads every row it counts. Nobody needs to know of 1,234,567 rows that it is not 1,234,568, and nobody turns to
the twenty-thousandth page: a list shows up to MOST rows, and what is older is found by a filter or a period.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.core.paginator import EmptyPage, Page, Paginator
from django.db import connections
from django.db.models import Exists, QuerySet

#: Rows through which one looks for what no index finds.
WINDOW = 20_000
#: Of so few matching rows it is cheaper to begin with them.
FEW = 20_000
#: Rows that are counted one by one, and through which a list can be turned page by page.
MOST = 10_000


def counted(rows: QuerySet[Any]) -> tuple[int, bool]:
    """How many rows there are, up to MOST, and whether there are more."""
    found = rows.order_by().values("pk")[: MOST + 1].count()
    return min(found, MOST), found > MOST


def newest(rows: QuerySet[Any], every: QuerySet[Any], by: str) -> QuerySet[Any]:
    """Those of `rows` that are among the newest WINDOW of `every`, by an indexed column that rises with time."""
    border = list(every.order_by(f"-{by}").values_list(by, flat=True)[WINDOW : WINDOW + 1])
    return rows.filter(**{f"{by}__gt": border[0]}) if border else rows


def estimated(rows: QuerySet[Any]) -> int:
    """About how many rows there are, as PostgreSQL's planner sees it by its statistics, without reading any."""
    try:
        sql, params = rows.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return 0
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        (found,) = cursor.fetchone()
    plan = json.loads(found) if isinstance(found, str) else found
    return int(plan[0]["Plan"]["Plan Rows"])


def about(rows: QuerySet[Any]) -> tuple[int, bool]:
    """How many rows there are, and whether that is exact: it is up to MOST."""
    found, more = counted(rows)
    return (max(estimated(rows), found + 1), False) if more else (found, True)


class ExistsByIndex(Exists):
    """EXISTS that is asked of one row after another by an index, so that a LIMIT ends it early.

    OFFSET keeps the planner from making a join of it, which would read all of the other table first.
    """

    template = "EXISTS(%(subquery)s OFFSET 0)"


def exists(rows: QuerySet[Any], every: QuerySet[Any]) -> Exists:
    """Whether there are `rows` (which refer to an outer row); `every` are those of all outer rows.

    Where they are few the query begins with them, where they are many it asks one row after another.
    """
    return Exists(rows) if estimated(every) < FEW else ExistsByIndex(rows)


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """The first MOST rows, by pages; `more` says whether there are others, `estimate` how many there may be in all."""

    template_name = "admin/bounded_pagination.html"

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        return counted(self.object_list) if isinstance(self.object_list, QuerySet) else (len(self.object_list), False)

    @property
    def count(self) -> int:
        return self._counted[0]

    @property
    def more(self) -> bool:
        return self._counted[1]

    @cached_property
    def estimate(self) -> int:
        """Of all rows, rounded to what may be believed of it."""
        found = max(estimated(self.object_list), self.count) if self.more else self.count  # type: ignore[arg-type]
        return round(found, 2 - len(str(found))) if self.more else found


class OpenPage(Page):  # type: ignore[type-arg]
    """A page that knows of the next one because its first row was found as well."""

    goes_on = False

    def has_next(self) -> bool:
        return self.goes_on


class OpenPaginator(BoundedPaginator):
    """Every row, by pages: for programs that read a whole list. `count` is an estimate beyond MOST rows."""

    @cached_property
    def _about(self) -> tuple[int, bool]:
        return about(self.object_list) if isinstance(self.object_list, QuerySet) else (len(self.object_list), True)

    @property
    def count(self) -> int:
        return self._about[0]

    @property
    def exact(self) -> bool:
        """Whether `count` is not an estimate."""
        return self._about[1]

    def validate_number(self, number: Any) -> int:
        """Any page from the first on; whether it has rows is seen when it is read."""
        if str(number).isascii() and str(number).isdigit() and int(number) > 1:
            return int(number)
        return int(super().validate_number(number))

    def page(self, number: Any) -> OpenPage:
        """Raises InvalidPage beyond the last row."""
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        found = list(self.object_list[bottom : bottom + self.per_page + 1])
        if not found and number > 1:
            raise EmptyPage(self.error_messages["no_results"])
        page = OpenPage(found[: self.per_page], number, self)
        page.goes_on = len(found) > self.per_page
        return page
