"""What in the admin belongs to no app of ours: people, the schedule, and the pages at the site's root."""

from __future__ import annotations

from typing import Any

import django_celery_beat.admin  # noqa: F401  registers its models first, so that ours can replace them
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import PeriodicTaskAdmin as BasePeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from conversations.admin import attention_page

from . import dashboard, status_page

for replaced in (User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(replaced)


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Only superusers make superusers, or touch one."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_staff", "is_superuser", "is_active", "last_login")
    compressed_fields = True
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        own = tuple(super().get_readonly_fields(request, obj))
        return own if request.user.is_superuser else (*own, "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        higher = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not higher and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        higher = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not higher and bool(super().has_delete_permission(request, obj))


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    pass


class SelectTask(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The schedule's list of tasks in our look."""


class ScheduleForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = SelectTask()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BasePeriodicTaskAdmin, ModelAdmin):
    form = ScheduleForm


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    """Reached through a scheduled task."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ModelAdmin):
    """Reached through a scheduled task."""


def pages() -> list[URLPattern]:
    """What stands at the root of the admin beside the models."""
    view = admin.site.admin_view
    return [
        path("attention/", view(attention_page.page), name="attention"),
        path("status/", view(status_page.page), name="status"),
        path("today.json", view(dashboard.today), name="today"),
    ]


site: Any = admin.site
site.extra_urls = pages
