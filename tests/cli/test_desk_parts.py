"""The desk's parts over a home: opened by the settings, they explain and change what decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from alcyon.cli.opening.desk_parts import Around, open_controlling, open_explaining
from alcyon.cli.opening.followed import LogFolder, following
from alcyon.cli.opening.parts import _writing
from alcyon.cli.opening.servers import registry
from alcyon.detectors.loading import Detector
from alcyon.domain.errors import SettingsError
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.office.ports import Searcher
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.explanation.prose import Prose
from alcyon.runners.stream.worker import Worker
from alcyon.settings import load_settings
from tests.runners.desk import Desk
from tests.runners.test_counterfactual import traffic
from tests.runners.test_explaining import StoreReader
from tests.runners.test_prose import EXPLANATION, HONEST, TRANSACTION, says, stub
from tests.runners.working import CATALOG, MEANS, RULES

ADA = Caller("ada", Role.ANALYST, "ada")


@pytest.fixture
def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("ALCYON_TOKEN__KEY", MEANS.keys.key.decode())
    with closing(Desk(home)) as desk:
        desk.append(traffic(3, 300))
        desk.decide(Worker.snapshot)
        yield desk


@pytest.fixture
def around(desk: Desk) -> Iterator[Around]:
    set_to, detector = load_settings(), Detector("small", CATALOG, "", None)
    reader: Any = StoreReader(desk.store())
    reader.labels = desk.labels_of
    with ExitStack() as files:
        follows = files.enter_context(closing(following(set_to, detector)))
        yield Around(
            set_to, detector, LogFolder.of(set_to), registry(set_to), follows,
            cast(Searcher, reader), lambda: SqliteStore(desk.folder / "store.sqlite"), files,
        )  # fmt: skip


def test_what_was_decided_is_explained(around: Around) -> None:
    explaining = open_explaining(around, Prose())
    reader = cast(Any, around.searcher)
    seen = set()
    for stored in reader.every()[::9]:
        found = explaining.explain(stored.decision.transaction_id, with_counterfactual=True)
        assert found is not None
        assert found.counterfactual_status in ("found", "none"), found.counterfactual_why
        assert (found.log_odds is None) == (stored.decision.score is None)
        seen.add(found.counterfactual_status)
    assert seen == {"found", "none"}


def test_what_decides_is_changed(desk: Desk, around: Around) -> None:
    controlling = open_controlling(around, desk.intake)
    assert controlling.backtest(RULES[0], "abroad", 1)["hits"] > 0
    controlling.apply("rules", {"text": RULES[1]}, ADA, "")
    assert [r["id"] for r in controlling.in_force()["rules"]["rules"]] == ["often", "risky"]
    label = {"transaction_id": "t1", "is_fraud": True, "source": "analyst"}
    assert controlling.label([label], ADA) == 1


def test_the_state_has_a_bound_of_its_own(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    assert around.new_kernel().limits.state_bytes_max == 8 * 2**30
    monkeypatch.setenv("ALCYON_KERNEL__STATE_BYTES_MAX", str(2**22))
    less = replace(around, set_to=load_settings())
    assert less.new_kernel().limits.state_bytes_max == 2**22


@pytest.mark.parametrize("may_be_private", [False, True])
def test_a_language_model_on_this_machine_is_asked_only_where_that_is_allowed(
    may_be_private: bool, home: Path
) -> None:
    heard: list[dict[str, Any]] = []
    outcomes = list[str]()
    with stub(says(HONEST, heard)) as url, ExitStack() as files:
        given = {"url": url, "hosts": ["127.0.0.1"], "may_be_private": may_be_private}
        writing = _writing(load_settings(home=home, prose=given), files, outcomes.append)
        _, by = writing.of(EXPLANATION, TRANSACTION)
    assert outcomes == ["told" if may_be_private else "failed"]
    assert (by, len(heard)) == (("model", 1) if may_be_private else ("template", 0))


def test_a_language_model_at_another_host_is_refused_at_once(home: Path) -> None:
    given = {"url": "https://models.example/v1", "hosts": ["other.example"]}
    with ExitStack() as files, pytest.raises(SettingsError, match="among prose"):
        _writing(load_settings(home=home, prose=given), files, lambda outcome: None)
