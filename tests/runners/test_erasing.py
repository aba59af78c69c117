"""After an erasure neither the token nor the number is in any byte of any store."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import psycopg
import pytest
from redis import Redis as Client

from alcyon.api.csv_export import ROWS_MAX, decisions_csv
from alcyon.domain.columns import Strings
from alcyon.domain.control import ForgetEntity, decode_control
from alcyon.domain.errors import InputError
from alcyon.domain.office.access import Role
from alcyon.domain.office.asking import Answer
from alcyon.domain.office.searching import Filter
from alcyon.domain.projected import Projected
from alcyon.domain.read_model import Covered, Sampled, Update, pack
from alcyon.domain.record import DeadLetter, Topic
from alcyon.domain.token_keys import TokenKeys
from alcyon.io.memory import MemoryIntake, MemoryRecords
from alcyon.io.office import Place, SqlOffice
from alcyon.io.office.terms import OfficeTerms
from alcyon.io.postgres import PostgresStore
from alcyon.io.postgres.keeping import PostgresKeeping
from alcyon.io.redis import CARD, RedisReadModel
from alcyon.io.searching import StoreSearcher, postgres, sqlite
from alcyon.io.sqlite import SqliteStore
from alcyon.io.sqlite.answered import SqliteAnswered
from alcyon.io.sqlite.keeping import SqliteKeeping
from alcyon.runners.care.backup import Kept, backup, restore
from alcyon.runners.care.erasing import Gone, Stores, again, erase, stored_value
from services import Redis
from tests.contracts.officing import SHELL, open_cases, person, raised
from tests.contracts.storing import decision, projected, transactions_of
from tests.runners.test_backup import empty, quiet

NUMBER = "4111 1111 1111 1111"
KEYS = TokenKeys(1, b"0123456789abcdef")
TOKEN = stored_value(NUMBER, KEYS)
OTHER = "k1_ffffffffffffffffffffffffffffffff"
DATABASE = 13
COMMITS, EACH = 12, 4


@dataclass
class World:
    """A place with two cards in every store, and what is asked of it."""

    kept: Kept
    url: str
    files: ExitStack

    def store(self) -> SqliteStore | PostgresStore:
        dsn = self.kept.dsn
        return SqliteStore(self.kept.home / "alcyon.sqlite") if dsn is None else PostgresStore(dsn)

    def office(self) -> SqlOffice:
        kept = self.kept
        place = Place(kept.home / "office.sqlite")
        if kept.dsn is not None:
            place = Place(dsn=kept.dsn, schema=kept.office_schema)
        terms = OfficeTerms(alert_targets=("webhook",))
        return self.files.enter_context(closing(SqlOffice(place, terms)))

    def stores(self) -> Stores:
        kept, enter = self.kept, self.files.enter_context
        keeping = (
            SqliteKeeping(kept.home / "alcyon.sqlite")
            if kept.dsn is None
            else PostgresKeeping(kept.dsn)
        )
        return Stores(
            kept.home / "erasures.json",
            enter(closing(keeping)),
            self.office(),
            enter(closing(RedisReadModel(self.url))),
            enter(closing(SqliteAnswered(kept.home / "answered.sqlite"))),
        )

    def fill(self, first: int = 0) -> None:
        """Commits in which every other payment is by the card that will be erased."""
        with closing(self.store()) as store:
            for index in range(first, first + COMMITS):
                store.write(commit(index))

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """All that is stored, by where."""
        self.files.close()  # a file's last pages may be with its connection
        for path in self.kept.home.rglob("*"):
            if path.is_file():
                yield path.name, path.read_bytes()
        if self.kept.dsn is not None:
            yield from of_postgres(self.kept.dsn, self.kept.office_schema)
        yield from of_redis(self.url)
        yield "decisions.csv", self.export()

    def export(self) -> bytes:
        """What the API gives to who asks for everything."""
        dsn = self.kept.dsn
        path = self.kept.home / "alcyon.sqlite"
        with closing(StoreSearcher(sqlite(path) if dsn is None else postgres(dsn))) as searcher:
            return "".join(decisions_csv(searcher, Filter(), ROWS_MAX)).encode()

    def holding(self, *words: str) -> set[str]:
        """Where any of these words stands, as it is or in hexadecimal digits."""
        wanted = [f for w in words for f in (w.encode(), w.encode().hex().encode())]
        return {name for name, data in self.everything() if any(word in data for word in wanted)}


def of_postgres(dsn: str, office: str) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema IN (current_schema(), %s) AND table_type = 'BASE TABLE'", (office,)
        ).fetchall()  # fmt: skip
        for schema, table in found:
            with connection.cursor().copy(
                f'COPY (SELECT * FROM "{schema}"."{table}") TO STDOUT'.encode()
            ) as copy:
                yield f"{schema}.{table}", b"".join(bytes(part) for part in copy)


def of_redis(url: str) -> Iterator[tuple[str, bytes]]:
    with closing(Client.from_url(url, protocol=2)) as client:
        for key in client.scan_iter():
            is_stream = client.type(key) == b"stream"
            value = client.xrange(key) if is_stream else client.get(key)
            yield key.decode(), key + repr(value).encode()


def name(index: int, row: int) -> str:
    return f"pay-{index}-{row}"


def commit(index: int) -> Projected:
    """Four payments, two by each card; the first of all is what its device is known by."""
    decisions = [
        decision(index * 100 + row, name(index, row), "REVIEW" if row < 2 else "APPROVE")
        for row in range(EACH)
    ]
    batch = transactions_of(decisions)
    cards = Strings.from_list([TOKEN if row % 2 == 0 else OTHER for row in range(EACH)])
    made = projected(index, decisions, [type(batch)({**batch.columns, "card_id": cards})])
    letter = DeadLetter(index * 100 + 50, "TRANSACTIONS", 9, "late", f"of {TOKEN}", TOKEN.encode())
    return replace(made, dead_letters=[*made.dead_letters, letter])


def fill_office(office: SqlOffice) -> None:
    """A case for each card, notes, a proposal, messages."""
    alerts = [
        raised(name(index, row), index * 100 + row, card_id=(TOKEN, OTHER)[row])
        for index in range(COMMITS)
        for row in (0, 1)
    ]
    ada = person("ada")
    for case in open_cases(office, *alerts):
        office.claim(ada, case.case_id)
        office.note(ada, case.case_id, f"as with {TOKEN} the other day")
        if case.card_id == TOKEN:
            office.close_case(ada, case.case_id, "fraud", "cancel", "stolen")
    change = {"name": "block", "column": "card_id", "value": TOKEN, "is_removal": False}
    office.propose(person("eve", Role.LEAD), "list", change, f"{TOKEN} again", base_version="v1")


def fill_redis(model: RedisReadModel) -> None:
    last = (COMMITS - 1) * 100
    cards = {
        card: pack(last + row, name(COMMITS - 1, row), 10**12, "REVIEW", 700, "c", bytes(8))
        for row, card in enumerate((TOKEN, OTHER))
    }
    sampled = [
        msgspec.json.encode(Sampled(row, name(0, row), 10**12, card, "REVIEW", 7, "velocity"))
        for row, card in enumerate((TOKEN, OTHER))
    ]
    alerts = [
        msgspec.json.encode({"transaction_id": name(0, row), "sequence": row}) for row in (0, 1)
    ]
    assert model.write(Update(None, Covered(0, COMMITS, last + 9), cards, False, alerts, sampled))


@contextmanager
def filled(kept: Kept, url: str) -> Iterator[World]:
    kept.home.mkdir()
    with ExitStack() as files:
        made = World(kept, url, files)
        made.fill()
        fill_office(made.office())
        stores = made.stores()
        assert isinstance(stores.read_model, RedisReadModel)
        assert isinstance(stores.answers, SqliteAnswered)
        fill_redis(stores.read_model)
        answers = [
            Answer(name(0, row), "REVIEW", None, None, (), (), True, False, None) for row in (0, 1)
        ]
        stores.answers.keep(answers)
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path, redis: Redis) -> Iterator[World]:
    url = redis.url.removesuffix("/0") + f"/{DATABASE}"
    with closing(Client.from_url(url, protocol=2)) as client:
        client.flushdb()
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with empty(server, tmp_path / "home") as kept, filled(kept, url) as made:
        yield made


def erased(world: World) -> tuple[Gone, MemoryRecords]:
    records = MemoryRecords()
    gone = erase(world.stores(), TOKEN, MemoryIntake(records), SHELL, 1_800_000_000_000)
    return gone, records


WORDS = (TOKEN, NUMBER, NUMBER.replace(" ", ""))


def test_the_search_finds_what_is_there(world: World) -> None:
    """Or the other tests would prove nothing."""
    found = world.holding(*WORDS)
    assert CARD + TOKEN in found
    assert {"alcyon:decisions", "decisions.csv"} <= found
    if world.kept.dsn is None:
        assert {"alcyon.sqlite", "office.sqlite"} <= found
    else:
        names = {place.partition(".")[2] for place in found}
        wanted = {"transactions_0", "dead_letters_0", "cases", "case_alerts", "case_events"}
        assert wanted | {"outbox", "proposals"} <= names


def test_what_was_erased_is_in_no_byte_of_any_store(world: World) -> None:
    gone, records = erased(world)
    payments = COMMITS * EACH // 2
    assert gone.store is not None
    rows = gone.store.rows
    assert (rows["transactions"], rows["decisions"], rows["alerts"]) == (payments,) * 2 + (COMMITS,)
    assert (rows["labels"], rows["dead_letters"], gone.case_alerts) == (COMMITS,) * 3
    assert gone.read_model == 3
    assert world.holding(*WORDS) == set()
    # What it was known by elsewhere stays in the audit log alone: the ids of a closed case.
    audit = {"office.sqlite"} if world.kept.dsn is None else {f"{world.kept.office_schema}.audit"}
    assert world.holding(*(name(i, 0) for i in range(COMMITS))) <= audit
    (record,) = records.records
    assert record.topic is Topic.CONTROL
    assert isinstance(decode_control(record.payload), ForgetEntity)


def test_the_other_card_loses_nothing_and_the_chains_hold(world: World) -> None:
    erased(world)
    with closing(world.store()) as store:
        assert len(store.decisions_of_card(OTHER, 999)) == COMMITS * EACH // 2
        assert store.decisions_of_card(TOKEN, 999) == []
        counts = store.counts()
        assert (counts["transactions"], counts["labels"]) == (COMMITS * EACH // 2, 0)
        assert store.next_index() == COMMITS
        store.write(commit(COMMITS))
        assert len(store.decisions_of_card(TOKEN, 999)) == 2, "it is used again: that is new"
    office = world.office()
    assert [case.card_id for case in office.cases(None, None, None, 9).items] == [OTHER]
    assert (office.walk_audit().broken, office.walk_seals().broken) == (None, None)
    (last,) = office.audit(None, 1).items
    assert (last.what, last.detail["transactions"]) == ("erased", COMMITS * EACH // 2)
    with closing(RedisReadModel(world.url)) as model:
        assert [latest is None for latest in model.latest([TOKEN, OTHER])] == [True, False]


def test_a_backup_made_before_comes_back_without_it(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By the list in the home, which the backup had not yet; and the next backup is without it."""
    backup(world.kept, tmp_path / "before", quiet)
    erased(world)
    backup(world.kept, tmp_path / "after", quiet)
    packed = [p.read_bytes() for p in (tmp_path / "after").rglob("*") if p.is_file()]
    plain = [gzip.decompress(p) if p[:2] == b"\x1f\x8b" else p for p in packed]
    assert not any(word.encode() in data for word in WORDS for data in plain)
    server = request.getfixturevalue("postgres") if world.kept.dsn is not None else None
    with empty(server, tmp_path / "new") as kept:
        kept.home.mkdir()
        (kept.home / "erasures.json").write_bytes((world.kept.home / "erasures.json").read_bytes())
        restore(kept, tmp_path / "before", quiet)
        with ExitStack() as files:
            restored = World(kept, world.url, files)
            assert restored.holding(*WORDS) != set()
            told: list[Gone] = []
            assert again(restored.stores(), SHELL, told.append) == 1
            assert told[0].case_alerts == COMMITS
            assert restored.holding(*WORDS) == set()
            assert again(restored.stores(), SHELL, told.append) == 0
            assert restored.office().walk_audit().broken is None


def test_what_came_after_an_erasure_is_not_erased_again(world: World) -> None:
    erased(world)
    world.fill(first=COMMITS)
    again(world.stores(), SHELL, lambda _: None)
    with closing(world.store()) as store:
        assert len(store.decisions_of_card(TOKEN, 999)) == COMMITS * EACH // 2


@pytest.mark.parametrize("given", ["", " ", "x" * 201, " padded"])
def test_what_is_no_id_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="name an id"):
        stored_value(given, KEYS)
