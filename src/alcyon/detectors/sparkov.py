"""Card payments in Sparkov's simulated data: no device, but what was bought and where both live.

A category is a name, and a model is given numbers: each has a feature of its own that is 1 in it.
Times are the source's, taken as UTC.
"""

from alcyon.features import Catalog, Count, Elapsed, Entity, Expression, Max, Mean, Std, Sum

card = Entity("card_id")
merchant = Entity("merchant_id")
card_category = Entity("card_id", "category")

AMOUNT = "amount_base_minor"
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
        *(Expression(f"is_{name}", f"category = '{name}'") for name in CATEGORIES),
        # velocity of the card
        Count(card, "1h"),
        Count(card, "24h"),
        Count(card, "7d"),
        Count(card, "30d"),
        Sum(card, AMOUNT, "24h"),
        Sum(card, AMOUNT, "7d"),
        Max(card, AMOUNT, "24h", exclude_current=True),
        Mean(card, AMOUNT, "24h"),
        Elapsed(card, within="30d"),
        # the amount against the card's own history, of all payments and of such ones
        Mean(card, AMOUNT, "60d", exclude_current=True),
        Std(card, AMOUNT, "60d", exclude_current=True),
        Expression("amount_to_mean_60d", f"{AMOUNT} / nullif(card_mean_{AMOUNT}_60d_prior, 0)"),
        Expression(
            "sum_24h_to_mean_60d",
            f"card_sum_{AMOUNT}_24h / nullif(card_mean_{AMOUNT}_60d_prior, 0)",
        ),
        Count(card_category, "24h"),
        Mean(card_category, AMOUNT, "60d", exclude_current=True),
        Expression(
            "amount_to_category_mean_60d",
            f"{AMOUNT} / nullif(card_category_mean_{AMOUNT}_60d_prior, 0)",
        ),
        # frauds of a card come in bursts, small hours among them
        Count(card, "24h", where="hour_of_day(event_time, 0) >= 22", name="card_late_evenings_24h"),
        Count(card, "24h", where="hour_of_day(event_time, 0) <= 3", name="card_nights_24h"),
        # places, and the merchant
        Expression(
            "km_to_merchant",
            "distance_km(latitude, longitude, merchant_latitude, merchant_longitude)",
        ),
        Mean(merchant, "is_fraud", "90d", delay="7d"),
        Count(merchant, "30d", delay="7d"),
    ],
    lateness_max="1d",
)
