"""The kernel: transactions change state and get their features; the same under every runner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.errors import StateError
from alcyon.features.batch import Keys, as_integers, code_inputs, label_ids, ordered
from alcyon.features.compiled import entity, interner, timeline
from alcyon.features.compiled import observe as compiled
from alcyon.features.compiled.memory import NEXT_SEQUENCE
from alcyon.features.compiled.registers import from_columns, from_values
from alcyon.features.layout import CODES_BASE, PENDING_BASE, SEEN_BASE, Layout
from alcyon.features.observed import Observed
from alcyon.features.program import Program
from alcyon.features.state import State

SEQUENCE_MAX = 2**39
"""An event keeps its sequence and its flags in one word."""
NO_LIMIT = 2**62
"""`latest` of a source that has no clock."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a kernel. `dedupe_horizon_ms` None: the catalog's lateness_max, its minimum."""

    state_bytes_max: int = 64 * 2**30
    dedupe_horizon_ms: int | None = None
    pending_labels_max: int = 100_000


@dataclass(frozen=True)
class LabelRows:
    """Labels in the order in which they take effect.

    due: int64[k], ascending: the label's sequence; or, where `by_time`, its labelled_at, and it
    precedes transaction i if and only if labelled_at ≤ front(i), i included.
    """

    transaction_ids: Strings
    is_fraud: NDArray[np.int64]
    due: NDArray[np.int64]
    by_time: bool = False


_NO_TEXT = Strings.from_list([])
NO_LABELS = LabelRows(Strings.from_list([]), np.empty(0, np.int64), np.empty(0, np.int64))


class Kernel:
    """State and the programs of one catalog. Not for several threads.

    also: transaction columns that rules read, beside those the catalog reads. spare: names of
    further register rows that the caller fills. strings: literals of the caller's programs.
    """

    def __init__(
        self, layout: Layout, limits: Limits = Limits(), key: tuple[int, int] = (0, 0)
    ) -> None:
        self.layout = layout
        self.limits = limits
        self.key = np.array(key, np.uint64)
        self.state = State.empty(layout, limits.state_bytes_max)
        self._keys = Keys(self.key, layout.entities)
        self._scratches = [_scratch(plan) for plan in layout.plans]
        self._rules = self._semantics(by_time=False)
        self._pinned: dict[str, int] = {}
        self._literals: dict[tuple[str, ...], NDArray[np.float64]] = {}
        self._no_labels = label_ids(NO_LABELS, self._keys, len(layout.label_entities))
        self.read_also(())
        self.pin_literals()

    def _semantics(self, by_time: bool) -> compiled.Rules:
        lateness = self.layout.catalog.lateness_max_ms
        dedupe = max(self.limits.dedupe_horizon_ms or lateness, lateness)
        label_keep = lateness + self.layout.label_reach_ms if self.layout.label_entities else 0
        return compiled.Rules(
            lateness_max=lateness,
            dedupe_horizon=dedupe,
            keep=max(dedupe, label_keep),
            pending_labels_max=self.limits.pending_labels_max,
            seen_base=SEEN_BASE,
            pending_base=PENDING_BASE,
            by_time=int(by_time),
        )

    def pin_literals(self) -> None:
        """Give the programs' string literals codes; after a restore, the state's own."""
        self._pinned.clear()
        self._literals.clear()
        programs = [stage.program for stage in self.layout.stages]
        programs += [self.layout.conditions] if self.layout.conditions else []
        for program in programs:
            self.literals(program.strings)

    def literals(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Codes of string literals, held for ever, for `Program.run`."""
        known = self._literals.get(tuple(texts))
        if known is not None:
            return known
        fresh = [t for t in texts if t not in self._pinned]
        if fresh:
            column = Strings.from_list(fresh)
            codes = np.empty(len(fresh), np.int64)
            for_ever = np.full(len(fresh), interner.FOR_EVER)
            self._use(column, self._keys.of_strings(column), True, for_ever, codes)
            self._pinned.update(zip(fresh, codes.tolist(), strict=True))
        known = np.array([self._pinned[t] for t in texts], np.float64)
        self._literals[tuple(texts)] = known
        return known

    def _use(
        self,
        column: Strings | None,
        keys: NDArray[np.int64],
        with_text: bool,
        times: NDArray[np.int64],
        codes: NDArray[np.int64],
    ) -> None:
        text = column or _NO_TEXT
        interner.use(
            self.state.memory, CODES_BASE, keys, text.offsets, text.data,
            with_text and column is not None, times, codes,
        )  # fmt: skip

    def read_also(self, columns: Sequence[str]) -> None:
        """Let the registers hold these transaction columns too: what rules read."""
        own = self.layout.transaction_columns
        self._also = tuple(c for c in dict.fromkeys(columns) if c not in own)
        self._names = (*self.layout.register_names, *self._also)
        coded = code_inputs(self.layout, self._also)
        self._slots = {name: row for row, name in enumerate(coded)}
        self._literals.clear()

    @property
    def register_names(self) -> tuple[str, ...]:
        """Names of the rows of `Observed.registers`."""
        return self._names

    def observe(
        self,
        batch: Batch,
        *,
        labels: LabelRows = NO_LABELS,
        sequences: NDArray[np.int64] | None = None,
        latest: NDArray[np.int64] | None = None,
    ) -> Observed:
        """Let a batch change the state and return its features.

        sequences: int64[n], ascending; None: the next numbers, labels among them where they are
        placed by time. latest: int64[n], the newest event time that is not in the future.
        Labels not due yet are left for the next batch: `Observed.labels_used` says how many were
        taken. The codes in the result are good until the next call. Raises StateError where the
        state outgrows its bound; the kernel is then between two states: load a snapshot anew.
        """
        if int(self.state.memory.meta[NEXT_SEQUENCE]) + len(batch) > SEQUENCE_MAX:
            raise StateError(f"sequences end at {SEQUENCE_MAX}: begin a new log")
        try:
            return self._observe(batch, labels, sequences, latest)
        except MemoryError:
            raise StateError(
                f"the state is full at {self.limits.state_bytes_max / 2**30:.1f} GiB: "
                "raise ALCYON_KERNEL__STATE_BYTES_MAX, shorten windows, or bring fewer entities"
            ) from None

    def _observe(
        self,
        batch: Batch,
        labels: LabelRows,
        sequences: NDArray[np.int64] | None,
        latest: NDArray[np.int64] | None,
    ) -> Observed:
        n = len(batch)
        hashed = self._keys.of_batch(batch)
        codes, slots = self._codes(batch, hashed)
        registers = np.empty((len(self.register_names), n))
        self._fill_columns(batch, codes, slots, registers)
        arrivals, label_state = self._arrive(batch, hashed, labels, sequences, latest)
        values = self._windows(batch, hashed, codes, slots, registers, arrivals, label_state)
        self._fill_features(values, registers)
        return Observed(
            kernel_layout=self.layout,
            names=self.register_names,
            status=arrivals.status,
            sequences=arrivals.sequences,
            first=arrivals.first,
            fronts=arrivals.fronts,
            values=values,
            registers=registers,
            labels_used=label_state.used,
            label_status=label_state.labels.status[: label_state.used],
            codes=codes,
        )

    def derive(self, registers: NDArray[np.float64]) -> None:
        """Compute the expressions of registers float64[R, n] again, from the other rows."""
        done = len(self.layout.transaction_columns) + len(self.layout.windowed)
        for stage in self.layout.stages:
            end = done + len(stage.names)
            self._run(stage.program, registers[:done], registers[done:end])
            done = end

    def texts(self, codes: NDArray[np.int64]) -> Strings:
        """Texts of codes int64[n] of a Previous column, before the next batch; 0 is null."""
        known: dict[int, str | None] = {0: None}
        for code in np.unique(codes).tolist():
            if code != 0:
                out = np.empty(4096, np.uint8)
                size = interner.text_of(self.state.memory, code, out)
                known[code] = out[:size].tobytes().decode()
        return Strings.from_list([known[c] for c in codes.tolist()])

    def _codes(
        self, batch: Batch, hashed: dict[str, NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Codes int64[columns, n] of what windows and programs compare, and each one's row."""
        slots = self._slots
        codes = np.zeros((len(slots), len(batch)), np.int64)
        times = np.asarray(batch.numbers("event_time"), np.int64)
        if self.state.front is not None:
            horizon = self.state.front - self.layout.code_reach_ms
            interner.sweep(self.state.memory, CODES_BASE, 1 + len(batch) // 4, horizon)
        for name, row in slots.items():
            if name in batch:
                column = batch.columns[name]
                strings = column if isinstance(column, Strings) else None
                keys = hashed.get(name)
                if keys is None:
                    keys = self._keys.of_numbers(batch.numbers(name))
                with_text = name in self.layout.text_columns
                self._use(strings, keys, with_text, times, codes[row])
        self.state.fit_stamps()
        return codes, slots

    def _fill_columns(
        self,
        batch: Batch,
        codes: NDArray[np.int64],
        slots: dict[str, int],
        registers: NDArray[np.float64],
    ) -> None:
        own = self.layout.transaction_columns
        features = len(self.layout.register_names) - len(own)
        rows = [*range(len(own)), *range(len(own) + features, len(registers))]
        for row, name in zip(rows, (*own, *self._also), strict=True):
            if name not in batch:
                registers[row] = np.nan
            elif isinstance(batch.columns[name], Strings):
                from_columns(codes[slots[name]], 0, registers[row])
            else:
                numbers = batch.numbers(name)
                if numbers.dtype == np.float64:
                    registers[row] = numbers
                else:
                    from_columns(ordered(numbers), NULL_INT, registers[row])

    def _run(self, program: Program, inputs: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        program.run(inputs, self.literals(program.strings), out)

    def _arrive(
        self,
        batch: Batch,
        hashed: dict[str, NDArray[np.int64]],
        labels: LabelRows,
        sequences: NDArray[np.int64] | None,
        latest: NDArray[np.int64] | None,
    ) -> tuple[compiled.Arrivals, _Placed]:
        n, memory = len(batch), self.state.memory
        if sequences is None and not labels.by_time:
            sequences = np.arange(n) + memory.meta[NEXT_SEQUENCE]
        label_keys = [self._keys.of_entity(e, hashed, n) for e in self.layout.label_entities]
        arrivals = compiled.Arrivals(
            ids=hashed["transaction_id"],
            payload=self._keys.payload,
            times=np.ascontiguousarray(batch.numbers("event_time"), np.int64),
            latest=np.full(n, NO_LIMIT) if latest is None else latest,
            keys=np.array(label_keys, np.int64).reshape(len(label_keys), 2, n),
            sequences=np.empty(n, np.int64) if sequences is None else sequences,
            status=np.empty(n, np.int64),
            first=np.empty(n, np.int64),
            is_fraud=np.empty(n, np.int64),
            fronts=np.empty(n, np.int64),
        )
        rows = self._no_labels
        if len(labels.due) > 0:
            rows = label_ids(labels, self._keys, len(label_keys))
        rules = self._rules._replace(by_time=int(labels.by_time))
        used, flips = compiled.arrive(memory, rules, arrivals, rows)
        return arrivals, _Placed(rows, used, flips)

    def _windows(
        self,
        batch: Batch,
        hashed: dict[str, NDArray[np.int64]],
        codes: NDArray[np.int64],
        slots: dict[str, int],
        registers: NDArray[np.float64],
        arrivals: compiled.Arrivals,
        placed: _Placed,
    ) -> NDArray[np.int64]:
        layout, n = self.layout, len(batch)
        columns = entity.Columns(
            times=arrivals.times,
            sequences=arrivals.sequences,
            is_fraud=arrivals.is_fraud,
            integers=as_integers(batch, layout.integer_columns),
            codes=codes,
            conditions=self._conditions(registers, n),
        )
        values = np.empty((len(layout.windowed), n), np.int64)
        floats = values.view(np.float64)
        flips = placed.labels.flips[: placed.flips]
        for plan, scratch, of in zip(layout.plans, self._scratches, layout.entities, strict=True):
            compiled.observe(
                self.state.memory, plan, scratch, columns, self._keys.of_entity(of, hashed, n),
                arrivals.status, arrivals.fronts, flips, layout.nulls, values, floats,
            )  # fmt: skip
        return values

    def _conditions(self, registers: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        program = self.layout.conditions
        if program is None:
            return np.empty((0, n))
        out = np.empty((program.outputs, n))
        self._run(program, registers[: len(self.layout.transaction_columns)], out)
        return out

    def _fill_features(self, values: NDArray[np.int64], registers: NDArray[np.float64]) -> None:
        start = len(self.layout.transaction_columns)
        done = start + len(values)
        from_values(values, self.layout.value_kinds, registers[start:done])
        self.derive(registers)


@dataclass(frozen=True)
class _Placed:
    labels: compiled.Labels
    used: int
    flips: int


def _scratch(plan: entity.Plan) -> timeline.Scratch:
    measures = max(1, len(plan.shape.measures))
    bounds = max(1, len(plan.bounds))
    return timeline.Scratch(
        path=np.zeros((2, timeline.DEPTH_MAX), np.int64),
        low=np.zeros((bounds, len(plan.shape.measures)), np.int64),
        high=np.zeros((bounds, len(plan.shape.measures)), np.int64),
        sums=np.zeros((2, len(plan.shape.measures)), np.int64),
        own=np.zeros((2, measures), np.int64),
        event=np.zeros(plan.shape.stride, np.int64),
    )
