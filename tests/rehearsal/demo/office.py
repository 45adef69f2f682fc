"""The company's own program: does through the HTTP API what a manager's buttons do."""

from __future__ import annotations

import secrets
from typing import Any

from ..stack import Stack, call

NAME = "demo-office"


class Office:
    """An administrator with a token. Needs Django to be set up."""

    def __init__(self, stack: Stack) -> None:
        from django.contrib.auth import get_user_model

        self.url = f"{stack.url}/api/v1"
        password = secrets.token_urlsafe(16)
        get_user_model().objects.create_superuser(NAME, password=password)
        self.token = call("POST", f"{self.url}/token/", {"username": NAME, "password": password})["access"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str) -> Any:
        """Raises RuntimeError for any status but 2xx."""
        return call("GET", f"{self.url}/{path}", headers=self.headers)

    def post(self, path: str, body: Any = None) -> Any:
        """Raises RuntimeError for any status but 2xx."""
        return call("POST", f"{self.url}/{path}", body, self.headers, timeout=30)

    def qr(self, slug: str) -> bytes:
        """The picture to scan for a linked session."""
        import urllib.request

        request = urllib.request.Request(f"{self.url}/waha/sessions/{slug}/qr/", headers=self.headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=15) as answer:
            return bytes(answer.read())
