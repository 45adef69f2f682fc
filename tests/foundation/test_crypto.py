"""Sealed values open only where they belong; blind indexes find what is written differently."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.crypto import CannotOpen, blind_index, name_hashes, open_sealed, seal, split


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens(plain: bytes) -> None:
    assert open_sealed(seal(plain, "t.c"), "t.c") == plain


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert len({seal(b"x", "t.c") for _ in range(1000)}) == 1000


def test_a_value_moved_to_another_column_does_not_open() -> None:
    with pytest.raises(CannotOpen):
        open_sealed(seal(b"x", "contact.phone"), "contact.name")


@given(st.integers(min_value=0))
def test_a_changed_byte_does_not_open(position: int) -> None:
    sealed = bytearray(seal(b"secret", "t.c"))
    sealed[position % len(sealed)] ^= 1
    with pytest.raises(CannotOpen):
        open_sealed(bytes(sealed), "t.c")


def test_after_a_rotation_old_values_open_and_new_ones_use_the_new_key(settings: Any) -> None:
    old = seal(b"x", "t.c")
    settings.ENCRYPTION_KEYS = {"k2": os.urandom(32), **settings.ENCRYPTION_KEYS}
    assert open_sealed(old, "t.c") == b"x"
    assert split(seal(b"x", "t.c"))[0] == "k2"


def test_a_value_of_a_lost_key_says_which(settings: Any) -> None:
    old = seal(b"x", "t.c")
    settings.ENCRYPTION_KEYS = {"k9": os.urandom(32)}
    with pytest.raises(CannotOpen, match="k1"):
        open_sealed(old, "t.c")


def test_indexes_ignore_case_and_width_and_keep_kinds_apart() -> None:
    assert blind_index("Айгүль ", "name") == blind_index("айгүль", "name")
    assert blind_index("1", "name") != blind_index("1", "phone")


def test_a_name_is_found_by_each_of_its_words() -> None:
    hashes = name_hashes("Анна-Мария Ким", "ТОО Ромашка")
    assert blind_index("мария", "name") in hashes
    assert blind_index("ромашка", "name") in hashes
