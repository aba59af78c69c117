"""Counterfactuals of a thousand payments that were not approved, each checked by another way.

    python benchmarks/counterfactual.py --folder /tmp/counterfactual

Made once and kept in the folder: a demo (history, model, warmed state) that decided on simulated
traffic. Then, in one walk along its log, for each payment that was not approved: the smallest
change on the grid that would have been (by trials on the state of that time), and the check, that
it is approved and no cheaper one is. The check shares none of the state: the entities involved are
exported (`features/transfer.py`) into a new kernel for each candidate. Exit code 1 where one
differs. Writes reports/counterfactual.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from alcyon.detectors.loading import load_detector
from alcyon.domain.decision import Action
from alcyon.domain.projected import Stored
from alcyon.features.compiled.memory import FRONT, NEXT_SEQUENCE
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.features.transfer import export_entity, import_entity
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.sqlite import SqliteStore
from alcyon.pipeline import Pipeline
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.explanation.counterfactual import Trying, changed, row_of
from alcyon.runners.explanation.explaining import earlier_of
from alcyon.runners.explanation.state_before import Recording, embedded_recording, walk_to
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.deciding import Means
from alcyon.scoring.decided import EXPLORED
from alcyon.scoring.honest_changes import Candidate, Row, candidates
from alcyon.settings import load_settings

DETECTOR = load_detector("card")
LAYOUT = Layout(DETECTOR.catalog)
SMALL = Limits(state_bytes_max=2**26)


def made(folder: Path, transactions: int) -> DemoPlace:
    """A demo that decided on so many payments."""
    environment = {**os.environ, "ALCYON_HOME": str(folder)}
    command = [sys.executable, "-m", "alcyon.cli", "demo", "--exit", "--transactions"]
    subprocess.run([*command, str(transactions)], env=environment, check=True)
    return DemoPlace(folder / "demo")


@dataclass
class Found:
    """What came out."""

    statuses: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    tried: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    checked: int = 0
    wrong: list[str] = field(default_factory=list)


def is_approved_elsewhere(trying: Trying, candidate: Candidate) -> bool:
    """Decided by a new kernel that knows the entities of this payment, and nothing else."""
    standing = trying.standing
    state_of_then = standing.deciding.pipeline.kernel
    batch = changed(
        standing.transaction.transactions, candidate.values, standing.deciding.in_force.rates
    )
    kernel, row = Kernel(LAYOUT, SMALL), row_of(batch)
    meta = kernel.state.memory.meta
    meta[[FRONT, NEXT_SEQUENCE]] = state_of_then.state.memory.meta[[FRONT, NEXT_SEQUENCE]]
    for entity in LAYOUT.entities:
        values = tuple(row.get(column) for column in entity.columns)
        if None not in values:
            data = export_entity(state_of_then, entity, values)  # type: ignore[arg-type]
            if data is not None:
                import_entity(kernel, data)
    decided = (
        Pipeline(kernel, trying.conduct)
        .decide(batch, sequences=standing.transaction.sequences)
        .decided
    )
    is_explored = EXPLORED in decided.codes.get(0, ())
    return int(decided.actions[0]) == Action.APPROVE.code and not is_explored


def check(trying: Trying, earlier: Sequence[Row], chosen: Candidate | None, found: Found) -> None:
    """The chosen one is approved elsewhere too, and what is cheaper is not."""
    name = f"sequence {trying.standing.sequence}"
    for candidate in candidates(row_of(trying.standing.transaction.transactions), earlier):
        is_chosen = candidate == chosen
        found.checked += 1
        if is_approved_elsewhere(trying, candidate) != is_chosen:
            found.wrong.append(f"{name}: {dict(candidate.values)}")
        if is_chosen:
            return


def sought(place: DemoPlace, recording: Recording, count: int) -> tuple[Found, float]:
    """All of it; and the seconds that the walk took beside."""
    keys = load_settings(home=place.folder).token.keys()
    means = Means(keys, loader(FolderRegistry(place.models), DETECTOR.catalog), DETECTOR.columns)
    model = lru_cache(4)(means.load_model)
    found, walking = Found(), 0.0
    with closing(SqliteStore(place.store)) as store:
        refused = not_approved(store, count)
        started = time.perf_counter()
        walk = walk_to(refused[0].decision.sequence, Kernel(LAYOUT), recording, means)
        for number, stored in enumerate(refused):
            decision = stored.decision
            standing = walk.before(decision.sequence)
            walking += time.perf_counter() - started
            started = time.perf_counter()
            trying = Trying(standing, standing.conduct(decision.versions, model))
            trying.check(decision)
            card = str(stored.transaction["card_id"])
            earlier = earlier_of(store.decisions_of_card, card, decision.sequence)
            smallest = trying.smallest(earlier)
            found.seconds.append(time.perf_counter() - started)
            note(found, smallest)
            check(trying, earlier, smallest[0] if smallest else None, found)
            if number % 100 == 99:
                print(f"{number + 1} of {len(refused)}, {len(found.wrong)} wrong", file=sys.stderr)
            started = time.perf_counter()
    return found, walking


def not_approved(store: SqliteStore, count: int) -> list[Stored]:
    """Declines first, then reviews; in the order of arrival."""
    every = store.decisions_between(0, 2**62, 10**7)
    refused = [s for s in every if s.decision.action != Action.APPROVE.value]
    refused.sort(key=lambda s: s.decision.action != Action.DECLINE.value)
    return sorted(refused[:count], key=lambda s: s.decision.sequence)


def note(found: Found, smallest: tuple[Candidate, object] | None) -> None:
    """Count what was found."""
    if smallest is None:
        found.statuses["none"] += 1
        return
    found.statuses["found"] += 1
    candidate, shown = smallest
    found.tried.append(shown.tried_count)  # type: ignore[attr-defined]
    found.changes[" + ".join(n for n in candidate.words if "tude" not in n)] += 1


def main() -> int:
    """Make, look, check, report."""
    from report import write

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--transactions", type=int, default=150_000)
    parser.add_argument("--declines", type=int, default=1_000)
    given = parser.parse_args()
    place = made(given.folder, given.transactions)
    snapshots = (place.warmed,)  # from the beginning: one walk passes all of them
    with embedded_recording(place.intake, place.decisions, snapshots) as recording:
        found, walking = sought(place, recording, given.declines)
    ms = np.array(found.seconds) * 1000
    payload = {
        "not_approved": len(found.seconds),
        "statuses": dict(found.statuses),
        "changes": dict(found.changes.most_common()),
        "tried_mean": statistics.fmean(found.tried) if found.tried else None,
        "ms_each": {"p50": float(np.median(ms)), "p99": float(np.percentile(ms, 99))},
        "walk_s": walking,
        "candidates_checked": found.checked,
        "wrong": found.wrong[:20],
        "wrong_count": len(found.wrong),
    }
    print(write("counterfactual", payload).read_text())
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
