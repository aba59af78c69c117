"""`alcyon warm`"""

from __future__ import annotations

from pathlib import Path

from alcyon.cli.showing.options import Detectors, Inputs, limits, settings, sources
from alcyon.cli.showing.talk import progress, tell, tell_tally
from alcyon.detectors.loading import load_detector
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.runners.files.lateness import count_rows
from alcyon.runners.files.warming import save_state, warm_state


def warm(*, inputs: Inputs, catalog: Detectors = "card", snapshot: Path) -> None:
    """Build state from history without deciding.

    Without it every card looks new on day one.

    An example:
        alcyon warm --input history.parquet --labels l.parquet --snapshot state

    Parameters
    ----------
    snapshot
        The folder for the snapshot.
    """
    detector, set_to = load_detector(catalog), settings()
    kernel = Kernel(Layout(detector.catalog), limits(set_to))
    rows = count_rows(inputs.input, detector.catalog.lateness_max_ms, None, inputs.allow_late)
    with progress("history", rows) as advance:
        tally = warm_state(kernel, sources(inputs, detector, set_to), advance)
    tell_tally(inputs.input, None, tally)
    written = save_state(kernel, snapshot)
    tell(
        f"{snapshot / written.name}: {tally.accepted:,} transactions, "
        f"{kernel.state.kept_events:,} events kept for windows"
    )
