"""Each member native against ONNX, then the whole model: single row and batches.

    python benchmarks/models.py [--rows 60000] [--features 40]

Trains on made-up payments, prints a table, writes reports/models.json. Times are medians, µs per
row, one thread: wall, and processor time beside it, which other work on the machine cannot swell.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alcyon.learning.dataset import DAY_MS, Dataset, Examples
from alcyon.learning.export import export
from alcyon.learning.graph import fused_model
from alcyon.learning.member import Member
from alcyon.learning.training import TrainedModel, train
from alcyon.scoring.model import Model, session_of
from alcyon.scoring.policy import Policy
from alcyon.scoring.reasons import Explainer
from report import write

BATCHES = (1, 16, 64, 256, 1024, 4096)
CATALOG = "b" * 64
SECONDS = 0.4
"""Time spent on each figure."""

Row = dict[str, object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--rows", type=int, default=60_000, help="payments to train on")
    arguments.add_argument("--features", type=int, default=40)
    chosen = arguments.parse_args()
    data = payments(chosen.rows, chosen.features)
    started, cpu = time.perf_counter(), time.process_time()
    trained = train(data, CATALOG)
    training = {
        "rows": chosen.rows,
        "features": chosen.features,
        "wall_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }
    rows = [r for m in trained.ensemble.members for r in member_rows(m, data)]
    rows += model_rows(trained)
    show(training, rows)
    write("models", {"training": training, "rows": rows})


def member_rows(member: Member, data: Dataset) -> list[Row]:
    """One member, native and as a graph of its own."""
    n_features = len(data.feature_names)
    graph = fused_model([member.graph(n_features)], [member.name], np.ones(1), 0.0, n_features)
    session = session_of(graph.SerializeToString(), n_features)
    features = data.test.features
    served = session.run(("members",), {"features": features})[0][:, 0]
    native = member.score(member.signal(features))
    largest = float(np.abs(served - native).max())
    found = []
    for batch in BATCHES:
        part = features[:batch]
        found.append(timed(member.name, "native", batch, partial(member.signal, part)))
        run = timed(
            member.name, "onnx", batch, partial(session.run, ("members",), {"features": part})
        )
        found.append({**run, "largest_difference": largest})
    return found


def model_rows(trained: TrainedModel) -> list[Row]:
    """The fused model as served, its contributions and its reasons."""
    names = trained.dataset.feature_names
    with tempfile.TemporaryDirectory() as work:
        manifest = export(trained, Path(work), Policy(), {})
        model = Model.load(Path(work), catalog_hash=CATALOG, feature_names=names)
    explainer, found = Explainer.of(model), []
    for batch in BATCHES:
        part = np.ascontiguousarray(trained.dataset.test.features[:batch])
        odds = model.score(part).log_odds
        steps: dict[str, Callable[[], object]] = {
            "score": partial(model.score, part),
            "contributions": partial(model.contributions, part, odds),
            "reasons": partial(explainer.reasons, part, odds),
        }
        for step, call in steps.items():
            run = timed("model", step, batch, call)
            found.append({**run, "largest_difference": manifest.parity})
    return found


def timed(what: str, how: str, batch: int, call: Callable[[], object]) -> Row:
    """Medians of one call, per row of the batch."""
    call()
    wall: list[int] = []
    cpu: list[int] = []
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(wall) < 5:
        a, c = time.perf_counter_ns(), time.thread_time_ns()
        call()
        wall.append(time.perf_counter_ns() - a)
        cpu.append(time.thread_time_ns() - c)
    per_row = float(np.median(wall)) / 1000 / batch
    return {
        "what": what,
        "how": how,
        "batch": batch,
        "wall_us_per_row": round(per_row, 2),
        "cpu_us_per_row": round(float(np.median(cpu)) / 1000 / batch, 2),
        "p99_us_per_row": round(float(np.percentile(wall, 99)) / 1000 / batch, 2),
        "rows_per_s": round(1e6 / per_row),
    }


def show(training: dict[str, float], rows: list[Row]) -> None:
    print(
        f"training {training['rows']:,} rows x {training['features']} features: "
        f"{training['wall_s']} s, {training['cpu_s']} s of processor\n"
    )
    columns = ("wall_us_per_row", "cpu_us_per_row", "p99_us_per_row", "rows_per_s")
    print(f"{'what':17}{'how':14}{'batch':>6}" + "".join(f"{c:>17}" for c in columns), end="")
    print(f"{'largest diff.':>15}")
    for row in rows:
        print(f"{row['what']:17}{row['how']:14}{row['batch']:6}", end="")
        print("".join(f"{row[c]:17,}" for c in columns), end="")
        print(f"{row['largest_difference']:15.1e}" if "largest_difference" in row else "")


def payments(n: int, n_features: int) -> Dataset:
    """n made-up payments, 3 % fraud, 5 % nulls; 60, 20 and 20 % for the three spans."""
    random = np.random.default_rng(1)
    features = random.normal(size=(n, n_features)).astype(np.float32)
    risk = -5 + 1.5 * features[:, 0] + features[:, 1] * features[:, 2]
    is_fraud = random.random(n) < 1 / (1 + np.exp(-risk))
    features[random.random(features.shape) < 0.05] = np.nan
    at = np.sort(random.integers(0, 60 * DAY_MS, n))
    first, second = int(n * 0.6), int(n * 0.8)
    spans = slice(0, first), slice(first, second), slice(second, n)
    parts = [span(features, is_fraud, at, s) for s in spans]
    names = tuple(f"feature_{k}" for k in range(n_features))
    return Dataset(names, parts[0], parts[1], parts[2], int(at[second]))


def span(
    features: NDArray[np.float32], is_fraud: NDArray[np.bool_], at: NDArray[np.int64], s: slice
) -> Examples:
    return Examples(features[s], is_fraud[s], at[s], np.full(len(at[s]), 1000))


if __name__ == "__main__":
    main()
