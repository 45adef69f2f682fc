"""When a customer wants a call: spoken times in Russian, Kazakh and English, as people write them in chats."""

from .phrase import Said, parse

__all__ = ["Said", "parse"]
