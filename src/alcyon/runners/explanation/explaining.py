"""Explaining: why a decision is what it is, in facts and in words. It changes nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TimedOutError
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock, Timer
from typing import Any, Literal, Protocol

import numpy as np

from alcyon.domain.decision import Action, Decision
from alcyon.domain.errors import AlcyonError, SettingsError, StateError
from alcyon.domain.office.explanation import Counterfactual, Explanation, RuleShownHit
from alcyon.domain.office.searching import (
    DecisionShown,
    EntityKind,
    EntityShown,
    Habit,
    ReasonShown,
)
from alcyon.domain.projected import Stored
from alcyon.features.kernel import Kernel
from alcyon.runners.explanation.counterfactual import Trying
from alcyon.runners.explanation.habit_words import habit_words, headline
from alcyon.runners.explanation.state_before import Recording, Walk, nearest, walk_to
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.in_force import InForce
from alcyon.scoring.honest_changes import Row
from alcyon.scoring.model import Model
from alcyon.scoring.reasons import Explainer, text_of

Status = Literal["found", "none", "pending", "unavailable"]
ANSWERS_MAX = 1_000
"""Counterfactuals kept, and waiting, in all."""
WAIT_S = 4.0
"""How long a caller waits for one before it is told that it is pending."""
REST_S = 120.0
"""After so long without a question the state is let go."""
MODELS_MAX = 4
"""Models kept in memory: a name stands for the same bytes for ever."""
TOO_LARGE = "the state of that time is larger than explain.state_bytes_max: raise it"
RECORDS_MAX = 2_000_000
"""Records between the nearest snapshot and the transaction: about 30 s."""


class Reader(Protocol):
    """What explaining asks of `Searcher`."""

    def decision(self, transaction_id: str) -> DecisionShown | None: ...
    def entity(self, kind: EntityKind, entity_id: str) -> EntityShown | None: ...


class Writing(Protocol):
    """Puts an explanation into prose."""

    def of(
        self, explanation: Explanation, transaction: Mapping[str, Any]
    ) -> tuple[str, Literal["template", "model"]]:
        """(the prose, whose it is)."""
        ...


@dataclass(frozen=True)
class Answered:
    """What came of looking for a counterfactual."""

    status: Status
    why: str = ""
    counterfactual: Counterfactual | None = None


@dataclass(frozen=True)
class Past:
    """Where past states come from. Its readers are opened and used in one thread only.

    open: opens readers of both logs. new_kernel: without history. decision: as the store keeps it.
    earlier: approved payments of a card with a smaller sequence, the newest first.
    """

    open: Callable[[], AbstractContextManager[Recording]]
    means: Means
    new_kernel: Callable[[], Kernel]
    decision: Callable[[str], Decision | None]
    earlier: Callable[[str, int], Sequence[Row]]


EARLIER_MAX = 200
"""Decisions of a card that are looked at for what it did before."""


def earlier_of(
    of_card: Callable[[str, int], Sequence[Stored]], card: str, before: int
) -> list[Row]:
    """Approved payments of a card with a sequence below `before`, the newest first, from its
    newest decisions. of_card: `Store.decisions_of_card`."""
    return [
        stored.transaction
        for stored in of_card(card, EARLIER_MAX)
        if stored.decision.sequence < before and stored.decision.action == Action.APPROVE.value
    ]


class Counterfactuals:
    """Looks for them one after another, in a thread of its own; for several threads."""

    def __init__(self, past: Past, rest_s: float = REST_S) -> None:
        self._past, self._rest_s = past, rest_s
        self._load_model = lru_cache(MODELS_MAX)(past.means.load_model)
        self._thread = ThreadPoolExecutor(1, "counterfactual")
        self._answers: OrderedDict[str, Future[Answered]] = OrderedDict()
        self._lock = Lock()
        self._files = ExitStack()
        self._recording: Recording | None = None
        self._walk: Walk | None = None
        self._resting: Timer | None = None

    def of(self, shown: DecisionShown, wait_s: float = WAIT_S) -> Answered:
        """What is known after `wait_s`. An approved payment needs none."""
        if shown.line.action == Action.APPROVE.value:
            return Answered("none", "it was approved")
        future = self._asked(shown)
        if future is None:
            return Answered("pending", "many others are being looked for: ask again")
        try:
            return future.result(wait_s)
        except TimedOutError:
            return Answered("pending", "the state of that time is being restored: ask again")

    def known(self, shown: DecisionShown) -> Answered:
        """What was found before; nothing is looked for."""
        with self._lock:
            future = self._answers.get(shown.line.transaction_id)
        if future is not None and future.done():
            return future.result()
        return Answered("pending", "it was not asked for")

    def close(self) -> None:
        """Called once, last; what is looked for comes to its end first."""
        self._thread.shutdown(cancel_futures=True)
        if self._resting is not None:
            self._resting.cancel()
        self._let_go()

    def _asked(self, shown: DecisionShown) -> Future[Answered] | None:
        name = shown.line.transaction_id
        with self._lock:
            if (known := self._answers.get(name)) is not None:
                self._answers.move_to_end(name)
                return known
            if len(self._answers) >= ANSWERS_MAX:
                oldest = next((n for n, f in self._answers.items() if f.done()), None)
                if oldest is None:
                    return None
                del self._answers[oldest]
            future = self._thread.submit(self._answered, shown)
            self._answers[name] = future
            return future

    def _answered(self, shown: DecisionShown) -> Answered:
        if self._resting is not None:
            self._resting.cancel()
        try:
            return self._found(shown)
        except (AlcyonError, MemoryError) as error:
            self._let_go()
            self._forget(shown.line.transaction_id)
            too_large = isinstance(error, StateError | SettingsError | MemoryError)
            return Answered("unavailable", TOO_LARGE if too_large else str(error))
        finally:
            self._resting = Timer(self._rest_s, self._rest)
            self._resting.daemon = True
            self._resting.start()

    def _found(self, shown: DecisionShown) -> Answered:
        line, past = shown.line, self._past
        decision = past.decision(line.transaction_id)
        if decision is None:
            return Answered("unavailable", "the store does not hold the decision any more")
        walk = self._walk_to(line.sequence)
        if isinstance(walk, Answered):
            return walk
        standing = walk.before(line.sequence)
        trying = Trying(standing, standing.conduct(decision.versions, self._load_model))
        trying.check(decision)
        earlier = past.earlier(line.card_id, line.sequence) if line.card_id is not None else ()
        smallest = trying.smallest(earlier)
        if smallest is None:
            return Answered("none", "nothing on the grid would have been approved")
        return Answered("found", "", smallest[1])

    def _walk_to(self, sequence: int) -> Walk | Answered:
        if self._recording is None:
            self._recording = self._files.enter_context(self._past.open())
        begin = nearest(sequence, self._recording)
        walk = self._walk
        if walk is None or not begin <= walk.next_sequence <= sequence:
            self._walk = walk = None  # before the next one takes as much memory
            if sequence - begin > RECORDS_MAX:
                return Answered(
                    "unavailable",
                    f"{sequence - begin:,} records lie between the nearest snapshot and this one, "
                    f"at most {RECORDS_MAX:,} are read again",
                )
            walk = walk_to(sequence, self._past.new_kernel(), self._recording, self._past.means)
            self._walk = walk
        return walk

    def _forget(self, name: str) -> None:
        """What could not be had may be had later: it is looked for anew when asked again."""
        with self._lock:
            self._answers.pop(name, None)

    def _rest(self) -> None:
        with suppress(RuntimeError):  # it is closed
            self._thread.submit(self._let_go)

    def _let_go(self) -> None:
        """State and readers; they come back with the next question."""
        self._walk, self._recording = None, None
        self._files.close()


@dataclass(frozen=True)
class Explaining:
    """Implements `domain.office.ports.Explaining`; for several threads.

    in_force: what is in force now, for the names of rules. model_of: a model by its version, None
    where it cannot be had: for payments that were approved, whose reasons are not recorded.
    """

    reader: Reader
    in_force: Callable[[], InForce]
    model_of: Callable[[str], Model | None]
    counterfactuals: Counterfactuals
    writing: Writing
    _lock: Lock = field(default_factory=Lock)

    def explain(self, transaction_id: str, *, with_counterfactual: bool) -> Explanation | None:
        """None: there is no such decision."""
        shown = self.reader.decision(transaction_id)
        if shown is None:
            return None
        in_force = self.in_force()
        contributions = shown.reasons or self._made(shown)
        habit = self._habit(shown)
        sought = self.counterfactuals
        answered = sought.of(shown) if with_counterfactual else sought.known(shown)
        explanation = Explanation(
            transaction_id=shown.line.transaction_id,
            action=shown.line.action,
            score=shown.line.score,
            headline=headline(shown.line),
            log_odds=sum(r.log_odds for r in contributions) if contributions else None,
            contributions=sorted(contributions, key=lambda r: -abs(r.log_odds)),
            rule_hits=_hits(shown, in_force),
            habit=habit,
            habit_words=habit_words(shown, habit, in_force.rates.base),
            counterfactual=answered.counterfactual,
            counterfactual_status=answered.status,
            counterfactual_why=answered.why,
            prose="",
            prose_by="template",
        )
        prose, by = self.writing.of(explanation, shown.transaction)
        return replace(explanation, prose=prose, prose_by=by)

    def _habit(self, shown: DecisionShown) -> Habit | None:
        if shown.line.card_id is None:
            return None
        entity = self.reader.entity("card", shown.line.card_id)
        return None if entity is None else entity.habit

    def _made(self, shown: DecisionShown) -> list[ReasonShown]:
        """Reasons of a decision that recorded none, by the model that scored it; empty where that
        is gone, or says something else."""
        model = None if shown.line.score is None else self.model_of(shown.versions["model"])
        if model is None or set(model.feature_names) - set(shown.features):
            return []
        values = [shown.features[name] for name in model.feature_names]
        row = np.array([[np.nan if v is None else v for v in values]], np.float32)
        scores = model.score(row)
        if int(scores.probability_ppm[0]) != shown.probability_ppm:
            return []
        (reasons,) = Explainer.of(model).reasons(row, scores.log_odds)
        return [ReasonShown(r.code, text_of(r), r.feature, r.value, r.log_odds) for r in reasons]


def _hits(shown: DecisionShown, in_force: InForce) -> list[RuleShownHit]:
    """By the rules of now; one that is gone goes by its id."""
    rules = {rule.id: rule for rule in in_force.conduct.rules.rules}
    fired = [(i, True) for i in shown.rule_hits] + [(i, False) for i in shown.shadow_hits]
    return [
        RuleShownHit(
            rule_id,
            rules[rule_id].name if rule_id in rules else rule_id,
            rules[rule_id].action.value if rule_id in rules else "",
            is_live,
        )
        for rule_id, is_live in fired
    ]
