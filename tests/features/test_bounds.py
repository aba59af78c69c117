"""Memory stays within what windows can reach, however many entities and texts come and go."""

from __future__ import annotations

import numpy as np
import pytest

from alcyon.domain.columns import Batch, Strings
from alcyon.features import Catalog, Count, Distinct, Entity
from alcyon.features.compiled import table
from alcyon.features.kernel import Kernel, LabelRows, Limits
from alcyon.features.layout import CODES_BASE, PENDING_BASE, Layout

BATCH = 4096


def traffic(first: int, share_new: float) -> Batch:
    """A transaction per millisecond; that share of cards and merchants was never seen before."""
    n = np.arange(first, first + BATCH)
    ids = [f"c{int(i * share_new)}" for i in n.tolist()]
    return Batch(
        {
            "transaction_id": Strings.from_list([f"t{i}" for i in n.tolist()]),
            "event_time": n + 10**12,
            "amount_minor": np.ones(BATCH, np.int64),
            "currency": Strings.from_list(["EUR"] * BATCH),
            "card_id": Strings.from_list(ids),
            "merchant_id": Strings.from_list([f"m{i}" for i in ids]),
        }
    )


@pytest.mark.parametrize("share_new", [0.25, 1.0])
def test_idle_entities_and_unused_texts_leave(share_new: float) -> None:
    card = Entity("card_id")
    catalog = Catalog([Count(card, "10s"), Distinct(card, "merchant_id", "10s")], lateness_max="1s")
    kernel = Kernel(Layout(catalog), Limits(state_bytes_max=2**27))
    meta = kernel.state.memory.meta
    needed = int(11_000 * share_new)
    for step in range(30):
        kernel.observe(traffic(step * BATCH, share_new))
    cards = int(meta[kernel.layout.plans[0].base + table.COUNT])
    codes = int(meta[CODES_BASE + table.COUNT])
    assert needed <= cards < 4 * needed
    assert needed <= codes < 4 * needed


def test_labels_that_wait_are_bounded() -> None:
    catalog = Catalog([Count(Entity("card_id"), "10s")], lateness_max="1s")
    kernel = Kernel(Layout(catalog), Limits(state_bytes_max=2**26, pending_labels_max=100))
    ids = [f"unseen{i % 300}" for i in range(3000)]
    labels = LabelRows(
        Strings.from_list(ids), np.ones(3000, np.int64), np.arange(3000, dtype=np.int64)
    )
    kernel.observe(traffic(0, 1.0).slice(0, 0), labels=labels)
    assert int(kernel.state.memory.meta[PENDING_BASE + table.COUNT]) <= 100
