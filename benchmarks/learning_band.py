"""Quiet days in the band, and a champion that loses a feature; part of `learning_loop.py`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from alcyon.detectors.card import catalog
from alcyon.learning.band import Band, Live, Watch, follow, predict
from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import History, Known
from alcyon.learning.lessons import LessonRules
from alcyon.runners.learning.teaching import Curriculum, retrain
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy
from learning_world import MIX, Plan, World, unscored, world

SEED, FIRST_DAYS, SHADOW_DAYS, QUIET_DAYS = 21, 12, 7, 30
HOURS = (3, 11, 19)
FEATURES = 6
MINUTE_MS = 60_000
AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class Pair:
    """The champion that was, the one that followed, and the band of its shadow days."""

    old: Model
    new: Model
    band: Band
    begins: int


def band(daily: int, members: tuple[str, ...], plots: Path | None) -> dict[str, object]:
    """30 quiet days, then each of the most important features zeroed at three hours."""
    days = SHADOW_DAYS + QUIET_DAYS
    w = world(Plan(SEED, "", daily, FIRST_DAYS, days, tuple(MIX), fraud_rate=0.007))
    print(f"{len(w):,} payments simulated, {daily / 86_400:.2f} a second", flush=True)
    pair = paired(w, members)
    quiet = live(w, pair, pair.begins, pair.begins + QUIET_DAYS * DAY_MS)
    watch = follow(pair.band, Watch.begin(pair.band), quiet)
    print(f"{QUIET_DAYS} quiet days, {watch.payments:,} payments: {watch.departure}", flush=True)
    drills = []
    for feature in important(w, pair.new):
        for hour in HOURS:
            at = pair.begins + 20 * DAY_MS + hour * 3_600_000
            drills.append(drill(w, pair, feature, at))
            print(drills[-1], flush=True)
    if plots is not None:
        draw(w, pair, important(w, pair.new)[0], plots / "roll_back.png")
    return {
        "simulated": True,
        "daily": daily,
        "quiet_days": QUIET_DAYS,
        "quiet_payments": watch.payments,
        "quiet_departures": int(watch.departure is not None),
        "drills": drills,
    }


def paired(w: World, members: tuple[str, ...]) -> Pair:
    """Two models of the first days, the second of all of them and of another seed."""
    before = w.plan.begins
    old, policy = model_at(w, before - 2 * DAY_MS, members)
    new, _ = model_at(w, before, members)
    begins = before + SHADOW_DAYS * DAY_MS
    seen = scored(w, old, new, before, begins)
    return Pair(old, new, predict(new.version, old.version, seen, policy), begins)


def model_at(w: World, as_of: int, members: tuple[str, ...]) -> tuple[Model, Policy]:
    """Trained on what was known by then, as the learner trains."""
    history = History(len(catalog.model_names))
    history.add(unscored(w, w.event_time <= as_of))
    history.tell(w.labels_between(0, as_of + 1))
    known: Known = history.known(as_of)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        retrain(
            known,
            catalog,
            Policy(),
            Curriculum(LessonRules(3 * DAY_MS), members, genuine_share=0.25),
            out,
        )
        model = Model.load_any(out)
    return model, model.manifest.policy


def scored(
    w: World, old: Model, new: Model, start: int, stop: int, zeroed: int | None = None
) -> Live:
    """What both say of the payments of [start, stop); zeroed: a feature that the new one lacks."""
    rows = np.flatnonzero((w.event_time >= start) & (w.event_time < stop))
    parts = [rows[k : k + AT_ONCE] for k in range(0, len(rows), AT_ONCE)]
    ours, theirs = [], []
    for part in parts:
        features = w.features[part]
        theirs.append(old.score(features).probability_ppm)
        if zeroed is not None:
            features = features.copy()
            features[:, zeroed] = 0.0
        ours.append(new.score(features).probability_ppm)
    return Live(np.concatenate(ours), np.concatenate(theirs), w.event_time[rows])


def live(w: World, pair: Pair, start: int, stop: int, zeroed: int | None = None) -> Live:
    return scored(w, pair.old, pair.new, start, stop, zeroed)


def important(w: World, model: Model) -> list[int]:
    """The features without which the log-odds of a thousand payments move most."""
    rows = w.features[np.random.default_rng(1).integers(0, len(w), 1_000)]
    whole, moved = model.score(rows).log_odds, np.zeros(rows.shape[1])
    for k in range(rows.shape[1]):
        without = rows.copy()
        without[:, k] = 0.0
        moved[k] = np.abs(model.score(without).log_odds - whole).mean()
    found: list[int] = np.argsort(-moved)[:FEATURES].tolist()
    return found


def drill(w: World, pair: Pair, feature: int, at: int) -> dict[str, object]:
    """An hour as it should be, then one without the feature: how long until it is noticed."""
    watch = follow(pair.band, Watch.begin(pair.band), live(w, pair, at - 3_600_000, at))
    broken = live(w, pair, at, at + 2 * 3_600_000, feature)
    departure = follow(pair.band, watch, broken).departure
    found: dict[str, object] = {
        "feature": catalog.model_names[feature],
        "hour": int(at // 3_600_000 % 24),
    }
    if departure is None:
        return {**found, "minutes": None}
    return {
        **found,
        "minutes": round((departure.at - at) / MINUTE_MS, 1),
        "kind": departure.kind,
        "payments": int((broken.event_time <= departure.at).sum()),
    }


def draw(w: World, pair: Pair, feature: int, file: Path) -> None:
    """The largest sum of the band over two hours around the loss of a feature."""
    at = pair.begins + 20 * DAY_MS + 11 * 3_600_000
    quiet = live(w, pair, at - 3_600_000, at)
    broken = live(w, pair, at, at + 1_800_000, feature)
    watch, minutes, share = Watch.begin(pair.band), list[float](), list[float]()
    for part in (quiet, broken):
        for k in range(len(part)):
            one = slice(k, k + 1)
            watch = follow(
                pair.band, watch,
                Live(part.champion_ppm[one], part.replaced_ppm[one], part.event_time[one]),
            )  # fmt: skip
            minutes.append(float(part.event_time[k] - at) / MINUTE_MS)
            share.append(float(watch.sums.max()))
            if watch.departure is not None:
                break
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(minutes, share, label="largest sum over all kinds")
    axes.axvline(0, linestyle=":", color="C3", label=f"{catalog.model_names[feature]} is lost")
    if watch.departure is not None:
        left = (watch.departure.at - at) / MINUTE_MS
        axes.axvline(left, color="C2", label=f"rolled back after {left:.1f} min")
    axes.axhline(25.0, linestyle="--", color="grey", label="threshold")
    axes.set(xlabel="minutes", title="Roll-back drill (simulated)")
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
