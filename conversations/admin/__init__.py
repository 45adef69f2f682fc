"""The managers' workplace: conversations as chats, contacts, the journal of turns, and what needs attention."""

from . import contacts, conversations, journals, manager_chats, turns

__all__ = ["contacts", "conversations", "journals", "manager_chats", "turns"]
