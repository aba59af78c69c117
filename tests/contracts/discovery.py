"""Finds every class of `alcyon.io` that implements a port, so that none goes unchecked."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import alcyon.io


def implementers(port: type) -> set[type]:
    """The classes under `alcyon.io` that have `port` among their bases."""
    found: set[type] = set()
    for module in pkgutil.walk_packages(alcyon.io.__path__, "alcyon.io."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if port in member.__mro__ and member.__module__.startswith("alcyon.io"):
                found.add(member)
    return found
