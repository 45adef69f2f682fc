"""A manager at work in the admin: logs in, answers and gives back through the same forms as a browser would."""

from __future__ import annotations

import http.cookiejar
import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stack import Stack


class Manager:
    """Works on the one conversation with the customer of this phone, or on this channel. Needs Django to be set up.

    Who has the default `name` is also who takes calls. Each of two that work at the same time needs a name of their own, as
    whoever logs in is given a new password.
    """

    NAME = "demo-manager"

    def __init__(self, stack: Stack, phone: str = "", *, channel: str = "", name: str = NAME) -> None:
        self.stack, self.phone, self.channel, self.name = stack, phone, channel, name
        self.browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        self.logged_in = False

    def mode(self) -> str:
        return str(self.conversation().mode)

    def replies(self, text: str) -> None:
        self._post("reply", text=text)

    def is_refused(self, text: str) -> str:
        """Try to reply where that is not possible: the words that say so; empty where it was taken."""
        try:
            self.replies(text)
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            return str(json.loads(error.read())["error"])
        return ""

    def gives_back(self) -> None:
        self._post("decide", do="give_back")

    def opens_file(self, message_id: int) -> bytes:
        """The first file of a message, as the admin shows it."""
        page = f"{self._logged_in()}/admin/conversations/conversation/{self.conversation().pk}/file/{message_id}/0/"
        with self.browser.open(page, timeout=15) as answer:
            return bytes(answer.read())

    def conversation(self):  # type: ignore[no-untyped-def]
        from conversations.models import Conversation
        from foundation.crypto import blind_index

        if self.channel:
            return Conversation.objects.get(channel__slug=self.channel)
        return Conversation.objects.get(contact__phone_index=blind_index(self.phone, "phone"))

    def _logged_in(self) -> str:
        """Log in where that was not done yet; the address of the site."""
        if not self.logged_in:
            self._log_in()
        return self.stack.url

    def _log_in(self) -> None:
        from django.contrib.auth import get_user_model

        people = get_user_model().objects
        user = people.filter(username=self.name).first() or people.create_superuser(
            self.name, first_name="Демо", last_name="Менеджер"
        )
        password = secrets.token_urlsafe(16)
        user.set_password(password)
        user.save()
        self._submit(f"{self.stack.url}/admin/login/?next=/admin/", username=self.name, password=password)
        self.logged_in = True

    def _post(self, action: str, **fields: str) -> None:
        page = f"{self._logged_in()}/admin/conversations/conversation/{self.conversation().pk}/"
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
