"""Mobile money as PaySim simulates it: transfers between accounts, with balances.

Balances give that simulation's frauds away: a fraud empties the account, and its own amount is not
taken from any balance. So this detector shows how extra columns come to be used; what it catches
says nothing about a method. The balances after a payment are what the ledger proposes.
"""

from alcyon.features import Catalog, Count, Distinct, Elapsed, Entity, Expression, Max, Mean, Sum

account = Entity("account_id")
counterparty = Entity("counterparty_id")

AMOUNT = "amount_minor"
TYPES = ("cash_in", "cash_out", "debit", "payment", "transfer")

columns = {
    "balance_before_minor": "int",
    "balance_after_minor": "int",
    "counterparty_balance_before_minor": "int",
    "counterparty_balance_after_minor": "int",
}

catalog = Catalog(
    [
        Expression("amount", f"{AMOUNT} + 0"),
        Expression("hour", "hour_of_day(event_time, 0)"),
        *(Expression(f"is_{kind}", f"transaction_type = '{kind}'") for kind in TYPES),
        # the balances
        Expression("balance_before", "balance_before_minor + 0"),
        Expression("counterparty_balance_before", "counterparty_balance_before_minor + 0"),
        Expression("amount_to_balance", f"{AMOUNT} / nullif(balance_before_minor, 0)"),
        Expression("is_emptied", "balance_before_minor > 0 AND balance_after_minor = 0"),
        Expression("balance_error", f"balance_before_minor - balance_after_minor - {AMOUNT}"),
        Expression(
            "counterparty_balance_error",
            f"counterparty_balance_before_minor + {AMOUNT} - counterparty_balance_after_minor",
        ),
        # the account, which in this data mostly pays once
        Count(account, "24h"),
        Sum(account, AMOUNT, "24h"),
        Elapsed(account, within="30d"),
        # who is paid
        Count(counterparty, "24h"),
        Count(counterparty, "7d"),
        Sum(counterparty, AMOUNT, "24h"),
        Distinct(counterparty, "account_id", "7d"),
        Mean(counterparty, AMOUNT, "30d", exclude_current=True),
        Max(counterparty, AMOUNT, "30d", exclude_current=True),
        Mean(counterparty, "is_fraud", "30d", delay="7d"),
    ],
    lateness_max="1d",
    columns=columns,
)
