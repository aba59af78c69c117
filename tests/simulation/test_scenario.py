from typing import Any

import pytest

from alcyon.domain.errors import InputError
from alcyon.simulation import AttackMix, Scenario


@pytest.mark.parametrize(
    "wrong",
    [
        {"transactions": 0},
        {"seed": -1},
        {"start": 0},
        {"duration_ms": 5},
        {"rate_per_s": 0.0},
        {"fraud_rate": 0.9},
        {"fraud_rate": float("nan")},
        {"drift": -0.1},
        {"disorder": 0.9},
        {"transactions": 10, "duration_ms": 10_000, "rate_per_s": 1.0},
    ],
)
def test_values_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Scenario(**wrong)


@pytest.mark.parametrize(
    "weights", [{"card_testng": 1.0}, {"bust_out": -1.0}, {"bust_out": 0.0}, {}]
)
def test_a_mix_needs_known_attacks_with_weight(weights: dict[str, float]) -> None:
    with pytest.raises(InputError):
        AttackMix(weights)


def test_drift_moves_the_mix_from_loud_to_quiet_attacks() -> None:
    mix = AttackMix()
    assert mix.shares(0.0).sum() == pytest.approx(1.0)
    assert mix.shares(1.0).sum() == pytest.approx(1.0)
    assert mix.shares(1.0)[0] < mix.shares(0.0)[0]  # card testing


def test_ids_start_otherwise_for_other_traffic_and_alike_for_equal() -> None:
    assert Scenario(seed=1, drift=0).tag == Scenario(seed=1, drift=0.0).tag
    tags = {
        Scenario(**changes).tag
        for changes in (
            {},
            {"seed": 1},
            {"start": 1_700_000_000_000},
            {"rate_per_s": 5.0},
            {"mix": AttackMix({"bust_out": 1.0})},
            {"drift": 0.5},
        )
    }  # fmt: skip
    assert len(tags) == 6
