"""The managers' pages for channels, number rules and the inbox."""

from . import calls, channels, events, numbers, templates

__all__ = ["calls", "channels", "events", "numbers", "templates"]
