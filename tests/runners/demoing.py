"""A small demo, set up once and copied for every test that wants one."""

from __future__ import annotations

import shutil
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from alcyon.detectors.loading import load_detector
from alcyon.domain.tokens import TokenKeys
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.opening import Equipment, Opened, Wanted, open_demo
from alcyon.runners.demo.outcome import Outcome, outcome
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.demo.recipe import Recipe
from alcyon.runners.demo.running import Running
from alcyon.runners.demo.setup import Making, make_setup
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.deciding import Means
from alcyon.sections import DEV_TOKEN_KEY

KEYS = TokenKeys(1, DEV_TOKEN_KEY.encode())


def recipe(now: int | None = None, **given: int) -> Recipe:
    """A history of 9,000 transactions that ends now, or at a moment that is always the same."""
    small = {"cards": 600, "history_transactions": 9_000, "trained_transactions": 9_000}
    now = round(time.time() * 1000) if now is None else now
    return Recipe(seed=3, now=now, history_fraud_rate=0.05, **{**small, **given})


def equipment(place: DemoPlace, batch_max: int = 512, snapshot_every: int = 100_000) -> Equipment:
    """As the command makes it."""
    detector = load_detector("card")
    means = Means(KEYS, loader(FolderRegistry(place.models), detector.catalog))
    return Equipment(detector, means, "never", batch_max, snapshot_every)


def set_up(home: Path) -> DemoPlace:
    """A finished setup under `home`."""
    place = DemoPlace(home / "demo")
    with_it = equipment(place)
    make_setup(Making(place, recipe(), with_it.detector, with_it.means, lambda n, d, t: None))
    return place


@cache
def _finished() -> tuple[TemporaryDirectory[str], DemoPlace]:
    folder = TemporaryDirectory()
    draft = DemoPlace(Path(folder.name) / "demo").unfinished.folder
    draft.mkdir()
    (draft / "half").write_text("of a setup that was killed")
    return folder, set_up(Path(folder.name))


def copied(home: Path) -> DemoPlace:
    """A finished setup under `home`; made once."""
    place = DemoPlace(home / "demo")
    shutil.copytree(_finished()[1].folder, place.folder)
    return place


def opened(place: DemoPlace, wanted: Wanted, batch_max: int = 512) -> Opened:
    """The demo there, open."""
    return open_demo(place, equipment(place, batch_max), wanted, lambda name, done: None)


def run_to(place: DemoPlace, transactions: int, batch_max: int = 512) -> Outcome:
    """Run at full speed to so many transactions in all."""
    demo = opened(place, Wanted(None, transactions), batch_max)
    try:
        with Running(demo) as running:
            running.start()
            while running.wait(0.1):
                pass
            running.end()
        return outcome(demo, None)
    finally:
        demo.close()
