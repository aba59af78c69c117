"""A registered model: what a registry says of it without its files being fetched."""

from __future__ import annotations

import re

import msgspec

from alcyon.domain.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Registered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a registry."""

    name: str
    files: dict[str, str]
    """SHA-256 of each file of its folder."""
    catalog_hash: str
    registered_at: int
    """UTC ms."""
    metrics: dict[str, dict[str, float | None]]
    """By member and `blend`, as in the manifest."""
    parameters: dict[str, str]
    """What it was made with."""
    run_id: str | None = None
    """Of the tracking run that holds its figures, where the registry has such."""


def checked_name(name: str) -> str:
    """The name; ModelError: it cannot be a model's."""
    if not _NAME.fullmatch(name):
        raise ModelError(f"{name[:100]!r} is no name of a model: use letters, digits, _ . -")
    return name
