"""What all tests of conversations may use."""

from .voice import _servers, shop  # noqa: F401
