"""The form of a channel: its adapter says which credentials and options it needs. Credentials are written, never read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from .. import pacing
from ..models import Channel
from ..registry import adapter_class

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Channel]
else:
    ModelForm = forms.ModelForm

#: What to do at the provider, by kind of channel.
HELP = {
    Channel.Kind.WAPPI: _(
        "In the Wappi cabinet create a profile and scan its QR code with the phone. Copy the API token and the profile id "
        "from there. After saving press “Subscribe webhook”, then “Check connection”."
    ),
    Channel.Kind.WAHA: _(
        "Run your own WAHA server (docker-compose.waha.yml) and give its address and keys here. After saving press "
        "“Subscribe webhook”, then link the phone: scan the QR code, or enter the pairing code on the phone."
    ),
    Channel.Kind.WHATSAPP_CLOUD: _(
        "In Meta's developer console create a business app with WhatsApp. Copy the phone number id, the business account id, "
        "a permanent token of a system user and the app secret; invent a verify token. Then press “Subscribe webhook”."
    ),
    Channel.Kind.TELEGRAM: _(
        "Write to @BotFather in Telegram, create a bot with /newbot and copy its token. Then press “Subscribe webhook”; "
        "where this server has no public address, set the option polling instead."
    ),
    Channel.Kind.AVITO: _(
        "In Avito's cabinet for developers create an application and copy its client id and secret; the messenger needs a paid "
        "tariff there. After saving press “Subscribe webhook”, then “Check connection”."
    ),
    Channel.Kind.WIDGET: _(
        "A chat window for your own site: no account and no keys are needed. After saving copy the snippet into the pages "
        "of the site, before the closing body tag."
    ),
}


#: What may stand in the further options, by kind.
EXAMPLES = {
    Channel.Kind.WAPPI: '{"show_typing": true, "polling": true, "sends_per_second": 1, "pacing": {"new_contacts_per_day": 40}}',
    Channel.Kind.WAHA: '{"show_typing": true, "polling": true, "webhook_base": "http://saudager:8000", "pacing": {}}',
    Channel.Kind.WHATSAPP_CLOUD: '{"show_typing": true, "graph_version": "v25.0"}',
    Channel.Kind.TELEGRAM: '{"show_typing": true, "polling": false}',
    Channel.Kind.AVITO: '{"polling": true}',
    Channel.Kind.WIDGET: '{"origins": ["https://shop.example"], "title": "…", "greeting": "…", "color": "#0a7d73"}',
}


def zone_choices() -> list[tuple[str, str]]:
    return [(name, name) for name in sorted(available_timezones())]


def zone_field() -> forms.ChoiceField:
    """A time zone chosen from the known ones."""
    return forms.ChoiceField(label=_("Time zone"), choices=zone_choices, initial="Asia/Almaty", widget=UnfoldAdminSelect2Widget)


class ChannelForm(ModelForm):
    """Base of the forms made by `form_for`."""

    kind: ClassVar[str]
    credential_names: ClassVar[tuple[str, ...]] = ()
    option_names: ClassVar[tuple[str, ...]] = ()

    time_zone = zone_field()
    more_options = forms.JSONField(label=_("More options"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))

    class Meta:
        model = Channel
        exclude = ("credentials", "options")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.instance.kind = self.kind
        credentials, options = self.instance.credentials or {}, self.instance.options or {}
        for name in self.credential_names:
            if field := self.fields.get(f"credential_{name}"):
                field.widget.attrs["placeholder"] = (
                    gettext("set; empty keeps it") if credentials.get(name) else gettext("not set")
                )
        if field := self.fields.get("more_options"):
            field.help_text = gettext("As JSON. Example: %(example)s") % {"example": EXAMPLES[Channel.Kind(self.kind)]}
        for name in self.option_names:
            self.initial[f"option_{name}"] = options.get(name, "")
        self.initial["more_options"] = {key: value for key, value in options.items() if key not in self.option_names}

    def clean_more_options(self) -> dict[str, Any]:
        value = self.cleaned_data["more_options"]
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise ValidationError(_("Give an object: names with values in braces."))
        if adapter_class(self.kind).capabilities.fragile:
            try:
                pacing.read(value.get("pacing"))
            except ValidationError as error:
                raise ValidationError(error.message_dict["options"]) from None
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        given = {name: cleaned.get(f"credential_{name}", "").strip() for name in self.credential_names}
        credentials = {**(self.instance.credentials or {}), **{name: value for name, value in given.items() if value}}
        simple = {name: cleaned.get(f"option_{name}", "").strip() for name in self.option_names}
        options = {**cleaned.get("more_options", {}), **{name: value for name, value in simple.items() if value}}
        for name in self.credential_names:
            if not credentials.get(name):
                self.add_error(f"credential_{name}", _("Needed to connect."))
        for name in self.option_names:
            if not options.get(name):
                self.add_error(f"option_{name}", _("Needed to connect."))
        self.instance.credentials, self.instance.options = credentials, options
        return cleaned

    def _update_errors(self, errors: ValidationError) -> None:
        """The model's own complaints about credentials and options are shown at the single fields already."""
        told = getattr(errors, "error_dict", None)
        if told is not None:
            for hidden in ("credentials", "options"):
                told.pop(hidden, None)
            if not told:
                return
        super()._update_errors(errors)  # type: ignore[misc]


def form_for(kind: str) -> type[ChannelForm]:
    """The form of a kind of channel, with a field for each thing its adapter has to know."""
    adapter = adapter_class(kind)
    secrets = {
        f"credential_{name}": forms.CharField(
            label=_label(name), required=False, help_text=_("Stored encrypted and never shown."),
            widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
        )
        for name in adapter.credential_names
    }  # fmt: skip
    options = {
        f"option_{name}": forms.CharField(label=_label(name), required=False, widget=UnfoldAdminTextInputWidget)
        for name in adapter.option_names
    }
    known = {"kind": kind, "credential_names": tuple(adapter.credential_names), "option_names": tuple(adapter.option_names)}
    return type("ChannelForm", (ChannelForm,), {**known, **secrets, **options})


#: What providers call their credentials and options, as people read it.
LABELS = {
    "token": _("API token"), "profile_id": _("Profile id"), "api_key": _("API key"),
    "hmac_key": _("Key of the webhook's signature"), "session": _("Session"), "access_token": _("Access token"),
    "app_secret": _("App secret"), "verify_token": _("Verify token"), "phone_number_id": _("Phone number id"),
    "waba_id": _("Business account id (WABA)"), "client_id": _("Client id"), "client_secret": _("Client secret"),
    "user_id": _("Account number"),
}  # fmt: skip


def _label(name: str) -> str:
    return str(LABELS.get(name) or name.replace("_", " ").capitalize())
