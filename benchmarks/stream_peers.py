"""The two consumers of the usual shape (peers.py), end to end: Kafka in, Redis and Postgres, Kafka
out. They read a backlog as fast as they can, one after the other, while nothing else arrives.

naive: `poll`, features by one round trip per command, scikit-learn's interface, one INSERT and one
commit per decision, one produce, offsets committed automatically.
tuned: `consume` in micro-batches of 64, one pipeline, fused ONNX, one COPY per micro-batch.

Neither is exact, exactly once, or explains itself; see peers.py for what they leave out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import psycopg
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from numpy.typing import NDArray

from peers import MICRO_BATCH, Naive, Tuned, features_of_all
from stream_traffic import Lines

INPUT, OUTPUT = "peers-in", "peers-out"
TRAIN_ROWS = 3_000
NAIVE_ROWS, TUNED_ROWS = 1_500, 30_000
PEERS_ROWS = TRAIN_ROWS + NAIVE_ROWS + TUNED_ROWS
_CREATE = "CREATE TABLE IF NOT EXISTS {} (transaction_id text, action text, decision text)"


def capacities(bootstrap: str, dsn: str, redis_url: str, lines: Lines) -> dict[str, float]:
    """Transactions per second of each, on a backlog."""
    client = redis.Redis.from_url(redis_url)
    topics = [NewTopic(name, num_partitions=1, replication_factor=1) for name in (INPUT, OUTPUT)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(topics).values():
        future.result(10)
    features = _trained_on(client, lines.take(TRAIN_ROWS))
    frauds = features[:, 0] > np.quantile(
        features[:, 0], 0.98
    )  # any labels will do: speed is asked
    found = {}
    for name, rows in (("naive", NAIVE_ROWS), ("tuned", TUNED_ROWS)):
        start = _send(bootstrap, lines.take(rows))
        made: Any = (Naive if name == "naive" else Tuned)(client, features, frauds)
        with psycopg.connect(dsn) as connection:
            connection.execute(_CREATE.format(f"{name}_decisions"))
            connection.commit()
            run: Callable[..., None] = _run_naive if name == "naive" else _run_tuned
            began = time.perf_counter()
            run(bootstrap, start, rows, made, connection)
            found[name] = rows / (time.perf_counter() - began)
        print(f"{name}: {found[name]:,.0f} transactions/s", flush=True)
    return found


def _trained_on(client: Any, payloads: Sequence[bytes]) -> NDArray[np.float32]:
    from peers import Payment

    decode, found = msgspec.json.Decoder(Payment).decode, []
    payments = [msgspec.structs.asdict(decode(p)) for p in payloads]
    for at in range(0, len(payments), MICRO_BATCH):
        found += features_of_all(client, payments[at : at + MICRO_BATCH])
    return np.array(found, np.float32)


def _send(bootstrap: str, payloads: Sequence[bytes]) -> int:
    """Fill the backlog; the offset at which it begins."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for payload in payloads:
        producer.produce(INPUT, payload)
        producer.poll(0)
    producer.flush()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "peers"})
    _, end = consumer.get_watermark_offsets(TopicPartition(INPUT, 0), timeout=10)
    consumer.close()
    return end - len(payloads)


def _consumer(bootstrap: str, start: int) -> Consumer:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "peers", "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(INPUT, 0, start)])
    return consumer


def _run_naive(
    bootstrap: str, start: int, rows: int, peer: Naive, connection: psycopg.Connection
) -> None:
    consumer, producer = _consumer(bootstrap, start), Producer({"bootstrap.servers": bootstrap})
    done = 0
    while done < rows:
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        decision = peer.decide(message.value() or b"")
        known = json.loads(decision)
        connection.execute(
            "INSERT INTO naive_decisions VALUES (%s, %s, %s)",
            (known["transaction_id"], known["action"], decision.decode()),
        )
        connection.commit()
        producer.produce(OUTPUT, decision)
        producer.poll(0)
        done += 1
    producer.flush()
    consumer.close()


def _run_tuned(
    bootstrap: str, start: int, rows: int, peer: Tuned, connection: psycopg.Connection
) -> None:
    consumer = _consumer(bootstrap, start)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2})
    done = 0
    while done < rows:
        messages = consumer.consume(MICRO_BATCH, 0.05)
        payloads = [m.value() or b"" for m in messages if m.error() is None]
        if not payloads:
            continue
        decisions = peer.decide(payloads)
        with connection.cursor().copy("COPY tuned_decisions FROM STDIN") as copy:
            for decision in decisions:
                known = msgspec.json.decode(decision)
                copy.write_row((known["transaction_id"], known["action"], decision.decode()))
        connection.commit()
        producer.produce_batch(OUTPUT, [{"value": d} for d in decisions])
        producer.poll(0)
        done += len(payloads)
    producer.flush()
    consumer.close()
