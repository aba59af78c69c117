"""The files that a shell reads: `set -a; . .services/env`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from services.facts import Facts, Kafka, Postgres, Redis, Registry
from services.server import write_secret


def write_environment(folder: Path, running: Sequence[Facts]) -> None:
    """Write `env` and `secure.env` for the servers that run; remove them where none does."""
    home = folder / "home"
    env: dict[str, str] = {"ALCYON_HOME": str(home)} if running else {}
    secure: dict[str, str] = {}
    for facts in running:
        env |= variables(facts)
        if isinstance(facts, Kafka):
            secure |= secure_variables(facts)
    if running:
        home.mkdir(exist_ok=True)
    for file, content in ((folder / "env", env), (folder / "secure.env", secure)):
        if content:
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in content.items()]
            write_secret(file, "".join(lines))
        else:
            file.unlink(missing_ok=True)


def variables(facts: Facts) -> dict[str, str]:
    """How Alcyon is told of a server, and the name that other clients know."""
    match facts:
        case Kafka():
            return _both("ALCYON_KAFKA__BOOTSTRAP", "KAFKA_BOOTSTRAP", facts.bootstrap)
        case Postgres():
            return _both("ALCYON_POSTGRES__DSN", "POSTGRES_DSN", facts.dsn)
        case Redis():
            return _both("ALCYON_REDIS__URL", "REDIS_URL", facts.url)
        case Registry():
            return _both("ALCYON_REGISTRY__URL", "SCHEMA_REGISTRY_URL", facts.url)


def secure_variables(facts: Kafka) -> dict[str, str]:
    """How a client reaches the listeners that ask who it is."""
    return {
        "KAFKA_SASL_SSL_BOOTSTRAP": facts.sasl_ssl_bootstrap,
        "KAFKA_MTLS_BOOTSTRAP": facts.mtls_bootstrap,
        "KAFKA_CA": facts.ca,
        "KAFKA_USERNAME": facts.username,
        "KAFKA_PASSWORD": facts.password,
        "KAFKA_CERTIFICATE": facts.certificate,
        "KAFKA_CERTIFICATE_KEY": facts.certificate_key,
    }


def _both(ours: str, others: str, value: str) -> dict[str, str]:
    return {ours: value, others: value}
