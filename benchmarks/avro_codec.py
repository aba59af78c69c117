"""What Avro in a schema registry's wire format costs beside JSON: bytes to admitted columns, back.

    python benchmarks/avro_codec.py

Best of several rounds, in microseconds of one core per record; `reports/avro_codec.json`.
fastavro is measured up to Python dicts only: columns and admission would come on top.
"""

from __future__ import annotations

import io
import json

import fastavro

from alcyon.codecs.avro import MixedTransactionDecoder, encode_avro, transaction_schema
from alcyon.codecs.json import TransactionDecoder, encode
from alcyon.domain.columns import Batch
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.domain.transaction import COLUMNS
from json_codec import BATCHES, best, payloads
from report import write

SCHEMA_ID = 7
KEYS = TokenKeys(1, bytes(16))
THIRTEEN = (
    "transaction_id", "event_time", "amount_minor", "currency", "card_id", "merchant_id",
    "device_id", "ip", "country", "merchant_country", "category", "channel", "transaction_type",
)  # fmt: skip


class OneSchema:
    """A registry with our own schema."""

    def writer(self, schema_id: int) -> str:
        """The schema, whatever the id."""
        del schema_id
        return transaction_schema()


def fastavro_to_dicts(avro: list[bytes]) -> None:
    """As a consumer with fastavro would do it."""
    for payload in avro:
        fastavro.schemaless_reader(io.BytesIO(payload[5:]), PARSED, None)


PARSED = fastavro.parse_schema(
    json.loads(transaction_schema().replace(', "logicalType": "timestamp-millis"', ""))
)


def measured(texts: list[bytes]) -> dict[str, object]:
    """All figures for one kind of transaction."""
    plain = TransactionDecoder(KEYS, DEFAULT_RATES)
    mixed = MixedTransactionDecoder(KEYS, DEFAULT_RATES, schemas=OneSchema())
    batch = plain.decode(texts).batch
    given = set(json.loads(texts[0]))
    batch = Batch({name: c for name, c in batch.columns.items() if name in given})
    avro = encode_avro(batch, SCHEMA_ID)
    both = [a if i % 2 else t for i, (a, t) in enumerate(zip(avro, texts, strict=True))]
    if encode(mixed.decode(both).batch) != encode(plain.decode(texts).batch):
        raise AssertionError("Avro and JSON decode to different columns")
    first = batch.slice(0, 1024)
    return {
        "bytes": {"json": len(texts[0]), "avro": len(avro[0])},
        "json": {n: best(lambda n=n: plain.decode(texts[:n]), n) for n in BATCHES},  # type: ignore[misc]
        "json_by_mixed": {n: best(lambda n=n: mixed.decode(texts[:n]), n) for n in BATCHES},  # type: ignore[misc]
        "avro": {n: best(lambda n=n: mixed.decode(avro[:n]), n) for n in BATCHES},  # type: ignore[misc]
        "half_avro": {n: best(lambda n=n: mixed.decode(both[:n]), n) for n in BATCHES},  # type: ignore[misc]
        "fastavro_to_dicts": best(lambda: fastavro_to_dicts(avro[:1024]), 1024),
        "json_encode": best(lambda: encode(first), 1024),
        "avro_encode": best(lambda: encode_avro(first, SCHEMA_ID), 1024),
    }


def main() -> None:
    """Measure, print, write the report."""
    rows = {
        "13 fields": measured(payloads(THIRTEEN)),
        "all fields": measured(payloads(tuple(COLUMNS))),
    }
    for kind, figures in rows.items():
        print(kind)
        for name, figure in figures.items():
            print(f"  {name:18} {json.dumps(figure)}")
    print(write("avro_codec", {"unit": "µs per record", "rows": rows}).name)


if __name__ == "__main__":
    main()
