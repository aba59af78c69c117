"""Parts of the API's desk: what explains decisions, and what changes how they are made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from alcyon.cli.opening.servers import connection, means, topic_names
from alcyon.cli.showing.options import limits
from alcyon.domain.errors import ModelError

if TYPE_CHECKING:
    from alcyon.cli.opening.followed import LogFolder
    from alcyon.detectors.loading import Detector
    from alcyon.domain.office.ports import Searcher
    from alcyon.domain.ports import Intake, ModelRegistry, Store
    from alcyon.domain.projected import Stored
    from alcyon.features.kernel import Kernel
    from alcyon.runners.explanation.explaining import Explaining, Writing
    from alcyon.runners.explanation.state_before import Recording
    from alcyon.runners.serving.controlling import Controlling
    from alcyon.runners.serving.in_force_following import InForceFollowing
    from alcyon.runners.stream.deciding import Means
    from alcyon.scoring.model import Model
    from alcyon.settings import Settings

Answer = TypeVar("Answer")
MODELS_MAX = 4


@dataclass(frozen=True)
class Around:
    """What both are made over; `files` closes what they open.

    logs: the embedded logs, None over a broker. open_store: opens the projection's store; each
    part opens one of its own, when it first asks.
    """

    set_to: Settings
    detector: Detector
    logs: LogFolder | None
    registry: ModelRegistry
    following: InForceFollowing
    searcher: Searcher
    open_store: Callable[[], Store]
    files: ExitStack

    @property
    def means(self) -> Means:
        """How records are decoded, with the models of this registry."""
        from alcyon.runners.learning.models import loader

        by = means(self.set_to, self.detector)
        return replace(by, load_model=loader(self.registry, self.detector.catalog))

    def recording(self) -> AbstractContextManager[Recording]:
        """Readers of both logs."""
        from alcyon.runners.explanation.state_before import embedded_recording, kafka_recording

        if self.logs is not None:
            return embedded_recording(self.logs.intake, self.logs.decisions, self.logs.snapshots)
        snapshots = (self.set_to.home / "snapshots",)
        return kafka_recording(connection(self.set_to), topic_names(self.set_to), snapshots)

    def new_kernel(self) -> Kernel:
        """As the worker's, with a bound of its own."""
        from alcyon.features.kernel import Kernel
        from alcyon.features.layout import Layout

        given = limits(self.set_to)
        bound = min(given.state_bytes_max, self.set_to.explain.state_bytes_max)
        return Kernel(Layout(self.detector.catalog), replace(given, state_bytes_max=bound))

    def lazy_store(self) -> LazyStore:
        """A store for one part."""
        return self.files.enter_context(closing(LazyStore(self.open_store)))


class LazyStore:
    """A store that is opened when it is first asked, and asked by one thread at a time."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open, self._lock = open_store, Lock()
        self._store: Store | None = None

    def ask(self, question: Callable[[Store], Answer]) -> Answer:
        """What the store says."""
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return question(self._store)

    def between(self, first_ms: int, last_ms: int, limit: int) -> list[Stored]:
        """As `Store.decisions_between`."""
        return self.ask(lambda store: store.decisions_between(first_ms, last_ms, limit))

    def of_card(self, card_id: str, limit: int) -> list[Stored]:
        """As `Store.decisions_of_card`."""
        return self.ask(lambda store: store.decisions_of_card(card_id, limit))

    def close(self) -> None:
        """Called once, last."""
        if self._store is not None:
            self._store.close()


def open_explaining(around: Around, writing: Writing) -> Explaining:
    """What explains decisions."""
    from alcyon.runners.explanation.explaining import Counterfactuals, Explaining, Past, earlier_of

    stored = around.lazy_store()
    past = Past(
        around.recording,
        around.means,
        around.new_kernel,
        lambda transaction_id: stored.ask(lambda store: store.decision(transaction_id)),
        lambda card, before: earlier_of(stored.of_card, card, before),
    )
    counterfactuals = around.files.enter_context(closing(Counterfactuals(past)))
    return Explaining(
        around.searcher, around.following.now, _by_version(around), counterfactuals, writing
    )


def open_controlling(around: Around, intake: Intake) -> Controlling:
    """What changes how decisions are made. intake: one that may be shared."""
    from alcyon.runners.serving.controlling import Controlling, Means

    by = around.means
    return Controlling(
        Means(
            around.detector.catalog,
            around.following,
            around.registry,
            by.load_model,
            by.keys,
            intake,
            around.lazy_store().between,
            around.searcher.labels,
            around.set_to.home / "learner",
            approval=around.set_to.learn.approval,
        )
    )


def _by_version(around: Around) -> Callable[[str], Model | None]:
    """Gives models by what decisions call them."""
    from alcyon.scoring.manifest import MODEL_FILE

    load = around.means.load_model

    @lru_cache(MODELS_MAX)
    def found(version: str) -> Model | None:
        for model in around.registry.models():
            if model.files.get(MODEL_FILE, "").startswith(version):
                return load(model.name)
        return None

    def model_of(version: str) -> Model | None:
        in_force = around.following.now().conduct.model
        if in_force is not None and in_force.version == version:
            return in_force
        try:
            return found(version)
        except ModelError:
            return None

    return model_of
