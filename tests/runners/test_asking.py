"""Asking through a real embedded log and a real worker: answers, repeats, refusals, time-outs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import msgspec
import pytest

from alcyon.domain.decision import Decision
from alcyon.domain.errors import ConflictError, InputError, LogError, UnreachableError
from alcyon.domain.office.asking import Answer
from alcyon.domain.projected import Stored
from alcyon.domain.read_model import Latest
from alcyon.domain.record import Topic
from alcyon.runners.serving.asking import AT_ONCE
from alcyon.runners.serving.provisional import ByOwnColumns
from tests.runners.asked import CARD, Asked, Store, asked, deciding, payload, plain
from tests.runners.working import CATALOG, START


def ask(where: Asked, *payloads: bytes) -> list[Answer]:
    """All in one request."""
    return asyncio.run(where.asking.ask(payloads))


def ask_each(where: Asked, *payloads: bytes) -> list[list[Answer] | BaseException]:
    """Each by itself, all at once."""

    async def together() -> list[list[Answer] | BaseException]:
        each = (where.asking.ask([one]) for one in payloads)
        return await asyncio.gather(*each, return_exceptions=True)

    return asyncio.run(together())


def test_the_decision_of_the_log_is_the_answer(tmp_path: Path) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        (usual,) = ask(where, payload("a"))
        (abroad,) = ask(where, payload("b", country="JP"))
    assert plain(usual) == ("a", "REVIEW", False, False)
    assert (abroad.action, abroad.reasons[0], abroad.rule_hits) == (
        "REVIEW", "abroad", ("abroad",),
    )  # fmt: skip
    assert (usual.sequence, abroad.sequence) == (4, 5)
    assert usual.score is not None
    assert where.decided() == ["a", "b"]


def test_a_batch_is_answered_in_order_and_many_ask_at_once(tmp_path: Path) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        answers = ask(where, *(payload(f"b{i}") for i in range(300)))
        each = ask_each(where, *(payload(f"e{i}") for i in range(300)))
    assert [a.transaction_id for a in answers] == [f"b{i}" for i in range(300)]
    assert [a[0].transaction_id for a in each if isinstance(a, list)] == [
        f"e{i}" for i in range(300)
    ]
    assert sorted(where.decided()) == sorted(a.transaction_id for a in [
        *answers, *(a[0] for a in each if isinstance(a, list)),
    ])  # fmt: skip


def test_however_much_is_asked_at_once_no_more_is_appended_in_one_go_than_a_log_takes(
    tmp_path: Path,
) -> None:
    wide = {name: name[0] * 250 for name in ("merchant_id", "device_id", "category", "channel")}
    asked_for = [[payload(f"{b}-{i}", **wide) for i in range(100)] for b in range(40)]
    sizes = list[int]()

    async def together() -> None:
        await asyncio.gather(*(where.asking.ask(payloads) for payloads in asked_for))

    with asked(tmp_path) as where, deciding(where.logs):
        append = where.intake.append

        def noted(topic: Topic, payloads: Sequence[bytes]) -> None:
            sizes.append(sum(map(len, payloads)))
            append(topic, payloads)

        where.intake.append = noted  # type: ignore[method-assign]
        asyncio.run(together())
    request = sum(map(len, asked_for[0]))
    assert sum(sizes) > 4 * AT_ONCE
    assert max(sizes) < 2 * (AT_ONCE + request)
    assert len(where.decided()) == 4000


def test_the_same_again_is_the_same_decision_and_is_decided_once(tmp_path: Path) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        at_once = ask_each(where, *[payload("a")] * 5)
        (again,) = ask(where, payload("a"))
        within, twice = ask(where, payload("b"), payload("b"))
    sequences = {answers[0].sequence for answers in at_once if isinstance(answers, list)}
    assert sequences == {again.sequence}
    assert again.is_repeat
    assert within == twice
    assert where.decided() == ["a", "b"]


def test_a_batch_of_known_new_and_twice_named_ones_is_answered_in_its_order(
    tmp_path: Path,
) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        (known,) = ask(where, payload("k"))
        mixed = ask(where, payload("n"), payload("k"), payload("m"), payload("n"), payload("k"))
        end = where.intake.end
        with pytest.raises(ConflictError, match="transaction k came before"):
            ask(where, payload("x"), payload("k", amount_minor=7), payload("y"))
        with pytest.raises(InputError, match="transaction 3 of 4: no_holder"):
            ask(where, payload("x"), payload("k"), payload("bad", card_id=None), payload("y"))
        assert where.intake.end == end
        after = ask(where, payload("y"), payload("x"))
    assert [(a.transaction_id, a.is_repeat) for a in mixed] == [
        ("n", False), ("k", True), ("m", False), ("n", False), ("k", True),
    ]  # fmt: skip
    assert mixed[0] == mixed[3]
    assert {mixed[1].sequence, mixed[4].sequence} == {known.sequence}
    assert [(a.transaction_id, a.is_repeat) for a in after] == [("y", False), ("x", False)]
    assert where.decided() == ["k", "n", "m", "y", "x"]


def test_it_is_known_after_a_restart_from_the_log_and_then_from_the_store(tmp_path: Path) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        (first,) = ask(where, payload("a"))
    decision = next(iter(_decisions(where)))
    stored = Stored(decision, msgspec.json.decode(payload("a")))
    with asked(tmp_path, store=Store({"a": stored})) as where, deciding(where.logs):
        (again,) = ask(where, payload("a"))
        with pytest.raises(ConflictError, match="transaction a came before"):
            ask(where, payload("a", amount_minor=7))
    assert (again.sequence, again.is_repeat) == (first.sequence, True)
    with asked(tmp_path, store=Store({"z": _named(stored, "z")})) as where, deciding(where.logs):
        (older,) = ask(where, payload("z", card_id="card-of-a"))
    assert (older.sequence, older.is_repeat) == (first.sequence, True)
    assert where.decided() == ["a"]


def _decisions(where: Asked) -> list[Decision]:
    from contextlib import closing

    from alcyon.codecs.decisions import decode
    from alcyon.io.log import EmbeddedCommits

    with closing(EmbeddedCommits(where.logs.decisions)) as commits:
        return decode([d for c in commits.read(0, 100) for d in c.decisions])


def _named(stored: Stored, name: str) -> Stored:
    decision = msgspec.structs.replace(stored.decision, transaction_id=name)
    return Stored(decision, {**stored.transaction, "transaction_id": name})


def test_another_payload_under_an_id_is_a_conflict_wherever_it_meets_the_first(
    tmp_path: Path,
) -> None:
    with asked(tmp_path) as where:
        at_once = ask_each_decided(where, payload("a"), payload("a", amount_minor=2))
        with deciding(where.logs), pytest.raises(ConflictError):
            ask(where, payload("a", amount_minor=3))
        with deciding(where.logs), pytest.raises(ConflictError):
            ask(where, payload("new"), payload("c"), payload("c", amount_minor=1))
    assert isinstance(at_once[0], list)
    assert isinstance(at_once[1], ConflictError)
    assert where.decided() == ["a"]


def ask_each_decided(where: Asked, *payloads: bytes) -> list[list[Answer] | BaseException]:
    """As `ask_each`, while a worker decides."""
    with deciding(where.logs):
        return ask_each(where, *payloads)


def test_the_worker_is_the_judge_of_what_nobody_remembers(tmp_path: Path) -> None:
    """A restart that reads no decisions back, and a store that is far behind."""
    with asked(tmp_path) as where, deciding(where.logs):
        ask(where, payload("a"))
        ask(where, *(payload(f"f{i}") for i in range(3)))
        where.asking._waiting._recent.clear()
        with pytest.raises(ConflictError):
            ask(where, payload("a", amount_minor=3))
    assert where.decided() == ["a", "f0", "f1", "f2"]


def test_what_is_no_transaction_is_refused_by_name_and_nothing_of_it_is_written(
    tmp_path: Path,
) -> None:
    with asked(tmp_path, now_ms=START) as where, deciding(where.logs):
        end = where.intake.end
        for wrong, why in (
            (b"{", "invalid_json"),
            (payload("a", currency=None), "missing_field.*currency"),
            (payload("a", amount_minor=-1), "negative_amount"),
            (payload("a", currency="XXQ"), "unknown_currency"),
            (payload("a", card_id=None), "no_holder"),
            (payload("a", event_time=START + 300_001), "ahead of our clock"),
            (b"\xff\xfe", "invalid_json"),
        ):
            with pytest.raises(InputError, match=why):
                ask(where, wrong)
        with pytest.raises(InputError, match="transaction 2 of 3: missing_field"):
            ask(where, payload("b"), payload("c", event_time=None), b"nonsense")
        assert where.intake.end == end
        good, bad = ask_each(where, payload("d"), b"[]")
    assert isinstance(good, list)
    assert isinstance(bad, InputError)
    assert where.decided() == ["d"]


def test_no_card_number_gets_into_the_logs_or_an_answer(tmp_path: Path) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        (answer,) = ask(
            where,
            payload(
                "a", card_id="4111 1111-1111 1111", merchant_name=f"shop {CARD}", note=CARD,
                category=f"paid with {CARD}", merchant_id=CARD,
            ),
        )  # fmt: skip
        (named,) = ask(where, payload(CARD, card_id=CARD))
        errors = []
        for wrong in (f'{{"card_id":"{CARD}"'.encode(), payload("b", currency=CARD)):
            with pytest.raises(InputError) as raised:
                ask(where, wrong)
            errors.append(str(raised.value))
    said = repr([answer, named, errors, [str(e) for e in where.told]]).encode()
    for place in (where.written(), said):
        assert CARD.encode() not in place.replace(b" ", b"").replace(b"-", b"")
    assert b"k1_" in where.written()
    assert where.decided()[0] == "a"
    assert named.transaction_id.startswith("k1_")


def test_past_the_time_out_the_answer_is_provisional_and_the_decision_follows(
    tmp_path: Path,
) -> None:
    with asked(tmp_path, timeout_ms=30) as where:
        first, second = ask(where, payload("a"), payload("b", country="JP"))
        (again,) = ask(where, payload("a"))
    assert plain(first) == ("a", "REVIEW", True, False)
    assert plain(second) == ("b", "REVIEW", True, False)
    assert (first.sequence, second.rule_hits) == (None, ("abroad",))
    assert again == first
    assert first.score is not None
    assert where.decided() == []
    with asked(tmp_path) as where, deciding(where.logs):
        after, _ = ask(where, payload("c"), payload("d"))
        assert where.answered.answered("b") == msgspec.json.decode(msgspec.json.encode(second))
        assert where.answered.answered("c") is None
    assert not after.is_provisional
    assert where.decided() == ["a", "b", "c", "d"]


def test_a_provisional_answer_is_replaced_for_who_asks_again_once_it_is_decided(
    tmp_path: Path,
) -> None:
    with asked(tmp_path, timeout_ms=2_000) as where:
        (late,) = ask(where, payload("a"))
        with deciding(where.logs):
            (decided,) = ask(where, payload("b"))
            (again,) = ask(where, payload("a"))
    assert (late.is_provisional, decided.is_provisional) == (True, False)
    assert plain(again) == ("a", "REVIEW", False, True)


def test_the_cards_last_known_features_are_part_of_a_provisional_answer(tmp_path: Path) -> None:
    """The one model was fitted on its first feature, `card_count_10m`: many mean fraud."""
    names = CATALOG.model_names
    import numpy as np

    vector = np.zeros(len(names), "<f4")
    vector[names.index("card_count_10m")] = 9.0
    asked_of: list[Sequence[str]] = []

    def latest_of(cards: Sequence[str]) -> list[Latest | None]:
        asked_of.append(cards)
        one = Latest(1, "x", START, "APPROVE", 1, CATALOG.hash, vector.tobytes())
        return [one if card == "hot" else None for card in cards]

    with asked(tmp_path, timeout_ms=30, latest_of=[latest_of]) as where:
        known, unknown = ask(where, payload("a", card_id="hot"), payload("b", card_id="cold"))
    assert asked_of == [["hot", "cold"]]
    assert known.probability_ppm is not None
    assert unknown.probability_ppm is not None
    assert known.probability_ppm > 3 * unknown.probability_ppm


def test_once_something_decides_the_first_provisional_answer_is_made_ready_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_warm, warm = Event(), ByOwnColumns.warm

    def warmed(own: ByOwnColumns) -> None:
        warm(own)
        is_warm.set()

    monkeypatch.setattr(ByOwnColumns, "warm", warmed)
    with asked(tmp_path, timeout_ms=30) as where:
        ask(where, payload("a"))
        assert not is_warm.is_set()
        with deciding(where.logs):
            assert is_warm.wait(60)
        assert where.told == []
    assert where.decided() == ["a"]


def test_a_log_that_takes_nothing_is_told_to_who_asks_and_the_next_one_may_succeed(
    tmp_path: Path,
) -> None:
    with asked(tmp_path) as where, deciding(where.logs):
        append = where.intake.append

        def full(*_: object) -> None:
            raise LogError("the disk is full")

        where.intake.append = full  # type: ignore[method-assign,assignment]
        with pytest.raises(UnreachableError, match="the disk is full"):
            ask(where, payload("a"))
        where.intake.append = append  # type: ignore[method-assign]
        (answer,) = ask(where, payload("a"))
    assert plain(answer) == ("a", "REVIEW", False, False)
    assert where.decided() == ["a"]


def test_what_nobody_thought_of_is_told_without_quoting_a_payment(tmp_path: Path) -> None:
    with asked(tmp_path) as where:

        def broken(_: object, payloads: Sequence[bytes]) -> None:
            raise RuntimeError(f"cannot write {payloads!r}")

        where.intake.append = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(LogError, match="asking failed \\(RuntimeError\\)") as failed:
            ask(where, payload("very-secret"))
    assert "very-secret" not in f"{failed.value} {where.told}"
