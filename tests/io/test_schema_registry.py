from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alcyon.codecs.avro import (
    MixedTransactionDecoder,
    encode_avro,
    transaction_schema,
)
from alcyon.codecs.json import TransactionDecoder
from alcyon.domain.columns import ColumnType
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import InputError, SettingsError, UnreachableError
from alcyon.domain.schemas import UnknownSchemaError
from alcyon.domain.tokens import TokenKeys
from alcyon.io import schema_registry
from alcyon.io.schema_registry import SchemaRegistry
from services import Registry

KEYS = TokenKeys(1, b"0123456789abcdef")
PREFIX = "/apis/ccompat/v7"


class Server(ThreadingHTTPServer):
    """As much of a registry as we use, on a port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.schemas: list[str] = []
        self.requests: list[str] = []
        self.answer: tuple[int, bytes] | None = None
        """What every request is answered with, None where they are served."""
        self.delay_s = 0.0
        self.user: str | None = None
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{PREFIX}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is no error here."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        time.sleep(self.server.delay_s)
        given = self.headers.get("Authorization", "")
        if self.server.user is not None and given != _basic(self.server.user):
            status, content = 401, b'{"error_code":40101,"message":"who are you"}'
        elif self.server.answer is not None:
            status, content = self.server.answer
        else:
            status, content = self._answer(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        schemas, path = self.server.schemas, self.path.removeprefix(PREFIX)
        if path.startswith("/schemas/ids/"):
            schema_id = int(path.rpartition("/")[2])
            if 0 < schema_id <= len(schemas):
                return 200, json.dumps({"schema": schemas[schema_id - 1]}).encode()
            return 404, b'{"error_code":40403,"message":"Schema not found"}'
        if path == "/subjects/payments%2Fvalue/versions":
            schema = json.loads(body)["schema"]
            if "refuse" in schema:
                return 409, b'{"error_code":409,"message":"it is incompatible"}'
            if schema not in schemas:
                schemas.append(schema)
            return 200, json.dumps({"id": schemas.index(schema) + 1}).encode()
        return 404, b'{"error_code":404,"message":"HTTP 404 Not Found"}'

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


def _basic(user: str) -> str:
    return f"Basic {base64.b64encode(user.encode()).decode()}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


SUBJECT = "payments/value"


def test_a_schema_is_registered_once_and_found_by_its_id(server: Server) -> None:
    registry = SchemaRegistry(server.url + "/")
    schema_id = registry.register(SUBJECT, '"string"')
    assert registry.register(SUBJECT, '"int"') != schema_id
    assert registry.register(SUBJECT, '"string"') == schema_id
    assert registry.writer(schema_id) == '"string"'
    assert registry.writer(schema_id) == '"string"'
    assert server.requests.count(f"GET {PREFIX}/schemas/ids/{schema_id}") == 1
    registry.close()


def test_an_unknown_id_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    registry = SchemaRegistry(server.url, cache=tmp_path)
    for _ in range(2):
        with pytest.raises(UnknownSchemaError, match="schema 1 "):
            registry.writer(1)
    server.schemas.append('"string"')
    assert registry.writer(1) == '"string"'


def test_what_was_fetched_is_there_when_the_registry_is_gone(tmp_path: Path) -> None:
    server = Server()
    server.schemas.append('"é"')
    SchemaRegistry(server.url, cache=tmp_path / "a" / "b").writer(1)
    server.stop()
    again = SchemaRegistry(server.url, cache=tmp_path / "a" / "b")
    assert again.writer(1) == '"é"'
    with pytest.raises(UnreachableError):
        again.writer(2)
    with pytest.raises(UnreachableError):
        SchemaRegistry(server.url).writer(1)
    assert [path.suffix for path in (tmp_path / "a" / "b").rglob("*.*")] == [".json"]


def test_another_registrys_ids_are_another_matter(server: Server, tmp_path: Path) -> None:
    server.schemas.append('"string"')
    SchemaRegistry(server.url, cache=tmp_path).writer(1)
    other = Server()
    other.schemas.append('"int"')
    assert SchemaRegistry(other.url, cache=tmp_path).writer(1) == '"int"'
    other.stop()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"id":2,"schema":"x"}', b'{"id":1}', b"\xff"])
def test_a_damaged_cache_is_fetched_anew(server: Server, tmp_path: Path, damage: bytes) -> None:
    server.schemas.append('"string"')
    SchemaRegistry(server.url, cache=tmp_path).writer(1)
    (kept,) = tmp_path.rglob("1.json")
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert SchemaRegistry(server.url, cache=tmp_path).writer(1) == '"string"'
    assert kept.read_bytes() == whole


def test_a_schema_that_cannot_be_kept_is_not_used(server: Server, tmp_path: Path) -> None:
    server.schemas.append('"string"')
    (tmp_path / "file").write_text("")
    registry = SchemaRegistry(server.url, cache=tmp_path / "file")
    for _ in range(2):
        with pytest.raises(UnreachableError, match="cannot be kept"):
            registry.writer(1)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b'{"error_code":50001,"message":"the store is down"}'),
        (503, b""),
        (429, b"{}"),
        (301, b""),
        (404, b"<html>not here</html>"),
        (404, b'{"error_code":404,"message":"HTTP 404 Not Found"}'),
        (404, b'"40403"'),
        (200, b"<html>please log in</html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"schema":7}'),
        (200, b'{"schema":"\xff"}'),
        (200, b"[" * 100_000),
        (204, b""),
    ],
)
def test_no_answer_but_a_clear_one_makes_an_id_unknown(
    server: Server, tmp_path: Path, status: int, content: bytes
) -> None:
    server.schemas.append('"string"')
    registry = SchemaRegistry(server.url, cache=tmp_path)
    server.answer = status, content
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1.*registry\.url"):
        registry.writer(1)
    server.answer = None
    assert registry.writer(1) == '"string"'


def test_a_slow_registry_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_registry, "TIMEOUT_S", 0.1)
    registry = SchemaRegistry(server.url)
    server.delay_s = 1.0
    with pytest.raises(UnreachableError, match="timed out"):
        registry.writer(1)


def test_user_and_password_are_given_and_not_told(server: Server) -> None:
    server.schemas.append('"string"')
    server.user = "ana:se:cr@t"
    named = SchemaRegistry(server.url, "ana", "se:cr@t")
    inside = SchemaRegistry(server.url.replace("//", "//ana:se%3Acr%40t@"))
    for registry in (named, inside):
        assert registry.writer(1) == '"string"'
        assert registry.url == server.url
    stranger = SchemaRegistry(server.url.replace("//", "//ana:wr0ng@"))
    with pytest.raises(UnreachableError, match=r"registry\.password") as refused:
        stranger.writer(1)
    assert "wr0ng" not in str(refused.value)
    server.stop()
    with pytest.raises(UnreachableError) as gone:
        stranger.writer(1)
    assert "wr0ng" not in str(gone.value)


def test_a_refused_schema_says_why(server: Server) -> None:
    with pytest.raises(InputError, match="incompatible"):
        SchemaRegistry(server.url).register(SUBJECT, '"refuse"')
    with pytest.raises(UnreachableError):
        SchemaRegistry(server.url).register("other", '"string"')


@pytest.mark.parametrize("url", ["", "registry", "http://", "ftp://a", "http://[::1", "kafka:9092"])
def test_what_is_no_url_is_told_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match=r"registry\.url"):
        SchemaRegistry(url)


def test_a_missing_extra_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(SettingsError, match=r"alcyon\[avro\]"):
        SchemaRegistry("http://localhost:8081")


def test_records_are_written_and_read_by_a_registrys_schema(server: Server, tmp_path: Path) -> None:
    registry = SchemaRegistry(server.url, cache=tmp_path)
    schema_id = registry.register(SUBJECT, transaction_schema())
    text = json.dumps(
        {"transaction_id": "t", "event_time": 1_700_000_000_000, "amount_minor": 5,
         "currency": "EUR", "card_id": "c"}
    ).encode()  # fmt: skip
    batch = TransactionDecoder(KEYS, DEFAULT_RATES).decode([text]).batch
    payloads = [*encode_avro(batch, schema_id), text, *encode_avro(batch, schema_id + 1)]
    decoder = MixedTransactionDecoder(KEYS, DEFAULT_RATES, schemas=registry)
    found = decoder.decode(payloads)
    assert [(f.row, f.reason) for f in found.dead] == [(2, "unknown_schema")]
    server.stop()
    fresh = SchemaRegistry(server.url, cache=tmp_path)
    decoder = MixedTransactionDecoder(KEYS, DEFAULT_RATES, schemas=fresh)
    again = decoder.decode(payloads, refused=[2])
    assert again.dead[0].row == 2
    assert again.rows.tolist() == found.rows.tolist() == [0, 1]


def test_a_real_registry_answers_as_we_expect(registry: Registry, tmp_path: Path) -> None:
    client = SchemaRegistry(registry.url, cache=tmp_path)
    subject = f"payments/{tmp_path.name}-value"
    first = client.register(subject, transaction_schema())
    assert client.register(subject, transaction_schema()) == first
    second = client.register(subject, transaction_schema({"is_new": ColumnType.BOOLEAN}))
    assert second != first
    fresh = SchemaRegistry(registry.url)
    assert json.loads(fresh.writer(first)) == json.loads(transaction_schema())
    for unknown in (second + 1_000_000, 2**31 - 1, 0):
        with pytest.raises(UnknownSchemaError):
            fresh.writer(unknown)
    with pytest.raises(InputError):
        client.register(subject, '{"type":"nothing"}')
    with pytest.raises(UnreachableError, match=r"registry\.url"):
        SchemaRegistry(registry.url.replace("/ccompat", "/elsewhere") + "/x").writer(first)
