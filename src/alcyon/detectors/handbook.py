"""The Fraud Detection Handbook's 15 features: its protocol is judged on these.

The customer is the card, the terminal the merchant. The book fills a terminal's share of frauds
with 0 where it had no transaction; here that is null. Source: Y.-A. Le Borgne et al.,
"Reproducible Machine Learning for Credit Card Fraud Detection", 2022, chapter 3.
"""

from alcyon.features import Catalog, Count, Entity, Expression, Mean

card = Entity("card_id")
terminal = Entity("merchant_id")

WINDOWS = ("1d", "7d", "30d")
DELAY = "7d"
"""How long a fraud stays unknown."""

catalog = Catalog(
    [
        Expression("amount", "amount_minor / 100"),
        Expression("is_weekend", "weekday(event_time, 0) >= 5"),
        Expression("is_night", "hour_of_day(event_time, 0) <= 6"),
        *(Count(card, window) for window in WINDOWS),
        *(Mean(card, "amount_minor", window) for window in WINDOWS),
        *(Count(terminal, window, delay=DELAY) for window in WINDOWS),
        *(Mean(terminal, "is_fraud", window, delay=DELAY) for window in WINDOWS),
    ]
)
