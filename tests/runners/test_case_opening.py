"""Alerts of the decisions log become cases, each once, whatever stops us; commits are sealed."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest

from alcyon.codecs.decisions import encode
from alcyon.domain.alert import alert
from alcyon.domain.commit import Commit
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.decision import Decision, Reason, Versions
from alcyon.domain.errors import LogError, UnreachableError
from alcyon.domain.office.cases import Raising
from alcyon.domain.projected import StoreError
from alcyon.domain.record import Topic
from alcyon.domain.token_keys import TokenKeys
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.office import Place, SqlOffice
from alcyon.io.office.terms import OfficeTerms
from alcyon.runners.projections import case_opening
from alcyon.runners.projections.case_opening import CaseBook, CaseOpening, seal
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.reading import Reading
from tests.contracts.officing import Clock
from tests.kafka import Broker

MEANS = Means(TokenKeys(1, b"k" * 32), lambda name: None)  # type: ignore[arg-type,return-value]
EVENT = 1_700_000_000_000


def decision(sequence: int, name: str, action: str, ppm: int | None = 250_000) -> Decision:
    """With a reason of the model's, where one scored."""
    reasons = () if ppm is None else (Reason("velocity_card_1h", "card_count_10m", 5.0, 1.2),)
    versions = Versions("1", "c", "r", "l", "p", "m", DEFAULT_RATES.version)
    codes = ("model_missing",) if ppm is None else ()
    return Decision(
        sequence, name, EVENT + sequence, action, None if ppm is None else 700, ppm, {}, codes,
        (), (), reasons, b"", versions,
    )  # fmt: skip


def payment(name: str, sequence: int, card: str | None, merchant: str = "m1") -> bytes:
    fields: dict[str, object] = {
        "transaction_id": name, "event_time": EVENT + sequence, "amount_minor": 1000,
        "currency": "EUR", "customer_id": "u1", "merchant_id": merchant, "country": "FR",
    }  # fmt: skip
    return msgspec.json.encode(fields | ({} if card is None else {"card_id": card}))


class Run:
    """Two logs, one record at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.intake = EmbeddedIntake(folder / "intake", "never")
        self.log = EmbeddedDecisions(folder / "decisions", "never")
        self.commits: list[Commit] = []
        self._position = 0
        self.merchant = "m1"

    def commit(self, *rows: tuple[str, str | None, str, int | None]) -> None:
        """One commit over (name, card, action, probability) and a label before each."""
        first, made, alerts = self._position, list[Decision](), list[bytes]()
        for name, card, action, ppm in rows:
            self.intake.append(Topic.LABELS, [b"{}"])
            self.intake.append(
                Topic.TRANSACTIONS, [payment(name, self._position, card, self.merchant)]
            )
            self._position += 2
            made.append(decision(500 + self._position - 1, name, action, ppm))
            if action != "APPROVE":
                alerts.append(msgspec.json.encode(alert(made[-1], 1000, "EUR")))
        commit = Commit(
            self.log.epoch, 500 + first, first, self._position, tuple(encode(made)), (),
            tuple(alerts),
        )  # fmt: skip
        self.log.append(commit)
        self.commits.append(commit)

    def merely(self, commit: Commit) -> None:
        """Have this commit in the log, and no other."""
        self.log.close()
        shutil.rmtree(self.folder / "decisions")
        self.log = EmbeddedDecisions(self.folder / "decisions", "never")
        self.log.append(msgspec.structs.replace(commit, epoch=self.log.epoch))

    def opening(self, office: CaseBook) -> CaseOpening:
        """Opened anew, as after a restart."""
        reading = Reading(
            EmbeddedCommits(self.folder / "decisions"), EmbeddedSource(self.folder / "intake")
        )
        return CaseOpening(
            reading, office, lambda version: MEANS.transaction_decoder(DEFAULT_RATES)
        )

    def close(self) -> None:
        self.intake.close()
        self.log.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with closing(Run(tmp_path)) as made:
        yield made


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SqlOffice]:
    with closing(SqlOffice(Place(tmp_path / "office.sqlite"))) as made:
        yield made


def cases(office: SqlOffice) -> dict[str, tuple[int, int]]:
    """By card: alerts, expected loss."""
    found = office.cases(None, None, None, 999).items
    return {c.card_id: (c.alert_count, c.expected_loss_base_minor) for c in found}


def test_alerts_become_cases_with_what_a_list_shows_of_them(run: Run, office: SqlOffice) -> None:
    run.commit(("t1", "c1", "APPROVE", 1), ("t2", "c1", "REVIEW", 250_000))
    run.commit(("t3", "c1", "DECLINE", 500_000), ("t4", None, "REVIEW", None))
    opening = run.opening(office)
    assert (opening.step(), opening.step()) == (0, 0)
    assert opening.taken() == (2, 3, 2)
    rate = 1000 if DEFAULT_RATES.base == "EUR" else None
    assert rate is not None
    assert cases(office) == {"c1": (2, 250 + 500), "transaction:t4": (1, 1000)}
    case_id = office.cases(None, None, None, 9).items[1].case_id
    shown = office.case(case_id)
    assert shown is not None
    line = shown.alerts[0].line
    assert (line.transaction_id, line.action, line.score) == ("t2", "REVIEW", 700)
    assert (line.card_id, line.merchant_id, line.country) == ("c1", "m1", "FR")
    assert (line.reason, line.reason_text) == (
        "velocity_card_1h", "5 payments with this card in 10 minutes",
    )  # fmt: skip
    assert (line.amount_minor, line.currency, line.amount_base_minor) == (1000, "EUR", 1000)


def test_a_card_number_among_words_is_kept_nowhere(run: Run, office: SqlOffice) -> None:
    run.merchant = "Shop 4111 1111 1111 1111"
    run.commit(("t1", "4111111111111111", "REVIEW", 1))
    run.opening(office).step()
    (case,) = office.cases(None, None, None, 9).items
    assert case.card_id.startswith("k1_")
    for file in run.folder.glob("office.sqlite*"):
        assert b"4111111111111111" not in file.read_bytes()
        assert b"4111 1111 1111 1111" not in file.read_bytes()


def test_reading_goes_on_where_the_office_says_and_nothing_is_doubled(
    run: Run, office: SqlOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_opening, "COMMITS_MAX", 1)
    monkeypatch.setattr(case_opening, "RECORDS_MAX", 2 * 3)
    rng, wanted = random.Random(7), dict[str, int]()
    for i in range(40):
        card, action = f"c{rng.randrange(5)}", rng.choice(["APPROVE", "REVIEW", "DECLINE"])
        run.commit((f"t{i}", card, action, 100_000))
        wanted[card] = wanted.get(card, 0) + (action != "APPROVE")
    others = [run.opening(office) for _ in range(3)]
    while any([rng.choice(others).step(), run.opening(office).step()]):
        pass
    assert {card: count for card, (count, _) in cases(office).items()} == wanted
    assert office.next_index() == 40


class Failing(CaseBook):
    """An office that is away, now and then, before or after it kept what it was given."""

    def __init__(self, office: SqlOffice) -> None:
        self._office, self._rng = office, random.Random(3)

    def _fail(self) -> None:
        if self._rng.random() < 0.3:
            raise UnreachableError("away")

    def next_index(self) -> int | None:
        self._fail()
        return self._office.next_index()

    def open_cases(self, raising: Raising) -> int:
        self._fail()
        opened = self._office.open_cases(raising)
        self._fail()
        return opened

    def take_deadlines(self) -> int:
        self._fail()
        return self._office.take_deadlines()


def test_outages_of_the_office_lose_and_double_nothing(
    run: Run, office: SqlOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_opening, "COMMITS_MAX", 1)
    monkeypatch.setattr(case_opening, "RECORDS_MAX", 2 * 2)
    for i in range(30):
        run.commit((f"t{i}", f"c{i % 4}", "REVIEW", 100_000))
    opening, outages = run.opening(Failing(office)), 0
    while office.next_index() != 30:
        try:
            opening.step()
        except StoreError:
            outages += 1
    assert outages > 5
    assert sum(count for count, _ in cases(office).values()) == 30
    assert office.walk_seals().count == 30


def test_no_decision_but_those_of_alerts_is_looked_into(run: Run, office: SqlOffice) -> None:
    run.commit(("t1", "c1", "APPROVE", 1), ("t2", "c1", "REVIEW", 1))
    (commit,) = run.commits
    whole = b'{"sequence":%d,and no more' % (commit.first_sequence + 1)
    run.merely(msgspec.structs.replace(commit, decisions=(whole, b"", commit.decisions[1])))
    run.opening(office).step()
    assert cases(office) == {"c1": (1, 0)}


def test_what_does_not_begin_as_a_decision_opens_nothing(run: Run, office: SqlOffice) -> None:
    run.commit(("t1", "c1", "APPROVE", 1), ("t2", "c1", "REVIEW", 1))
    (commit,) = run.commits
    for junk in (b"{}", b'{"sequence":,', b'{"sequence":1', b'{"sequence":-1,'):
        run.merely(msgspec.structs.replace(commit, decisions=(junk, commit.decisions[1])))
        with pytest.raises(LogError, match="no decision"):
            run.opening(office).step()
    assert office.next_index() is None


def test_commits_are_sealed_by_the_digest_of_each_decision(run: Run, office: SqlOffice) -> None:
    run.commit(("t1", "c1", "APPROVE", 1), ("t2", "c1", "REVIEW", 1))
    run.commit(("t3", "c1", "APPROVE", 1))
    run.opening(office).step()
    assert office.seals(0) == {i: seal(commit) for i, commit in enumerate(run.commits)}
    first = run.commits[0].decisions
    assert seal(run.commits[0]) == b"".join(hashlib.sha256(d).digest() for d in first)


def test_deadlines_are_taken_while_the_log_rests(run: Run, tmp_path: Path) -> None:
    clock = Clock()
    terms = OfficeTerms(1000, "cancel")
    with closing(SqlOffice(Place(tmp_path / "office.sqlite"), terms, clock)) as office:
        run.commit(("t1", "c1", "REVIEW", 1))
        run.opening(office).step()
        clock.now += 1000
        run.opening(office).step()
        assert office.cases(None, None, None, 9).items[0].resolution == "cancel"


def test_an_intake_of_another_log_opens_nothing(run: Run, office: SqlOffice) -> None:
    run.commit(("t1", "c1", "REVIEW", 1))
    made = decision(503, "t9", "REVIEW")
    run.intake.append(Topic.TRANSACTIONS, [payment("t2", 1, "c1")] * 2)
    encoded = msgspec.json.encode(alert(made, 1, "EUR"))
    run.log.append(Commit(run.log.epoch, 502, 2, 4, tuple(encode([made])), (), (encoded,)))
    with pytest.raises(LogError, match="another decisions log"):
        run.opening(office).step()
    assert (office.next_index(), cases(office)) == (None, {})


def test_over_kafka_reading_begins_at_the_first_commit_that_is_kept(
    broker: Broker, office: SqlOffice
) -> None:
    from alcyon.runners.over_kafka import Broker as Topics
    from alcyon.runners.over_kafka import ProjectionPorts

    broker.cover()
    with broker.intake() as intake:
        for i in range(3):
            intake.append(Topic.TRANSACTIONS, [payment(f"t{i}", i, "c1")])
            broker.cover()
    ports = ProjectionPorts(Topics(broker.connection, broker.names), MEANS)
    with ExitStack() as files:
        opening = ports.open_cases(files, office)
        while opening.step():
            pass
    assert (office.next_index(), office.walk_seals().count) == (3, 3)
