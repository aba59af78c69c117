"""Plots of drift, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from alcyon.learning.drift import PSI_MAJOR, PSI_MIN, PSI_MODERATE, Finding, Window
from alcyon.learning.drift_profile import Profile, bins_of

SIGNALS_DRAWN = 6
"""Signals drawn one by one: those that differ most."""
_RANKED = 25


def save_plots(
    directory: Path,
    profile: Profile,
    windows: list[Window],
    values: Mapping[str, NDArray[np.float64]],
) -> list[Path]:
    """Draw into `directory` (made if missing); the files written.

    windows: in order, at least one; values: of the windows' transactions float64[n], by signal.
    """
    directory.mkdir(parents=True, exist_ok=True)
    worst = _worst(windows)
    return [
        _save(directory / "drift_signals.png", _ranking(worst)),
        _save(directory / "drift_over_time.png", _over_time(windows, worst)),
        _save(directory / "drift_distributions.png", _distributions(profile, worst, values)),
    ]


def _worst(windows: list[Window]) -> list[Finding]:
    """Each signal in the window where it lies furthest beyond the usual, the furthest first."""
    by_signal = zip(*(window.comparisons for window in windows), strict=True)
    worst = [max(found, key=_excess) for found in by_signal]
    return sorted(worst, key=_excess, reverse=True)


def _excess(finding: Finding) -> float:
    return finding.psi - finding.psi_usual


def _ranking(worst: list[Finding]) -> Figure:
    drawn = worst[:_RANKED][::-1]
    figure = Figure(figsize=(7, 1.5 + 0.22 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(drawn))
    axes.barh(at, [f.psi for f in drawn], color="C0", label="largest window")
    axes.plot([f.psi_usual for f in drawn], at, "|", color="black", ms=9, label="usual")
    for bound in (PSI_MODERATE, PSI_MAJOR):
        axes.axvline(bound, linestyle=":", color="C3")
    axes.set_yticks(at, [f.signal for f in drawn], fontsize=8)
    axes.set(title="How far signals lie from the reference", xlabel="PSI")
    axes.legend()
    return figure


def _over_time(windows: list[Window], worst: list[Finding]) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    times = np.array([w.stop for w in windows], "datetime64[ms]")
    for drawn in worst[:SIGNALS_DRAWN]:
        found = [_named(w, drawn.signal) for w in windows]
        axes.plot(times, [_excess(f) for f in found], label=drawn.signal)
    for bound in (PSI_MIN, PSI_MODERATE, PSI_MAJOR):
        axes.axhline(bound, linestyle=":", color="C3")
    axes.set(title="The day up to each moment", ylabel="PSI beyond the usual")
    axes.tick_params("x", rotation=30)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _named(window: Window, signal: str) -> Finding:
    return next(f for f in window.comparisons if f.signal == signal)


def _distributions(
    profile: Profile, worst: list[Finding], values: Mapping[str, NDArray[np.float64]]
) -> Figure:
    """Cumulative shares by the reference's bins: where two lines part, the signal moved."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    counts = np.array(profile.counts, np.int64).sum(0)
    for axes, found in zip(
        figure.subplots(2, SIGNALS_DRAWN // 2).flat, worst[:SIGNALS_DRAWN], strict=False
    ):
        at = profile.names.index(found.signal)
        edges = np.array(profile.signals[at].edges)
        new = np.bincount(bins_of(values[found.signal], edges), minlength=len(edges) + 2)
        for label, share in (("reference", counts[at, : len(edges) + 2]), ("input", new)):
            axes.step(edges, _cumulative(share), where="post", label=label)
        axes.set_title(found.signal, fontsize=8)
        axes.set_xscale("symlog")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    return figure


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of values below each edge, nulls among them."""
    below: NDArray[np.float64] = np.cumsum(counts)[1:-1] / max(int(counts.sum()), 1)
    return below


def _save(path: Path, figure: Figure) -> Path:
    figure.savefig(path, dpi=120)
    return path
