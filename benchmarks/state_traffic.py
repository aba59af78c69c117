"""Traffic with a wanted number of cards, scaled catalogs, and what each kind of entity takes."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.features import Catalog, Expression
from alcyon.features.aggregation import duration_ms
from alcyon.features.compiled import growth, table
from alcyon.features.kernel import Kernel
from alcyon.features.layout import CODES_BASE, PENDING_BASE, SEEN_BASE
from alcyon.simulation.identifiers import decimal, fixed, mixed, prefixed, scattered, unit

Ints = NDArray[np.int64]
START = 1_735_689_600_000
CHUNK = 200_000


def scaled(catalog: Catalog, factor: int) -> Catalog:
    """The same features under the same names, every duration divided by the factor."""
    features = []
    for feature in catalog.features:
        short = copy(feature)
        if not isinstance(feature, Expression):
            object.__setattr__(short, "given_name", feature.name)
            for word in ("window", "delay", "within"):
                if hasattr(feature, word):
                    ms = duration_ms(getattr(feature, word)) // factor
                    object.__setattr__(short, word, f"{ms}ms")
        features.append(short)
    return Catalog(features, f"{catalog.lateness_max_ms // factor}ms")


@dataclass(frozen=True)
class Traffic:
    """Cards draw evenly; each has 20 merchants it goes to, one of its own 2 devices half the time.

    rate: transactions per second of event time. hot: share that goes to one merchant. disorder:
    share that comes late, by up to `behind_ms`.
    """

    cards: int
    rate: float
    hot: float = 0.0
    disorder: float = 0.12
    behind_ms: int = 60_000
    merchants: int = 50_000

    def chunks(self, transactions: int) -> Iterator[Batch]:
        """Batches of CHUNK rows with the columns that the card catalog reads."""
        for first in range(0, transactions, CHUNK):
            yield self._chunk(np.arange(first, min(first + CHUNK, transactions)))

    def _chunk(self, i: Ints) -> Batch:
        card = mixed(i, 1) % np.int64(self.cards)
        habit = (unit(mixed(i, 2)) ** 3 * 20).astype(np.int64)
        merchant = (unit(mixed(card, habit, 3)) ** 2 * self.merchants).astype(np.int64)
        merchant = np.where(unit(mixed(i, 4)) < self.hot, self.merchants, merchant)
        late = unit(mixed(i, 5)) < self.disorder
        behind = (unit(mixed(i, 6)) * self.behind_ms).astype(np.int64)
        online = unit(mixed(i, 7)) < 0.5
        device = 2 * card[online] + (mixed(i[online], 8) & 1)
        base = (200 * np.exp(3 * unit(mixed(i, 9)))).astype(np.int64)
        place = mixed(card, (unit(mixed(i, 10)) < 0.03).astype(np.int64))
        country = np.frombuffer(b"DEFRPLITESNLATBE", np.uint8).reshape(-1, 2)
        return Batch(
            {
                "transaction_id": fixed(prefixed("t-", decimal(i, 12))),
                "event_time": START + (i * 1000 / self.rate).astype(np.int64) - late * behind,
                "amount_minor": base,
                "currency": fixed(np.tile(np.frombuffer(b"EUR", np.uint8), (len(i), 1))),
                "card_id": fixed(prefixed("c", decimal(card, 8))),
                "merchant_id": fixed(prefixed("m", decimal(merchant, 8))),
                "device_id": scattered(prefixed("d-", decimal(device, 8)), online),
                "ip": scattered(prefixed("i-", decimal(device, 8)), online),
                "email_hash": scattered(prefixed("e-", decimal(card[online], 8)), online),
                "channel": Strings.from_list(np.where(online, "ecommerce", "contactless").tolist()),
                "country": fixed(country[place & 7]),
                "amount_base_minor": base,
                "latitude": 45 + unit(place) * 10,
                "longitude": unit(mixed(place, 11)) * 20,
                "utc_offset_minutes": np.full(len(i), 60),
            }
        )


@njit
def _nodes(words, node, depth, stride, row):
    """Words of a tree's nodes."""
    step = stride if depth == 0 else row
    total = 2 + words[node + 1] * step
    if depth > 0:
        for c in range(words[node]):
            total += _nodes(words, words[node + 2 + c * row + 1], depth - 1, stride, row)
    return total


@njit
def _entities(words, slots, size, horizon, stride, row):
    """(entities, events, words of headers and nodes, entities that no window can reach)."""
    entities, events, total, idle = 0, 0, 0, 0
    for i in range(size):
        header = words[slots + i] & ((1 << 48) - 1)
        if header == 0:
            continue
        entities += 1
        events += words[header + growth.KEPT]
        idle += words[header + growth.NEWEST] <= horizon
        root = words[header + growth.ROOT]
        total += growth.HEADER_WORDS
        if root != 0:
            total += _nodes(words, root, words[header + growth.DEPTH], stride, row)
    return entities, events, total, idle


def kinds(kernel: Kernel) -> dict[str, dict[str, float]]:
    """What each kind of entity takes, found by walking all of them."""
    memory, out = kernel.state.memory, {}
    for plan, entity in zip(kernel.layout.plans, kernel.layout.entities, strict=True):
        slots, mask = memory.meta[plan.base + table.SLOTS], memory.meta[plan.base + table.MASK]
        horizon = (kernel.state.front or 0) - plan.reach
        entities, events, words, idle = _entities(
            memory.words, slots, mask + 1, horizon, plan.shape.stride, plan.shape.row
        )
        taken = 8 * (words + int(mask) + 1)
        out[entity.name] = {
            "retention_days": plan.reach / 86_400_000,
            "event_words": plan.shape.stride,
            "entities": entities,
            "idle_entities": idle,
            "kept_events": events,
            "bytes": taken,
            "bytes_per_kept_event": round(taken / max(1, events), 1),
        }
    return out


def rest(kernel: Kernel) -> dict[str, int]:
    """Bytes of what is not an entity: ledgers and their tables, codes and theirs (not texts)."""
    meta = kernel.state.memory.meta
    rows = {b: int(meta[b + table.COUNT]) for b in (SEEN_BASE, PENDING_BASE, CODES_BASE)}
    slots = {b: 8 * (int(meta[b + table.MASK]) + 1) for b in rows}
    return {
        "seen": rows[SEEN_BASE],
        "seen_bytes": rows[SEEN_BASE] * 8 * kernel.state.ledger_words + slots[SEEN_BASE],
        "codes": rows[CODES_BASE],
        "codes_bytes": rows[CODES_BASE] * 48 + slots[CODES_BASE],
    }
