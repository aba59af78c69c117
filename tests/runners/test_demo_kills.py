"""kill -9 of the demo: a few here, many in benchmarks/demo_kill_loop.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.runners.demoing import copied

ROOT = Path(__file__).resolve().parents[2]


def test_a_demo_that_was_killed_comes_to_the_same_end(tmp_path: Path) -> None:
    copied(tmp_path)
    given = ("--kills", "2", "--transactions", "5000", "--seed", "5", "--setup", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "benchmarks/demo_kill_loop.py", *given],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5000 decisions, 0 differences" in done.stdout
