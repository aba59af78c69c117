"""Grafana's dashboards are what Grafana's own types say, checked by the TypeScript compiler."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.grafana.__main__ import FOLDER
from services.cache import cache_folder, locked

TYPES = Path(__file__).parent / "grafana_types"
TYPED = """import type { Dashboard } from "./dashboard.js";
export const board: Dashboard = """
COMPILER = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")


@pytest.fixture(scope="module")
def check(
    client: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, str]], list[str]]:
    """What the compiler says of dashboards, by name; nothing of those that are right."""
    node, packages = client("node", "nodejs"), _packages(client("npm", "npm"))
    folder = tmp_path_factory.mktemp("types")
    shutil.copy(TYPES / "dashboard.ts", folder)
    shutil.copy(TYPES / "package.json", folder)
    (folder / "node_modules").symlink_to(packages)

    def compiled(texts: dict[str, str]) -> list[str]:
        for name, text in texts.items():
            (folder / f"{name}.ts").write_text(TYPED + text)
        command = [node, "node_modules/typescript/bin/tsc", *COMPILER, *(f"{n}.ts" for n in texts)]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert told.stderr == ""
        return told.stdout.splitlines()

    return compiled


def _packages(npm: str) -> Path:
    """The locked ones, installed once per machine."""
    lock = (TYPES / "package-lock.json").read_bytes()
    folder = cache_folder() / f"grafana-types-{hashlib.sha256(lock).hexdigest()[:12]}"
    with locked(cache_folder() / "lock"):
        if not (folder / "node_modules/.package-lock.json").is_file():
            shutil.copytree(TYPES, folder, dirs_exist_ok=True)
            subprocess.run([npm, "ci", "--silent"], cwd=folder, check=True)
    return folder / "node_modules"


def test_grafanas_types_take_every_dashboard_and_refuse_what_is_misspelt(
    check: Callable[[dict[str, str]], list[str]],
) -> None:
    right = {file.stem: file.read_text() for file in FOLDER.glob("*.json")}
    assert len(right) == 4
    text = right["alcyon-overview"]
    wrong = {
        "graph-mode": text.replace('"graphMode": "area"', '"graphMode": "aera"', 1),
        "stacking": text.replace('"stacking": {', '"stackin": {', 1),
        "format": text.replace('"format": "time_series"', '"format": "series"', 1),
        "thresholds": text.replace('"mode": "absolute"', '"mode": "absolut"', 1),
        "kind": text.replace('"type": "stat"', '"type": "state"', 1),
        "refresh": text.replace('"refresh": "10s"', '"refresh": 10', 1),
    }
    assert all(each != text for each in wrong.values())
    told = check(right | wrong)
    assert {line.partition(".ts(")[0] for line in told if not line.startswith(" ")} == set(wrong)
