"""simulate(): a scenario becomes slices of transactions with their truth, in order of arrival.

Traffic is made in chunks of about CHUNK_ROWS rows. A chunk draws its randomness from the run's
seed and the chunk's number, so it does not matter how the caller wants its slices cut. Attacks are
planned by the chunk in which their abuse begins; rows that come later wait in `pending`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from alcyon.domain.columns import Batch
from alcyon.domain.errors import InputError
from alcyon.simulation.activity import MINUTE_MS, SECOND_MS
from alcyon.simulation.attacks import ATTACKS
from alcyon.simulation.campaign import Campaign
from alcyon.simulation.clockwork import Clockwork
from alcyon.simulation.population import Population
from alcyon.simulation.purchases import FOLLOWERS, Season, followers, settle, visits
from alcyon.simulation.rendering import Renderer
from alcyon.simulation.rows import Rows, Visits
from alcyon.simulation.scenario import Scenario

SLICE_ROWS_MAX = 200_000


@dataclass(frozen=True, eq=False)
class Slice:
    """Some transactions in order of arrival, and the truth about them, row by row.

    transactions: canonical columns. truth: transaction_id, is_fraud (0 or 1), attack (null for
    genuine traffic).
    """

    transactions: Batch
    truth: Batch

    def __len__(self) -> int:
        return len(self.transactions)


def simulate(
    scenario: Scenario, population: Population | None = None, slice_rows: int = 65_536
) -> Iterator[Slice]:
    """The scenario's traffic, lazily, in slices of 1 … `slice_rows` rows; endless if it is.

    The same scenario and population give the same bytes, whatever `slice_rows`. Rows are in order
    of event time, but for the share `disorder`. Without a population one of fitting size is made
    from the scenario's seed.
    Raises InputError when `slice_rows` is outside 1 … 200,000 or the span leaves the century.
    """
    if not 1 <= slice_rows <= SLICE_ROWS_MAX:
        raise InputError(f"slice_rows {slice_rows} is outside 1 … {SLICE_ROWS_MAX}")
    people = population or scenario.create_population()
    clockwork = Clockwork(scenario, people)
    return _slices(scenario, people, clockwork, slice_rows)


def _slices(
    scenario: Scenario, people: Population, clockwork: Clockwork, slice_rows: int
) -> Iterator[Slice]:
    renderer, first = Renderer(people, scenario.tag, ATTACKS), 0
    for rows in _chunks(scenario, people, clockwork):
        transactions, truth = renderer.transactions(rows, first), renderer.truth(rows, first)
        first += len(rows)
        for at in range(0, len(rows), slice_rows):
            end = at + slice_rows
            yield Slice(transactions.slice(at, end), truth.slice(at, end))


def _chunks(scenario: Scenario, people: Population, clockwork: Clockwork) -> Iterator[Rows]:
    campaign = Campaign(scenario, people, clockwork)
    pending, done, drawn, left_over = Rows.none(), 0, 0, 0
    for number, (start, stop) in enumerate(clockwork.chunks()):
        seed = [scenario.seed, int(scenario.tag, 16), 4, number]
        rng = np.random.Generator(np.random.SFC64(seed))
        season = Season(clockwork.progress(start))
        attacks = campaign.plan(rng, start, stop, season.progress)
        pending = Rows.joined([pending, _delayed(rng, attacks, scenario, clockwork)])
        wanted = clockwork.expected(stop) - done
        # As many rows will be left over for the next chunk as were in the chunk before.
        spare = 0 if stop == clockwork.stop else left_over
        fill = max(0, wanted + spare - int((pending.arrival < stop).sum()))
        leaders = fill - int(fill * FOLLOWERS)
        card, time = clockwork.draw(rng, (start, stop), leaders, drawn, season.hours_ms)
        visit = _outings(rng, people, visits(rng, people, card, time, season), fill)
        if number == 0 or stop == clockwork.stop:
            visit = _wrapped(visit, start, stop)
        life = _delayed(rng, settle(rng, people, visit, season), scenario, clockwork)
        everything = Rows.joined([pending, life])
        left_over = int((life.arrival >= stop).sum())
        is_due = everything.arrival < stop
        pending, due = everything.take(~is_due), everything.take(is_due)
        rows = due.take(np.argsort(due.arrival, kind="stable"))
        if stop == clockwork.stop:
            rows = rows.take(np.arange(min(len(rows), wanted)))
        done, drawn = done + len(rows), drawn + leaders
        yield rows


def _outings(rng: np.random.Generator, people: Population, visit: Visits, total: int) -> Visits:
    """`total` visits: these, and followers of some of them."""
    if total == len(visit):
        return visit
    return Visits.joined([visit, followers(rng, people, visit, total - len(visit))])


def _wrapped(visit: Visits, start: int, stop: int) -> Visits:
    """With a copy of what leaves the interval at its beginning.

    The first chunk has no chunk before it to follow, and nothing comes after the last: so their
    numbers of rows are right, too.
    """
    beyond = visit.take(visit.time >= stop)
    again = replace(beyond, time=start + (beyond.time - start) % (stop - start))
    return Visits.joined([visit, again])


def _delayed(
    rng: np.random.Generator, rows: Rows, scenario: Scenario, clockwork: Clockwork
) -> Rows:
    """Some rows arrive seconds to minutes after their event time, none after the span's end."""
    if scenario.disorder == 0 or len(rows) == 0:
        return rows
    late = np.flatnonzero(rng.random(len(rows)) < scenario.disorder)
    arrival = rows.time.copy()
    delay = np.exp(rng.normal(np.log(40.0), 1.3, len(late))) * SECOND_MS
    arrival[late] += delay.astype(np.int64).clip(SECOND_MS, 30 * MINUTE_MS)
    if clockwork.stop is not None:
        inside = rows.time < clockwork.stop
        arrival = np.where(inside, np.minimum(arrival, clockwork.stop - 1), arrival)
    return replace(rows, arrival=arrival)
