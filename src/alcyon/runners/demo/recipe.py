"""The recipe: all that determines the demo's history and, with its sessions, its traffic."""

from __future__ import annotations

from pathlib import Path

import msgspec

from alcyon.domain.errors import InputError
from alcyon.scoring.policy import Costs
from alcyon.simulation import AttackMix, Population, Reporting, Scenario

DAY_MS = 86_400_000
_DECADE_MS = 10 * 365 * DAY_MS
COSTS = Costs(false_decline_share=0.1, false_decline_fixed_minor=1_000.0)
"""What mistakes cost: the model's thresholds and the scoreboard count alike."""
REVIEWS_SHARE = 0.01
"""Reviews that the analysts can do, as a share of the transactions."""
_ATTACKS = {
    "card_testing": 0.26, "stolen_card": 0.22, "account_takeover": 0.10,
    "impossible_travel": 0.18, "compromised_merchant": 0.05, "device_farm": 0.16,
    "bust_out": 0.02, "disputed": 0.01,
}  # fmt: skip
"""What the live thieves do; the model was trained on another mixture."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is simulated; `demo.json` keeps it."""

    seed: int
    now: int
    """UTC ms: where the history ends and the traffic begins."""
    cards: int = 100_000
    history_transactions: int = 720_000
    history_days: int = 36
    history_fraud_rate: float = 0.01
    trained_transactions: int = 180_000
    """The newest rows, old enough for their labels, that the model is trained on."""
    label_days: int = 3
    """How long after a payment its fraud is usually known."""
    traffic_fraud_rate: float = 0.008
    intensity: float = 1.5
    pace: float = 8.0
    """How many times faster than in the history the live attacks unfold."""

    def create_population(self) -> Population:
        """The people of history and traffic alike."""
        return Population.create(self.seed, self.cards)

    @property
    def history(self) -> Scenario:
        """What happened before."""
        return Scenario(
            transactions=self.history_transactions,
            seed=self.seed,
            start=self.now - self.history_days * DAY_MS,
            duration_ms=self.history_days * DAY_MS,
            fraud_rate=self.history_fraud_rate,
        )

    @property
    def history_reporting(self) -> Reporting:
        """Chargebacks within about two days: a demo has no months to wait."""
        return Reporting(seed=self.seed, delay_scale=0.1)

    @property
    def traffic_reporting(self) -> Reporting:
        """Analysts within minutes, issuers within the hour, chargebacks within hours."""
        return Reporting(seed=self.seed + 1, delay_scale=0.01)

    def traffic(self, start: int, rate: float | None) -> Scenario:
        """Traffic from `start` on: at `rate` per second, or as dense as the history."""
        mix = AttackMix(_ATTACKS, self.intensity, self.pace)
        daily = self.history_transactions / self.history_days
        return Scenario(
            transactions=round(daily * _DECADE_MS / DAY_MS) if rate is None else None,
            duration_ms=_DECADE_MS if rate is None else None,
            rate_per_s=rate,
            seed=self.seed + 1,
            start=start,
            fraud_rate=self.traffic_fraud_rate,
            mix=mix,
        )


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write it where it can be read by people too."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(recipe), indent=2) + b"\n")


def read_recipe(file: Path) -> Recipe:
    """Inverse of `write_recipe`; InputError for a file that another version wrote."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Recipe)
    except msgspec.DecodeError as error:
        raise InputError(f"{file}: {error}; remove its folder, it is made anew") from error
