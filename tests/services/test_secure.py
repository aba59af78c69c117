"""The broker's listeners that ask who a client is."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from services import Kafka


def brokers(settings: dict[str, str]) -> list[str]:
    """The addresses that the broker gives to such a client."""
    client = AdminClient({**settings, "log_level": 0})
    return [f"{b.host}:{b.port}" for b in client.list_topics(timeout=10).brokers.values()]


def refusal(settings: dict[str, str]) -> str:
    """What such a client is told, which does not get in.

    Words, not codes: librdkafka calls a certificate that fails now an SSL, now a transport error.
    """
    reasons: list[str] = []
    heard = {"error_cb": lambda error: reasons.append(error.str())}
    client = AdminClient({**settings, **heard, "log_level": 0})  # type: ignore[dict-item]
    deadline = time.monotonic() + 10
    while not reasons and time.monotonic() < deadline:
        client.poll(0.1)
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.2)
    return reasons[0]


def scram(kafka: Kafka) -> dict[str, str]:
    return {
        "bootstrap.servers": kafka.sasl_ssl_bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": kafka.username,
        "sasl.password": kafka.password,
        "ssl.ca.location": kafka.ca,
    }


def mtls(kafka: Kafka) -> dict[str, str]:
    return {
        "bootstrap.servers": kafka.mtls_bootstrap,
        "security.protocol": "SSL",
        "ssl.ca.location": kafka.ca,
        "ssl.certificate.location": kafka.certificate,
        "ssl.key.location": kafka.certificate_key,
    }


def test_scram_lets_its_user_in(kafka: Kafka) -> None:
    assert brokers(scram(kafka)) == [kafka.sasl_ssl_bootstrap]


def test_scram_refuses_a_wrong_password(kafka: Kafka) -> None:
    assert "invalid credentials" in refusal(scram(replace(kafka, password="wrong")))


def test_a_client_with_a_certificate_gets_in(kafka: Kafka) -> None:
    assert brokers(mtls(kafka)) == [kafka.mtls_bootstrap]


def test_a_client_without_a_certificate_does_not(kafka: Kafka) -> None:
    settings = mtls(kafka)
    del settings["ssl.certificate.location"], settings["ssl.key.location"]
    # The first is what Java 17 says, the second what newer ones may.
    assert re.search("bad certificate|certificate required", refusal(settings))


def test_a_client_that_does_not_know_the_authority_stays_out(kafka: Kafka) -> None:
    settings = {**scram(kafka), "ssl.ca.location": kafka.certificate}
    assert re.search("certificate (verify failed|could not be verified)", refusal(settings))
