"""Logs: one JSON line per record through Loguru, without personal data; a rotated file where `LOG_DIR` is set."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger as loguru_logger

if TYPE_CHECKING:
    from loguru import Record

#: What looks like a phone, a token or an address is masked, whoever logged it.
_SECRETS = (
    (re.compile(r"(?<![\w.:-])\+?\d[\d\s()-]{8,17}\d(?![\w.-])"), "<number>"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"), "<address>"),
    (re.compile(r"(?i)(bearer|token|key|password|secret)([=: ]+)[^\s,;&\"']{6,}"), r"\1\2<hidden>"),
    (re.compile(r"/webhooks/(\w+)/([\w-]+)/[\w-]+"), r"/webhooks/\1/\2/<hidden>"),
    (re.compile(r"://[^/@\s]+:[^/@\s]+@"), "://<hidden>@"),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}


def masked(text: str) -> str:
    """A log text without what looks like personal data or a secret."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _line(record: Record) -> str:
    """Loguru's template for one record: a JSON object a line, made here."""
    fields: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "logger": record["extra"].get("logger", record["name"]),
        "message": masked(record["message"]),
    }
    fields.update({k: masked(v) if isinstance(v, str) else v for k, v in record["extra"].get("fields", {}).items()})
    if record["extra"].get("trace"):
        fields["trace"] = record["extra"]["trace"]
    record["extra"]["line"] = json.dumps(fields, ensure_ascii=False, default=str)
    return "{extra[line]}\n"


class ToLoguru(logging.Handler):
    """Hands the standard library's records over, with their `extra` fields and, for exceptions, where they arose."""

    def emit(self, record: logging.LogRecord) -> None:
        # Plain values only: an object's repr, such as a request's, may carry what must not be logged.
        fields = {
            k: v for k, v in vars(record).items() if k not in _STANDARD and isinstance(v, str | int | float | bool | None)
        }
        try:
            level: str | int = loguru_logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        loguru_logger.bind(logger=record.name, fields=fields, trace=_trace(record)).log(level, "{}", record.getMessage())


def _trace(record: logging.LogRecord) -> list[str]:
    """Type and places of an exception; never its text, which may quote what a customer wrote."""
    if not record.exc_info or record.exc_info[0] is None:
        return []
    places, trace = [record.exc_info[0].__name__], record.exc_info[2]
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[:1] + places[-8:]


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: `{"level": …, "directory": … or ""}`."""
    loguru_logger.remove()
    loguru_logger.add(sys.stdout, format=_line, level=options["level"], backtrace=False, diagnose=False)
    if options["directory"]:
        loguru_logger.add(
            Path(options["directory"]) / "saudager.log",
            format=_line, level=options["level"], rotation="500 MB", retention="10 days", backtrace=False, diagnose=False,
        )  # fmt: skip
    logging.root.handlers = [ToLoguru()]
    logging.root.setLevel(options["level"])
    for name in ("uvicorn", "uvicorn.error", "celery", "celery.task"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    noisy = (
        "axes", "celery.beat", "httpx2", "httpcore2", "urllib3", "google_genai", "openai", "anthropic", "kombu", "amqp",
        "pdfminer",
    )  # fmt: skip
    for name in noisy:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("celery.app.trace", "celery.worker.strategy", "foundation.http"):
        logging.getLogger(name).setLevel(logging.WARNING)
