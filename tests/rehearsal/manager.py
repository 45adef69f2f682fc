"""A manager at work in the admin: logs in, answers and gives back through the same forms as a browser would."""

from __future__ import annotations

import http.cookiejar
import re
import secrets
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stack import Stack


class Manager:
    """Works on the one conversation with the customer of this phone, who is also who takes calls. Needs Django to be set up."""

    NAME = "demo-manager"

    def __init__(self, stack: Stack, phone: str) -> None:
        self.stack, self.phone = stack, phone
        self.browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        self.logged_in = False

    def mode(self) -> str:
        return str(self._conversation().mode)

    def replies(self, text: str) -> None:
        self._post("reply", text=text)

    def gives_back(self) -> None:
        self._post("decide", do="give_back")

    def _conversation(self):  # type: ignore[no-untyped-def]
        from conversations.models import Conversation
        from foundation.crypto import blind_index

        return Conversation.objects.get(contact__phone_index=blind_index(self.phone, "phone"))

    def _log_in(self) -> None:
        from django.contrib.auth import get_user_model

        people = get_user_model().objects
        user = people.filter(username=self.NAME).first() or people.create_superuser(
            self.NAME, first_name="Демо", last_name="Менеджер"
        )
        password = secrets.token_urlsafe(16)
        user.set_password(password)
        user.save()
        self._submit(f"{self.stack.url}/admin/login/?next=/admin/", username=self.NAME, password=password)
        self.logged_in = True

    def _post(self, action: str, **fields: str) -> None:
        if not self.logged_in:
            self._log_in()
        page = f"{self.stack.url}/admin/conversations/conversation/{self._conversation().pk}/"
        self._submit(f"{page}change/", f"{page}{action}/", **fields)

    def _submit(self, page: str, target: str = "", **fields: str) -> None:
        """Load a page for its CSRF token and post the fields. Raises urllib.error.HTTPError, RuntimeError."""
        html = self.browser.open(page, timeout=15).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)
        if token is None:
            raise RuntimeError(f"no form on {urllib.parse.urlsplit(page).path}")
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        request = urllib.request.Request(target or page, data, {"Referer": page})
        answer = self.browser.open(request, timeout=15)
        if "/login/" in answer.url:
            raise RuntimeError("the login was refused")
