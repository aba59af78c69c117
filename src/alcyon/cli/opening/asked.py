"""What is asked and what is watched, opened over the logs that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alcyon.cli.opening.logs import is_embedded, log_files
from alcyon.cli.opening.servers import connection, means, read_model, store, topic_names
from alcyon.domain.errors import AlcyonError

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.domain.ports import Intake, Store
    from alcyon.domain.projected import Stored
    from alcyon.io.sqlite.answered import SqliteAnswered
    from alcyon.runners.over_kafka import Broker
    from alcyon.runners.serving.asking import Following, LogAsking
    from alcyon.runners.serving.feeds import LiveFeeds
    from alcyon.runners.serving.in_force_following import InForceFollowing
    from alcyon.runners.serving.watching import LatestByCard, Watched
    from alcyon.runners.stream.deciding import Means
    from alcyon.runners.stream.in_force import InForce
    from alcyon.settings import Settings
    from alcyon.telemetry.lines import Log
    from alcyon.telemetry.metrics import Telemetry

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Around:
    """What the parts of a serving process share; `files` closes them, the last opened first."""

    set_to: Settings
    detector: Detector
    intake: Intake
    """For transactions."""
    controls: Intake
    """For control records and labels, those of a call all or none; for several threads."""
    following: InForceFollowing
    telemetry: Telemetry
    log: Log
    files: ExitStack
    latencies_s: Callable[[], Iterable[float]] | None = None
    """How long decisions took since it was asked last, where others tell than those who ask."""

    @property
    def in_force(self) -> Callable[[], InForce]:
        """What decides now."""
        return self.following.now

    def tell(self, error: AlcyonError) -> None:
        """What goes wrong beside, and is waited out."""
        self.log.warning("serving goes on", why=str(error))


@dataclass(frozen=True)
class Live:
    """Who asks, and who watches."""

    asking: LogAsking
    feeds: LiveFeeds
    answered: SqliteAnswered


def open_live(around: Around) -> Live:
    """Open both; closed with `around.files`."""
    from alcyon.features.layout import Layout
    from alcyon.io.sqlite.answered import SqliteAnswered
    from alcyon.runners.process.status import utc_ms
    from alcyon.runners.serving.admitting import Admitting
    from alcyon.runners.serving.asking import AskingParts, LogAsking
    from alcyon.runners.serving.provisional import ByOwnColumns
    from alcyon.runners.serving.watching import LatestByCard

    set_to, enter = around.set_to, around.files.enter_context
    how = means(set_to, around.detector)
    answered = enter(closing(SqliteAnswered(set_to.home / "answered.sqlite")))
    stored = enter(closing(_LazyStore(set_to)))
    cards = LatestByCard()
    known = read_model(set_to)
    latest_of = [cards.latest]
    if known is not None:
        latest_of.insert(0, enter(closing(known)).latest)
    future_max_ms = set_to.worker.future_max_ms if is_embedded(set_to) else None
    parts = AskingParts(
        around.intake,
        _decisions(set_to),
        Admitting(how, around.in_force, utc_ms, future_max_ms),
        stored.decisions_on,
        ByOwnColumns(Layout(around.detector.catalog), how, around.in_force, latest_of),
        answered,
        around.tell,
        set_to.serve.decision_timeout_ms,
        on_provisional=around.telemetry.api.provisional.inc,
    )
    asking = enter(closing(LogAsking(parts)))
    return Live(asking, _feeds(around, how, asking, cards), answered)


def _feeds(around: Around, how: Means, asking: LogAsking, cards: LatestByCard) -> LiveFeeds:
    from alcyon.domain.projected import StoreError
    from alcyon.runners.process.status import utc_ms
    from alcyon.runners.serving.feeds import LiveFeeds
    from alcyon.runners.serving.live_statistics import LiveStatistics
    from alcyon.runners.serving.watching import Watching

    now = utc_ms()
    try:
        with closing(store(around.set_to)) as stored:
            # Traffic may have a clock that is ahead of ours.
            today = stored.hourly(now // _DAY_MS * _DAY_MS, now + _DAY_MS)
            index = stored.next_index()
    except StoreError as error:
        around.tell(error)
        today, index = [], 0
    statistics = LiveStatistics(around.latencies_s or asking.taken_latencies, today)
    telemetry = around.telemetry
    feeds = LiveFeeds(statistics, around.in_force, telemetry.api.slow_watchers.inc)
    telemetry.api.watchers.set_function(lambda: float(feeds.watcher_count))
    around.files.enter_context(
        closing(
            Watching(
                _logs(around.set_to), how, lambda: around.in_force().rates,
                (cards, feeds), index, around.tell,
            )
        )
    )  # fmt: skip
    return feeds


def open_intake(set_to: Settings, files: ExitStack) -> Intake:
    """Where transactions that are asked about are written. LogError, UnreachableError."""
    if is_embedded(set_to):
        return files.enter_context(closing(log_files(set_to).open_intake()))
    from alcyon.io.kafka.streaming import KafkaStream

    return files.enter_context(closing(KafkaStream(connection(set_to), topic_names(set_to))))


def _decisions(set_to: Settings) -> Callable[[ExitStack], Following]:
    from alcyon.runners.serving.asking import Following

    def open_files(files: ExitStack) -> Following:
        from alcyon.io.log import EmbeddedCommits

        commits = files.enter_context(closing(EmbeddedCommits(log_files(set_to).decisions)))
        return Following(commits, commits.bounds)

    def open_topics(files: ExitStack) -> Following:
        from alcyon.io.kafka import KafkaCommits

        broker = _broker(set_to)
        broker.connection.reached()
        commits = KafkaCommits(broker.connection, broker.names)
        return Following(files.enter_context(closing(commits)), broker.entries(files).bounds)

    return open_files if is_embedded(set_to) else open_topics


def _logs(set_to: Settings) -> Callable[[ExitStack], Watched]:
    from alcyon.runners.serving.watching import Watched

    def open_files(files: ExitStack) -> Watched:
        from alcyon.io.log import EmbeddedCommits

        logs = log_files(set_to)
        ends = files.enter_context(closing(EmbeddedCommits(logs.decisions)))
        return Watched(logs.reading(files), lambda: ends.bounds()[1])

    def open_topics(files: ExitStack) -> Watched:
        broker = _broker(set_to).trailing()
        broker.connection.reached()
        bounds = broker.entries(files).bounds
        return Watched(broker.reading(files), lambda: bounds()[1])

    return open_files if is_embedded(set_to) else open_topics


def _broker(set_to: Settings) -> Broker:
    from alcyon.runners.over_kafka import Broker

    return Broker(connection(set_to), topic_names(set_to))


class _LazyStore:
    """The store, opened when it is first asked: the projection may not have made it yet."""

    def __init__(self, set_to: Settings) -> None:
        self._set_to = set_to
        self._store: Store | None = None

    def decisions_on(self, transaction_ids: Sequence[str]) -> list[Stored]:
        """The decisions on those of them that it has."""
        if self._store is None:
            self._store = store(self._set_to)
        return self._store.decisions_on(transaction_ids)

    def close(self) -> None:
        """Called once, last."""
        if self._store is not None:
            self._store.close()
