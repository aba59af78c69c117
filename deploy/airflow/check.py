"""Runs both DAGs with Airflow's own test command: `make test-airflow`.

    python deploy/airflow/check.py .tools/airflow/bin/airflow

In a folder of its own, on sqlite, with simulated traffic and MLflow's registry in a file: drift
trains and registers a model, no drift does neither, and the training DAG registers by itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAGS = Path(__file__).resolve().parent / "dags"
START, DAY = 1_735_689_600_000, 86_400_000
SPLIT = START + 22 * DAY
CATALOG = """
from alcyon.features import Catalog, Count, Distinct, Entity, Expression, Mean

card = Entity("card_id")
catalog = Catalog([
    Count(card, "1h"), Count(card, "24h"), Mean(card, "amount_base_minor", "7d"),
    Distinct(card, "merchant_id", "24h"), Expression("amount", "amount_base_minor + 0"),
])
"""


def main() -> None:
    """Exit code 1 where a DAG did something else than promised."""
    airflow = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="alcyon-airflow-") as work:
        folder = Path(work)
        environment = prepared(folder)
        run([airflow, "db", "migrate"], environment, quietly=True)
        known = models(environment)
        tested(airflow, "drift_monitor", "2026-01-01", given(folder, "quiet"), environment)
        expect(models(environment) == known, "without drift nothing was trained")
        ran = tested(airflow, "drift_monitor", "2026-01-02", given(folder, "raised"), environment)
        known = expect_one_more(known, models(environment), ran, "drift led to training")
        ran = tested(airflow, "train_and_register", "2026-01-03", given(folder), environment)
        expect_one_more(known, models(environment), ran, "training registered a model")
        run(["alcyon", "models", "list"], environment)


def prepared(folder: Path) -> dict[str, str]:
    """Files, and the environment of every command."""
    beside = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALCYON_")},
        "PATH": f"{os.environ['PATH']}:{beside}",
        "ALCYON_HOME": str(folder / "home"),
        "ALCYON_MODELS__REGISTRY": f"sqlite:///{folder / 'mlflow.db'}",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    (folder / "small.py").write_text(CATALOG)
    everything = folder / "all.parquet"
    run(
        ["alcyon", "generate", "--transactions", "30000", "--seed", "12", "--fraud-rate", "0.02",
         "--out", str(everything), "--labels-out", str(folder / "labels.parquet")],
        environment,
    )  # fmt: skip
    table = pq.read_table(everything)
    before = pc.less(table["event_time"].cast(pa.int64()), SPLIT)
    pq.write_table(table.filter(before), folder / "reference.parquet")
    quiet = table.filter(pc.invert(before))
    pq.write_table(quiet, folder / "quiet.parquet")
    doubled = quiet
    for name in ("amount_minor", "amount_base_minor"):
        if name in quiet.column_names:
            more = pc.multiply(quiet[name], 2)
            doubled = doubled.set_column(doubled.column_names.index(name), name, more)
    pq.write_table(doubled, folder / "raised.parquet")
    return environment


def given(folder: Path, recent: str | None = None) -> dict[str, str]:
    """The DAG's parameters; the monitor's are two more."""
    compared = {"reference": str(folder / "reference.parquet")}
    compared["recent"] = str(folder / f"{recent}.parquet")
    return {
        **(compared if recent else {}),
        "input": str(folder / "all.parquet"),
        "labels": str(folder / "labels.parquet"),
        "catalog": str(folder / "small.py"),
        "out": str(folder / "models"),
    }


def tested(
    airflow: str,
    dag: str,
    date: str,
    parameters: Mapping[str, object],
    environment: dict[str, str],
) -> str:
    """`airflow dags test`; the run's id in the letters of a model's name."""
    command = [airflow, "dags", "test", dag, date, "--conf", json.dumps(parameters)]
    said = run(command, environment)
    ids = re.findall(rf"DagRun Finished: dag_id={dag}, .*?run_id=([^,]+), .*?state=success", said)
    expect(len(ids) == 1, f"{dag} of {date} succeeded: {ids}")
    return re.sub(r"[^A-Za-z0-9_.-]", "-", ids[0])


def models(environment: dict[str, str]) -> dict[str, dict[str, object]]:
    """The registry's models by name."""
    said = run(["alcyon", "models", "list", "--json"], environment, quietly=True)
    return {each["model"]["name"]: each["model"] for each in json.loads(said)}


def expect_one_more(
    before: dict[str, dict[str, object]],
    now: dict[str, dict[str, object]],
    ran: str,
    promise: str,
) -> dict[str, dict[str, object]]:
    """One model was added: it has figures, its tracking run, and the Airflow run's id as name."""
    new = [now[name] for name in now.keys() - before.keys()]
    kept = len(new) == 1 and new[0]["metrics"] and new[0]["run_id"] and new[0]["name"] == ran
    expect(bool(kept), f"{promise}: {[(m['name'], m['run_id']) for m in new]}")
    return now


def expect(kept: bool, promise: str) -> None:
    """Say whether it was kept, and end with exit code 1 where not."""
    print(f"{'kept' if kept else 'BROKEN'}: {promise}", flush=True)
    if not kept:
        sys.exit(1)


def run(command: list[str], environment: dict[str, str], quietly: bool = False) -> str:
    """All that the command says, shown; quietly its stdout alone, not shown. Exit code 1 where it
    fails."""
    print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
    told = subprocess.PIPE if quietly else subprocess.STDOUT
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=told, text=True, check=False
    )
    if not quietly or done.returncode:
        print(done.stdout + (done.stderr or ""), flush=True)
    if done.returncode:
        sys.exit(f"{command[0]} {command[1]}: exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
