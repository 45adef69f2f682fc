"""As whom the embedded servers run."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .state import CannotStart


@dataclass(frozen=True, slots=True)
class RunAs:
    """As whom a server runs. PostgreSQL refuses to run as root, so root hands its servers to somebody harmless."""

    user: int | None = None
    group: int | None = None
    prefix: tuple[str, ...] = ()

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        return [*self.prefix, *map(str, argv)]

    def popen(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user, "group": self.group, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to the server's user."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)


def run_as(data: Path, binary: Path) -> RunAs:
    """Who is to run the server of this data folder. An existing folder decides: its owner is kept.

    Raises CannotStart when nobody suitable can.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise CannotStart(f"{data} belongs to another user ({_user_name(owner)}): start as that user.")
        return RunAs()
    mapped = RunAs(prefix=("unshare", "--user", "--map-user=65534", "--map-group=65534"))
    if owner == 0:
        candidates = [mapped]
    elif owner is not None:
        candidates = [RunAs(owner, data.stat().st_gid)]
    else:
        nobody = pwd.getpwnam("nobody")
        candidates = [RunAs(nobody.pw_uid, nobody.pw_gid), mapped]
    for candidate in candidates:
        if _works(candidate, data.parent, binary):
            return candidate
    raise CannotStart(
        f"PostgreSQL does not run as root, and another user cannot reach {data.parent} or {binary.parent}. "
        "Start as an ordinary user, or name a folder open to all with VAR_DIR, e.g. VAR_DIR=/var/lib/saudager."
    )


def _user_name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return str(uid)


def _works(who: RunAs, folder: Path, binary: Path) -> bool:
    """Whether the server starts as that user, libraries and all, and reaches the folder."""
    for argv in (["test", "-x", str(folder)], [str(binary), "--version"]):
        try:
            tried = subprocess.run(who.command(argv), capture_output=True, cwd="/", timeout=20, check=False, **who.popen())  # noqa: S603
        except OSError:
            return False
        if tried.returncode:
            return False
    return True
