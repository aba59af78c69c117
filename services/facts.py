"""What a client needs to know of each server. Each has a file form: its `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import dataclass


class ServiceError(Exception):
    """A server cannot be installed, started or stopped; the message says which, why and where."""


@dataclass(frozen=True)
class Kafka:
    """One broker with three listeners: open, SASL_SSL (SCRAM-SHA-512) and SSL with mTLS."""

    bootstrap: str
    """Of the open listener, `host:port`."""
    sasl_ssl_bootstrap: str
    mtls_bootstrap: str
    controller_port: int
    username: str
    """Of the SCRAM user."""
    password: str
    ca: str
    """PEM file of the authority that signed the broker's and the client's certificates."""
    certificate: str
    """PEM file that a client of the mTLS listener shows."""
    certificate_key: str


@dataclass(frozen=True)
class Postgres:
    """One cluster with one database, whose owner is also its superuser."""

    host: str
    port: int
    username: str
    password: str
    database: str

    @property
    def dsn(self) -> str:
        """As `postgresql://user:password@host:port/database`."""
        return (
            f"postgresql://{self.username}:{self.password}@{self.host}:{self.port}/{self.database}"
        )


@dataclass(frozen=True)
class Redis:
    """Redis, or Valkey where that is what the machine has."""

    host: str
    port: int
    password: str

    @property
    def url(self) -> str:
        """As `redis://:password@host:port/0`."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"


@dataclass(frozen=True)
class Registry:
    """Apicurio Registry."""

    host: str
    port: int
    management_port: int
    """Of /health and /metrics."""

    @property
    def url(self) -> str:
        """Base of the API that Confluent's registry offers too, without a slash at its end."""
        return f"http://{self.host}:{self.port}/apis/ccompat/v7"


Facts = Kafka | Postgres | Redis | Registry
