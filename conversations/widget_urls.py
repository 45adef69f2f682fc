"""The website chat's addresses, under `/widget/`."""

from django.urls import path

from . import widget, widget_stream

urlpatterns = [
    path("widget.js", widget.script, name="widget-script"),
    path("<slug:slug>/session/", widget.session, name="widget-session"),
    path("<slug:slug>/messages/", widget.messages, name="widget-messages"),
    path("<slug:slug>/typing/", widget.typing, name="widget-typing"),
    path("<slug:slug>/events/", widget_stream.events, name="widget-events"),
]
