"""One run of traffic that the statistical tests look at."""

import pytest

from alcyon.simulation import ATTACKS, AttackMix, Scenario
from tests.simulation.whole_run import DAY_MS, Run, run_of


@pytest.fixture(scope="session")
def run() -> Run:
    """150,000 transactions over 40 days with much fraud, so that every attack is seen."""
    mix = AttackMix(dict.fromkeys(ATTACKS, 1.0))
    return run_of(
        Scenario(transactions=150_000, seed=11, duration_ms=40 * DAY_MS, fraud_rate=0.02, mix=mix)
    )
