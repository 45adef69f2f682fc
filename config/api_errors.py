"""Every error of the API in one shape: `{"error": {"code": …, "message": …, "fields": {name: [texts]}}}`."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ErrorDetail, ParseError, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

logger = logging.getLogger(__name__)

#: For the OpenAPI schema.
ERROR = inline_serializer(
    "Error",
    {
        "error": inline_serializer(
            "ErrorBody",
            {
                "code": serializers.CharField(help_text="A word for programs, such as not_found, invalid, throttled."),
                "message": serializers.CharField(help_text="A sentence for people."),
                "fields": serializers.DictField(
                    child=serializers.ListField(child=serializers.CharField()), help_text="What is wrong, by field."
                ),
            },
        )
    },
)
#: What other libraries call the same thing.
CODES = {"parse_error": "invalid", "no_active_account": "authentication_failed"}


class Unavailable(APIException):
    """The database does not answer."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "Temporarily unavailable."


def handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Django REST framework's EXCEPTION_HANDLER. An error of ours is logged and answered without a word of its text."""
    if isinstance(exc, ModelValidationError):
        exc = ValidationError(detail=exc.message_dict if hasattr(exc, "error_dict") else exc.messages)
    elif isinstance(exc, RecursionError):
        exc = ParseError(_("The request is nested too deeply."))
    response = exception_handler(exc, context)
    if response is None:
        response = _unexpected(exc, context)
    if response.data is None or "error" not in response.data:
        response.data = body(*_told(exc, response.data))
    return response


def _unexpected(exc: Exception, context: dict[str, Any]) -> Response:
    set_rollback()
    view = type(context.get("view")).__name__
    logger.error("API request failed", exc_info=exc, extra={"view": view})
    got_request_exception.send(sender=handler, request=context.get("request"))
    if isinstance(exc, OperationalError | InterfaceError):
        return Response(body("unavailable", _("Temporarily unavailable, please try again.")), Unavailable.status_code)
    return Response(body("internal", _("Something went wrong on our side.")), status.HTTP_500_INTERNAL_SERVER_ERROR)


def body(code: str, message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """The shape itself."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def _told(exc: Exception, data: Any) -> tuple[str, str, dict[str, list[str]]]:
    """Code, sentence and faults by field of what Django REST framework would have answered."""
    if isinstance(exc, ValidationError):
        fields = _fields(data)
        general = fields.pop("non_field_errors", [])
        return "invalid", " ".join(general) or _("Some values are not valid."), fields
    detail = data.get("detail") if isinstance(data, dict) else data
    code = getattr(detail, "code", None) or getattr(exc, "default_code", "error")
    return CODES.get(str(code), str(code)), str(detail or ""), {}


def _fields(data: Any, prefix: str = "") -> dict[str, list[str]]:
    """Nested faults with dotted names."""
    if isinstance(data, dict):
        found: dict[str, list[str]] = {}
        for name, value in data.items():
            found |= _fields(value, f"{prefix}.{name}" if prefix else str(name))
        return found
    if isinstance(data, list) and any(isinstance(item, dict) for item in data):
        return _fields({str(index): item for index, item in enumerate(data) if item}, prefix)
    texts = data if isinstance(data, list) else [data]
    return {prefix or "non_field_errors": [str(text) for text in texts if isinstance(text, ErrorDetail | str)]}


def not_found(request: HttpRequest, path: str = "") -> JsonResponse:
    """What is under `/api/v1/` and nowhere else."""
    return JsonResponse(body("not_found", _("There is nothing at this address.")), status=404)
