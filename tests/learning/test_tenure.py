from __future__ import annotations

from dataclasses import replace

import numpy as np

from alcyon.learning.dataset import DAY_MS
from alcyon.learning.history import Recorded
from alcyon.learning.tenure import Tenure, followed
from alcyon.scoring.policy import Policy, Thresholds
from tests.learning.remembered import decided

POLICY = Policy({"default": Thresholds(review_ppm=100_000, decline_ppm=500_000)})


def decisions(
    start: int, n: int, champion: str, challenger: str, days: float = 2, shift: float = 0.0
) -> Recorded:
    """Scores of two like models; `shift` raises the champion's log-odds."""
    random = np.random.default_rng(start + n)
    odds = random.normal(-4, 1.5, n)
    near = odds + random.normal(0, 0.1, n)
    ppm = [(1e6 / (1 + np.exp(-o))).astype(np.int64) for o in (odds + shift, near)]
    times = start + np.sort(random.integers(0, int(days * DAY_MS), n))
    found = decided(
        [f"{start}-{k}" for k in range(n)], times, champion_ppm=ppm[0], challenger_ppm=ppm[1]
    )
    names = [np.full(n, name.encode(), "S16") for name in (champion, challenger)]
    return replace(found, champion=names[0], challenger=names[1])


def after(*parts: Recorded) -> Tenure:
    """The tenure after these, each the past of the next."""
    tenure, past = None, parts[0]
    for part in parts:
        tenure = followed(tenure, lambda past=past: past, part, POLICY)  # type: ignore[misc]
        past = part
    assert tenure is not None
    return tenure


def test_a_new_champion_is_watched_and_leaves_its_band_only_when_it_changes() -> None:
    shadow, quiet = decisions(0, 5_000, "a", "b"), decisions(3 * DAY_MS, 4_000, "b", "a")
    tenure = after(shadow, quiet)
    assert (tenure.champion, tenure.former, tenure.departure) == (b"b", frozenset({b"a"}), None)
    assert tenure.band is not None
    assert tenure.band.payments == 5_000
    broken = decisions(6 * DAY_MS, 1_000, "b", "a", shift=2.0)
    tenure = after(shadow, quiet, broken)
    assert tenure.departure is not None
    assert tenure.departure.at > broken.event_time[0]


def test_who_was_not_scored_beside_it_or_too_briefly_is_not_watched() -> None:
    successor = decisions(3 * DAY_MS, 100, "b", "a")
    for shadow, why in (
        (decisions(0, 5_000, "a", "none"), "0 payments"),
        (decisions(0, 5_000, "a", "b", days=0.5), "less than a day"),
    ):
        tenure = after(shadow, successor)
        assert (tenure.band, tenure.champion) == (None, b"b")
        assert why in tenure.unwatched


def test_a_champion_that_comes_back_is_not_watched() -> None:
    first, second = decisions(0, 5_000, "a", "b"), decisions(3 * DAY_MS, 5_000, "b", "a")
    tenure = after(first, second, decisions(6 * DAY_MS, 100, "a", "b"))
    assert tenure.champion == b"a"
    assert tenure.band is None
    assert "has decided before" in tenure.unwatched


def test_decisions_without_a_model_are_no_tenure() -> None:
    nobody = decisions(0, 10, "none", "none")
    assert followed(None, lambda: nobody, nobody, POLICY) is None
    tenure = after(decisions(0, 10, "a", "none"), nobody)
    assert tenure.champion == b"a"
