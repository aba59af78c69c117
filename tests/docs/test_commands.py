"""The commands that the README and the how-to pages show are run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs/howto").glob("*.md")),
]
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "make demo": "`.ci/run` and tests/cli/test_demo.py do what it does",
    "make test": "it would run itself",
    "make demo-services": "tests/services runs it",
}


def commands(page: Path) -> list[str]:
    """What its `sh` blocks say, without comments."""
    lines = [
        line.partition("  #")[0].strip()
        for kind, block in _BLOCK.findall(page.read_text().replace("\\\n", " "))
        if kind == "sh"
        for line in block.splitlines()
    ]
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_can_be_done(page: Path, tmp_path: Path) -> None:
    """In one folder, one after the other."""
    for name, text in _FILE.findall(page.read_text()):
        (tmp_path / name).write_text(text)
    shim = tmp_path / "bin" / "alcyon"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alcyon.cli "$@"\n')
    shim.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ALCYON_")}
    path = f"{shim.parent}{os.pathsep}{plain['PATH']}"
    place = {**plain, "PATH": path, "ALCYON_HOME": str(tmp_path / "home")}
    shown = commands(page)
    assert shown
    for command in shown:
        if command in NOT_RUN:
            continue
        done = subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, env=place, capture_output=True, text=True,
            check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_a_python_block_of_the_readme_is_python_that_works(tmp_path: Path) -> None:
    blocks = [b for kind, b in _BLOCK.findall((ROOT / "README.md").read_text()) if kind == "python"]
    for block in blocks:
        ran = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert blocks
