"""Texts of other packages that our pages show, listed so that our catalogues translate them.

django-unfold brings neither Russian nor Kazakh. Django's and django-celery-beat's own sentences are taken over where they
are missing, or where they set a noun of ours into a case or gender that it does not have ("Изменить база знаний"). Whoever
upgrades one of these packages compares the texts; a text that it no longer uses does no harm.
"""

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

#: django-unfold 0.91
UNFOLD = (
    _("Welcome back to"),
    _("Return to site"),
    _("Light"),
    _("Dark"),
    _("Forgotten your password or username?"),
    _("You have been successfully logged out from the administration"),
    _("Toggle password visibility"),
    _("Type to search"),
    _("Search apps and models..."),
    _("All applications"),
    _("Recent searches"),
    _("No recent searches"),
    _("No results matching your query"),
    _("Loading more results..."),
    _("Select record"),
    _("Select all rows"),
    _("Select action"),
    _("Select action to run"),
    _("More actions"),
    _("Run"),
    _("Cancel"),
    _("Apply Filters"),
    _("Reset filters"),
    _("Select value"),
    _("Value"),
    _("From"),
    _("Date"),
    _("Date from"),
    _("Date to"),
    _("Not enough data."),
    _("No data"),
    _("No results found"),
    _("This page yielded into no results. Create a new item or reset your filters."),
    _("Previous"),
    _("Next"),
    _("Go back"),
    _("General"),
    _("Expand row"),
    _("Add new item"),
    _("Add row"),
    _("This item will be deleted."),
    _("Click to cancel"),
    _("Choose file to upload"),
    _("Click to download"),
    _("Image preview"),
    _("Record picture"),
    _("True"),
    _("False"),
    _("After you've created a user, you’ll be able to edit more user options."),
    _(
        "Raw passwords are not stored, so there is no way to see this user’s password, but you can "
        'change the password using <a href="{}" class="text-primary-600 dark:text-primary-500">this '
        "form</a>."
    ),
)

#: django.contrib.admin 5.2
DJANGO = (
    _("Add %s"),
    _("Change %s"),
    _("View %s"),
    _("Select %s"),
    _("Select %s to change"),
    _("Select %s to view"),
    _("Add %(name)s"),
    _("Add another %(verbose_name)s"),
    _("Delete selected %(verbose_name_plural)s"),
    _("Successfully deleted %(count)d %(items)s."),
    _("Cannot delete %(name)s"),
    _("The {name} “{obj}” was added successfully."),
    _("The {name} “{obj}” was added successfully. You may add another {name} below."),
    _("The {name} “{obj}” was changed successfully."),
    _("The {name} “{obj}” was changed successfully. You may edit it again below."),
    _("The {name} “{obj}” was changed successfully. You may add another {name} below."),
    _("The %(name)s “%(obj)s” was deleted successfully."),
    _("%(name)s with ID “%(key)s” doesn’t exist. Perhaps it was deleted?"),
    _("Added {name} “{object}”."),
    _("Changed {fields} for {name} “{object}”."),
    _("Deleted {name} “{object}”."),
    _("Change selected %(model)s"),
    _("Add another %(model)s"),
    _("Delete selected %(model)s"),
    _("View selected %(model)s"),
    _(
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? All of the following '
        "related items will be deleted:"
    ),
)

DJANGO_COUNTED = ngettext_lazy("%(count)s %(name)s was changed successfully.", "%(count)s %(name)s were changed successfully.")

#: django-celery-beat 2.9
CELERY_BEAT = (
    _("Schedule"),
    _("Arguments"),
    _("Execution Options"),
    _("Task Name"),
)
