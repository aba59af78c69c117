"""kill -9 of alcyon run and its servers: a few here, many in benchmarks/stream_kill_loop.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services import Kafka, Postgres, Redis

ROOT = Path(__file__).resolve().parents[2]


def test_killed_under_traffic_nothing_is_lost_doubled_or_different(
    kafka: Kafka, postgres: Postgres, redis: Redis, tmp_path: Path
) -> None:
    # The fixtures only say whether servers can be had: those that are killed are others.
    given = [
        "--kills", "3", "--rate", "300", "--history", "20000", "--every", "1", "--seed", "3",
        "--no-report", "--cache", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "benchmarks/stream_kill_loop.py", *given],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing doubled, nothing differs" in done.stdout
