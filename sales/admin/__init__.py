"""The managers' pages of sales: assistants and bots, calls, follow-ups, and what sales knows of a contact."""

from . import assistants, calls, contacts, follow_ups, funnels, side_panel

__all__ = ["assistants", "calls", "contacts", "follow_ups", "funnels", "side_panel"]
