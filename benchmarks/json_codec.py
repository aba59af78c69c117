"""What decoding costs: bytes to admitted columns, and back.

    python benchmarks/json_codec.py

Best of several rounds, in microseconds of one core per record; `reports/json_codec.json`.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import msgspec

from alcyon.codecs.json import TransactionDecoder, encode
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS
from report import write

BATCHES = (1, 16, 256, 1024, 4096)
ROUNDS = 15


def record(seed: int) -> dict[str, object]:
    """A transaction with every canonical field."""
    r = random.Random(seed)
    texts = {name: f"{name[:4]}-{r.getrandbits(40):010x}" for name in COLUMNS}
    return {
        **texts,
        "event_time": 1_700_000_000_000 + seed * 13,
        "amount_minor": r.randrange(1, 100_000),
        "currency": "EUR",
        "country": "DE",
        "merchant_country": "FR",
        "ip": "10.1.2.3",
        "amount_base_minor": 5,
        "latitude": round(r.uniform(-90, 90), 6),
        "longitude": round(r.uniform(-180, 180), 6),
        "merchant_latitude": round(r.uniform(-90, 90), 6),
        "merchant_longitude": round(r.uniform(-180, 180), 6),
        "utc_offset_minutes": 60,
    }


def payloads(present: tuple[str, ...], spelled_out: bool = False) -> list[bytes]:
    """Records with some fields; the others absent, or null where `spelled_out`."""
    absent = {name: None for name in COLUMNS if name not in present} if spelled_out else {}
    records = [record(i) for i in range(max(BATCHES))]
    kept = [{**{name: r[name] for name in present}, **absent} for r in records]
    return [json.dumps(r, separators=(",", ":")).encode() for r in kept]


def best(work: Callable[[], object], records: int) -> float:
    """Microseconds per record, best of the rounds."""
    repeats = max(1, 2000 // records)
    work()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        taken.append(time.perf_counter() - start)
    return round(min(taken) / repeats / records * 1e6, 3)


def measured(data: list[bytes]) -> dict[str, object]:
    """All figures for one kind of payload."""
    decoder = TransactionDecoder(TokenKeys(1, bytes(16)), DEFAULT_RATES)
    plain = msgspec.json.Decoder()
    batch = decoder.decode(data[:1024]).batch
    return {
        "bytes": len(data[0]),
        "decode": {n: best(lambda n=n: decoder.decode(data[:n]), n) for n in BATCHES},  # type: ignore[misc]
        "encode": best(lambda: encode(batch), 1024),
        "msgspec_to_dict": best(lambda: list(map(plain.decode, data[:1024])), 1024),
        "python_json": best(lambda: list(map(json.loads, data[:1024])), 1024),
    }


def main() -> None:
    """Measure, print, write the report."""
    thirteen = (
        "transaction_id", "event_time", "amount_minor", "currency", "card_id", "merchant_id",
        "device_id", "ip", "country", "merchant_country", "category", "channel", "transaction_type",
    )  # fmt: skip
    eighteen = (*thirteen, "latitude", "longitude", "utc_offset_minutes", "email_hash", "card_bin")
    kinds = {
        "13 fields": payloads(thirteen),
        "18 fields": payloads(eighteen),
        "all fields": payloads(tuple(COLUMNS)),
        "13 fields, others null": payloads(thirteen, spelled_out=True),
    }
    rows = {kind: measured(data) for kind, data in kinds.items()}
    for kind, figures in rows.items():
        print(kind, json.dumps(figures))
    print(write("json_codec", {"unit": "µs per record", "rows": rows}).name)


if __name__ == "__main__":
    main()
