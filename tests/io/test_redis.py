"""Redis keeps blobs, feeds and what they cover, all of a write or nothing of it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis as Client

from alcyon.domain.errors import InputError, SettingsError
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import Covered, Latest, Update, pack, unpack
from alcyon.io import redis as ours
from alcyon.io.redis import RedisReadModel
from services import Redis

DATABASE = 9
NONE, ONE, TWO = None, Covered(5, 5, 70), Covered(5, 6, 72)


@pytest.fixture
def url(redis: Redis) -> str:
    return redis.url.removesuffix("/0") + f"/{DATABASE}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """What everybody else uses; the database is empty."""
    with Client.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def model(url: str, client: Client) -> Iterator[RedisReadModel]:
    with closing(RedisReadModel(url)) as model:
        yield model


def latest(sequence: int, name: str = "t") -> Latest:
    features = struct.pack("<3f", sequence, math.nan, -0.0)
    return Latest(sequence, name, 1_700_000_000_000, "DECLINE", 0, "c0ffee", features)


def begun(model: RedisReadModel, **cards: Latest) -> None:
    assert model.write(Update(NONE, ONE, packed(**cards)))


def packed(**cards: Latest) -> dict[str, bytes]:
    return {card: pack(*each) for card, each in cards.items()}


def test_what_was_written_is_read_back(model: RedisReadModel) -> None:
    first, second = latest(1), latest(2**39, "ü" * 128)
    begun(model, a=first, b=second._replace(score=None))
    assert model.latest(["b", "x", "a"]) == [second._replace(score=None), None, first]
    assert model.covered() == ONE
    assert model.latest([]) == []


def test_a_new_server_covers_nothing(model: RedisReadModel) -> None:
    assert model.covered() is None


def test_a_write_that_expects_other_commits_changes_nothing(
    model: RedisReadModel, client: Client
) -> None:
    wrong = Update(ONE, TWO, packed(a=latest(9)), alerts=[b"{}"], decisions=[b"{}"])
    assert not model.write(wrong)
    assert client.dbsize() == 0
    begun(model, a=latest(1))
    assert not model.write(replace(wrong, before=TWO))
    assert not model.write(replace(wrong, before=NONE))
    assert model.latest(["a"]) == [latest(1)]
    assert model.covered() == ONE
    assert set(client.scan_iter()) == {b"alcyon:card:a", b"alcyon:covered"}


def test_an_older_blob_never_takes_the_place_of_a_newer_one(model: RedisReadModel) -> None:
    begun(model, a=latest(300), b=latest(2))  # as bytes, 300 and 2 are in the other order
    older = packed(a=latest(256 + 43), b=latest(257), c=latest(1))
    assert model.write(Update(ONE, Covered(4, 5, 70), older, is_older=True))
    assert model.latest(["a", "b", "c"]) == [latest(300), latest(257), latest(1)]


def test_a_write_going_on_replaces(model: RedisReadModel) -> None:
    begun(model, a=latest(300))
    assert model.write(Update(ONE, TWO, packed(a=latest(301))))
    assert model.latest(["a"]) == [latest(301)]


def test_feeds_have_their_entries_in_order_and_are_bounded(
    model: RedisReadModel, client: Client
) -> None:
    count = ours.FEED_ENTRIES_MAX + 2_000
    entries = [b'{"n":%d}' % n for n in range(count)]
    assert model.write(Update(NONE, ONE, {}, alerts=entries, decisions=[b"one", b"two"]))
    sampled: Any = client.xrange("alcyon:decisions")
    assert [entry for _, entry in sampled] == [{b"json": b"one"}, {b"json": b"two"}]
    alerts: Any = client.xrange("alcyon:alerts")
    kept = [entry[b"json"] for _, entry in alerts]
    assert kept == entries[-len(kept) :]
    assert ours.FEED_ENTRIES_MAX <= len(kept) < ours.FEED_ENTRIES_MAX + 1_000


def test_cards_leave_and_what_is_covered_stays(model: RedisReadModel, client: Client) -> None:
    begun(model, a=latest(1))
    assert 0 < ours.CARD_TTL_S - client.ttl("alcyon:card:a") + 1 < 60
    assert client.ttl("alcyon:covered") == -1


def test_scripts_that_were_flushed_are_loaded_again(model: RedisReadModel, client: Client) -> None:
    begun(model)
    client.script_flush()
    assert model.write(Update(ONE, TWO, {}))


def test_a_wrong_password_is_one_line_that_names_the_setting(redis: Redis) -> None:
    secret = "wrong-and-secret"
    with closing(RedisReadModel(f"redis://:{secret}@{redis.host}:{redis.port}/9")) as model:
        for asked in (model.covered, lambda: model.write(Update(NONE, ONE, {}))):
            with pytest.raises(StoreError, match=r"password.*redis\.url") as raised:
                asked()
            assert "\n" not in str(raised.value)
            assert secret not in str(raised.value)


def test_no_password_is_told_as_a_wrong_one_is(redis: Redis) -> None:
    with (
        closing(RedisReadModel(f"redis://{redis.host}:{redis.port}/9")) as model,
        pytest.raises(StoreError, match=r"password.*redis\.url"),
    ):
        model.covered()


@pytest.mark.parametrize("url", ["http://:secret@host/0", "redis://:secret@host:port/0", ""])
def test_a_malformed_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\.url") as raised:
        RedisReadModel(url)
    assert "secret" not in str(raised.value)


def test_a_server_that_is_not_there() -> None:
    with (
        closing(RedisReadModel("redis://:secret@127.0.0.1:1/0")) as away,
        pytest.raises(StoreError, match=r"127\.0\.0\.1:1.*redis\.url") as raised,
    ):
        away.covered()
    assert "secret" not in str(raised.value)


@contextmanager
def full(client: Client) -> Iterator[None]:
    policy = str(client.config_get("maxmemory-policy")["maxmemory-policy"])
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", policy)


def test_a_full_server_takes_nothing_and_heals(model: RedisReadModel, client: Client) -> None:
    begun(model, a=latest(1))
    update = Update(ONE, TWO, packed(a=latest(2), b=latest(3)), alerts=[b"{}"])
    with full(client):
        with pytest.raises(StoreError, match=r"refuses: .*maxmemory") as raised:
            model.write(update)
        assert "\n" not in str(raised.value)
        assert model.covered() == ONE
        assert model.latest(["a", "b"]) == [latest(1), None]
    assert model.write(update)
    assert model.latest(["a", "b"]) == [latest(2), latest(3)]


def test_a_replica_takes_nothing_and_heals(model: RedisReadModel, client: Client) -> None:
    begun(model, a=latest(1))
    client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(StoreError, match=r"refuses.*replica"):
            model.write(Update(ONE, TWO, {}))
    finally:
        client.replicaof("NO", "ONE")
    assert model.write(Update(ONE, TWO, {}))


def test_a_server_that_answers_too_late_is_away_and_heals(
    redis: Redis, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "TIMEOUT_S", 0.2)
    with closing(RedisReadModel(redis.url.removesuffix("/0") + f"/{DATABASE}")) as model:
        begun(model)
        client.client_pause(600)
        with pytest.raises(StoreError, match=r"cannot reach.*redis\.url"):
            model.write(Update(ONE, TWO, {}))
        while True:
            try:
                found = model.covered()
                break
            except StoreError:
                continue
        # In doubt: what is covered tells. An answer to the first call is never one to the second.
        assert found in (ONE, TWO)
        assert model.write(Update(found, Covered(5, 7, 80), {}))


def test_what_another_version_wrote_is_refused(model: RedisReadModel, client: Client) -> None:
    client.set("alcyon:covered", "2 0 0 0 0")
    with pytest.raises(InputError, match="delete it"):
        model.covered()
    with pytest.raises(InputError, match="format 2"):
        unpack(b"\2" + pack(*latest(1))[1:])
    with pytest.raises(InputError, match="no blob"):
        unpack(b"\1\1")
    with pytest.raises(InputError, match="no blob"):
        unpack(b"\1\0" + pack(*latest(1))[2:])
