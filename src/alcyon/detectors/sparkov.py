"""Card purchases as Sparkov simulates them (on Kaggle): one currency, a category, two places.

A fraud there is a run of purchases on two days in a row, mostly at night, and each category has an
amount that frauds keep close to. On such a day the holder buys nothing, so whatever else the card
paid today tells as well: that is the simulation, not life, where holder and thief take turns.

The times are the card holder's own, `latitude` and `longitude` the holder's home; `local_date` is
the day by the holder's calendar (ISO 8583, field 13), any text that is the same all day. What the
source says about the holder (gender, age, job) is no feature: a person is not a reason.
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
card_today = Entity("card_id", "local_date")
merchant = Entity("merchant_id")

columns = {"local_date": "string"}

AMOUNT = "amount_minor"
LARGE = "amount_minor >= 20000"
NIGHT = "hour_of_day(event_time, 0) >= 22 OR hour_of_day(event_time, 0) < 4"
CATEGORIES = (
    "entertainment", "food_dining", "gas_transport", "grocery_net", "grocery_pos",
    "health_fitness", "home", "kids_pets", "misc_net", "misc_pos", "personal_care",
    "shopping_net", "shopping_pos", "travel",
)  # fmt: skip
FRAUDS_COST = {
    "entertainment": (30_000, 60_000),
    "food_dining": (8_500, 15_000),
    "gas_transport": (300, 1_700),
    "grocery_net": (500, 1_200),
    "grocery_pos": (22_500, 38_500),
    "home": (19_000, 31_000),
    "kids_pets": (1_500, 2_500),
    "misc_net": (55_000, 108_000),
    "misc_pos": (500, 1_200),
    "personal_care": (1_500, 2_500),
    "shopping_net": (70_000, 133_000),
    "shopping_pos": (62_000, 120_000),
    "travel": (600, 1_200),
}
"""From and to what amount frauds of a category lie: about 0.7 to 1.35 times their mean before
August 2019 in the published data; of the category left out there was none."""
ALIKE = " OR ".join(
    f"(category = '{name}' AND {AMOUNT} >= {low} AND {AMOUNT} <= {high})"
    for name, (low, high) in FRAUDS_COST.items()
)
MIDDLE = " ".join(
    f"WHEN '{name}' THEN {(low + high) // 2}" for name, (low, high) in FRAUDS_COST.items()
)
SELDOM_GENUINE = ("gas_transport", "grocery_pos", "misc_net", "shopping_net", "shopping_pos")
"""Where few genuine payments cost what frauds do."""
TELLING = f"({ALIKE}) AND category IN {SELDOM_GENUINE}"
RUN = {
    "alike": ALIKE,
    "telling": TELLING,
    "telling_by_night": f"({TELLING}) AND ({NIGHT})",
    "unlike": f"NOT ({ALIKE})",
}
"""What is counted of the payments before, by name."""

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
        # a run: the payment by itself, and those before it
        *(Expression(f"is_{name}", RUN[name]) for name in ("alike", "telling", "telling_by_night")),
        Expression("amount_to_frauds", f"{AMOUNT} / (CASE category {MIDDLE} END)"),
        *(
            Count(card, window, where=where, exclude_current=True, name=f"card_{name}_{window}")
            for name, where in RUN.items()
            for window in ("4h", "24h", "48h")
        ),
        *(
            Expression(
                f"card_alike_share_{window}",
                f"card_alike_{window} / nullif(card_alike_{window} + card_unlike_{window}, 0)",
            )
            for window in ("24h", "48h")
        ),
        # today: a day of fraud has nothing else in it
        *(
            Count(card_today, "24h", where=where, exclude_current=True, name=f"card_{name}_today")
            for name, where in RUN.items()
        ),
        Expression(
            "card_alike_share_today",
            "card_alike_today / nullif(card_alike_today + card_unlike_today, 0)",
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
    columns=columns,
)
