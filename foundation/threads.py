"""Where blocking code runs while the event loop goes on.

Django keeps a thread for every ASGI request until its response has ended, and closes database connections only in that
thread. Streams that stay open for minutes, and work done in shared threads, need the two functions below.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import close_old_connections, connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def in_thread(
    executor: ThreadPoolExecutor | None,
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Run blocking `function` in a thread of `executor` (None: the event loop's own) and return its result.

    Broken and expired database connections are dropped before and after, as around a request: a thread that lives on
    would otherwise keep a connection that PostgreSQL has closed, and fail for ever.
    """

    def run() -> Result:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return await sync_to_async(run, thread_sensitive=False, executor=executor)()


async def let_request_thread_go() -> None:
    """End the thread that Django holds for the current request; called by a response that will stream for long.

    Blocking code that runs later in the same request gets a new one.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or context not in SyncToAsync.context_to_thread_executor:
        return
    await sync_to_async(connections.close_all)()
    SyncToAsync.context_to_thread_executor.pop(context).shutdown(wait=False)
