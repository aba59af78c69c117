"""One entity's state as bytes: for engines that keep state by key themselves (Spark, Flink).

The bytes say which catalog and hash key they belong to, and hold the events that a window can
still reach, with codes of their own (1, 2, … in order of appearance), each with its 128-bit key
and, where a `Previous` needs it, its text. They are a function of events and front: the same from
whichever kernel they come.

Not part of an entity: the front, the next sequence, and the ledger of transactions, through which
duplicates are known and labels find their transactions. A label for a moved transaction therefore
moves windows only where the kernel that gets it has seen the transaction, or where the caller keeps
that ledger itself; what labels said before the move is in the events.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Strings
from alcyon.domain.errors import CatalogError, SnapshotError
from alcyon.features.aggregation import Entity
from alcyon.features.batch import Keys
from alcyon.features.compiled import hashing, interner, transfer
from alcyon.features.compiled.entity import Plan
from alcyon.features.kernel import Kernel
from alcyon.features.layout import CODES_BASE, Layout

_Ints = NDArray[np.int64]
_CHECK = np.frombuffer(b"which key", np.uint8)
_HALF = np.int64(0xFFFFFFFF)
_TEXT_BYTES_MAX = 4096
"""More than validation lets in."""


class CodedValue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What code number (place in the list) + 1 stands for; text only where a window needs it."""

    low: int
    high: int
    text: str | None


class EntityState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entity; `events` is little-endian int64[n, stride] in order, as `timeline` has them."""

    catalog: str
    hash_key: tuple[int, int]
    """A hash under the key, which tells it from others and does not give it away."""
    entity: int
    key: tuple[int, int]
    events: bytes
    codes: list[CodedValue]


def export_entity(kernel: Kernel, entity: Entity, values: tuple[str | int, ...]) -> bytes | None:
    """The state of the entity that these values of its columns name; None if nothing is kept.

    CatalogError: no window of the catalog is about this entity.
    """
    index = _index(kernel.layout, entity)
    low, high = _key(kernel, entity, values)
    plan = kernel.layout.plans[index]
    events = _reachable(kernel, plan, low, high)
    if len(events) == 0:
        return None
    codes = _Lanes(plan, events).renumbered()
    with_text = _codes_with_text(kernel.layout, plan, events)
    state = EntityState(
        catalog=kernel.layout.catalog.hash,
        hash_key=_hash_key(kernel),
        entity=index,
        key=(low, high),
        events=events.astype("<i8").tobytes(),
        codes=[_coded(kernel, c, i in with_text) for i, c in enumerate(codes.tolist(), 1)],
    )
    return msgspec.msgpack.encode(state)


def import_entity(kernel: Kernel, data: bytes) -> None:
    """Put an exported entity's state in place of whatever the kernel keeps of that entity.

    SnapshotError: the bytes are of another catalog or hash key, or are not such an export; then
    nothing has changed.
    """
    try:
        state = msgspec.msgpack.decode(data, type=EntityState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"this is no exported entity: {error}") from error
    _check_origin(kernel, state)
    plan = kernel.layout.plans[state.entity]
    events = _events(plan, state)
    lanes = _Lanes(plan, events)
    lanes.put(_interned(kernel, state.codes, lanes.newest_use(len(state.codes))))
    low, high = state.key
    scratch = kernel._scratches[state.entity]
    transfer.replace(kernel.state.memory, plan, scratch, low, high, events)


def id_key(value: str, key: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """What a kernel with this hash key knows an id by; the worker's kernel has that of `Kernel`'s
    own default."""
    hashed = Keys(np.array(key, np.uint64), ()).of_strings(Strings.from_list([value]))
    low, high = hashed[:, 0].tolist()
    return low, high


def forget(kernel: Kernel, key: tuple[int, int]) -> None:
    """Drop the history of every entity of one column that has this id.

    In the history of others, as a merchant's, its payments stay as amounts and counts; entities of
    several columns keep theirs until their windows have passed.
    """
    low, high = key
    for index, entity in enumerate(kernel.layout.entities):
        if len(entity.columns) == 1:
            plan, scratch = kernel.layout.plans[index], kernel._scratches[index]
            none = np.empty((0, plan.shape.stride), np.int64)
            transfer.replace(kernel.state.memory, plan, scratch, low, high, none)


def _index(layout: Layout, entity: Entity) -> int:
    if entity not in layout.entities:
        raise CatalogError(f"no window of this catalog is about the entity {entity.name}")
    return layout.entities.index(entity)


def _key(kernel: Kernel, entity: Entity, values: tuple[str | int, ...]) -> tuple[int, int]:
    keys, hashed = Keys(kernel.key, kernel.layout.entities), {}
    for name, value in zip(entity.columns, values, strict=True):
        if isinstance(value, str):
            hashed[name] = keys.of_strings(Strings.from_list([value]))
        else:
            hashed[name] = keys.of_numbers(np.array([value], np.int64))
    low, high = keys.of_entity(entity, hashed, 1)[:, 0].tolist()
    return low, high


def _reachable(kernel: Kernel, plan: Plan, low: int, high: int) -> _Ints:
    """Events [n, stride] that a window can still see: of older ones even the codes may be gone."""
    memory, front = kernel.state.memory, kernel.state.front
    events = np.empty((max(0, transfer.kept(memory, plan, low, high)), plan.shape.stride), np.int64)
    if front is None or len(events) == 0:
        return events[:0]
    transfer.events_of(memory, plan, low, high, events)
    return events[events[:, 0] > front - plan.reach]


def _hash_key(kernel: Kernel) -> tuple[int, int]:
    low, high = hashing.sip(_CHECK, 0, len(_CHECK), kernel.key)
    return int(low), int(high)


def _check_origin(kernel: Kernel, state: EntityState) -> None:
    own = kernel.layout.catalog.hash
    if state.catalog != own:
        raise SnapshotError(f"this entity is of catalog {state.catalog}, not {own}")
    if state.hash_key != _hash_key(kernel):
        raise SnapshotError("this entity's ids are hashed with another key")
    if not 0 <= state.entity < len(kernel.layout.plans):
        raise SnapshotError(f"this catalog has no entity number {state.entity}")
    keys = [state.key, *((c.low, c.high) for c in state.codes)]
    if not all(_is_key(low, high) for low, high in keys):
        raise SnapshotError("this is no exported entity: its keys are no keys")


def _is_key(low: int, high: int) -> bool:
    return high != 0 and all(-(2**63) <= word < 2**63 for word in (low, high))


def _events(plan: Plan, state: EntityState) -> _Ints:
    """The events, writable. SnapshotError unless they can be put in as they are."""
    stride = plan.shape.stride
    if len(state.events) % (8 * stride):
        raise SnapshotError("this is no exported entity: its last event is cut off")
    events = np.frombuffer(state.events, "<i8").astype(np.int64).reshape(-1, stride)
    if (np.diff(events[:, 0]) < 0).any():
        raise SnapshotError("this is no exported entity: its events are out of order")
    return events


@dataclass(frozen=True, eq=False)
class _Lanes:
    """The codes inside rows of events: 32 bits each, two to a word."""

    plan: Plan
    events: _Ints

    def __len__(self) -> int:
        return len(self.plan.code_columns)

    def of(self, lane: int) -> _Ints:
        """int64[n]: codes of one lane, 0 is null."""
        word: _Ints = self.events[:, 2 + self.plan.shape.wides + lane // 2]
        return (word >> 32 * (lane % 2)) & _HALF

    def put(self, codes: _Ints) -> None:
        """Replace each code c by codes[c]."""
        for lane in range(len(self)):
            word = self.events[:, 2 + self.plan.shape.wides + lane // 2]
            shift, other = 32 * (lane % 2), np.int64(-1) ^ (_HALF << 32 * (lane % 2))
            word[:] = (word & other) | (codes[self.of(lane)] << shift)

    def renumbered(self) -> _Ints:
        """Replace codes by 1, 2, … in order of appearance; the codes that were there."""
        if len(self) == 0:
            return np.empty(0, np.int64)
        used = np.stack([self.of(lane) for lane in range(len(self))], 1).reshape(-1)
        found, first = np.unique(used[used != 0], return_index=True)
        found = found[np.argsort(first)]
        numbers = np.zeros(int(found.max(initial=0)) + 1, np.int64)
        numbers[found] = np.arange(1, len(found) + 1)
        self.put(numbers)
        return found

    def newest_use(self, codes: int) -> _Ints:
        """int64[codes]: newest event with each code 1 … codes. SnapshotError for any other code."""
        newest = np.full(codes + 1, interner.NEVER)
        for lane in range(len(self)):
            if self.of(lane).max(initial=0) > codes:
                raise SnapshotError("this is no exported entity: it has codes without a meaning")
            np.maximum.at(newest, self.of(lane), self.events[:, 0])
        return newest[1:]


def _codes_with_text(layout: Layout, plan: Plan, events: _Ints) -> set[int]:
    lanes, found = _Lanes(plan, events), set[int]()
    for lane, column in enumerate(plan.code_columns):
        if layout.code_columns[column] in layout.text_columns:
            found.update(lanes.of(lane).tolist())
    return found


def _coded(kernel: Kernel, code: int, with_text: bool) -> CodedValue:
    memory = kernel.state.memory
    low, high, _ = interner.key_of(memory, code)
    if not with_text:
        return CodedValue(int(low), int(high), None)
    out = np.empty(_TEXT_BYTES_MAX, np.uint8)
    size = interner.text_of(memory, code, out)
    if size < 0:
        raise SnapshotError(f"a text of {-1 - size} bytes is too long to move")
    return CodedValue(int(low), int(high), out[:size].tobytes().decode())


def _interned(kernel: Kernel, values: list[CodedValue], newest: _Ints) -> _Ints:
    """int64[values + 1]: the kernel's code of each value; 0 stays null."""
    keys = np.array([(v.low, v.high) for v in values], np.int64).reshape(-1, 2).T
    codes = np.zeros(len(values) + 1, np.int64)
    has_text = np.array([v.text is not None for v in values], np.bool_)
    for with_text in (False, True):
        rows = np.flatnonzero(has_text == with_text)
        text = Strings.from_list([values[i].text or "" for i in rows])
        some = np.empty(len(rows), np.int64)
        interner.use(
            kernel.state.memory, CODES_BASE, np.ascontiguousarray(keys[:, rows]), text.offsets,
            text.data, with_text, newest[rows], some,
        )  # fmt: skip
        codes[1 + rows] = some
    kernel.state.fit_stamps()
    return codes
