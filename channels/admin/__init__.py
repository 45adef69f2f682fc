"""The managers' pages for channels, number rules and the inbox."""

from . import channels, events, numbers

__all__ = ["channels", "events", "numbers"]
