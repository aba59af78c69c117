"""`alcyon doctor`: what would decide here (models, snapshot), and whether it does (a probe)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alcyon.cli.opening.models_place import ALIASES, Place
from alcyon.cli.opening.servers import means
from alcyon.cli.showing.options import limits
from alcyon.domain.control import CHAMPION
from alcyon.domain.errors import AlcyonError, SnapshotError
from alcyon.domain.moves import standing, winners
from alcyon.runners.care.diagnosis import Check, State, failed
from alcyon.runners.care.diagnosis import model as check_model

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.io.snapshots import SnapshotHeader
    from alcyon.runners.stream.in_force import InForce, LoadModel
    from alcyon.settings import Settings

SNAPSHOT_AGE_S_MAX = 86_400
_PROBE_BYTES = 64 * 2**20
_AGO = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def decides(set_to: Settings, detector: Detector, model: Path | None) -> list[Check]:
    """The models by alias, the newest snapshot, and a probe decided by what these say is in force.

    model: decides the probe where it is given.
    """
    try:
        place = Place.of(set_to)
        named = {alias: standing(winners(place.registry.moves(alias))) for alias in ALIASES}
        held = len(place.registry.models())
    except AlcyonError as error:
        return [failed("models", error)]
    aliases = ", ".join(f"{alias} {name or 'none'}" for alias, name in named.items())
    checks = [Check("models", State.FINE, f"{held} in {place.words}; {aliases}")]
    asked = _Asked(set_to, detector, place, model)
    checks += [asked.alias(alias, name) for alias, name in named.items() if name is not None]
    snapshot, header = asked.snapshot()
    return [*checks, snapshot, asked.probe(header, named[CHAMPION])]


@dataclass(frozen=True)
class _Asked:
    set_to: Settings
    detector: Detector
    place: Place
    model: Path | None

    def alias(self, alias: str, name: str) -> Check:
        """Whether its files are whole, and of this catalog: a challenger decides nothing."""
        try:
            [found] = check_model(self.place.registry.fetch(name), self.detector.catalog)
        except AlcyonError as error:
            found = failed(alias, error)
        if found.state is State.FINE:
            return Check(alias, found.state, found.found)
        state = State.WRONG if alias == CHAMPION else State.WARNING
        remedy = "promote another model, or name its catalog with --catalog"
        return Check(alias, state, f"{found.found}: {remedy}")

    def snapshot(self) -> tuple[Check, SnapshotHeader | None]:
        """The newest: read to its end, and how old it is."""
        from alcyon.io.snapshots import checked, snapshot_names

        folder = (self.set_to.home if self.place.demo is None else self.place.demo.folder) / (
            "snapshots"
        )
        names = snapshot_names(folder)
        if not names:
            none = "none yet: the worker begins without history; alcyon warm makes one from it"
            return Check("snapshot", State.FINE, none), None
        path = folder / names[0]
        try:
            age_s = max(0, int(time.time() - path.stat().st_mtime))
            header = checked(path, self.detector.catalog.hash)
        except OSError as error:
            wrong = SnapshotError(f"{path}: {error.strerror}")
            return failed("snapshot", wrong), None
        except SnapshotError as error:
            remedy = "the worker begins with the one before, if any, and reads on from there"
            found = f"{path}: {error}: name its catalog with --catalog, or remove it: {remedy}"
            return Check("snapshot", State.WRONG, found), None
        found = f"{names[0]}: sound, {_ago(age_s)} old, {path.stat().st_size / 2**20:.1f} MiB"
        if age_s > SNAPSHOT_AGE_S_MAX:
            late = (
                f"{found}: see whether the worker runs and can write it; a restart reads all since"
            )
            return Check("snapshot", State.WARNING, late), header
        return Check("snapshot", State.FINE, found), header

    def probe(self, header: SnapshotHeader | None, champion: str | None) -> Check:
        """A payment decided by what was in force at the snapshot, else by what a worker begins
        with."""
        from alcyon.features.kernel import Kernel
        from alcyon.features.layout import Layout
        from alcyon.runners.stream.probing import probe

        bounds = replace(limits(self.set_to), state_bytes_max=_PROBE_BYTES)
        began = time.perf_counter()
        try:
            in_force = self._in_force(header, champion)
            kernel = Kernel(Layout(self.detector.catalog), bounds)
            made = means(self.set_to, self.detector)
            decision = probe(kernel, made, in_force, time.time_ns() // 1_000_000)
        except AlcyonError as error:
            return failed("probe", error)
        by = "rules alone" if in_force.conduct.model is None else in_force.conduct.model.version
        score = "no score" if decision.score is None else f"score {decision.score}"
        took = f"{time.perf_counter() - began:.1f} s, loading included"
        found = f"{decision.action} by {by}, {score}; {took}; in no log, nothing changed"
        return Check("probe", State.FINE, found)

    def _in_force(self, header: SnapshotHeader | None, champion: str | None) -> InForce:
        """AlcyonError: rules, policy or model cannot be had."""
        import msgspec

        from alcyon.domain.control import decode_control
        from alcyon.domain.currency import DEFAULT_RATES
        from alcyon.runners.stream.in_force import InForce, InForceData, bootstrap_controls
        from alcyon.scoring.policy import Policy

        load, catalog = self._load(), self.detector.catalog
        if header is not None:
            try:
                data = msgspec.json.decode(header.in_force, type=InForceData)
            except msgspec.DecodeError as error:
                raise SnapshotError(f"{header.name} is of another version: {error}") from error
            if self.model is not None:
                data = msgspec.structs.replace(data, model=str(self.model), model_version=None)
            return InForce.of_data(data, catalog).with_model(load)
        name = champion if self.model is None else str(self.model)
        policy = self.detector.policy or (Policy() if name is None else load(name).manifest.policy)
        in_force = InForce.initial(catalog)
        for payload in bootstrap_controls(self.detector.rules, policy, DEFAULT_RATES, name):
            in_force = in_force.changed(decode_control(payload), load)
        return in_force

    def _load(self) -> LoadModel:
        from alcyon.runners.learning.models import loader
        from alcyon.scoring.model import Model

        catalog, given = self.detector.catalog, self.model
        if given is None:
            return loader(self.place.registry, catalog)
        return lambda _: Model.load(
            given, catalog_hash=catalog.hash, feature_names=catalog.model_names
        )


def _ago(seconds: int) -> str:
    """
    >>> _ago(7_300)
    '2 h'
    """
    unit, size = next((unit, size) for unit, size in _AGO if seconds >= size or size == 1)
    return f"{seconds // size} {unit}"
