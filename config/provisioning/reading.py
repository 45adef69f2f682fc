"""From a YAML file to a checked `Document`: variables filled in, every fault named by its place and none by its value."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from .document import Document


class ProvisionError(Exception):
    """The file, or what it asks for, is not right. The text is for the operator and holds no values of secrets."""


VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def read(path: Path, environment: Mapping[str, str]) -> Document:
    """The document in a file. Raises ProvisionError that names every fault at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProvisionError(f"{path.name} cannot be read: {type(error).__name__}.") from error
    tree = _parsed(text, path.name)
    missing: dict[str, list[str]] = {}
    filled = _filled(tree, environment, "", missing)
    if missing:
        names = "\n".join(f"  {name} ({', '.join(places)})" for name, places in sorted(missing.items()))
        raise ProvisionError(f"Not set in the environment:\n{names}")
    try:
        return Document.model_validate(filled)
    except ValidationError as error:
        faults = "\n".join(f"  {_place(fault['loc'])}: {_told(fault)}" for fault in error.errors(include_input=False))
        raise ProvisionError(f"{path.name} is not right:\n{faults}") from None


class _Loader(yaml.SafeLoader):
    """YAML whose mappings name each key once: a repeated one would silently replace what stood above it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(None, None, "this key is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ProvisionError(f"{name}{place}: {error.problem or 'not YAML'}.") from None
    except yaml.YAMLError as error:
        raise ProvisionError(f"{name} is not YAML: {type(error).__name__}.") from None
    if not isinstance(tree, dict):
        raise ProvisionError(f"{name} must be a mapping of sections: company, models, channels and so on.")
    return tree


def _filled(value: Any, environment: Mapping[str, str], place: str, missing: dict[str, list[str]]) -> Any:
    """The same tree with `${NAME}` and `${NAME:-default}` replaced in its texts; `$${` stands for a literal `${`."""
    if isinstance(value, dict):
        return {
            key: _filled(item, environment, f"{place}.{key}" if place else str(key), missing) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_filled(item, environment, f"{place}[{index}]", missing) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return "${"
        given = environment.get(name, "")
        if given or found["default"] is not None:
            return given or str(found["default"])
        missing.setdefault(name, []).append(place)
        return ""

    return VARIABLE.sub(replaced, value)


def _place(location: tuple[int | str, ...]) -> str:
    """`("models", 0, "kind")` as `models[0].kind`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the file"


def _told(fault: Any) -> str:
    """A fault in words that do not repeat the value."""
    if fault["type"] == "extra_forbidden":
        return "there is no such setting"
    if fault["type"] == "missing":
        return "is missing"
    return str(fault["msg"]).removeprefix("Value error, ")
