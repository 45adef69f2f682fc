"""The editor of funnels: the whole tree with what is wrong in it and how many went where; each step with its choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, StackedInline, TabularInline

from ..funnels import checking, tree
from ..funnels.models import default_greetings
from ..models import Assistant, Funnel, FunnelChoice, FunnelStep, SegmentRule
from ..owners import own, own_or_shared
from .funnel_fields import AnswersField, LinesField, TextsField, TextsWidget

if TYPE_CHECKING:
    FunnelModelForm = forms.ModelForm[Funnel]
    StepModelForm = forms.ModelForm[FunnelStep]
    ChoiceModelForm = forms.ModelForm[FunnelChoice]
else:
    FunnelModelForm = StepModelForm = ChoiceModelForm = forms.ModelForm

#: Findings that are told after saving; the rest stands on the page.
MOST_TOLD = 6


class FunnelForm(FunnelModelForm):
    greetings = LinesField(
        label=_("Words that open it"), required=False, initial=default_greetings,
        help_text=_("One a line. Only where the customer writes nothing else."),
    )  # fmt: skip

    class Meta:
        model = Funnel
        fields = ("assistant", "name", "slug", "enabled", "greetings", "entry")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "entry" in self.fields:
            field: Any = self.fields["entry"]
            field.queryset = FunnelStep.objects.filter(funnel=self.instance.pk) if self.instance.pk else field.queryset.none()


class StepForm(StepModelForm):
    texts = TextsField(
        label=_("Text"), required=False, widget=TextsWidget(rows=5), help_text=FunnelStep._meta.get_field("texts").help_text
    )

    class Meta:
        model = FunnelStep
        fields = ("funnel", "key", "kind", "texts", "stores", "multiple", "url", "next", "back", "position")


class ChoiceForm(ChoiceModelForm):
    titles = TextsField(label=_("Title"))
    descriptions = TextsField(label=_("Description"), required=False)
    sets = AnswersField(label=_("Answers it gives"), required=False)

    class Meta:
        model = FunnelChoice
        fields = ("titles", "descriptions", "target", "sets", "position")


class OwnersOnly:
    """For model admins: whoever sees an assistant sees its funnels, but only its owner and administrators change them."""

    def assistant_of(self, obj: Any) -> Assistant:
        """Whose funnel a row of this admin belongs to."""
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and self._may(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and self._may(request, obj)  # type: ignore[misc]

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or own(Assistant.objects.filter(pk=self.assistant_of(obj).pk), request.user).exists()


class OfOneFunnel:
    """Offers only steps of the funnel that is edited."""

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.remote_field.model is FunnelStep:
            kwargs["queryset"] = FunnelStep.objects.filter(funnel=_funnel_of(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]


def _funnel_of(request: HttpRequest) -> int | None:
    """The funnel of the step whose page this is: the stored one's, or the one that the address or the form names."""
    match = request.resolver_match
    step = match.kwargs.get("object_id", "") if match is not None else ""
    if str(step).isdecimal():
        return FunnelStep.objects.filter(pk=step).values_list("funnel_id", flat=True).first()
    named = request.POST.get("funnel") or request.GET.get("funnel") or ""
    return int(named) if named.isdecimal() else None


class ChoiceInline(OfOneFunnel, StackedInline):
    model = FunnelChoice
    form = ChoiceForm
    fk_name = "step"
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    fields = (("titles", "descriptions"), ("target", "sets"), "position")


class RuleInline(OfOneFunnel, TabularInline):
    model = SegmentRule
    fk_name = "step"
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    fields = ("conditions", "segment", "target", "position")


@admin.register(Funnel)
class FunnelAdmin(OwnersOnly, ModelAdmin):
    form = FunnelForm
    list_display = ("name", "assistant", "enabled", "steps_count", "updated_at")
    list_select_related = ("assistant",)
    list_filter = ("enabled",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("whole",)
    warn_unsaved_form = True
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("assistant", "enabled"), ("greetings", "entry"))}),
        (_("The way"), {"fields": ("whole",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Funnel]:
        mine = own_or_shared(Assistant.objects.all(), request.user).order_by().values("pk")
        rows: QuerySet[Funnel] = super().get_queryset(request)
        return rows.filter(assistant__in=mine).annotate(steps_number=Count("steps"))

    def assistant_of(self, obj: Funnel) -> Assistant:
        return obj.assistant

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "assistant":
            kwargs["queryset"] = own(Assistant.objects.all(), request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("steps"))
    def steps_count(self, funnel: Any) -> int:
        return int(funnel.steps_number)

    @admin.display(description=_("steps"))
    def whole(self, funnel: Funnel) -> SafeString | str:
        if funnel._state.adding:
            return str(_("Save it first, then add its steps."))
        found = checking.findings(funnel)
        context = {
            "lines": tree.lines(funnel, (get_language() or "ru")[:2]),
            "findings": [finding for finding in found if not finding.step],
            "errors": sum(finding.is_error for finding in found), "remarks": len(found),
            "add": f"{reverse('admin:sales_funnelstep_add')}?funnel={funnel.pk}",
        }  # fmt: skip
        return render_to_string("admin/sales/funnel_tree.html", context)

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        tell(request, form.instance)


@admin.register(FunnelStep)
class FunnelStepAdmin(OwnersOnly, OfOneFunnel, ModelAdmin):
    """A step. It is reached from its funnel's page, so it stands in no menu."""

    form = StepForm
    list_display = ("key", "funnel", "kind")
    list_select_related = ("funnel",)
    list_filter = ("funnel", "kind")
    search_fields = ("key",)
    inlines = (ChoiceInline, RuleInline)
    warn_unsaved_form = True
    readonly_fields = ("of_funnel",)
    conditional_fields = {
        "stores": "kind == 'question'", "multiple": "kind == 'menu'", "url": "kind == 'link'",
    }  # fmt: skip
    fieldsets = (
        (None, {"fields": ("of_funnel", "funnel", ("key", "kind"), "texts")}),
        (_("What becomes of it"), {"fields": (("stores", "multiple", "url"), ("next", "back"), "position")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[FunnelStep]:
        mine = own_or_shared(Assistant.objects.all(), request.user).order_by().values("pk")
        rows: QuerySet[FunnelStep] = super().get_queryset(request)
        return rows.filter(funnel__assistant__in=mine)

    def assistant_of(self, obj: FunnelStep) -> Assistant:
        return obj.funnel.assistant

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "funnel":
            mine = own(Assistant.objects.all(), request.user).order_by().values("pk")
            kwargs["queryset"] = Funnel.objects.filter(assistant__in=mine)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("the whole funnel"))
    def of_funnel(self, step: FunnelStep) -> SafeString | str:
        if step._state.adding:
            return "—"
        address = reverse("admin:sales_funnel_change", args=(step.funnel_id,))
        return format_html('<a class="sd-link" href="{}">{}</a>', address, step.funnel.name)

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        tell(request, form.instance.funnel, form.instance.pk)


def tell(request: HttpRequest, funnel: Funnel, step: int | None = None) -> None:
    """Say what is wrong with a funnel, or with one step of it, after it was saved."""
    found = [finding for finding in checking.findings(funnel) if step is None or finding.step == step]
    for finding in found[:MOST_TOLD]:
        messages.add_message(request, messages.ERROR if finding.is_error else messages.WARNING, str(finding))
