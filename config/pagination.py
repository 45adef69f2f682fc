"""Pages of the API's lists."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response

from foundation.big_tables import OpenPaginator


class Pages(PageNumberPagination):
    """`?page=` from 1, `?page_size=` up to 200. A page beyond the last one is a 404.

    `count` is exact up to 10,000 rows, beyond them an estimate; `next` is there as long as there is a next page.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    django_paginator_class = OpenPaginator

    def get_paginated_response(self, data: Any) -> Response:
        answer = super().get_paginated_response(data)
        pages: Any = self.page
        answer.data["count_exact"] = pages.paginator.exact
        return answer

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        described: dict[str, Any] = super().get_paginated_response_schema(schema)
        told = "False: there are more than 10,000 rows, and `count` is an estimate."
        described["properties"]["count_exact"] = {"type": "boolean", "description": told}
        return described
