"""An explanation adds up, says what was, and changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from alcyon.domain.errors import ModelError
from alcyon.domain.office.searching import (
    DecisionShown,
    EntityKind,
    EntityShown,
    Habit,
    Line,
    ReasonShown,
)
from alcyon.domain.projected import Stored
from alcyon.features.kernel import Kernel, Limits
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.explanation import explaining as module
from alcyon.runners.explanation.explaining import Counterfactuals, Explaining, Past, earlier_of
from alcyon.runners.explanation.prose import Prose
from alcyon.runners.explanation.state_before import embedded_recording
from alcyon.runners.stream.in_force import InForce
from alcyon.runners.stream.worker import Worker
from alcyon.scoring.model import Model
from alcyon.scoring.reasons import text_of
from tests.runners.desk import Desk
from tests.runners.test_counterfactual import traffic
from tests.runners.working import CATALOG, LAYOUT, LIMITS, load_model

HABIT = Habit(40, 1.3, 2_300, ["DE", "FR"], ["m1"], [], [])


@dataclass
class StoreReader:
    """What `Searcher` makes of a store, as far as explaining asks for it."""

    store: SqliteStore

    def decision(self, transaction_id: str) -> DecisionShown | None:
        found = [s for s in self.every() if s.decision.transaction_id == transaction_id]
        return shown_of(found[0]) if found else None

    def entity(self, kind: EntityKind, entity_id: str) -> EntityShown | None:
        assert kind == "card"
        none = Habit(0, 0.0, None, [], [], [], [])
        return EntityShown(kind, entity_id, "low", None, 1, 0, 0, HABIT, none, {}, [], [], [])

    def every(self) -> list[Stored]:
        return self.store.decisions_between(0, 2**62, 10**6)


def shown_of(stored: Stored) -> DecisionShown:
    d, t = stored.decision, stored.transaction
    line = Line(
        d.sequence, d.transaction_id, d.event_time, d.action, d.score, "", "",
        int(t["amount_minor"]), str(t["currency"]), _int(t.get("amount_base_minor")),
        _text(t.get("card_id")), _text(t.get("merchant_id")), None, _text(t.get("country")), None,
        None, None, None,
    )  # fmt: skip
    values = np.frombuffer(d.features, "<f4").tolist()
    features = {
        name: None if np.isnan(v) else v
        for name, v in zip(CATALOG.model_names, values, strict=True)
    }
    reasons = [ReasonShown(r.code, text_of(r), r.feature, r.value, r.log_odds) for r in d.reasons]
    return DecisionShown(
        line, d.probability_ppm, d.members, list(d.codes), list(d.rule_hits), list(d.shadow_hits),
        reasons, features, msgspec.to_builtins(d.versions), None, d.propensity_ppm, dict(t), [],
    )  # fmt: skip


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@dataclass
class Explained:
    """A desk with an explanation of each of its decisions."""

    desk: Desk
    files: ExitStack = field(default_factory=ExitStack)
    opened: int = 0
    kernels: int = 0
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        self.store = self.desk.store()
        self.reader = StoreReader(self.store)
        self.in_force: InForce = self.desk.following().now()

    def explaining(self, **given: Any) -> Explaining:
        return Explaining(
            self.reader,
            lambda: self.in_force,
            self.model_of,
            self.counterfactuals(**given),
            Prose(),
        )

    def model_of(self, version: str) -> Model | None:
        return next((m for m in map(load_model, ("m1", "m2")) if m.version == version), None)

    def counterfactuals(
        self, load: Callable[[str], Model] = load_model, rest_s: float = 100.0
    ) -> Counterfactuals:
        folder = self.desk.folder
        snapshots: Sequence[Path] = (folder / "snapshots",)

        def opened() -> Any:
            self.opened += 1
            return embedded_recording(folder / "intake", folder / "decisions", snapshots)

        def new_kernel() -> Kernel:
            self.kernels += 1
            return Kernel(LAYOUT, self.limits)

        past = Past(
            opened,
            replace(self.desk.means, load_model=load),
            new_kernel,
            self.store.decision,
            lambda card, before: earlier_of(self.store.decisions_of_card, card, before),
        )
        return self.files.enter_context(closing(Counterfactuals(past, rest_s)))

    def stored(self, *actions: str) -> list[Stored]:
        """In the order of arrival."""
        every = sorted(self.reader.every(), key=lambda s: s.decision.sequence)
        return [s for s in every if not actions or s.decision.action in actions]


@pytest.fixture
def explained(tmp_path: Path) -> Iterator[Explained]:
    with closing(Desk(tmp_path)) as desk:
        records = traffic(3, 400)
        desk.append(records[:250])
        desk.decide(Worker.snapshot)
        desk.append(records[250:])
        desk.decide()
        explained = Explained(desk)
        with explained.files:
            yield explained


def test_the_contributions_add_up_to_the_scores_log_odds(explained: Explained) -> None:
    """Those of approved payments too, which recorded none."""
    explaining, seen = explained.explaining(), set[str]()
    for stored in explained.stored():
        decision = stored.decision
        found = explaining.explain(decision.transaction_id, with_counterfactual=False)
        assert found is not None
        if decision.probability_ppm is None:
            assert (found.contributions, found.log_odds) == ([], None)
            continue
        assert found.log_odds is not None
        assert abs(sum(c.log_odds for c in found.contributions) - found.log_odds) < 1e-9
        assert abs(1e6 / (1 + exp(-found.log_odds)) - decision.probability_ppm) < 0.51
        sizes = [abs(c.log_odds) for c in found.contributions]
        assert sizes == sorted(sizes, reverse=True)
        seen.add(decision.action)
    assert {"APPROVE", "DECLINE", "REVIEW"} <= seen


def test_without_its_model_an_approved_payment_has_no_contributions(explained: Explained) -> None:
    explaining = replace(explained.explaining(), model_of=lambda version: None)
    approved = explained.stored("APPROVE")[0].decision.transaction_id
    found = explaining.explain(approved, with_counterfactual=True)
    assert found is not None
    assert (found.contributions, found.log_odds) == ([], None)
    assert (found.counterfactual_status, found.counterfactual_why) == ("none", "it was approved")


def test_rules_are_shown_by_name(explained: Explained) -> None:
    explaining = explained.explaining()
    decision = next(s.decision for s in explained.stored() if "abroad" in s.decision.rule_hits)
    found = explaining.explain(decision.transaction_id, with_counterfactual=False)
    assert found is not None
    hits = {hit.rule_id: hit for hit in found.rule_hits}
    assert hits.keys() == set(decision.rule_hits)
    assert (hits["abroad"].name, hits["abroad"].action, hits["abroad"].is_live) == (
        "abroad", "REVIEW", True,
    )  # fmt: skip
    assert found.habit == HABIT
    assert found.headline.endswith(" · DECLINED") or found.headline.endswith(" · REVIEW")
    assert found.prose.startswith(found.headline)
    assert found.prose_by == "template"


def test_nobody_knows_it(explained: Explained) -> None:
    assert explained.explaining().explain("t-none", with_counterfactual=True) is None


def test_each_refusal_gets_its_counterfactual_and_nothing_is_written(explained: Explained) -> None:
    explaining, folder = explained.explaining(), explained.desk.folder
    before = contents(folder)
    statuses = set()
    refused = explained.stored("DECLINE", "REVIEW")[::8]
    for stored in [*refused, *reversed(refused)]:
        found = explaining.explain(stored.decision.transaction_id, with_counterfactual=True)
        assert found is not None
        assert found.counterfactual_status in ("found", "none"), found.counterfactual_why
        assert (found.counterfactual is not None) == (found.counterfactual_status == "found")
        statuses.add(found.counterfactual_status)
        again = explaining.explain(stored.decision.transaction_id, with_counterfactual=False)
        assert again == found, "what is known is told without being asked for"
    assert statuses == {"found", "none"}
    assert contents(folder) == before
    assert explained.kernels <= 3, "in the order of arrival one walk does for many"


def contents(folder: Path) -> dict[str, bytes]:
    files = [f for f in folder.rglob("*") if f.is_file() and "sqlite" not in f.name]
    return {str(file): file.read_bytes() for file in files}


def test_until_it_is_asked_for_it_is_pending(explained: Explained) -> None:
    declined = explained.stored("DECLINE")[0].decision.transaction_id
    found = explained.explaining().explain(declined, with_counterfactual=False)
    assert found is not None
    assert (found.counterfactual_status, found.counterfactual) == ("pending", None)
    assert explained.opened == 0


def test_what_takes_long_is_pending_and_then_there(explained: Explained) -> None:
    may_go = threading.Event()

    def slow(name: str) -> Model:
        may_go.wait(60)
        return load_model(name)

    counterfactuals = explained.counterfactuals(load=slow)
    shown = shown_of(explained.stored("DECLINE")[0])
    assert counterfactuals.of(shown, wait_s=0.05).status == "pending"
    assert counterfactuals.known(shown).status == "pending"
    may_go.set()
    assert counterfactuals.of(shown, wait_s=60).status in ("found", "none")


def test_no_more_than_so_many_wait(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 2)
    may_go = threading.Event()

    def slow(name: str) -> Model:
        may_go.wait(60)
        return load_model(name)

    counterfactuals = explained.counterfactuals(load=slow)
    shown = [shown_of(stored) for stored in explained.stored("DECLINE")[:4]]
    whys = [counterfactuals.of(one, wait_s=0.01).why for one in shown]
    assert [w.startswith("many others") for w in whys] == [False, False, True, True]
    may_go.set()
    for one in shown:
        assert counterfactuals.of(one, wait_s=60).status in ("found", "none")
    assert counterfactuals.known(shown[0]).status == "pending", "the oldest was let go"


def test_a_model_that_is_gone_is_told_and_asked_for_again(explained: Explained) -> None:
    is_gone = True

    def load(name: str) -> Model:
        if is_gone:
            raise ModelError(f"model {name} was removed")
        return load_model(name)

    counterfactuals = explained.counterfactuals(load=load)
    shown = shown_of(explained.stored("DECLINE")[0])
    found = counterfactuals.of(shown, wait_s=60)
    assert (found.status, found.why) == ("unavailable", "model m1 was removed")
    is_gone = False
    assert counterfactuals.of(shown, wait_s=60).status in ("found", "none")


def test_a_state_that_is_too_large_is_told(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explained, "limits", Limits(state_bytes_max=2**16))
    behind = explained.stored("DECLINE")[-1]
    found = explained.counterfactuals().of(shown_of(behind), wait_s=60)
    assert (found.status, found.why) == ("unavailable", module.TOO_LARGE)


def test_one_too_far_from_a_snapshot_is_told(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 5)
    far = explained.stored("DECLINE")[60]
    found = explained.counterfactuals().of(shown_of(far), wait_s=60)
    assert found.status == "unavailable"
    assert "records lie between" in found.why


def test_another_record_than_the_recorded_one_is_told(explained: Explained) -> None:
    """A store of another log, say."""
    one, other = (shown_of(s) for s in explained.stored("DECLINE")[:2])
    mixed = replace(one, line=replace(one.line, sequence=other.line.sequence))
    found = explained.counterfactuals().of(mixed, wait_s=60)
    assert found.status == "unavailable"


def test_at_rest_the_state_is_let_go_and_comes_back(explained: Explained) -> None:
    counterfactuals = explained.counterfactuals(rest_s=0.01)
    first, second = (shown_of(s) for s in explained.stored("DECLINE")[:2])
    counterfactuals.of(first, wait_s=60)
    is_resting = threading.Event()
    while counterfactuals._walk is not None:
        is_resting.wait(0.01)
    assert counterfactuals.of(second, wait_s=60).status in ("found", "none")
    assert explained.opened == 2
