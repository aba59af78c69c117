"""`alcyon doctor`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import run


def test_a_machine_that_runs_the_tests_is_ready(
    model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", "--model", model) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert str(home) in said.out
    assert "development-token-key" not in said.out  # masked


def test_what_is_wrong_is_named_with_a_remedy(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("ALCYON_HOME", str(blocked / "home"))
    assert run("doctor", "--model", model, "--catalog", "handbook", "--json") == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert not found["is_ready"]
    wrong = {c["name"]: c["found"] for c in found["checks"] if c["state"] == "wrong"}
    assert set(wrong) == {"home", "disk", "model"}
    assert "set ALCYON_HOME" in wrong["home"]
    assert "not ready: home, disk, model" in said.err


def test_settings_and_catalogs_that_are_wrong_are_findings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_NONSENSE", "1")
    assert run("doctor", "--catalog", "none.py") == 1
    assert "not ready: settings, catalog" in capsys.readouterr().err
