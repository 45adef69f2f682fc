"""Pages of the API's lists."""

from __future__ import annotations

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """`?page=` from 1, `?page_size=` up to 200. A page beyond the last one is a 404."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
