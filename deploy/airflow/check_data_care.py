"""Runs the DAGs of data care with Airflow's own test command: `make test-airflow`.

    python deploy/airflow/check_data_care.py .tools/airflow/bin/airflow

In a folder of its own, on sqlite: two nights leave one whole backup where one is to be kept, and
the clean-up removes an old payment, leaves a young one, and tells the audit log.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from check import DAGS, expect, run, tested

from alcyon.io.sqlite import SqliteStore

DAY_MS = 86_400_000


def main() -> None:
    """Exit code 1 where a DAG did something else than promised."""
    airflow = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="alcyon-airflow-") as work:
        folder = Path(work)
        environment = prepared(folder)
        run([airflow, "db", "migrate"], environment, quietly=True)
        given = {"folder": str(folder / "backups"), "kept": 1}
        names = []
        for date in ("2026-01-01", "2026-01-02"):
            names.append(tested(airflow, "nightly_backup", date, given, environment))
        found = [path.name for path in (folder / "backups").iterdir()]
        expect(found == names[-1:], f"of two nights the newest backup is kept: {found}")
        run(["alcyon", "backup", "--verify", str(folder / "backups" / found[0])], environment)
        tested(airflow, "retention_cleanup", "2026-01-03", {"older_than": "30d"}, environment)
        expect(payments(folder) == ["young"], "the old payment went, the young one stayed")
        told = json.loads(run(["alcyon", "audit", "show", "--json"], environment, quietly=True))
        expect(told[0]["what"] == "retention", "the audit log tells of it")


def prepared(folder: Path) -> dict[str, str]:
    """A home with an office and two payments, and the environment of every command."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALCYON_")},
        "PATH": f"{os.environ['PATH']}:{Path(sys.executable).parent}",
        "ALCYON_HOME": str(folder / "home"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    (folder / "home").mkdir()
    SqliteStore(folder / "home" / "alcyon.sqlite").close()
    now = round(time.time() * 1000)
    with closing(sqlite3.connect(folder / "home" / "alcyon.sqlite")) as store:
        store.executemany(
            "INSERT INTO transactions (sequence, position, transaction_id, event_time, "
            "amount_minor, currency) VALUES (?, ?, ?, ?, 100, 'EUR')",
            [(0, 0, "old", now - 90 * DAY_MS), (1, 1, "young", now - DAY_MS)],
        )
        store.commit()
    run(["alcyon", "keys", "create", "--role", "viewer"], environment, quietly=True)
    return environment


def payments(folder: Path) -> list[str]:
    """The ids that the store still has."""
    with closing(sqlite3.connect(folder / "home" / "alcyon.sqlite")) as store:
        return [row[0] for row in store.execute("SELECT transaction_id FROM transactions")]


if __name__ == "__main__":
    main()
