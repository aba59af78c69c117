"""Settings: one frozen typed tree from the environment and one TOML file.

A variable is `ALCYON_` and the path to the setting with `__` between: `ALCYON_WORKER__BATCH_MAX`.
The file is `alcyon.toml` in the home folder, or what `ALCYON_CONFIG` names. In a folder that
`ALCYON_SECRETS` names, such as Docker and Kubernetes mount, a file with a variable's name holds its
value. The environment wins, then the secrets, then the file. Unknown keys are errors in all three.
Read where a command starts, never at import.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from alcyon.domain.errors import SettingsError
from alcyon.sections import (
    DEV_TOKEN_KEY,
    CodecSettings,
    DeliverySettings,
    ExplainSettings,
    KafkaSettings,
    KernelSettings,
    LearnSettings,
    LogSettings,
    ModelSettings,
    OfficeSettings,
    PostgresSettings,
    ProseSettings,
    RedisSettings,
    RegistrySettings,
    ServeSettings,
    StatusSettings,
    TokenSettings,
    WorkerSettings,
)

PREFIX = "ALCYON_"
_FILE = "alcyon.toml"
_CONFIG = "ALCYON_CONFIG"
_SECRETS = "ALCYON_SECRETS"
_OTHER_VARIABLES = (_CONFIG, _SECRETS, "ALCYON_TEST_DATA")


class Settings(BaseSettings):
    """Everything that can be set. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        # Values are not echoed: one of them may be a secret.
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = "development"
    home: Path = Field(default_factory=lambda: user_data_path("alcyon"))
    """The data folder; `ALCYON_HOME` overrides the platform's convention."""
    token: TokenSettings = TokenSettings()
    codec: CodecSettings = CodecSettings()
    kernel: KernelSettings = KernelSettings()
    worker: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    models: ModelSettings = ModelSettings()
    postgres: PostgresSettings = PostgresSettings()
    redis: RedisSettings = RedisSettings()
    status: StatusSettings = StatusSettings()
    serve: ServeSettings = ServeSettings()
    learn: LearnSettings = LearnSettings()
    office: OfficeSettings = OfficeSettings()
    delivery: DeliverySettings = DeliverySettings()
    explain: ExplainSettings = ExplainSettings()
    prose: ProseSettings = ProseSettings()

    @model_validator(mode="after")
    def _is_fit_for_production(self) -> Self:
        is_known = self.token.key.get_secret_value() == DEV_TOKEN_KEY
        if self.environment == "production" and is_known:
            raise ValueError("token.key is the development key: set ALCYON_TOKEN__KEY")
        return self

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        if self.codec.dead_letter_bytes_max > self.codec.payload_bytes_max:
            raise ValueError("codec.dead_letter_bytes_max is above codec.payload_bytes_max")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then the environment, then secrets, then the file."""
        sources = [init_settings, env_settings]
        if (folder := _secrets_folder()) is not None:
            sources.append(NestedSecretsSettingsSource(file_secret_settings, folder))
        if (file := _config_file()) is not None:
            sources.append(TomlConfigSettingsSource(settings_cls, file))
        return tuple(sources)


def load_settings(**given: object) -> Settings:
    """Read the settings; `given` (sections by name, such as `home=…`) wins over all.

    Raises SettingsError, in one line, for a key that is unknown, missing or out of range.
    """
    _refuse_unknown("variable", os.environ)
    try:
        if (folder := _secrets_folder()) is not None:
            _refuse_unknown("secret", (path.name for path in folder.iterdir()))
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(dict(e)) for e in error.errors())) from error
    except (OSError, ValueError) as error:  # a file, or JSON in a variable
        raise SettingsError(f"settings cannot be read: {' '.join(str(error).split())}") from error


def _config_file() -> Path | None:
    named = os.environ.get(_CONFIG)
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{_CONFIG} names {named}, which is no file: correct or unset it")
        return Path(named)
    home = os.environ.get(f"{PREFIX}HOME")
    file = (Path(home) if home else user_data_path("alcyon")) / _FILE
    return file if file.is_file() else None


def _secrets_folder() -> Path | None:
    named = os.environ.get(_SECRETS)
    if not named:
        return None
    if not Path(named).is_dir():
        raise SettingsError(f"{_SECRETS} names {named}, which is no folder: correct or unset it")
    return Path(named)


def _refuse_unknown(kind: str, names: Iterable[str]) -> None:
    """pydantic-settings looks up the names it knows; a misspelt one would be silent."""
    known = _variables(Settings, PREFIX)
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in {*known, *_OTHER_VARIABLES}:
            near = get_close_matches(name.upper(), known, 1, cutoff=0.0)[0]
            raise SettingsError(f"unknown {kind} {name}: remove it, or did you mean {near}?")


def _variables(model: type[BaseModel], prefix: str) -> list[str]:
    """Every variable that sets something in `model`, a whole section (as JSON) included."""
    names: list[str] = []
    for field, info in model.model_fields.items():
        name = f"{prefix}{field.upper()}"
        names.append(name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names += _variables(info.annotation, f"{name}__")
    return names


def _problem(error: Mapping[str, object]) -> str:
    """`section.key: what is wrong`; a variable's name where it is set by one."""
    place = error["loc"]
    path = ".".join(map(str, place)) if isinstance(place, tuple) else str(place)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is not a setting: remove or correct it"
    return f"{path}: {message}" if path else message
