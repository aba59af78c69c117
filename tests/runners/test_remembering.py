"""The history is what the log says, however it is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import SetPolicy, encode_control
from alcyon.domain.decision import Action
from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryDecisions, MemorySource
from alcyon.runners.learning.remembering import Decoders, Memory, PolicyByVersion
from alcyon.runners.stream.rates import RatesByVersion
from alcyon.runners.stream.reading import Reading
from tests.runners.working import CATALOG, MEANS, POLICIES, Generator, Home


def read(home: Home, commits_max: int) -> Memory:
    """All of the log, so many commits at a time."""
    controls = [r.payload for r in home.records.records if r.topic is Topic.CONTROL]
    rates = RatesByVersion(lambda: controls)
    by = Decoders(
        lambda version: MEANS.transaction_decoder(rates.of(version)),
        MEANS.label_decoder(),
        PolicyByVersion(lambda: controls),
    )
    reading = Reading(MemoryDecisions(home.commits), MemorySource(home.records))
    memory = Memory(CATALOG)
    index = 0
    while commits := reading.commits(index, commits_max):
        memory.take(index, commits, reading.records(commits), by)
        index += len(commits)
        assert memory.next_index == index
    return memory


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("snapshots"))
    found.append(Generator(5).traffic(1_500))
    found.drained()
    return found


def test_it_holds_every_decision_on_a_scored_payment_as_the_log_has_it(home: Home) -> None:
    decided = decode(home.decisions())
    first = {d.transaction_id: d for d in reversed(decided)}
    wanted = [
        d for d in decided
        if d is first[d.transaction_id] and not {"late_transaction"} & set(d.codes)
    ]  # fmt: skip
    held = read(home, 3).history.recorded()
    assert held.transaction_id == [d.transaction_id for d in wanted]
    assert held.features.astype("<f4").tobytes() == b"".join(d.features for d in wanted)
    assert held.event_time.tolist() == [d.event_time for d in wanted]
    assert held.action.tolist() == [Action(d.action).code for d in wanted]
    assert held.propensity_ppm.tolist() == [d.propensity_ppm for d in wanted]
    ppm = [-1 if d.probability_ppm is None else d.probability_ppm for d in wanted]
    assert held.champion_ppm.tolist() == ppm
    beside = [-1 if d.challenger is None else d.challenger.probability_ppm for d in wanted]
    assert held.challenger_ppm.tolist() == beside
    assert any(p >= 0 for p in beside)
    assert held.champion.tolist() == [d.versions.model.encode() for d in wanted]
    assert (held.amount_minor > 0).all()


def test_it_is_the_same_however_it_is_read(home: Home) -> None:
    one, other = read(home, 1), read(home, 50)
    for name in ("features", "event_time", "amount_minor", "challenger"):
        assert np.array_equal(
            getattr(one.history.recorded(), name), getattr(other.history.recorded(), name),
            equal_nan=name == "features",
        )  # fmt: skip
    assert (one.labels, one.decisions, one.foreign) == (other.labels, other.decisions, 0)
    now = one.history.front + 10**9
    assert np.array_equal(one.history.known(now).is_fraud, other.history.known(now).is_fraud)
    assert one.history.known(now).is_fraud.any()
    assert one.challenger == other.challenger


def test_a_policy_is_found_by_its_version_and_refused_ones_are_passed_over() -> None:
    payloads = [b"{", encode_control(SetPolicy(msgspec.Raw(b'{"segments":{}}')))]
    payloads += [encode_control(SetPolicy(msgspec.Raw(msgspec.json.encode(p)))) for p in POLICIES]
    policies = PolicyByVersion(lambda: payloads)
    from alcyon.scoring.conduct import policy_version

    assert policies.of(policy_version(POLICIES[1])) == POLICIES[1]
    with pytest.raises(LogError, match="no control record sets it"):
        policies.of("0123456789ab")


def test_an_intake_of_another_log_is_told(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path)
    other.append(Generator(6).traffic(1_500))
    mixed = Home(tmp_path, other.records, home.commits)
    with pytest.raises(LogError, match="another decisions log"):
        read(mixed, 3)
