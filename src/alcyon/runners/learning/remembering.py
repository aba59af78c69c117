"""Remembering: the decisions log and the records it covers, as the history that is learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
import numpy as np

from alcyon.domain.columns import NULL_INT, Batch
from alcyon.domain.commit import Commit
from alcyon.domain.control import CHALLENGER, SetModel, SetPolicy, decode_control
from alcyon.domain.decision import CERTAIN_PPM, Action, ChallengerScore
from alcyon.domain.errors import InputError, LogError
from alcyon.domain.record import DeadLetter, Record, Topic
from alcyon.features.catalog import Catalog
from alcyon.learning.history import UNSCORED, Bounds, History, Recorded
from alcyon.learning.tenure import Tenure, followed
from alcyon.learning.trust import Trust
from alcyon.runners.projections.projection import Decoder
from alcyon.scoring.conduct import policy_version
from alcyon.scoring.decided import FUTURE, LATE
from alcyon.scoring.policy import Policy


class _Versions(msgspec.Struct, frozen=True):
    """As much of `Versions`."""

    catalog: str
    policy: str
    model: str
    rates: str
    challenger: str = "none"


class _Decision(msgspec.Struct, gc=False):
    """As much of a `Decision` as is learnt from."""

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    probability_ppm: int | None
    codes: tuple[str, ...]
    features: bytes
    versions: _Versions
    challenger: ChallengerScore | None = None
    propensity_ppm: int = CERTAIN_PPM


_decision = msgspec.json.Decoder(_Decision)
_dead_letter = msgspec.json.Decoder(DeadLetter)


class PolicyByVersion:
    """Policies that control records set, looked up again where a version is new.

    payloads: all control records there are.
    """

    def __init__(self, payloads: Callable[[], Sequence[bytes]]) -> None:
        self._payloads = payloads
        self._known = {policy_version(Policy()): Policy()}

    def of(self, version: str) -> Policy:
        """LogError: no control record sets it."""
        if version not in self._known:
            policies = filter(None, map(_policy, self._payloads()))
            self._known |= {policy_version(policy): policy for policy in policies}
        if version not in self._known:
            raise LogError(
                f"decisions name the policy {version}, and no control record sets it: keep control "
                "records for ever"
            )
        return self._known[version]


class Decoders(msgspec.Struct, frozen=True):
    """What makes of payloads what the worker made of them.

    transactions: by the version of the rate table that decisions name.
    """

    transactions: Callable[[str], Decoder]
    labels: Decoder
    policies: PolicyByVersion


class Memory:
    """What is known of the log so far, and where it goes on. Outlives the readers of the log."""

    def __init__(
        self, catalog: Catalog, trust: Trust | None = None, bounds: Bounds | None = None
    ) -> None:
        self._catalog = catalog
        self.history = History(len(catalog.model_names), trust, bounds)
        self.tenure: Tenure | None = None
        self.challenger = "none"
        """The version scored beside the champion, in the newest decision."""
        self.challenger_since = 0
        """Event time of the first decision beside which it was."""
        self.challenger_asked: str | None = None
        """The name in the newest control record about it."""
        self.policy = Policy()
        """That of the newest decision."""
        self.next_index: int | None = None
        """The first commit not taken; None before the first."""
        self.decisions = 0
        self.labels = 0
        self.foreign = 0
        """Decisions by another catalog, which teach nothing."""

    def take(
        self, first_index: int, commits: Sequence[Commit], records: Sequence[Record], by: Decoders
    ) -> None:
        """Commits that follow what was taken, and the records they cover.

        LogError: they do not belong together; nothing was taken.
        """
        decisions, base = _decisions(commits), commits[0].first_sequence
        parts = [
            self._recorded(part, [records[d.sequence - base] for d in part], by)
            for part in _runs(decisions)
        ]
        policies = [by.policies.of(versions.policy) for _, versions in parts]
        labels = _labels(commits, records, by.labels)
        for asked in filter(None, map(_challenger, records)):
            self.challenger_asked = asked.name
        for (recorded, versions), policy in zip(parts, policies, strict=True):
            self.add(recorded, versions.challenger, policy)
        if len(labels):
            self.history.tell(labels)
        self.decisions += len(decisions)
        self.labels += len(labels)
        self.next_index = first_index + len(commits)

    def _recorded(
        self, decisions: list[_Decision], records: list[Record], by: Decoders
    ) -> tuple[Recorded, _Versions]:
        """Decisions of the same versions."""
        versions = decisions[0].versions
        batch = by.transactions(versions.rates).decode([r.payload for r in records], ()).batch
        ids = [d.transaction_id for d in decisions]
        if batch.strings("transaction_id").to_list() != ids:
            raise LogError(
                f"decisions from {ids[0]} on are not on the records at {records[0].position}; this "
                "intake belongs to another decisions log"
            )
        amounts = np.asarray(batch.numbers("amount_base_minor"), np.int64)
        n_features = len(self._catalog.model_names)
        is_ours = versions.catalog == self._catalog.hash
        usable = [
            k for k, d in enumerate(decisions)
            if is_ours and LATE not in d.codes and FUTURE not in d.codes
        ]  # fmt: skip
        self.foreign += 0 if is_ours else len(decisions)
        return _columns([decisions[k] for k in usable], amounts[usable], n_features), versions

    def add(self, recorded: Recorded, challenger: str, policy: Policy) -> None:
        """Decisions beside that challenger, under that policy."""
        self.policy = policy
        if len(recorded) == 0:
            return
        if challenger != self.challenger:
            self.challenger = challenger
            self.challenger_since = int(recorded.event_time[0])
        self.tenure = followed(self.tenure, self.history.recorded, recorded, policy)
        self.history.add(recorded)


def _decisions(commits: Sequence[Commit]) -> list[_Decision]:
    try:
        return [_decision.decode(d) for commit in commits for d in commit.decisions]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogError(f"the decisions log holds what is no decision: {error}") from error


def _runs(decisions: Sequence[_Decision]) -> list[list[_Decision]]:
    return [list(part) for _, part in groupby(decisions, key=attrgetter("versions"))]


def _columns(decisions: list[_Decision], amounts: np.ndarray, n_features: int) -> Recorded:
    raw = b"".join(d.features for d in decisions)
    features = np.frombuffer(raw, "<f4").reshape(len(decisions), n_features)
    champion = [UNSCORED if d.probability_ppm is None else d.probability_ppm for d in decisions]
    beside = [UNSCORED if d.challenger is None else d.challenger.probability_ppm for d in decisions]
    return Recorded(
        transaction_id=[d.transaction_id for d in decisions],
        features=features,
        event_time=np.array([d.event_time for d in decisions], np.int64),
        amount_minor=np.where(amounts == NULL_INT, 0, amounts),
        action=np.array([Action(d.action).code for d in decisions], np.int8),
        propensity_ppm=np.array([d.propensity_ppm for d in decisions], np.int64),
        champion_ppm=np.array(champion, np.int64),
        challenger_ppm=np.array(beside, np.int64),
        champion=np.array([d.versions.model for d in decisions], "S16"),
        challenger=np.array([d.versions.challenger for d in decisions], "S16"),
    )


def _labels(commits: Sequence[Commit], records: Sequence[Record], decoder: Decoder) -> Batch:
    """Those that the worker took in."""
    base = commits[0].first_sequence
    dead = {_dead_letter.decode(d).sequence - base for c in commits for d in c.dead_letters}
    at = [k for k, record in enumerate(records) if record.topic is Topic.LABELS]
    refused = {n for n, k in enumerate(at) if k in dead}
    return decoder.decode([records[k].payload for k in at], refused).batch


def _challenger(record: Record) -> SetModel | None:
    """What a record says of the challenger."""
    if record.topic is not Topic.CONTROL:
        return None
    try:
        control = decode_control(record.payload)
    except InputError:  # a dead letter
        return None
    return control if isinstance(control, SetModel) and control.alias == CHALLENGER else None


def _policy(payload: bytes) -> Policy | None:
    try:
        control = decode_control(payload)
        if isinstance(control, SetPolicy):
            return msgspec.json.decode(control.policy, type=Policy)
    except (InputError, msgspec.DecodeError):  # it was refused then, too
        return None
    return None
