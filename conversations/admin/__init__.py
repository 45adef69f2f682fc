"""The managers' workplace: conversations as chats, contacts, the journal of turns, and what needs attention."""

from . import contacts, conversations, turns

__all__ = ["contacts", "conversations", "turns"]
