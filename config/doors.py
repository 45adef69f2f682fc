"""The doors of the web process: a short way for what providers post, and Django's own for everything else."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

from .asgi import application as pages


class Webhooks(ASGIHandler):
    """Django's handler for what providers post, without sessions, languages and log-ins.

    Django runs most middleware in threads: fifteen hand-overs to answer one webhook, each of which waits for the others
    in a burst. Of the middleware, what applies to a machine is done here in place: the check of the host,
    the length of the answer, and what secures the connection. The views behind it take care of their database connections.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Build the chain of `get_response_async`: it consists of ourselves."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._security = SecurityMiddleware(_nothing)
        self._middleware_chain = convert_exception_to_response(self._secured)

    async def _secured(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()
        response = self._security.process_request(request) or await self._get_response_async(request)  # type: ignore[attr-defined]
        response.headers.setdefault("Content-Length", str(len(response.content)))
        return self._security.process_response(request, response)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            request, refusal = self.create_request(scope, body)
            answer = refusal if request is None else await self.run_get_response(request)
            assert answer is not None
            await self.send_response(answer, send)


def _nothing(request: HttpRequest) -> Any:
    raise NotImplementedError


webhooks = Webhooks()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Everything that the web process serves."""
    to_webhooks = scope["type"] == "http" and scope["path"].startswith("/webhooks/")
    await (webhooks if to_webhooks else pages)(scope, receive, send)
