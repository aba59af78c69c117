"""Redis as the read model.

Keys: `alcyon:card:<token>` is a card's blob (`alcyon.domain.read_model.pack`), which leaves
`CARD_TTL_S` after the last write; `alcyon:covered` says which commits are covered; the streams
`alcyon:alerts` and `alcyon:decisions` are feeds of the newest `FEED_ENTRIES_MAX` entries, more or
less, each with one field `json`, to be read by XREAD.

A write is one script, so it is there whole or not at all, and only where `alcyon:covered` is what
the writer takes it for: neither FLUSHALL nor a second writer goes unnoticed. One server, no
cluster: its keys are in no common slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from alcyon.domain.errors import InputError, SettingsError
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import SEQUENCE_AT, Covered, Latest, ReadModel, Update, unpack

CARD_TTL_S = 90 * 86_400
"""No window looks further back unless it says so: what a card did before that says little of it."""
FEED_ENTRIES_MAX = 10_000
"""A feed is for who is there; the log and the store have the rest."""
TIMEOUT_S = 5.0
CARD, COVERED, ALERTS, DECISIONS = (
    "alcyon:card:", "alcyon:covered", "alcyon:alerts", "alcyon:decisions",
)  # fmt: skip
_FORMAT = "1"
_AT_ONCE = 1000
_REASON_MAX = 120

_WRITE = f"""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local ttl, entries_max, alerts, decisions = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local is_older, at = ARGV[7] == '1', 7
for i = 1, alerts do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', entries_max, '*', 'json', ARGV[at + i])
end
at = at + alerts
for i = 1, decisions do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', entries_max, '*', 'json', ARGV[at + i])
end
at = at + decisions - 3
for i = 4, #KEYS do
  local blob, is_newest = ARGV[at + i], true
  if is_older then
    local had = redis.call('GETRANGE', KEYS[i], {SEQUENCE_AT}, {SEQUENCE_AT + 7})
    is_newest = #had < 8
      or struct.unpack('<i8', had) < struct.unpack('<i8', blob, {SEQUENCE_AT + 1})
  end
  if is_newest then redis.call('SET', KEYS[i], blob, 'EX', ttl) end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisReadModel(ReadModel):
    """The read model in the server that `redis.url` names; connects when first used."""

    def __init__(self, url: str) -> None:
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),  # who calls waits, and asks what is covered
                protocol=2,
                client_name="alcyon",
            )
        except (ValueError, TypeError):
            # The message might quote the setting, and with it the password.
            raise SettingsError(
                "redis.url is not of the form redis://:password@host:port/0"
            ) from None
        self._script = self._client.register_script(_WRITE)

    def covered(self) -> Covered | None:
        """The commits it covers."""
        with self._translated():
            return _covered(cast("bytes | None", self._client.get(COVERED)))

    def server(self) -> tuple[str, int]:
        """The server's version, and its clock in UTC ms."""
        with self._translated():
            about = cast("dict[str, str]", self._client.info("server"))
            seconds, microseconds = self._client.time()
        return about["redis_version"], seconds * 1000 + microseconds // 1000

    def write(self, update: Update) -> bool:
        """Change it, unless it covers other commits than `update.before`; whether it did."""
        keys = [COVERED, ALERTS, DECISIONS, *[CARD + card for card in update.cards]]
        values: list[bytes | str | int] = [
            _text(update.before), _text(update.after), CARD_TTL_S, FEED_ENTRIES_MAX,
            len(update.alerts), len(update.decisions), int(update.is_older),
            *update.alerts, *update.decisions, *update.cards.values(),
        ]  # fmt: skip
        with self._translated():
            return bool(self._script(keys, values))

    def latest(self, cards: Sequence[str]) -> list[Latest | None]:
        """Each card's last decision; None where the read model does not know."""
        if not cards:
            return []
        with self._translated():
            blobs = cast("list[bytes | None]", self._client.mget([CARD + card for card in cards]))
        return [None if blob is None else unpack(blob) for blob in blobs]

    def cards(self) -> Iterator[str]:
        """Every card that it knows."""
        with self._translated():
            for key in self._client.scan_iter(match=f"{CARD}*", count=_AT_ONCE):
                yield key[len(CARD) :].decode()

    def erase(self, value: str, transaction_ids: Sequence[str], before_sequence: int) -> int:
        """Remove a card whose last decision is before a sequence, and what the feeds hold of these
        payments; how many keys and entries. What is in memory of a runner that is at work is put
        back only if the server is emptied."""
        names, removed = {value, *transaction_ids}, 0
        (latest,) = self.latest([value])
        with self._translated():
            if latest is not None and latest.sequence < before_sequence:
                removed += self._client.delete(CARD + value)
            for feed in (ALERTS, DECISIONS):
                entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(feed))
                gone = [
                    entry for entry, fields in entries
                    if _is_about(fields.get(b"json", b"{}"), names, before_sequence)
                ]  # fmt: skip
                if gone:
                    removed += self._client.xdel(feed, *gone)
        return removed

    def close(self) -> None:
        """Called once, last."""
        self._client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What fails within it becomes one line; the next call connects anew, perhaps to another
        server of that name."""
        try:
            yield
        except redis.RedisError as error:
            self._client.connection_pool.disconnect()
            raise StoreError(self._line(error)) from error

    def _line(self, error: redis.RedisError) -> str:
        named = self._client.connection_pool.connection_kwargs
        place = named.get("path") or f"{named.get('host')}:{named.get('port', 6379)}"
        if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
            return f"redis at {place} refuses user or password: see the setting redis.url"
        reason = str(error).splitlines()[0].partition(" script: ")[0][:_REASON_MAX]
        if isinstance(error, redis.ResponseError | redis.exceptions.ReadOnlyError):
            return f"redis at {place} refuses: {reason}"
        return f"cannot reach redis at {place}: {reason}; see the setting redis.url"


def _is_about(entry: bytes, names: set[str], before_sequence: int) -> bool:
    told = msgspec.json.decode(entry)
    is_named = told.get("transaction_id") in names or told.get("card_id") in names
    return bool(is_named and told.get("sequence", 0) < before_sequence)


def _text(covered: Covered | None) -> str:
    return "" if covered is None else " ".join([_FORMAT, *map(str, covered)])


def _covered(value: bytes | None) -> Covered | None:
    """What the key holds. InputError: another version wrote it."""
    if value is None:
        return None
    try:
        form, begin, end, next_sequence = value.decode().split()
        if form != _FORMAT:
            raise ValueError
        return Covered(int(begin), int(end), int(next_sequence))
    except ValueError:
        raise InputError(
            f"{COVERED} was written by another version: delete it, and the read model is made anew"
        ) from None
