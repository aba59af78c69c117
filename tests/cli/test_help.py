"""The command line as a whole: help, unknown words, start-up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import pytest

from alcyon.cli import COMMANDS
from tests.cli.running import refused, run

HEAVY = ("numba", "onnx", "onnxruntime", "sklearn", "pyarrow", "pydantic", "numpy")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"    alcyon {name}" in shown
    assert COMMANDS[name] in " ".join(shown.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_the_command_says(name: str) -> None:
    command = getattr(import_module(f"alcyon.cli.{name}"), name)
    assert (getdoc(command) or "").splitlines()[0] == COMMANDS[name]


def test_the_overview_imports_nothing_heavy() -> None:
    code = (
        "import sys; from alcyon.cli import main; main(['--help']);"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_one_line_that_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "did you mean generate?" in refused(capsys, "genrate")


def test_an_unknown_or_missing_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--sed" in refused(capsys, "generate", "--transactions", 5, "--sed", 1, "--out", "x.csv")
    assert "--transactions" in refused(capsys, "generate", "--out", "x.csv")


def test_a_wrong_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_WORKER__BATCH_MAX", "0")
    said = refused(capsys, "features", "--input", "t.parquet", "--output", "f.parquet")
    assert "batch_max" in said


def test_the_program_exits_with_the_code_of_its_command() -> None:
    program = [sys.executable, "-m", "alcyon.cli"]
    done = subprocess.run([*program, "genrate"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_quiet_and_leaves_no_file(tmp_path: Path) -> None:
    given = ["generate", "--transactions", "5000000", "--out", str(tmp_path / "t.csv")]
    with subprocess.Popen(
        [sys.executable, "-m", "alcyon.cli", *given], stderr=subprocess.PIPE, text=True
    ) as running:
        while not list(tmp_path.iterdir()):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert (running.returncode, said) == (130, "")
    assert list(tmp_path.iterdir()) == []
