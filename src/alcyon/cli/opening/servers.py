"""Servers: what the settings name, as the commands use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alcyon.domain.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from alcyon.detectors.loading import Detector
    from alcyon.domain.ports import ModelRegistry, Store
    from alcyon.domain.read_model import ReadModel
    from alcyon.domain.schemas import Schemas
    from alcyon.io.kafka import Connection, TopicNames
    from alcyon.io.searching.engines import Database
    from alcyon.runners.stream.deciding import Means
    from alcyon.settings import Settings


STORE_FILE = "alcyon.sqlite"


def connection(set_to: Settings) -> Connection:
    """To the broker. SettingsError: none is named, or the extra is missing."""
    kafka = set_to.kafka
    if kafka.bootstrap is None:
        raise SettingsError(
            "kafka.bootstrap is not set: set ALCYON_KAFKA__BOOTSTRAP=host:port (make services-up "
            "starts a broker), or try alcyon demo, which needs none"
        )
    try:
        from alcyon.io.kafka import Connection
    except ImportError as error:
        raise SettingsError(
            "kafka.bootstrap is set, and that needs an extra: install alcyon[kafka]"
        ) from error
    return Connection(
        kafka.bootstrap,
        kafka.security,
        kafka.sasl_mechanism,
        kafka.username,
        _secret(kafka.password),
        kafka.ca,
        kafka.certificate,
        kafka.certificate_key,
    )


def topic_names(set_to: Settings) -> TopicNames:
    """What the topics are called."""
    from alcyon.io.kafka import TopicNames

    return TopicNames(*(getattr(set_to.kafka, n) for n in TopicNames.__dataclass_fields__))


def schemas(set_to: Settings) -> Schemas | None:
    """The schema registry, None where none is named."""
    registry = set_to.registry
    if registry.url is None:
        return None
    from alcyon.io.schema_registry import SchemaRegistry

    cache = set_to.home / "schemas"
    return SchemaRegistry(registry.url, registry.username, _secret(registry.password), cache)


def registry(set_to: Settings) -> ModelRegistry:
    """The model registry: this home's folder, or MLflow. SettingsError: the extra is missing."""
    from alcyon.io.model_folder import FolderRegistry

    models = set_to.models
    if models.registry == "folder":
        return FolderRegistry(set_to.home / "models")
    from alcyon.io.mlflow import MlflowRegistry

    return MlflowRegistry(models.registry, models.name, set_to.home / "mlflow")


def means(set_to: Settings, detector: Detector) -> Means:
    """What decoding and control records need."""
    from alcyon.runners.learning.models import loader
    from alcyon.runners.stream.deciding import Means

    return Means(
        set_to.token.keys(),
        loader(registry(set_to), detector.catalog),
        detector.columns,
        set_to.codec.payload_bytes_max,
        set_to.codec.dead_letter_bytes_max,
        set_to.worker.future_max_ms,
        schemas(set_to),
    )


def postgres_dsn(set_to: Settings) -> str | None:
    """Of the Postgres that the settings name. SettingsError: the extra that it needs is missing."""
    if set_to.postgres.dsn is None:
        return None
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "postgres.dsn is set, and that needs an extra: install alcyon[postgres]"
        ) from error
    return set_to.postgres.dsn.get_secret_value()


def store(set_to: Settings) -> Store:
    """The projection's database: Postgres where it is named, else SQLite in the home."""
    if (dsn := postgres_dsn(set_to)) is not None:
        from alcyon.io.postgres import PostgresStore

        return PostgresStore(dsn)
    from alcyon.io.sqlite import SqliteStore

    set_to.home.mkdir(parents=True, exist_ok=True)
    return SqliteStore(set_to.home / STORE_FILE)


def database(set_to: Settings, *, is_writing: bool = False) -> Database:
    """The projection's store, to search."""
    from alcyon.io.searching import postgres, sqlite

    if set_to.postgres.dsn is not None:
        return postgres(set_to.postgres.dsn.get_secret_value(), is_writing=is_writing)
    return sqlite(set_to.home / STORE_FILE, is_writing=is_writing)


def read_model(set_to: Settings) -> ReadModel | None:
    """The read model, None where redis.url is not set."""
    if set_to.redis.url is None:
        return None
    try:
        from alcyon.io.redis import RedisReadModel
    except ImportError as error:
        raise SettingsError(
            "redis.url is set, and that needs an extra: install alcyon[redis]"
        ) from error
    return RedisReadModel(set_to.redis.url.get_secret_value())


def _secret(given: SecretStr | None) -> str | None:
    return None if given is None else given.get_secret_value()
