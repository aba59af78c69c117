from __future__ import annotations

import numpy as np

from alcyon.detectors import card
from alcyon.domain.decision import Reason
from alcyon.scoring.reasons import (
    BASE_RATE,
    OTHER_FEATURES,
    REASONS_MAX,
    Explainer,
    code_of,
    reason_codes,
    text_of,
)
from tests.learning.synthetic import NAMES, model, recorded


def explained(n: int) -> tuple[np.ndarray, np.ndarray, list[tuple[Reason, ...]]]:
    rows = recorded(n)
    log_odds = model().score(rows).log_odds
    return rows, log_odds, Explainer.of(model()).reasons(rows, log_odds)


def test_reasons_add_up_to_the_log_odds() -> None:
    _, log_odds, found = explained(500)
    sums = [sum(r.log_odds for r in reasons) for reasons in found]
    np.testing.assert_allclose(sums, log_odds, rtol=0, atol=1e-9)


def test_up_to_four_codes_that_raise_the_risk_come_first_and_largest_first() -> None:
    for reasons in explained(500)[2]:
        named, rest = reasons[:-2], [r.code for r in reasons[-2:]]
        parts = [r.log_odds for r in named]
        assert rest == [OTHER_FEATURES, BASE_RATE]
        assert len(named) <= REASONS_MAX
        assert parts == sorted(parts, reverse=True)
        assert all(p > 0 for p in parts)


def test_a_reason_is_the_sum_over_its_features_and_names_the_largest() -> None:
    rows, log_odds, found = explained(300)
    parts = model().contributions(rows, log_odds).parts
    codes = np.array([code_of(name) for name in NAMES])
    for i, reasons in enumerate(found):
        for reason in reasons[:-2]:
            mine = np.flatnonzero(codes == reason.code)
            assert abs(parts[i, mine].sum() - reason.log_odds) < 1e-12
            leading = mine[np.argmax(parts[i, mine])]
            assert reason.feature == NAMES[leading]
            value = rows[i, leading]
            assert reason.value == (None if np.isnan(value) else float(value))


def test_no_rows_have_no_reasons() -> None:
    empty = np.empty((0, len(NAMES)), np.float32)
    assert Explainer.of(model()).reasons(empty, np.empty(0)) == []


def test_codes_are_snake_case_and_used_once() -> None:
    codes = [r.code for r in reason_codes()]
    assert len(set(codes)) == len(codes)
    assert all(c.replace("_", "").isalnum() and c == c.lower() for c in codes)
    assert not {BASE_RATE, OTHER_FEATURES} & set(codes)


def test_features_of_the_card_catalog_have_their_codes() -> None:
    expected = {
        "card_count_10m": "velocity_card_1h",
        "card_count_1h": "velocity_card_1h",
        "card_count_10m_prior": "velocity_card_1h",
        "card_count_24h": "velocity_card_1d",
        "card_count_1d": "velocity_card_1d",
        "card_count_30d": "velocity_card_30d",
        "card_count_10d": "velocity_card_30d",
        "card_sum_amount_minor_1h": "spending_card_1d",
        "card_sum_amount_minor_30d": "spending_card_30d",
        "card_mean_amount_minor_30d_prior": "amount_against_own_history",
        "amount_to_mean_30d": "amount_against_own_history",
        "amount_minor": "amount",
        "card_distinct_merchant_id_24h": "new_merchant",
        "card_merchant_count_30d_prior": "new_merchant",
        "card_device_count_30d_delay_1d": "new_device",
        "card_ip_count_30d_delay_1d": "new_network",
        "card_email_hash_count_30d_delay_1d": "new_email",
        "card_country_count_30d_delay_1d": "new_country",
        "device_distinct_card_id_7d": "cards_per_device",
        "card_small_amounts_1h": "small_amount_burst",
        "merchant_mean_is_fraud_30d_delay_7d": "merchant_fraud_share",
        "merchant_count_1d_delay_7d": "velocity_merchant",
        "card_elapsed_ms": "time_since_last_payment",
        "card_distinct_country_1d": "new_country",
        "speed_kmh": "impossible_travel",
        "distance_km": "distance",
        "hour": "time_of_week",
        "weekday": "time_of_week",
        "amount_to_merchant_mean_7d": "amount_against_merchant",
        "merchant_mean_amount_base_minor_7d_prior": "amount_against_merchant",
        "count_24h_to_30d": "pace_card",
        "card_count_30d_delay_1d": "pace_card",
        "card_km_from_previous": "distance",
        "card_previous_latitude": "place_before",
        "is_other_country": "new_country",
        "oddity": "unusual_overall",
    }
    assert {name: code_of(name) for name in expected} == expected


def test_no_feature_of_the_card_detector_is_without_a_reason_of_its_own() -> None:
    assert [n for n in card.catalog.model_names if code_of(n) == "unusual_overall"] == []


def test_every_code_has_a_text_that_can_be_filled_in() -> None:
    for code in (*(r.code for r in reason_codes()), BASE_RATE, OTHER_FEATURES):
        said = text_of(Reason(code, "card_count_7d", 12_345.0, 1.0))
        assert said
        assert "{" not in said
    assert "7 days" in text_of(Reason("velocity_card_30d", "card_count_7d", 4.0, 1.0))
    assert "unknown" in text_of(Reason("velocity_card_30d", "card_count_7d", None, 1.0))
