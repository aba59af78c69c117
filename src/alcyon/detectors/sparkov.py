"""Card purchases as Sparkov simulates them (on Kaggle): one currency, a category, two places.

A fraud there is a run of large purchases at night in few categories, within a day or two. The
times are the card holder's own, `latitude` and `longitude` the holder's home. What the source says
about the holder (gender, age, job) is no feature: a person is not a reason.
"""

from alcyon.features import (
    Catalog,
    Count,
    Distinct,
    Elapsed,
    Entity,
    Expression,
    Max,
    Mean,
    Std,
    Sum,
)

card = Entity("card_id")
card_category = Entity("card_id", "category")
merchant = Entity("merchant_id")

AMOUNT = "amount_minor"
LARGE = "amount_minor >= 20000"
NIGHT = "hour_of_day(event_time, 0) >= 22 OR hour_of_day(event_time, 0) < 4"
LARGE_BY_DARK = f"({LARGE}) AND ({NIGHT})"
CATEGORIES = (
    "entertainment", "food_dining", "gas_transport", "grocery_net", "grocery_pos",
    "health_fitness", "home", "kids_pets", "misc_net", "misc_pos", "personal_care",
    "shopping_net", "shopping_pos", "travel",
)  # fmt: skip

catalog = Catalog(
    [
        Expression("amount", f"{AMOUNT} + 0"),
        Expression("hour", "hour_of_day(event_time, 0)"),
        Expression("weekday", "weekday(event_time, 0)"),
        Expression("is_night", NIGHT),
        *(Expression(f"is_{name}", f"category = '{name}'") for name in CATEGORIES),
        Expression(
            "home_km", "distance_km(latitude, longitude, merchant_latitude, merchant_longitude)"
        ),
        # velocity of the card
        *(Count(card, window) for window in ("1h", "6h", "24h", "7d")),
        *(Sum(card, AMOUNT, window) for window in ("1h", "6h", "24h", "7d")),
        Count(card, "24h", where=LARGE, name="card_large_amounts_24h"),
        Count(card, "24h", where=NIGHT, name="card_at_night_24h"),
        Count(card, "30d", where=NIGHT, name="card_at_night_30d"),
        Distinct(card, "category", "24h"),
        # a run goes on for a day or two, and what belongs to it is cheap as well
        *(Count(card, "72h"), Sum(card, AMOUNT, "72h")),
        *(Max(card, AMOUNT, window, exclude_current=True) for window in ("24h", "72h")),
        Count(card, "48h", where=LARGE, exclude_current=True, name="card_large_amounts_48h_prior"),
        *(
            Count(
                card,
                window,
                where=LARGE_BY_DARK,
                exclude_current=True,
                name=f"card_large_amounts_by_dark_{window}_prior",
            )
            for window in ("24h", "72h")
        ),
        Elapsed(card, within="30d"),
        # the amount against the card's own history
        Mean(card, AMOUNT, "60d", exclude_current=True),
        Std(card, AMOUNT, "60d", exclude_current=True),
        Max(card, AMOUNT, "60d", exclude_current=True),
        Count(card, "60d", exclude_current=True),
        Expression("amount_to_mean", f"{AMOUNT} / nullif(card_mean_{AMOUNT}_60d_prior, 0)"),
        Expression("amount_to_max", f"{AMOUNT} / nullif(card_max_{AMOUNT}_60d_prior, 0)"),
        Expression("count_24h_to_60d", "card_count_24h / nullif(card_count_60d_prior, 0)"),
        Expression(
            "sum_24h_to_mean", f"card_sum_{AMOUNT}_24h / nullif(card_mean_{AMOUNT}_60d_prior, 0)"
        ),
        *(
            Expression(
                f"card_max_amount_{window}_to_mean",
                f"card_max_{AMOUNT}_{window}_prior / nullif(card_mean_{AMOUNT}_60d_prior, 0)",
            )
            for window in ("24h", "72h")
        ),
        # and against what the card spends on such things
        Count(card_category, "24h"),
        Sum(card_category, AMOUNT, "24h"),
        Count(card_category, "60d", exclude_current=True),
        Mean(card_category, AMOUNT, "60d", exclude_current=True),
        Max(card_category, AMOUNT, "60d", exclude_current=True),
        Expression(
            "amount_to_category_mean",
            f"{AMOUNT} / nullif(card_category_mean_{AMOUNT}_60d_prior, 0)",
        ),
        Expression(
            "amount_to_category_max",
            f"{AMOUNT} / nullif(card_category_max_{AMOUNT}_60d_prior, 0)",
        ),
        # the merchant
        Mean(merchant, AMOUNT, "60d", exclude_current=True),
        Mean(merchant, "is_fraud", "60d", delay="7d"),
        Expression(
            "amount_to_merchant_mean", f"{AMOUNT} / nullif(merchant_mean_{AMOUNT}_60d_prior, 0)"
        ),
    ],
    lateness_max="1d",
)
