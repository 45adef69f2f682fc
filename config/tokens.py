"""JSON Web Tokens for the API: made from a staff login, guarded against guessing, worthless once the user changes."""

from __future__ import annotations

from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from .api_errors import ERROR
from .throttling import PerAddress


class LockedOut(APIException):
    """Too many wrong passwords for this user from this address."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "locked_out"

    def __init__(self, wait: float | None) -> None:
        super().__init__(_("Too many wrong passwords. Try again later."))
        self.wait = wait  # becomes Retry-After


class Login(TokenObtainPairSerializer):
    """Username and password of a staff user."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        # axes marks the request it is given; only on Django's own request would its middleware answer in HTML.
        request = self.context["request"]
        credentials = {"username": attrs[self.username_field]}
        try:
            tokens: dict[str, str] = super().validate(attrs)
        except AuthenticationFailed:
            if not AxesProxyHandler.is_allowed(request, credentials):
                pause = get_cool_off()
                raise LockedOut(pause.total_seconds() if pause else None) from None
            raise
        user: Any = self.user
        if not user.is_staff:
            raise AuthenticationFailed(self.error_messages["no_active_account"], "no_active_account")
        return tokens


class Refresh(TokenRefreshSerializer):
    """A refresh token is as good as its user: gone, deactivated or with a new password, it is refused."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        user: Any = JWTAuthentication().get_user(self.token_class(attrs["refresh"]))
        if not user.is_staff:
            raise AuthenticationFailed(self.error_messages["no_active_account"], "no_active_account")
        tokens: dict[str, str] = super().validate(attrs)
        return tokens


_access: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "access": serializers.CharField(help_text="Send it as `Authorization: Bearer …`; valid JWT_EXPIRE_MINUTES.")
}
_refresh: dict[str, serializers.Field[Any, Any, Any, Any]] = {"refresh": serializers.CharField(help_text="For token/refresh/.")}


class TokenView(TokenObtainPairView):
    """Log in: a short-lived access token and a refresh token."""

    serializer_class = Login
    throttle_classes = [PerAddress]

    @extend_schema(
        tags=["token"],
        auth=[],
        responses={200: inline_serializer("Tokens", {**_access, **_refresh}), 400: ERROR, 401: ERROR, 429: ERROR},
    )
    def post(self, *args: Any, **kwargs: Any) -> Any:
        return super().post(*args, **kwargs)


class RefreshView(TokenRefreshView):
    """A new access token for a refresh token."""

    serializer_class = Refresh
    throttle_classes = [PerAddress]

    @extend_schema(
        tags=["token"], auth=[], responses={200: inline_serializer("AccessToken", _access), 400: ERROR, 401: ERROR, 429: ERROR}
    )
    def post(self, *args: Any, **kwargs: Any) -> Any:
        return super().post(*args, **kwargs)
