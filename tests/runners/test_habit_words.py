"""What is usual stands beside what was not, and the answer comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alcyon.domain.office.searching import DecisionShown, Habit, Line
from alcyon.runners.explanation.habit_words import habit_words, headline, purchases

HABIT = Habit(40, 1.3, 2_300, ["DE", "FR"], ["m1"], [], [])


def line(**given: Any) -> Line:
    shown = Line(
        1, "t", 0, "DECLINE", 962, "", "", 94_000, "EUR", 94_000, "c", "m17", None, "NG", None,
        None, None, None,
    )  # fmt: skip
    return replace(shown, **given)


def decision(**given: Any) -> DecisionShown:
    features = given.pop("features", {"card_count_10m": 4.0, "card_count_7d": 9.0})
    return DecisionShown(
        line(**given), None, {}, [], [], [], [], features, {}, None, 1_000_000, {}, []
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "€ 940.00 at m17, NG · DECLINED"),
        ({"currency": "JPY", "action": "REVIEW"}, "¥ 94,000 at m17, NG · REVIEW"),
        ({"currency": "KWD", "merchant_id": None}, "KWD 94.000, NG · DECLINED"),
        ({"country": None, "action": "APPROVE"}, "€ 940.00 at m17 · APPROVED"),
        ({"merchant_country": "GH", "action": "STEP_UP"}, "€ 940.00 at m17, GH · STEP UP"),
    ],
)
def test_the_answer_comes_first(given: dict[str, Any], words: str) -> None:
    assert headline(line(**given)) == words


@pytest.mark.parametrize(
    ("given", "habit", "words"),
    [
        ({}, HABIT, "usually € 23.00 in DE; now € 940.00 in NG, 4th purchase in 10 minutes"),
        (
            {"currency": "JPY", "amount_base_minor": 57_340},
            HABIT,
            "usually € 23.00 in DE; now ¥ 94,000 (€ 573.40) in NG, 4th purchase in 10 minutes",
        ),
        ({"country": None, "features": {}}, HABIT, "usually € 23.00 in DE; now € 940.00"),
        (
            {"features": {}},
            None,
            "nothing is known of this card's habits; now € 940.00 in NG",
        ),
        (
            {"features": {}},
            replace(HABIT, amount_base_minor_median=None, countries=[]),
            "nothing is known of this card's habits; now € 940.00 in NG",
        ),
        (
            {"features": {"card_mean_amount_base_minor_30d_prior": 4_099.6}},
            None,
            "usually € 41.00; now € 940.00 in NG",
        ),
    ],
)
def test_what_is_usual_stands_beside_what_was_not(
    given: dict[str, Any], habit: Habit | None, words: str
) -> None:
    assert habit_words(decision(**given), habit, "EUR") == words


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"card_count_10m": 2.0, "card_count_1h": 3.0}, "3rd purchase in 1 hour"),
        ({"card_count_10m": 2.0, "card_count_24h": 11.0}, "11th purchase in 24 hours"),
        ({"card_count_1d": 12.0}, "12th purchase in a day"),
        ({"card_count_7d": 99.0}, ""),
        ({"card_count_10m": None, "merchant_count_1h": 99.0}, ""),
        ({"account_count_1m": 21.0}, "21st purchase in a minute"),
    ],
)
def test_purchases_are_counted_where_they_are_many(
    features: dict[str, float | None], words: str
) -> None:
    assert purchases(features, HABIT) == words
