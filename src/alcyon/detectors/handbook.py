"""The Fraud Detection Handbook's 15 features, nine ratios of them, and its terminal features over
three more windows: its protocol is judged on these.

The customer is the card, the terminal the merchant. The book fills a terminal's share of frauds
with 0 where it had no transaction; here that is null. The ratios say how the payment stands to what
the card usually pays, less this payment too, and how its last days stand to its month: trees split
one feature at a time and cannot divide. A terminal's bad time has a beginning and an end: where in
it a payment falls shows only between windows. Source: Y.-A. Le Borgne et al.,
"Reproducible Machine Learning for Credit Card Fraud Detection", 2022, chapter 3.
"""

from alcyon.features import Catalog, Count, Entity, Expression, Mean

card = Entity("card_id")
terminal = Entity("merchant_id")

WINDOWS = ("1d", "7d", "30d")
MORE_WINDOWS = ("3d", "14d", "21d")
DELAY = "7d"
"""How long a fraud stays unknown."""
MEAN = "card_mean_amount_minor"


def before(window: str) -> str:
    """The amount over the mean of the card's others in the window: null where it has none."""
    others = f"({MEAN}_{window} * card_count_{window} - amount_minor)"
    return f"amount_minor * (card_count_{window} - 1) / nullif({others}, 0)"


catalog = Catalog(
    [
        Expression("amount", "amount_minor / 100"),
        Expression("is_weekend", "weekday(event_time, 0) >= 5"),
        Expression("is_night", "hour_of_day(event_time, 0) <= 6"),
        *(Count(card, window) for window in WINDOWS),
        *(Mean(card, "amount_minor", window) for window in WINDOWS),
        *(Count(terminal, window, delay=DELAY) for window in WINDOWS),
        *(Mean(terminal, "is_fraud", window, delay=DELAY) for window in WINDOWS),
        *(
            Expression(f"amount_to_mean_{w}", f"amount_minor / nullif({MEAN}_{w}, 0)")
            for w in WINDOWS
        ),
        *(Expression(f"amount_to_mean_before_{w}", before(w)) for w in WINDOWS),
        *(
            Expression(
                f"card_mean_amount_{short}_to_{long}", f"{MEAN}_{short} / nullif({MEAN}_{long}, 0)"
            )
            for short, long in (("1d", "7d"), ("1d", "30d"), ("7d", "30d"))
        ),
        *(Count(terminal, window, delay=DELAY) for window in MORE_WINDOWS),
        *(Mean(terminal, "is_fraud", window, delay=DELAY) for window in MORE_WINDOWS),
    ]
)
