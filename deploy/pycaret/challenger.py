"""A challenger whose family and parameters PyCaret chose, through the same gate as any model.

    python deploy/pycaret/challenger.py .tools/pycaret/bin/python [--input T --labels L --catalog C]

PyCaret sees the train span alone; Alcyon fits what it chose, judges it on days that neither had
seen, exports it behind the parity gate and registers it. PyCaret's own models are not served: they
hold what ONNX cannot be proved to repeat. Without --input it runs on simulated traffic, in a folder
that goes away: `make test-pycaret`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from alcyon.cli.showing.options import Inputs
from alcyon.cli.train import backfill
from alcyon.detectors.loading import load_detector
from alcyon.learning.dataset import build_dataset
from alcyon.runners.learning.training import Span

CHOOSE = Path(__file__).resolve().parent / "choose.py"


def main() -> None:
    """Exit code 1 where the challenger is not in the registry with figures in the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python")
    parser.add_argument("--input", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--catalog", default="card")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--name", default="pycaret")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alcyon-pycaret-") as work:
        folder = Path(work)
        if given.input is None:
            os.environ["ALCYON_HOME"] = str(folder / "home")
            given.input, given.labels = simulated(folder)
        challenge(given, folder)


def challenge(given: argparse.Namespace, folder: Path) -> None:
    """Choose, train, register, and look."""
    span, found = folder / "train.csv", folder / "found.json"
    write_train_span(Inputs(given.input, given.labels), given.catalog, span)
    run([given.python, str(CHOOSE), str(span), str(found)])
    chosen = json.loads(found.read_text())
    options = ["--members", chosen["family"]]
    if "search" in chosen:
        parameters = folder / "parameters.json"
        parameters.write_text(json.dumps(chosen["search"]))
        options += ["--parameters", str(parameters)]
    files = ["--input", str(given.input), "--labels", str(given.labels)]
    out = str(given.out or folder / "challenger")
    alcyon("train", *files, "--catalog", given.catalog, *options, "--out", out)
    alcyon("models", "register", out, "--name", given.name, "--catalog", given.catalog)
    alcyon("models", "list")
    listed = json.loads(alcyon("models", "list", "--json"))
    kept = [m["model"] for m in listed if m["model"]["name"] == given.name]
    if not (kept and kept[0]["metrics"]):
        sys.exit(f"BROKEN: {given.name} is not in the registry with figures")
    print(f"kept: {given.name} ({chosen['family']}, chosen by PyCaret) is in the registry")


def write_train_span(inputs: Inputs, catalog: str, path: Path) -> None:
    """What the members would learn from, and no later day."""
    detector = load_detector(catalog)
    backfilled = backfill(inputs, detector, Span())
    data = build_dataset(backfilled.rows, backfilled.labels)
    train = data.train
    columns = {"is_fraud": pa.array(train.is_fraud.astype(np.int8))}
    for k, name in enumerate(data.feature_names):
        column = train.features[:, k]
        columns[name] = pa.array(column, mask=np.isnan(column))
    pacsv.write_csv(pa.table(columns), path)


def simulated(folder: Path) -> tuple[Path, Path]:
    """Transactions and labels of a small simulation."""
    transactions, labels = folder / "t.parquet", folder / "l.parquet"
    alcyon("generate", "--transactions", "30000", "--seed", "12", "--fraud-rate", "0.02",
           "--out", str(transactions), "--labels-out", str(labels))  # fmt: skip
    return transactions, labels


def alcyon(*arguments: str) -> str:
    """Run a command of the `alcyon` beside this Python."""
    return run([str(Path(sys.executable).parent / "alcyon"), *arguments])


def run(command: list[str]) -> str:
    """The command's stdout, shown; exit code 1 where it fails."""
    print("$", " ".join([Path(command[0]).name, *command[1:]]), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    if done.returncode:
        sys.exit(f"{command[0]}: exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
