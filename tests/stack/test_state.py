"""What is kept under var/: secrets, ports, the lock."""

from __future__ import annotations

import base64
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import state


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = state.read_secrets(tmp_path, {})
    assert first == state.read_secrets(tmp_path, {})
    assert set(first) == set(state.GENERATED)
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_secrets_are_ones_that_the_settings_accept(tmp_path: Path) -> None:
    secrets = state.read_secrets(tmp_path, {})
    key_id, _, key = secrets["ENCRYPTION_KEYS"].partition(":")
    assert (key_id, len(base64.b64decode(key)), len(base64.b64decode(secrets["INDEX_KEY"]))) == ("k1", 32, 32)
    assert min(len(secrets["SECRET_KEY"]), len(secrets["JWT_SECRET_KEY"])) >= 32


def test_what_the_environment_gives_wins_and_is_not_written_down(tmp_path: Path) -> None:
    assert state.read_secrets(tmp_path, {"SECRET_KEY": "given"})["SECRET_KEY"] == "given"
    assert "given" not in (tmp_path / "secrets.env").read_text()


def test_an_empty_variable_counts_as_none(tmp_path: Path) -> None:
    assert state.read_secrets(tmp_path, {"SECRET_KEY": ""})["SECRET_KEY"]


def test_a_later_version_adds_its_secret_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("# old\nSECRET_KEY=kept\n")
    (tmp_path / "postgres").mkdir()
    secrets = state.read_secrets(tmp_path, {})
    assert secrets["SECRET_KEY"] == "kept"
    assert secrets["FLOWER_PASSWORD"]


def test_lost_secrets_beside_existing_data_are_never_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(state.CannotStart, match="backup"):
        state.read_secrets(tmp_path, {})
    assert not (tmp_path / "secrets.env").exists()


def test_a_port_is_remembered_and_changed_only_when_taken(tmp_path: Path, taken_port: int) -> None:
    port = state.embedded_port(tmp_path, "redis", {})
    assert port in state.EMBEDDED_PORTS
    assert state.embedded_port(tmp_path, "redis", {}) == port
    (tmp_path / "ports.json").write_text(f'{{"redis": {taken_port}, "postgres": 20001}}')
    assert state.embedded_port(tmp_path, "redis", {}) != taken_port
    assert state.read_ports(tmp_path)["postgres"] == 20001


def test_a_damaged_memory_of_ports_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("")
    assert state.embedded_port(tmp_path, "postgres", {}) in state.EMBEDDED_PORTS


def test_a_port_that_was_asked_for_and_is_taken_is_named(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(state.CannotStart, match=f"{taken_port} .*POSTGRES_PORT"):
        state.embedded_port(tmp_path, "postgres", {"POSTGRES_PORT": str(taken_port)})


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", " "])
def test_a_port_must_be_a_port(text: str) -> None:
    with pytest.raises(state.CannotStart, match="PORT"):
        state.number("PORT", text)


def test_an_address_of_another_machine_is_refused_in_one_line() -> None:
    with pytest.raises(state.CannotStart, match="HOST") as refused:
        state.check_port("192.0.2.1", 8000, "PORT")
    assert "\n" not in str(refused.value)


def test_only_one_may_hold_the_folder(tmp_path: Path) -> None:
    with state.lock(tmp_path), pytest.raises(state.AlreadyRunning, match=str(os.getpid())), state.lock(tmp_path):
        pass
    with state.lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(state.CannotStart, match="VAR_DIR") as refused:
        state.make_folder(tmp_path / "file" / "var")
    assert "\n" not in str(refused.value)
