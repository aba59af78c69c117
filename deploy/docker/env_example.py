"""Prints .env.example: every variable of compose.yaml and every setting, with its default.

    python deploy/docker/env_example.py > .env.example

The words are those of the settings' own docstrings.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from alcyon import sections, settings

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
# Copy to .env, which compose.yaml reads, and take the # from what you change.
# Passwords do not belong here: sh deploy/docker/secrets.sh makes files of them (docs/deploy.md).
# Made by deploy/docker/env_example.py.
"""
COMPOSE = re.compile(r"\$\{(\w+):-([^}]*)\}")
ELSEWHERE = {"home"}
"""What the image sets."""


def main() -> None:
    """Write it to stdout."""
    sys.stdout.write("\n".join(lines()) + "\n")


def lines() -> Iterator[str]:
    """The file, line by line."""
    yield HEAD
    yield "# Of compose.yaml"
    for name, default in dict(COMPOSE.findall((ROOT / "compose.yaml").read_text())).items():
        yield f"#{name}={default}"
    words = {**docstrings(settings.__file__), **docstrings(sections.__file__)}
    yield from of_model(settings.Settings, settings.PREFIX, words)


def of_model(
    model: type[BaseModel], prefix: str, words: dict[tuple[str, str], str]
) -> Iterator[str]:
    """A model's own settings, then its sections'."""
    inner: list[str] = []
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            said = (kind.__doc__ or "").partition("\n\n")[0]
            inner += ["", *comment(f"{name}: {said}"), *of_model(kind, f"{variable}__", words)]
        elif name not in ELSEWHERE:
            yield from comment(words.get((model.__name__, name), ""))
            yield f"#{variable}={value(field, variable)}"
    yield from inner


def value(field: FieldInfo, variable: str) -> str:
    """The default as a variable holds it; for a secret where it belongs."""
    if SecretStr in members(field.annotation):
        return f"(a secret: the file secrets/{variable})"
    default = field.default
    if default is PydanticUndefined or default is None:
        return ""
    return json.dumps(default) if isinstance(default, tuple | bool) else str(default)


def members(kind: object) -> tuple[object, ...]:
    """A union's members, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def docstrings(file: str | None) -> dict[tuple[str, str], str]:
    """What stands below each field of each class of a module."""
    assert file is not None
    found = {}
    for node in ast.parse(Path(file).read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[node.name, field.target.id] = text
    return found


def comment(text: str) -> list[str]:
    """Comment lines of at most 100 characters."""
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), 98)]


if __name__ == "__main__":
    main()
