from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SalesConfig(AppConfig):
    name = "sales"
    verbose_name = _("Sales")

    def ready(self) -> None:
        # They register what the offline model does for them, and hear what happens in conversations.
        from . import offline_agent  # noqa: F401
