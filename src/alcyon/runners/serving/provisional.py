"""Provisional answers: what the caller is told where the log has not decided in time.

The champion scores this transaction's own columns with the card's last known features, then live
rules and the policy act as always; with neither model nor rule the fallback action stands. A new
kernel, without history, is made for each group, so no state is written, and the answer says nothing
of what the decision will be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np

from alcyon.codecs.avro import MixedTransactionDecoder
from alcyon.domain.columns import Batch
from alcyon.domain.decision import Action
from alcyon.domain.office.asking import Answer
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import Latest
from alcyon.features.compiled.observe import ACCEPTED
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.features.observed import Observed
from alcyon.runners.serving.admitting import Row
from alcyon.runners.serving.waiting import reasons_told
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.in_force import InForce
from alcyon.scoring.decided import Decided
from alcyon.scoring.verdict import act, explain, score

_LIMITS = Limits(state_bytes_max=2**27)
_NOBODYS = (
    b'{"transaction_id":"nobody\'s","event_time":1767225600000,"amount_minor":1,"currency":"EUR",'
    b'"card_id":"nobody\'s"}'
)
LatestOf = Callable[[Sequence[str]], Sequence[Latest | None]]
"""Each card's last decision, None where it is not known; StoreError: it is out of reach."""


class ByOwnColumns:
    """Makes provisional answers; for several threads.

    latest_of: asked in this order, the next for what the one before does not know.
    """

    def __init__(
        self,
        layout: Layout,
        means: Means,
        in_force: Callable[[], InForce],
        latest_of: Sequence[LatestOf],
    ) -> None:
        self._layout, self._means, self._in_force = layout, means, in_force
        self._latest_of = latest_of
        windowed = {feature.name for feature in layout.windowed}
        self._known = [(i, n) for i, n in enumerate(layout.catalog.model_names) if n in windowed]
        self._decoder: tuple[InForce, MixedTransactionDecoder] | None = None
        self._lock = Lock()

    def warm(self) -> None:
        """Answer on a payment that nobody made: what is loaded and compiled for the first answer
        takes as long as a thousand answers."""
        self.answers([Row("", _NOBODYS, 0)])

    def answers(self, rows: Sequence[Row]) -> list[Answer]:
        """One each, in order."""
        if not rows:
            return []
        with self._lock:
            return self._answers(rows)

    def _answers(self, rows: Sequence[Row]) -> list[Answer]:
        in_force = self._in_force()
        conduct = in_force.conduct
        decoded = self._decoder_of(in_force).decode([row.payload for row in rows], None)
        fallback = conduct.policy.fallback_action.value
        told = [_unscored(row.transaction_id, fallback) for row in rows]
        if len(decoded.batch):
            kernel = Kernel(self._layout, _LIMITS)
            kernel.read_also(conduct.transaction_columns)
            observed = kernel.observe(decoded.batch)
            observed.status[:] = ACCEPTED
            self._put_known(kernel, decoded.batch, observed)
            scored = score(conduct, observed, np.arange(len(decoded.batch)))
            acted = act(conduct, kernel, decoded.batch, observed, scored)
            made = explain(conduct, decoded.batch, observed, scored, acted)
            for at, row in enumerate(decoded.rows.tolist()):
                told[row] = _answer(made, at)
        return told

    def _decoder_of(self, in_force: InForce) -> MixedTransactionDecoder:
        if self._decoder is None or self._decoder[0].rates is not in_force.rates:
            self._decoder = in_force, self._means.transaction_decoder(in_force.rates)
        return self._decoder[1]

    def _put_known(self, kernel: Kernel, batch: Batch, observed: Observed) -> None:
        """Windows as the card's last decision saw them; expressions anew, over this payment."""
        if "card_id" not in batch or not self._known:
            return
        latest = self._latest(batch.strings("card_id").to_list())
        places = [observed.names.index(name) for _, name in self._known]
        numbers = [number for number, _ in self._known]
        size = len(self._layout.catalog.model_names)
        for at, one in enumerate(latest):
            if one is not None and one.catalog == self._layout.catalog.hash:
                vector = np.frombuffer(one.features, "<f4")
                if len(vector) == size:
                    observed.registers[places, at] = vector[numbers]
        kernel.derive(observed.registers)

    def _latest(self, cards: Sequence[str | None]) -> list[Latest | None]:
        known: dict[str, Latest] = {}
        for ask in self._latest_of:
            wanted = [card for card in dict.fromkeys(cards) if card and card not in known]
            try:
                found = ask(wanted) if wanted else ()
            except StoreError:  # the answer does with less
                continue
            known |= {c: one for c, one in zip(wanted, found, strict=True) if one is not None}
        return [None if card is None else known.get(card) for card in cards]


def _unscored(transaction_id: str, action: str) -> Answer:
    return Answer(transaction_id, action, None, None, (), (), True, False, None)


def _answer(made: Decided, at: int) -> Answer:
    parts = [(reason.code, reason.log_odds) for reason in made.reasons.get(at, ())]
    is_scored = bool(made.is_scored[at])
    return Answer(
        made.transaction_ids[at],
        Action.of_code(int(made.actions[at])).value,
        int(made.scores[at]) if is_scored else None,
        int(made.probability_ppm[at]) if is_scored else None,
        reasons_told(made.codes.get(at, ()), parts),
        made.rule_hits.get(at, ()),
        is_provisional=True,
        is_repeat=False,
        sequence=None,
    )
