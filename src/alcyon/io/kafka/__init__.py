"""Kafka: records in by the broker's order, commits out by its transactions.

`connection` reaches the broker, `topics` checks and makes what is needed there, `partition` reads
one partition, `entries` keeps what each commit covers, `source` hands over records, `commits` is
the decisions log, `intake` adds records, `resolutions` says what became of reviews.
"""

from alcyon.io.kafka.commits import KafkaCommits, KafkaDecisions
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.intake import KafkaIntake
from alcyon.io.kafka.resolutions import KafkaResolutions
from alcyon.io.kafka.source import KafkaRecorded, KafkaSource
from alcyon.io.kafka.topics import TopicNames, ensure_topics, kept_ms

__all__ = [
    "Connection",
    "KafkaCommits",
    "KafkaDecisions",
    "KafkaIntake",
    "KafkaRecorded",
    "KafkaResolutions",
    "KafkaSource",
    "TopicNames",
    "ensure_topics",
    "kept_ms",
]
