"""A schema registry that speaks Confluent's API (Confluent, Apicurio, Karapace, Redpanda).

A schema that was fetched is kept as a file: an id means the same for ever, and recovery and
replay need it when the registry is down or gone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from alcyon.domain.errors import InputError, SettingsError, UnreachableError
from alcyon.domain.schemas import Schemas, UnknownSchemaError

CONNECT_TIMEOUT_S, TIMEOUT_S = 2.0, 5.0
CONNECT_RETRIES = 2
"""How often a connection is tried again; whoever calls waits and tries all of it again."""
_UNKNOWN = (40401, 40402, 40403)
"""The API's codes for no such subject, version and schema; a mere 404 may be a wrong address."""
_T = TypeVar("_T")
_TYPE = "application/vnd.schemaregistry.v1+json"


class _Schema(msgspec.Struct):
    schema: str


class _Kept(msgspec.Struct):
    id: int
    schema: str


class _Registered(msgspec.Struct):
    id: int


class _Refusal(msgspec.Struct):
    error_code: int = 0
    message: str = ""


class SchemaRegistry(Schemas):
    """A registry at `url`; a user and password in the URL are taken too.

    cache: the folder that keeps fetched schemas, for each URL apart. SettingsError: the URL is
    none, or the extra is missing.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        cache: Path | None = None,
    ) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise SettingsError(
                "registry.url is set, and that needs an extra: install alcyon[avro]"
            ) from error
        self._failure = (httpx2.HTTPError, httpx2.InvalidURL)
        try:
            given = httpx2.URL(url)
        except (httpx2.InvalidURL, TypeError) as error:
            raise SettingsError("registry.url is no URL: give http://host:port") from error
        if given.scheme not in ("http", "https") or not given.host:
            raise SettingsError("registry.url is no URL: give http://host:port")
        self.url = _shown(given)
        """The address without user and password."""
        user = (username or given.username, password or given.password)
        self._client = httpx2.Client(
            auth=user if any(user) else None,
            headers={"Accept": f"{_TYPE}, application/json"},
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=httpx2.HTTPTransport(retries=CONNECT_RETRIES),
        )
        self._known: dict[int, str] = {}
        self._cache = None
        if cache is not None:
            self._cache = cache / hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def writer(self, schema_id: int) -> str:
        if schema_id not in self._known:
            self._known[schema_id] = self._kept(schema_id) or self._fetched(schema_id)
        return self._known[schema_id]

    def register(self, subject: str, schema: str) -> int:
        """Register a schema as the subject's newest, unless it is there; its id either way.

        InputError: the registry refuses it, as it does what old readers cannot read.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        response = self._answered("POST", path, {"schema": schema})
        if response.status_code in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            message = _refusal(response.content).message[:300]
            raise InputError(f"{self.url} refuses the schema of {subject}: {message}")
        return self._read(response, _Registered).id

    def close(self) -> None:
        """Close the connections; called once, last."""
        self._client.close()

    def _fetched(self, schema_id: int) -> str:
        response = self._answered("GET", f"/schemas/ids/{schema_id}", None)
        if (
            response.status_code == HTTPStatus.NOT_FOUND
            and _refusal(response.content).error_code in _UNKNOWN
        ):
            raise UnknownSchemaError(f"schema {schema_id} is not in the registry at {self.url}")
        schema = self._read(response, _Schema).schema
        self._keep(schema_id, schema)
        return schema

    def _answered(self, method: str, path: str, body: object) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": _TYPE}
        try:
            return self._client.request(
                method, f"{self.url}{path}", content=content, headers=headers
            )
        except self._failure as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _read(self, response: Any, kind: type[_T]) -> _T:
        status = response.status_code
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise UnreachableError(
                f"the schema registry at {self.url} refuses us ({status}): "
                "check registry.username and registry.password"
            )
        if status != HTTPStatus.OK:
            raise self._unreachable(f"it answered {status}")
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (ValueError, RecursionError) as error:
            raise self._unreachable("it does not answer as a schema registry does") from error

    def _unreachable(self, why: str) -> UnreachableError:
        return UnreachableError(
            f"the schema registry at {self.url} cannot be used: {why}; check registry.url"
        )

    def _kept(self, schema_id: int) -> str | None:
        """The schema in the cache; a file that is not what we wrote counts for nothing."""
        if self._cache is None:
            return None
        try:
            kept = msgspec.json.decode((self._cache / f"{schema_id}.json").read_bytes(), type=_Kept)
        except (OSError, ValueError, RecursionError):
            return None
        return kept.schema if kept.id == schema_id else None

    def _keep(self, schema_id: int, schema: str) -> None:
        """Before anything is decided by it: what was decided must be recoverable without us."""
        if self._cache is None:
            return
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            _write(self._cache, f"{schema_id}.json", msgspec.json.encode(_Kept(schema_id, schema)))
        except OSError as error:
            raise UnreachableError(
                f"schema {schema_id} cannot be kept in {self._cache}: {error}"
            ) from error


def _write(folder: Path, name: str, content: bytes) -> None:
    """All of it or nothing, and on the disk."""
    descriptor, written = tempfile.mkstemp(".new", name, folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(written).replace(folder / name)
    except OSError:
        Path(written).unlink(missing_ok=True)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refusal(content: bytes) -> _Refusal:
    """What the API says with a status that is no success; empty where it is not the API."""
    try:
        return msgspec.json.decode(content, type=_Refusal)
    except (ValueError, RecursionError):
        return _Refusal()


def _shown(url: Any) -> str:
    shown = url.copy_with(username=None, password=None, query=None, fragment=None)
    return str(shown).rstrip("/")
