"""Card payments: the default detector.

Amounts are `amount_base_minor`, so that currencies add up; a *small* amount is below 2.00, a
*large* one 100.00 or more. `country` is where the purchase is made.

What a card is known with is counted up to a day before the payment: a thief's second payment would
else make the thief's device and address look known.
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
    Previous,
    Std,
    Sum,
)

card = Entity("card_id")
merchant = Entity("merchant_id")
device = Entity("device_id")
card_device = Entity("card_id", "device_id")
card_ip = Entity("card_id", "ip")
card_email = Entity("card_id", "email_hash")
card_country = Entity("card_id", "country")

AMOUNT = "amount_base_minor"
SMALL = "amount_base_minor < 200"
LARGE = "amount_base_minor >= 10000"
AT_A_TILL = "channel <> 'ecommerce'"
KNOWN_FOR, KNOWN_BEFORE = "30d", "1d"

catalog = Catalog(
    [
        # velocity of the card
        Count(card, "10m"),
        Count(card, "1h"),
        Count(card, "6h"),
        Count(card, "24h"),
        Count(card, "7d"),
        Sum(card, AMOUNT, "1h"),
        Sum(card, AMOUNT, "6h"),
        Sum(card, AMOUNT, "24h"),
        Count(card, "1h", where=SMALL, name="card_small_amounts_1h"),
        Count(card, "24h", where=LARGE, name="card_large_amounts_24h"),
        Count(card, KNOWN_FOR, delay=KNOWN_BEFORE),
        Expression("count_24h_to_30d", "card_count_24h / nullif(card_count_30d_delay_1d, 0)"),
        Elapsed(card, within="30d"),
        # the amount against the card's own history
        Mean(card, AMOUNT, "30d", exclude_current=True),
        Std(card, AMOUNT, "30d", exclude_current=True),
        Max(card, AMOUNT, "30d", exclude_current=True),
        Expression("amount_to_mean_30d", f"{AMOUNT} / nullif(card_mean_{AMOUNT}_30d_prior, 0)"),
        Expression("amount_to_max_30d", f"{AMOUNT} / nullif(card_max_{AMOUNT}_30d_prior, 0)"),
        Expression(
            "amount_z_30d",
            f"({AMOUNT} - card_mean_{AMOUNT}_30d_prior) / nullif(card_std_{AMOUNT}_30d_prior, 0)",
        ),
        Expression(
            "sum_24h_to_mean_30d",
            f"card_sum_{AMOUNT}_24h / nullif(card_mean_{AMOUNT}_30d_prior, 0)",
        ),
        # what the card is known with
        *(
            Count(pair, KNOWN_FOR, delay=KNOWN_BEFORE)
            for pair in (card_device, card_ip, card_email, card_country)
        ),
        Distinct(card, "country", "6h", where=AT_A_TILL, name="card_distinct_country_at_tills_6h"),
        Expression("is_new_device", "card_device_count_30d_delay_1d = 0"),
        Expression("is_new_country", "card_country_count_30d_delay_1d = 0"),
        # places
        Previous(card, "country", within="30d"),
        Previous(card, "latitude", within="30d"),
        Previous(card, "longitude", within="30d"),
        Expression(
            "card_km_from_previous",
            "distance_km(latitude, longitude, card_previous_latitude, card_previous_longitude)",
        ),
        Expression(
            "card_speed_kmh", "card_km_from_previous / (greatest(card_elapsed_ms, 60000) / 3600000)"
        ),
        Expression("is_other_country", "country <> card_previous_country"),
        # the merchant
        Count(merchant, "1h"),
        Count(merchant, "1h", where=SMALL, name="merchant_small_amounts_1h"),
        Mean(merchant, AMOUNT, "7d", exclude_current=True),
        Expression(
            "amount_to_merchant_mean_7d",
            f"{AMOUNT} / nullif(merchant_mean_{AMOUNT}_7d_prior, 0)",
        ),
        Mean(merchant, "is_fraud", "30d", delay="7d"),
        Count(merchant, "30d", delay="7d"),
        # the device
        Distinct(device, "card_id", "1d"),
        Distinct(device, "card_id", "7d"),
        # the hour
        Expression("local_hour", "hour_of_day(event_time, utc_offset_minutes)"),
        Expression("local_weekday", "weekday(event_time, utc_offset_minutes)"),
        Expression("amount", f"{AMOUNT} + 0"),
    ],
    lateness_max="1d",
)
