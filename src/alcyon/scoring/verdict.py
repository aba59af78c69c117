"""From features to decisions: score, rules, policy, reasons, on columns.

Rows here are those that get a decision: accepted, late and future ones, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.decision import Action, ChallengerScore, Reason
from alcyon.features.compiled.observe import ACCEPTED, FUTURE, LATE
from alcyon.features.kernel import Kernel
from alcyon.features.observed import Observed
from alcyon.features.tree import LISTED
from alcyon.scoring import decided
from alcyon.scoring.conduct import Conduct
from alcyon.scoring.decided import Decided
from alcyon.scoring.exploration import Explored, explore
from alcyon.scoring.model import Scores
from alcyon.scoring.policy import decide_actions


@dataclass(frozen=True, eq=False)
class Scored:
    """The model's part, for the m rows that get a decision."""

    rows: NDArray[np.int64]
    """int64[m]: where they stand in the batch."""
    features: NDArray[np.float32]
    log_odds: NDArray[np.float64]
    probability_ppm: NDArray[np.int64]
    score: NDArray[np.int64]
    members: NDArray[np.float32]
    member_names: tuple[str, ...]
    is_scored: NDArray[np.bool_]
    challenger: Scores | None = None
    """What the challenger says of the m rows."""


@dataclass(frozen=True, eq=False)
class Acted:
    """Rules and policy: int8[m] action codes and bool[rules, m] hits, and what was let through."""

    actions: NDArray[np.int8]
    hits: NDArray[np.bool_]
    explored: Explored


def score(conduct: Conduct, observed: Observed, rows: NDArray[np.int64]) -> Scored:
    """Score accepted rows; late and future ones, and all without a model, stay unscored."""
    vectors = observed.vectors()
    features = vectors if len(rows) == len(vectors) else vectors[rows]
    m = len(rows)
    beside = None if conduct.challenger is None else conduct.challenger.score(features)
    if conduct.model is None or m == 0:
        zeros = np.zeros(m, np.int64)
        return Scored(
            rows, features, np.zeros(m), zeros, zeros, np.empty((m, 0), np.float32), (),
            np.zeros(m, np.bool_), beside,
        )  # fmt: skip
    scores = conduct.model.score(features)
    is_scored = scores.usable & (observed.status[rows] == ACCEPTED)
    return Scored(
        rows, features, scores.log_odds, scores.probability_ppm, scores.score, scores.members,
        conduct.model.member_names, is_scored, beside,
    )  # fmt: skip


def act(
    conduct: Conduct, kernel: Kernel, batch: Batch, observed: Observed, scored: Scored
) -> Acted:
    """Policy, then rules; late rows are at least REVIEW, unscored ones take the fallback."""
    rules = conduct.rules
    inputs = _rule_inputs(conduct, batch, observed, scored)
    hits = rules.hits(inputs, kernel.literals(rules.program.strings))
    by_policy = decide_actions(conduct.policy, scored.probability_ppm, scored.is_scored)
    status = observed.status[scored.rows]
    by_policy[status == LATE] = Action.APPROVE.code
    actions = rules.actions(by_policy, hits)
    explored = Explored()
    if conduct.policy.exploration.share_ppm:
        approved = np.full(len(actions), Action.APPROVE.code, np.int8)
        by_rules = np.where(scored.is_scored, rules.actions(approved, hits), actions)
        explored = explore(conduct.policy.exploration, batch, scored.rows, actions, by_rules)
    if status.any():  # not all of them ACCEPTED, which is 0
        late = status == LATE
        actions[late] = np.maximum(actions[late], Action.REVIEW.code)
        actions[status == FUTURE] = conduct.policy.fallback_action.code
    return Acted(actions, hits, explored)


class _Wanted(NamedTuple):
    """Where the rules' inputs come from."""

    targets: NDArray[np.intp]
    """Inputs that are registers …"""
    sources: NDArray[np.intp]
    """… and which ones."""
    listed: tuple[tuple[int, str, str], ...]
    """(input, list, column)."""
    scores: tuple[tuple[int, str], ...]
    """(input, name)."""


@lru_cache(maxsize=16)
def _wanted(inputs: tuple[str, ...], registers: tuple[str, ...]) -> _Wanted:
    places = {name: i for i, name in enumerate(registers)}
    prefix = f"{LISTED}:"
    named = [(i, name) for i, name in enumerate(inputs) if name not in places]
    return _Wanted(
        np.array([i for i, name in enumerate(inputs) if name in places], np.intp),
        np.array([places[name] for name in inputs if name in places], np.intp),
        tuple((i, *n.removeprefix(prefix).split(":", 1)) for i, n in named if n.startswith(prefix)),  # type: ignore[misc]
        tuple((i, name) for i, name in named if not name.startswith(prefix)),
    )


def _rule_inputs(
    conduct: Conduct, batch: Batch, observed: Observed, scored: Scored
) -> NDArray[np.float64]:
    """float64[k, m] for the rules' program: registers, scores, lists."""
    names, rows = conduct.rules.program.inputs, scored.rows
    wanted = _wanted(names, observed.names)
    inputs = np.empty((len(names), len(rows)))
    registers = observed.registers[wanted.sources]
    whole = len(rows) == len(observed.status)
    inputs[wanted.targets] = registers if whole else registers[:, rows]
    times = np.asarray(batch.numbers("event_time"), np.int64)
    for i, list_name, column in wanted.listed:
        values = batch.columns.get(column)
        strings = values if isinstance(values, Strings) else None
        if strings is not None and strings.valid is None and not conduct.lists.entries:
            inputs[i] = 0.0
        else:
            inputs[i] = conduct.lists.listed(list_name, column, strings, times)[rows]
    for i, name in wanted.scores:
        inputs[i] = np.where(scored.is_scored, _score_named(scored, name), np.nan)
    return inputs


def _score_named(scored: Scored, name: str) -> NDArray[np.generic]:
    if name == "score":
        return scored.score
    if name == "probability_ppm":
        return scored.probability_ppm
    if name in scored.member_names:
        return scored.members[:, scored.member_names.index(name)]
    return np.full(len(scored.rows), np.nan)


def explain(
    conduct: Conduct, batch: Batch, observed: Observed, scored: Scored, acted: Acted
) -> Decided:
    """Put the decisions together; reasons for those that are not approved."""
    rows = scored.rows
    ids = batch.strings("transaction_id").to_list()
    chosen = ids if len(rows) == len(ids) else [ids[i] for i in rows.tolist()]
    live, shadow = _hit_ids(conduct, acted.hits)
    return Decided(
        transaction_ids=[i or "" for i in chosen],
        sequences=observed.sequences[rows],
        event_times=np.asarray(batch.numbers("event_time"), np.int64)[rows],
        actions=acted.actions,
        scores=scored.score,
        probability_ppm=scored.probability_ppm,
        is_scored=scored.is_scored,
        members=scored.members,
        member_names=scored.member_names,
        codes=_codes(conduct, observed.status[rows], scored, live, acted.explored),
        rule_hits=live,
        shadow_hits=shadow,
        reasons=_reasons(conduct, scored, acted),
        features=scored.features,
        versions=conduct.versions,
        challenger=_challenged(scored, observed.status[rows]),
        propensity_ppm=acted.explored.propensity_ppm,
    )


def _challenged(scored: Scored, status: NDArray[np.int64]) -> dict[int, ChallengerScore]:
    beside = scored.challenger
    if beside is None:
        return {}
    rows = np.flatnonzero(beside.usable & (status == ACCEPTED))
    said = zip(beside.score[rows].tolist(), beside.probability_ppm[rows].tolist(), strict=True)
    return dict(zip(rows.tolist(), starmap(ChallengerScore, said), strict=True))


def _hit_ids(
    conduct: Conduct, hits: NDArray[np.bool_]
) -> tuple[dict[int, tuple[str, ...]], dict[int, tuple[str, ...]]]:
    """Ids of live and shadow rules that fired, by row, by precedence."""
    live: dict[int, tuple[str, ...]] = {}
    shadow: dict[int, tuple[str, ...]] = {}
    if not hits.any():
        return live, shadow
    is_live, rules = conduct.rules.is_live.tolist(), conduct.rules.evaluated
    for row, rule in np.argwhere(hits.T).tolist():
        to = live if is_live[rule] else shadow
        to[row] = (*to.get(row, ()), rules[rule].id)
    return live, shadow


def _codes(
    conduct: Conduct,
    status: NDArray[np.int64],
    scored: Scored,
    live: dict[int, tuple[str, ...]],
    explored: Explored,
) -> dict[int, tuple[str, ...]]:
    """Codes beside the model's, by row: what failed first, then the rules' reasons."""
    codes: dict[int, tuple[str, ...]] = {}
    if not scored.is_scored.all():
        unscored = decided.MODEL_MISSING if conduct.model is None else decided.MODEL_FAILED
        of_status = {LATE: decided.LATE, FUTURE: decided.FUTURE}
        for row in np.flatnonzero(~scored.is_scored).tolist():
            codes[row] = (of_status.get(int(status[row]), unscored),)
    codes |= dict.fromkeys(explored.through, (decided.EXPLORED,))
    reason_of = {rule.id: rule.reason_code for rule in conduct.rules.evaluated} if live else {}
    for row, ids in live.items():
        codes[row] = (*codes.get(row, ()), *dict.fromkeys(reason_of[i] for i in ids))
    return codes


def _reasons(conduct: Conduct, scored: Scored, acted: Acted) -> dict[int, tuple[Reason, ...]]:
    if conduct.explainer is None:
        return {}
    wanted = np.flatnonzero(scored.is_scored & (acted.actions != Action.APPROVE.code))
    if len(wanted) == 0:
        return {}
    named = conduct.explainer.reasons(scored.features[wanted], scored.log_odds[wanted])
    return dict(zip(wanted.tolist(), named, strict=True))
