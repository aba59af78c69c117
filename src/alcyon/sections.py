"""The sections of the settings: what each part of Alcyon may be told, with its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from alcyon.domain.token_keys import KEY_BYTES_MIN, TokenKeys
from alcyon.io.places import place_of

DEV_TOKEN_KEY = "alcyon-development-token-key"
"""Known to everybody, so it protects nothing: refused in production."""

_MLFLOW = ("http://", "https://", "sqlite:///", "postgresql://")
_Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenSettings(_Section):
    """The key that card numbers are replaced with."""

    version: _Count = 1
    """Named in every token; raise it with a new key."""
    key: SecretStr = SecretStr(DEV_TOKEN_KEY)
    """At least 16 bytes of UTF-8."""

    @field_validator("key")
    @classmethod
    def _is_long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value().encode()) < KEY_BYTES_MIN:
            raise ValueError(f"has fewer than {KEY_BYTES_MIN} bytes: make a longer one")
        return key

    def keys(self) -> TokenKeys:
        """The key as the codecs take it."""
        return TokenKeys(self.version, self.key.get_secret_value().encode())


class CodecSettings(_Section):
    """Bounds on what is read."""

    payload_bytes_max: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    """A larger payload becomes a dead letter, unparsed."""
    dead_letter_bytes_max: Annotated[int, Field(ge=64, le=1_048_576)] = 4096
    """How much of a refused payload is kept."""


class KernelSettings(_Section):
    """Bounds of the state that windows are computed from."""

    state_bytes_max: Annotated[int, Field(ge=2**20, le=2**46)] = 64 * 2**30
    """Address space reserved for state; memory is taken as it is used. What needs more stops with
    an error."""
    dedupe_horizon_ms: Annotated[int, Field(ge=0)] | None = None
    """How long an id counts as seen; the catalog's lateness_max where it is longer or not set."""
    pending_labels_max: _Count = 100_000
    """Labels that may wait for their transactions; further ones change no window."""


class WorkerSettings(_Section):
    """The loop that decides."""

    batch_max: Annotated[int, Field(ge=1, le=4096)] = 4096
    """The most transactions decided at once; a batch never waits to be full."""
    snapshot_every: _Count = 100_000
    """Records between two snapshots. A restart replays up to so many, and those that came while
    the newest was written, at about 15 µs each: this bounds how long it takes at any rate. At least
    as many pass between two as pass while one is written. Each snapshot of 2 GB costs the thread
    that decides about a second, and the disk its size: with more state, or a disk that wears, set
    it higher."""
    snapshots_kept: Annotated[int, Field(ge=2, le=100)] = 2
    """Older snapshots are removed; two at least, for the newest may be torn."""
    future_max_ms: Annotated[int, Field(ge=0)] = 300_000
    """An event time further ahead of the log's own clock gets the fallback decision."""


class LogSettings(_Section):
    """The embedded log."""

    segment_bytes_max: Annotated[int, Field(ge=65_536, le=2**31 - 1)] = 64 * 1024 * 1024
    """A segment that would grow beyond is followed by another."""
    fsync: Literal["always", "batch", "never"] = "always"
    """When bytes are forced to the disk: with each append, once per batch, or never by us.
    A killed process loses nothing either way; the loss of power may."""


class KafkaSettings(_Section):
    """The broker, and how it is reached. Without `bootstrap` there is none."""

    bootstrap: str | None = None
    """`host:port`, several with commas between."""
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate; the system's without."""
    certificate: Path | None = None
    """PEM file of our own certificate, where the broker asks for one (mTLS)."""
    certificate_key: Path | None = None
    """PEM file of its private key."""
    transactional_id: str = "alcyon-worker"
    """One active worker per id: whoever starts later fences the one before."""
    buffer_kib_max: Annotated[int, Field(ge=1024, le=2_097_151)] = 65_536
    """Records fetched ahead of the worker, per topic."""
    retention_hours: _Count = 168
    """Of the topics that are made in development; it bounds how far back replay can go."""
    transactions: str = "transactions"
    labels: str = "labels"
    control: str = "control"
    decisions: str = "decisions"
    alerts: str = "alerts"
    dead_letters: str = "dead-letters"
    commits: str = "commits"
    """What each commit covers, in one compact record; the order for recovery and replay."""
    resolutions: str = "resolutions"
    """What became of reviews: released or cancelled, and by whom."""


class RegistrySettings(_Section):
    """The schema registry. Without `url` Avro records cannot be read."""

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None


class ModelSettings(_Section):
    """Where models are registered."""

    registry: str = "folder"
    """`folder`: in the home. Else MLflow's URI: http://host:port, sqlite:///file, postgresql://…"""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$")] = "alcyon"
    """Of the registered model and the experiment in MLflow."""

    @field_validator("registry")
    @classmethod
    def _is_known(cls, registry: str) -> str:
        if registry != "folder" and not registry.startswith(_MLFLOW):
            raise ValueError(f"is neither folder nor {', '.join(_MLFLOW)}…: correct it")
        return registry


class PostgresSettings(_Section):
    """The projection's database. Without `dsn` the projection is a SQLite file in the home."""

    dsn: SecretStr | None = None
    """`postgresql://user:password@host:port/database`."""


class RedisSettings(_Section):
    """The read model. Without `url` there is none."""

    url: SecretStr | None = None
    """`redis://:password@host:port/0`."""


class StatusSettings(_Section):
    """The port with /metrics, /healthz and /readyz."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_532)] = 9464
    """0 takes a free one. Projections that run beside a worker take the next port."""
    lag_s_max: Annotated[float, Field(gt=0)] = 5.0
    """Not ready while the oldest record that waits is older."""


def _is_place(text: str) -> str:
    place_of(text)
    return text


Place = Annotated[str, AfterValidator(_is_place)]


class ServeSettings(_Section):
    """The API and the console: `alcyon serve`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """0 takes a free one."""
    worker_at: Place | None = None
    """`host:port` of the worker's status, where alcyon run is on another machine; an IPv6 address
    in brackets."""
    projections_at: Place | None = None
    """`host:port` of its projections' status, likewise."""
    decision_timeout_ms: Annotated[int, Field(ge=5, le=60_000)] = 100
    """Past it the answer is provisional; the decision follows all the same."""
    origins: tuple[str, ...] = ()
    """Origins that a browser may come from beside our own, as in `https://console.example`."""
    body_bytes_max: Annotated[int, Field(ge=1024, le=2**26)] = 2**20
    """A larger body is refused."""
    requests_per_s: Annotated[float, Field(gt=0)] = 10_000.0
    """Of one key or person, two seconds of it at once."""
    strangers_per_s: Annotated[float, Field(gt=0)] = 100.0
    """Of one address without key or session."""


class LearnSettings(_Section):
    """What `alcyon learn` does and when; times are of events, not of a clock."""

    maturity_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """How long after a payment its fraud is usually known; younger ones judge nothing."""
    judge_every_hours: Annotated[float, Field(gt=0)] = 6.0
    online_every_days: Annotated[float, Field(gt=0)] = 1.0
    """The online member learns what is new, where no challenger stands."""
    retrain_every_days: Annotated[float, Field(gt=0)] = 7.0
    watch_days: Annotated[float, Field(gt=0)] = 2.0
    """How long the replaced model is scored beside a new champion."""
    stand_days: Annotated[float, Field(gt=0)] = 21.0
    """A challenger that was not promoted by then gives way."""
    approval: Path | None = None
    """JSON file of a standing approval, read at each judging; without one nothing is promoted."""
    url: str = "http://127.0.0.1:8080"
    """Where alcyon serve listens, whose logs only that process writes."""
    key: SecretStr | None = None
    """Of the role learner; over the logs of alcyon serve nothing is published without one."""
    author_labels_per_day_max: Annotated[int, Field(ge=0)] = 50
    """Labels of one analyst that count, per day and kind."""
    author_share_max: Annotated[float, Field(ge=0, le=1)] = 0.02
    """In training, of the weight that all others' frauds have: those that one analyst alone tells
    of weigh that much at most, or as much as a colleague's."""
    decisions_max: _Count = 1_000_000
    """Kept in memory, each of 120 bytes, its id, and 4 bytes per feature."""


class OfficeSettings(_Section):
    """Cases: what becomes of reviews that nobody takes."""

    review_deadline_minutes: _Count | None = None
    """From a case's first review on; then `deadline_action` is taken."""
    deadline_action: Literal["release", "cancel"] | None = None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.review_deadline_minutes is None) != (self.deadline_action is None):
            raise ValueError("review_deadline_minutes and deadline_action are set together")
        return self


class DeliverySettings(_Section):
    """Who outside is told of alerts and resolutions; nobody, unless a URL is set."""

    hosts: tuple[str, ...] = ("hooks.slack.com",)
    """The hosts that webhooks may be at, by name."""
    may_be_private: bool = False
    """Let webhooks be on our own networks and this machine, and in plain http."""
    slack_url: SecretStr | None = None
    """An incoming webhook of Slack, Mattermost …"""
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    """`whsec_` and the base64 of 24 to 64 random bytes; signs what is sent to `webhook_url`."""
    smtp_url: SecretStr | None = None
    """`smtps://user:password@host:465`, or `smtp://host:587`."""
    mail_from: str | None = None
    mail_to: tuple[str, ...] = ()
    window_s: Annotated[float, Field(ge=0)] = 60.0
    """At most one message per channel in so long; what comes meanwhile goes with the next."""
    attempts_max: _Count = 12
    """Ever later, up to an hour apart; then a message is given up, which the audit log tells."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("webhook_url needs webhook_secret")
        if self.smtp_url is not None and not (self.mail_from and self.mail_to):
            raise ValueError("smtp_url needs mail_from and mail_to")
        return self


class ProseSettings(_Section):
    """The language model that puts explanations into prose. Without `url` a template does."""

    url: str | None = None
    """Of an endpoint that speaks OpenAI's chat completions, such as https://models.example/v1."""
    model: str = "mistral-7b-instruct"
    """The model's name there."""
    api_key: SecretStr | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Then the template is served."""
    budget_per_hour: Annotated[int, Field(ge=0)] = 60
    """Questions to the model."""
    hosts: tuple[str, ...] = ()
    """The hosts it may be at, by name."""
    may_be_private: bool = False
    """Let it be on our own networks and this machine, and in plain http."""


class ExplainSettings(_Section):
    """Counterfactuals: payments decided again on the state of their time."""

    state_bytes_max: Annotated[int, Field(ge=2**20, le=2**46)] = 8 * 2**30
    """A larger state is not restored beside the worker's: then there is no counterfactual."""
