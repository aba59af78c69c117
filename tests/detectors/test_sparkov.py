"""What the sparkov detector sees of a run of frauds, from Kaggle's own rows on."""

from __future__ import annotations

import numpy as np

from alcyon.detectors import sparkov_convert
from alcyon.detectors.sparkov import CATEGORIES, FRAUDS_COST, SELDOM_GENUINE, catalog
from alcyon.domain.admission import admit
from alcyon.domain.columns import Batch, ColumnType, Strings
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout

KEYS = TokenKeys(1, b"0123456789abcdef")


def seen(*payments: tuple[str, str, float]) -> list[dict[str, float]]:
    """The features of one card's payments, each a time, a category and an amount in dollars."""
    times, categories, amounts = zip(*payments, strict=True)
    n = len(payments)
    raw = Batch(
        {
            "trans_num": Strings.from_list([str(i) for i in range(n)]),
            "trans_date_trans_time": Strings.from_list(list(times)),
            "cc_num": Strings.from_list(["4111111111111111"] * n),
            "merchant": Strings.from_list(["fraud_Heller"] * n),
            "category": Strings.from_list(list(categories)),
            "amt": np.array(amounts),
            "is_fraud": np.zeros(n, np.int64),
        }
    )
    admitted = admit(sparkov_convert.convert(raw, 0).transactions, KEYS, DEFAULT_RATES)
    kernel = Kernel(Layout(catalog), Limits(state_bytes_max=2**26))
    vectors = kernel.observe(admitted.batch).vectors()
    return [dict(zip(catalog.model_names, row, strict=True)) for row in vectors.tolist()]


def test_the_converter_gives_every_column_that_the_detector_wants() -> None:
    assert sparkov_convert.EXTRA == {"local_date": ColumnType.STRING}
    assert set(sparkov_convert.EXTRA) <= set(catalog.columns)


def test_every_amount_of_frauds_is_of_a_category_that_there_is() -> None:
    assert set(FRAUDS_COST) <= set(CATEGORIES)
    assert set(SELDOM_GENUINE) <= set(FRAUDS_COST)
    assert all(0 < low < high for low, high in FRAUDS_COST.values())


def test_a_day_ends_at_midnight_and_a_window_does_not() -> None:
    _, _, last = seen(
        ("2019-05-01 23:59:59", "grocery_pos", 300.0),
        ("2019-05-02 00:00:01", "grocery_pos", 310.0),
        ("2019-05-02 22:10:00", "personal_care", 19.0),
    )
    assert (last["card_telling_by_night_today"], last["card_telling_by_night_24h"]) == (1, 2)
    assert (last["card_alike_today"], last["card_alike_24h"]) == (1, 2)


def test_what_was_like_no_fraud_today_counts_against_one() -> None:
    *_, alone = seen(
        ("2019-05-02 01:00:00", "misc_net", 800.0), ("2019-05-02 02:00:00", "misc_net", 790.0)
    )
    *_, mixed = seen(
        ("2019-05-02 01:00:00", "misc_net", 800.0),
        ("2019-05-02 01:30:00", "misc_net", 8.0),
        ("2019-05-02 02:00:00", "misc_net", 790.0),
    )
    assert (alone["card_unlike_today"], alone["card_alike_share_today"]) == (0, 1)
    assert (mixed["card_unlike_today"], mixed["card_alike_share_today"]) == (1, 0.5)
    assert mixed["is_telling_by_night"] == 1


def test_the_same_amount_tells_by_its_category() -> None:
    gas, travel, health = seen(
        ("2019-05-02 12:00:00", "gas_transport", 10.0),
        ("2019-05-02 12:01:00", "travel", 10.0),
        ("2019-05-02 12:02:00", "health_fitness", 10.0),
    )
    assert [p["is_alike"] for p in (gas, travel, health)] == [1, 1, 0]
    assert [p["is_telling"] for p in (gas, travel, health)] == [1, 0, 0]
    assert [p["is_telling_by_night"] for p in (gas, travel, health)] == [0, 0, 0]
    assert gas["amount_to_frauds"] == 1
    assert np.isnan(health["amount_to_frauds"])
