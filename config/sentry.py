"""Reports of errors to Sentry, where `SENTRY_DSN` is set: what broke and where, never whom or what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sentry_sdk

if TYPE_CHECKING:
    from sentry_sdk._types import Event, Hint

#: Parts of an event that may carry personal data, whatever put them there.
PRIVATE = ("request", "user", "extra", "breadcrumbs", "contexts", "server_name", "logentry", "message")


def start(dsn: str, environment: str) -> None:
    """Begin to report. Does nothing without a DSN."""
    if not dsn:
        return
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        traces_sample_rate=0.0,
        before_send=scrubbed,
        before_send_transaction=scrubbed,
    )


def scrubbed(event: Event, hint: Hint | None = None) -> Event:
    """The event without what could be personal: an exception keeps its type and places, not its words."""
    report: dict[str, Any] = {key: value for key, value in event.items() if key not in PRIVATE}
    for exception in (report.get("exception") or {}).get("values") or []:
        exception.pop("value", None)
        for frame in (exception.get("stacktrace") or {}).get("frames") or []:
            frame.pop("vars", None)
    return report  # type: ignore[return-value]
