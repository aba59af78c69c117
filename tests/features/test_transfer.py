"""An entity moves to another kernel as bytes, and no feature can tell."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from alcyon.domain.errors import CatalogError, SnapshotError
from alcyon.features import Catalog, Count, Distinct, Entity, Previous, Std
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.features.transfer import EntityState, export_entity, import_entity
from tests.features import streams
from tests.features.naive import Row
from tests.features.test_exact import SMALL, differences, expected, observed

CARD = Entity("card_id")


def present(layout: Layout, records: list[Any]) -> list[tuple[Entity, tuple[Any, ...]]]:
    """Every entity that the records name."""
    rows = [r for r in records if not isinstance(r, tuple)]
    found = [(e, tuple(r[c] for c in e.columns)) for e in layout.entities for r in rows]
    return [(e, values) for e, values in dict.fromkeys(found) if None not in values]


def forget_windows(kernel: Kernel, entities: list[tuple[Entity, tuple[Any, ...]]]) -> None:
    """Leave every entity without events, so that only an import can bring them."""
    for entity, values in entities:
        data = export_entity(kernel, entity, values)
        if data is not None:
            state = msgspec.msgpack.decode(data, type=EntityState)
            empty = msgspec.structs.replace(state, events=b"", codes=[])
            import_entity(kernel, msgspec.msgpack.encode(empty))
    assert not any(export_entity(kernel, *e) for e in entities)


def junk(rng: random.Random) -> list[Any]:
    """Transactions long before the stream, which only make codes differ."""
    rows = [r for r in streams.records(rng, 60) if not isinstance(r, tuple)]
    return [
        {**r, "transaction_id": f"x{i}", "country": f"j{i % 7}", "event_time": 10**12}
        for i, r in enumerate(rows)
    ]


def moved(seed: int, size: int) -> None:
    """All entities move in mid-stream; the other kernel has seen the transactions, and no more."""
    rng = random.Random(seed)
    catalog, records = streams.catalog(rng), streams.records(rng, size)
    layout, cut = Layout(catalog), len(records) // 2
    first, second = Kernel(layout, SMALL), Kernel(layout, SMALL)
    before = observed(first, records[:cut], itertools.cycle([16]))
    early = junk(rng)
    observed(second, early, itertools.cycle([16]), -1000)
    observed(second, records[:cut], itertools.cycle([5]))
    entities = present(layout, records[:cut])
    exports = [export_entity(first, *e) for e in entities]
    forget_windows(second, [*entities, *present(layout, early)])
    for data in exports:
        if data is not None:
            import_entity(second, data)
    assert [export_entity(second, *e) for e in entities] == exports
    after = observed(second, records[cut:], itertools.cycle([7]), cut)
    found = differences(expected(catalog, records), before + after)
    assert not found, (seed, found)


@pytest.mark.parametrize("block", range(4))
def test_entities_move_in_mid_stream_and_no_feature_changes(block: int) -> None:
    for seed in range(30_000 + block * 10, 30_010 + block * 10):
        moved(seed, random.Random(seed).choice([40, 200, 500]))


def a_kernel(key: tuple[int, int] = (0, 0), within: str = "1s") -> Kernel:
    """Three features, small enough to read."""
    return Kernel(
        Layout(
            Catalog(
                [
                    Count(CARD, "1s"),
                    Std(CARD, "amount_minor", "1s"),
                    Distinct(CARD, "merchant_id", "1s"),
                    Previous(CARD, "country", within=within),
                ]
            )
        ),
        SMALL,
        key,
    )


def a_row(i: int, **columns: Any) -> Row:
    """A transaction of card a."""
    row: Row = {
        "transaction_id": f"t{i}", "event_time": streams.START + i, "amount_minor": 100 * i,
        "currency": "EUR", "card_id": "a", "merchant_id": "m", "country": "DE",
        "latitude": None, "utc_offset_minutes": None,
    }  # fmt: skip
    return {**row, **columns}


def exported(kernel: Kernel) -> bytes:
    """Card a after three transactions."""
    observed(kernel, [a_row(1), a_row(2, country="FR"), a_row(3)], itertools.cycle([3]))
    data = export_entity(kernel, CARD, ("a",))
    assert data is not None
    return data


def test_a_fresh_kernel_goes_on_where_the_other_one_was() -> None:
    there, here = a_kernel(), a_kernel()
    import_entity(here, exported(there))
    want = observed(there, [a_row(4)], itertools.cycle([1]), 3)
    assert observed(here, [a_row(4)], itertools.cycle([1]), 3) == want
    assert want[0][1]["card_count_1s"] == 4
    assert want[0][1]["card_previous_country"] == "DE"


def test_what_was_kept_of_the_entity_is_replaced() -> None:
    kernel = a_kernel()
    data = exported(kernel)
    import_entity(kernel, data)
    assert kernel.state.kept_events == 3
    assert export_entity(kernel, CARD, ("a",)) == data


def test_an_unknown_entity_has_no_state() -> None:
    assert export_entity(a_kernel(), CARD, ("nobody",)) is None


def test_an_entity_without_windows_is_refused() -> None:
    with pytest.raises(CatalogError, match="merchant"):
        export_entity(a_kernel(), Entity("merchant_id"), ("m",))


@pytest.mark.parametrize(
    ("kernel", "why"),
    [(a_kernel(within="2s"), "of catalog"), (a_kernel((1, 2)), "hashed with another key")],
)
def test_bytes_of_another_catalog_or_hash_key_are_refused(kernel: Kernel, why: str) -> None:
    with pytest.raises(SnapshotError, match=why):
        import_entity(kernel, exported(a_kernel()))


@pytest.mark.parametrize(
    "changes",
    [
        {"entity": 1}, {"entity": -1}, {"key": (1, 0)}, {"key": (2**64 - 1, 1)},
        {"events": b"1"}, {"codes": []},
    ],
)  # fmt: skip
def test_bytes_that_do_not_hold_together_change_nothing(changes: dict[str, Any]) -> None:
    kernel = a_kernel()
    data = exported(kernel)
    state = msgspec.msgpack.decode(data, type=EntityState)
    for broken in (msgspec.msgpack.encode(msgspec.structs.replace(state, **changes)), data[:-1]):
        with pytest.raises(SnapshotError):
            import_entity(kernel, broken)
    assert export_entity(kernel, CARD, ("a",)) == data
