"""`alcyon produce`"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from alcyon.cli.opening.servers import connection, schemas, topic_names
from alcyon.cli.showing.options import Flag, Json, milliseconds, settings
from alcyon.cli.showing.talk import progress, show_json, tell, tell_error
from alcyon.domain.errors import AlcyonError, InputError, SettingsError

if TYPE_CHECKING:
    from alcyon.domain.columns import ColumnType
    from alcyon.runners.files.outgoing import Block, Encoding, Outgoing
    from alcyon.runners.files.producing import Produced
    from alcyon.settings import Settings
    from alcyon.simulation import Scenario

FAILED = 1
LIVE_LABEL_DELAYS = 0.001
"""Live, an analyst's label comes within a minute and a chargeback within the hour: real ones would
come weeks after most runs have ended."""
_FRAUDS_PER_S, _FRAUD_RATE_LEAST = 10.0, 0.005
"""Of live traffic, which begins with half a day of attacks under way: they take memory and time."""


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """What is sent: one of --input and --generate."""

    input: Path | None = None
    """Transactions in their order (parquet, csv, jsonl or avro)."""
    labels: Path | None = None
    """Labels; each goes before the first transaction whose event time reaches its labelled_at."""
    generate: Flag = False
    """Simulated traffic and its labels; for ever unless bounded."""
    seed: int | None = None
    """Of simulated traffic; 0 unless given."""
    start: datetime | None = None
    """Simulated event time of the beginning; without it traffic is live."""
    fraud_rate: float | None = None
    """Share of frauds in simulated traffic; 0.007 unless given."""
    drift: float | None = None
    """How much habits and attacks change: 0 none, 1 strong by the end (60 days if endless)."""
    label_delays: float | None = None
    """Factor of the delays of simulated labels; 0.001 for live traffic, else 1."""
    no_labels: Flag = False
    """Simulated traffic without labels."""

    def check(self) -> None:
        """Raises InputError for options that do not go together."""
        if (self.input is not None) is self.generate:
            raise InputError("give one of --input FILE and --generate")
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        given = [name for name, value in values.items() if value is not None and value is not False]
        of_files, others = ("input", "labels"), ("--input", "--generate")
        for name in given:
            if (name in of_files) is self.generate:
                option, other = name.replace("_", "-"), others[name not in of_files]
                raise InputError(f"--{option} goes with {other} only")

    @property
    def has_labels(self) -> bool:
        """Whether labels may be sent."""
        return self.labels is not None or (self.generate and not self.no_labels)


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How it is sent."""

    rate: float | None = None
    """Transactions per second; as fast as possible unless given."""
    transactions: int | None = None
    """How many at most."""
    seconds: float | None = None
    """For how long at most."""
    topic: str | None = None
    """Where transactions go; kafka.transactions unless given."""
    labels_topic: str | None = None
    """Where labels go; kafka.labels unless given."""
    format: Literal["json", "avro"] = "json"
    """avro: in the wire format of the schema registry, where our schemas are registered."""

    def check(self) -> None:
        """Raises InputError for a value out of bounds."""
        for name in ("rate", "transactions", "seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"--{name} {value}: give more than 0, or leave it out")


def produce(
    *, what: What = What(), how: How = How(), catalog: str | None = None, as_json: Json = False
) -> int:
    """Send a file or simulated traffic into Kafka at a set rate.

    Open loop: transaction i is due at start + i / rate, however slowly the broker answers; the
    header scheduled_at says when (UTC ms). The key is card_id, or else account_id or customer_id.
    It ends when all is sent, or enough, or on Ctrl-C, and says what was acknowledged.

    Rows of a file are sent in canonical form, valid or not, card numbers as tokens; the lines of a
    .jsonl file as they are. A live transaction's event time is when it is due. Labels come before
    the first transaction that reaches their labelled_at; real delays are hours to weeks.

    Examples:
        alcyon produce --generate --rate 1000
        alcyon produce --input t.parquet --labels l.parquet --rate 500 --seconds 60

    Parameters
    ----------
    catalog
        A detector (card, handbook, or a Python file) whose own columns are sent too.
    as_json
        Print what became of the records as JSON.
    """
    what.check()
    how.check()
    run = _Run(settings(), what, how, catalog)
    try:
        run.send()
    except AlcyonError:
        if run.produced.sent:
            _report(run.produced, how)
        raise
    _report(run.produced, how)
    if as_json:
        show_json(run.produced)
    return FAILED if run.produced.failed or run.produced.refused else 0


def _report(produced: Produced, how: How) -> None:
    lag = f", at most {produced.lag_ms_max:,.1f} ms behind schedule" if how.rate else ""
    tell(
        f"{produced.sent:,} sent ({produced.labels:,} of them labels), {produced.acknowledged:,} "
        f"acknowledged, {produced.failed:,} failed; {produced.rate:,.0f} transactions/s{lag}"
    )
    if produced.labels_left:
        tell(f"{produced.labels_left:,} labels are due after the last transaction: not sent")
    if produced.refused:
        tell_error(f"{produced.refused:,} rows cannot be encoded and were not sent")
    for reason, count in produced.failures.items():
        tell_error(f"{count:,} records failed: {reason}")


class _Run:
    """One run of the command."""

    def __init__(self, set_to: Settings, what: What, how: How, catalog: str | None) -> None:
        from alcyon.runners.files.producing import Bounds, Producing, Schedule

        self._set_to, self._what, self._how, self._stop = set_to, what, how, Event()
        self._broker, names = connection(set_to), topic_names(set_to)
        self._topics = (how.topic or names.transactions, how.labels_topic or names.labels)
        self._extra = _columns(catalog)
        self._schedule = Schedule(how.rate)
        bounds = Bounds(how.transactions, how.seconds)
        self._producing = Producing(self._schedule, bounds, self._stop, tell)

    @property
    def produced(self) -> Produced:
        """What has become of the records."""
        return self._producing.produced

    def send(self) -> None:
        """Send until it is all or enough. Raises AlcyonError."""
        from alcyon.io.kafka.sending import Sending
        from alcyon.runners.files.outgoing import Outgoing

        topics = self._topics if self._what.has_labels else self._topics[:1]
        sending = Sending(self._broker, topics, self._producing.keeps_waiting)
        outgoing = Outgoing(self._encoding(), self._set_to.token.keys(), self._extra)
        with (
            _stopping(self._stop),
            self._blocks(outgoing) as blocks,
            progress("transactions", self._how.transactions) as advance,
        ):
            self._producing.run(sending, self._topics, blocks, advance)
        if self._what.labels is not None:
            self.produced.labels_left = outgoing.labels.added - self.produced.labels

    def _encoding(self) -> Encoding:
        from alcyon.codecs.avro import label_schema, transaction_schema
        from alcyon.io.schema_registry import SchemaRegistry
        from alcyon.runners.files.outgoing import Encoding

        if self._how.format == "json":
            return Encoding.json()
        registry = schemas(self._set_to)
        if not isinstance(registry, SchemaRegistry):
            raise SettingsError(
                "registry.url is not set, and --format avro needs a schema registry: set "
                "ALCYON_REGISTRY__URL=http://host:port"
            )
        transactions, labels = (f"{topic}-value" for topic in self._topics)
        number = registry.register(transactions, transaction_schema(self._extra))
        labels_number = registry.register(labels, label_schema()) if self._what.has_labels else 0
        return Encoding.avro(number, labels_number, self._extra)

    @contextmanager
    def _blocks(self, outgoing: Outgoing) -> Iterator[Iterator[Block]]:
        from alcyon.runners.files.outgoing import SLICE_ROWS
        from alcyon.runners.files.producing import Ahead, LiveTimes
        from alcyon.simulation import Reporting, simulate

        what = self._what
        if what.input is not None:
            if what.labels is not None:
                outgoing.add_labels(what.labels)
            yield outgoing.from_file(what.input)
            return
        is_live = what.start is None
        reporting = None
        if not what.no_labels:
            delays = what.label_delays or (LIVE_LABEL_DELAYS if is_live else 1.0)
            reporting = Reporting(seed=what.seed or 0, delay_scale=delays)
        stamps = LiveTimes(self._schedule) if is_live else None
        simulated = simulate(self._scenario(), slice_rows=SLICE_ROWS)
        with Ahead(simulated, self._stop) as slices:
            yield outgoing.from_simulation(slices, reporting, stamps)

    def _scenario(self) -> Scenario:
        from alcyon.simulation import Scenario

        what, how = self._what, self._how
        fraud_rate = 0.007 if what.fraud_rate is None else what.fraud_rate
        transactions, rate_per_s = how.transactions, None
        if what.start is None:
            # From now on: ids hang on it, and those of an earlier run would be repeats.
            start = milliseconds(datetime.now(UTC))
            most = _FRAUDS_PER_S / max(fraud_rate, _FRAUD_RATE_LEAST)
            rate_per_s = max(min(how.rate or most, most), 1e-4)
            if how.rate and how.seconds:  # drift is to be done by the end
                due = round(how.rate * how.seconds) + 1
                transactions = min(due, transactions or due)
        else:
            start = milliseconds(what.start)
        return Scenario(
            transactions=transactions,
            seed=what.seed or 0,
            start=start,
            rate_per_s=rate_per_s,
            fraud_rate=fraud_rate,
            drift=what.drift or 0.0,
        )


def _columns(catalog: str | None) -> Mapping[str, ColumnType]:
    if catalog is None:
        return {}
    from alcyon.detectors.loading import load_detector

    return load_detector(catalog).columns


@contextmanager
def _stopping(stop: Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop`; a second one ends at once, as without us."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def heard(*_: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, heard)
    try:
        yield
    finally:
        restore()
