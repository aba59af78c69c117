"""Deciding: the pipeline with what is in force; the same under worker, recovery and replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec
import numpy as np

from alcyon.codecs.avro import MixedLabelDecoder, MixedTransactionDecoder
from alcyon.codecs.json import PAYLOAD_BYTES_MAX
from alcyon.domain.alert import Alert
from alcyon.domain.columns import ColumnType
from alcyon.domain.control import Control, ForgetEntity, decode_control
from alcyon.domain.currency import Rates
from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError, ModelError
from alcyon.domain.record import DeadLetter
from alcyon.domain.schemas import Schemas
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Kernel
from alcyon.features.transfer import forget
from alcyon.pipeline import Pipeline
from alcyon.runners.stream.in_force import InForce, LoadModel
from alcyon.runners.stream.measuring import Measured, Stopwatch
from alcyon.runners.stream.polled import Bounds, DecodedPart, Part, decode_part

CONFLICTING_DUPLICATE = "conflicting_duplicate"
INVALID_CONTROL, CONTROL_REFUSED = "invalid_control", "control_refused"


@dataclass(frozen=True)
class Means:
    """What decoding and control records need from outside."""

    keys: TokenKeys
    load_model: LoadModel
    columns: Mapping[str, ColumnType] = field(default_factory=lambda: MappingProxyType({}))
    """A detector's own columns."""
    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    dead_letter_bytes_max: int = 4096
    future_max_ms: int = 300_000
    """How far an event time may lie ahead of the log's clock."""
    schemas: Schemas | None = None
    """Of Avro records; None: those are dead letters."""

    def transaction_decoder(self, rates: Rates) -> MixedTransactionDecoder:
        """Decodes transactions under a rate table."""
        return MixedTransactionDecoder(
            self.keys, rates, self.columns, self.payload_bytes_max, self.schemas
        )

    def label_decoder(self) -> MixedLabelDecoder:
        """Decodes labels."""
        return MixedLabelDecoder(self.keys, self.payload_bytes_max, self.schemas)


@dataclass
class Made:
    """What a run of records has come to so far."""

    decisions: list[bytes] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    labels: int = 0
    controls: int = 0
    """Control records that took effect."""
    measured: Measured = field(default_factory=Measured)

    def encoded_alerts(self) -> tuple[bytes, ...]:
        """The alerts as JSON, by sequence."""
        return tuple(map(msgspec.json.encode, self.alerts))

    def encoded_letters(self) -> tuple[bytes, ...]:
        """The dead letters as JSON, by sequence."""
        ordered = sorted(self.dead_letters, key=lambda letter: letter.sequence)
        return tuple(msgspec.json.encode(letter) for letter in ordered)


class Deciding:
    """One kernel and what is in force. Not for several threads.

    Order for each part: `decode`, then `decide` or `observe`, then `control`.
    """

    def __init__(self, kernel: Kernel, means: Means, in_force: InForce) -> None:
        self.pipeline = Pipeline(kernel, in_force.conduct)
        self.in_force = in_force
        self._means = means
        self._stopwatch = Stopwatch()
        self.load_model = self._stopwatch.over(means.load_model)
        """As `Means.load_model`: models whose time is told by `Made.measured`."""
        self._labels = means.label_decoder()
        self._transactions = means.transaction_decoder(in_force.rates)

    def adopt(self, in_force: InForce) -> None:
        """Convert and decide by this from now on."""
        if in_force.rates is not self.in_force.rates:
            self._transactions = self._means.transaction_decoder(in_force.rates)
        if in_force.conduct is not self.in_force.conduct:
            self.pipeline.adopt(in_force.conduct)
        self.in_force = in_force

    def decode(self, part: Part, refused: Collection[int] | None = None) -> DecodedPart:
        """Decode a part's transactions and labels; `refused` as for `decode_part`."""
        bounds = Bounds(self._means.dead_letter_bytes_max, self._means.future_max_ms)
        return decode_part(part, self._transactions, self._labels, bounds, refused)

    def decide(self, arrived: DecodedPart, made: Made) -> None:
        """Let a part change the state, and decide on its transactions."""
        batch = arrived.transactions
        outcome = self.pipeline.decide(
            batch, labels=arrived.labels, sequences=arrived.sequences, latest=arrived.latest
        )
        made.measured.inference_s += self._stopwatch.taken()
        made.measured.add(batch, outcome)
        made.decisions += outcome.decided.encode()
        if len(batch):
            amounts = np.asarray(batch.numbers("amount_minor"), np.int64)[outcome.rows]
            currencies = batch.strings("currency").take(outcome.rows)
            made.alerts += outcome.decided.alerts(amounts, currencies)
        made.duplicates += len(outcome.duplicates)
        made.labels += len(arrived.labels.due)
        made.dead_letters += arrived.dead
        made.dead_letters += [
            self._letter(
                arrived.part, int(arrived.sequences[row]), CONFLICTING_DUPLICATE,
                f"sequence {outcome.observed.first[row]} has this id and another payload",
            )
            for row in outcome.conflicting
        ]  # fmt: skip
        codes, counts = np.unique(outcome.decided.actions, return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            made.actions[Action.of_code(code).value] += count

    def observe(self, arrived: DecodedPart) -> None:
        """Let a part change the state as `decide` does, without deciding."""
        self.pipeline.observe(
            arrived.transactions, labels=arrived.labels, sequences=arrived.sequences,
            latest=arrived.latest,
        )  # fmt: skip

    def control(self, part: Part, made: Made) -> None:
        """Let the part's control record take effect, or make it a dead letter."""
        if part.control is None:
            return
        try:
            control = decode_control(part.control.payload)
        except InputError as error:
            made.dead_letters.append(
                self._letter(part, part.control_sequence, INVALID_CONTROL, str(error))
            )
            return
        try:
            self._take(control, self.load_model)
        except (InputError, ModelError) as error:
            made.dead_letters.append(
                self._letter(part, part.control_sequence, CONTROL_REFUSED, str(error))
            )
            return
        made.controls += 1

    def control_again(
        self, part: Part, refused: Collection[int], load_model: LoadModel | None
    ) -> None:
        """Let a control record take effect as it did then: not, if it was refused then.

        load_model: None where nothing is decided, see `InForce.changed`. InputError, ModelError:
        it took effect then, and cannot now.
        """
        if part.control is not None and part.control_sequence not in refused:
            control = decode_control(part.control.payload)
            self._take(control, load_model)

    def _take(self, control: Control, load_model: LoadModel | None) -> None:
        if isinstance(control, ForgetEntity):
            forget(self.pipeline.kernel, (control.low, control.high))
        else:
            self.adopt(self.in_force.changed(control, load_model))

    def _letter(self, part: Part, sequence: int, reason: str, detail: str) -> DeadLetter:
        return part.letter(sequence, reason, detail, self._means.dead_letter_bytes_max)
