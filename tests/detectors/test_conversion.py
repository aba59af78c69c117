from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alcyon.detectors import handbook_convert, paysim_convert, sparkov_convert
from alcyon.detectors.conversion import LABEL_DELAY_MS, Tally, labels, minor_units
from alcyon.domain.admission import admit
from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys

KEYS = TokenKeys(1, b"0123456789abcdef")
HANDBOOK = Batch(
    {
        "TRANSACTION_ID": np.array([0, 1, 2, 1]),
        "TX_DATETIME": np.array([1_522_540_831_000, 1_522_540_930_000, 5, 1_522_540_831_000]),
        "CUSTOMER_ID": np.array([596, 4961, 2, NULL_INT]),
        "TERMINAL_ID": np.array([3156, 3412, 1, 1]),
        "TX_AMOUNT": np.array([57.16, 81.51, 1.0, 2.0]),
        "TX_FRAUD": np.array([0, 1, 1, 0]),
    }
)


@given(st.lists(st.decimals(-(10**9), 10**9, places=4), max_size=20))
def test_amounts_are_exact_as_printed(amounts: list[Decimal]) -> None:
    expected = [
        int((Decimal(repr(float(a))) * 100).quantize(Decimal(1), ROUND_HALF_EVEN)) for a in amounts
    ]
    assert minor_units(np.array([float(a) for a in amounts])).tolist() == expected


def test_amounts_that_are_none_are_null() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1e300])
    assert minor_units(odd).tolist() == [NULL_INT] * 4


def test_handbook_rows_become_transactions_and_late_chargebacks() -> None:
    converted = handbook_convert.convert(HANDBOOK, 0)
    admitted = admit(converted.transactions, KEYS, DEFAULT_RATES)
    assert admitted.batch.strings("card_id").to_list() == ["596", "4961"]
    assert admitted.batch.numbers("amount_base_minor").tolist() == [5716, 8151]
    truth = labels(admitted, converted.is_fraud)
    assert truth.strings("transaction_id").to_list() == ["1"]
    assert truth.numbers("labelled_at").tolist() == [1_522_540_930_000 + LABEL_DELAY_MS]


def test_the_report_counts_what_was_found() -> None:
    tally = Tally()
    for first in (0, 4):
        converted = handbook_convert.convert(HANDBOOK, first)
        tally.add(admit(converted.transactions, KEYS, DEFAULT_RATES), converted.is_fraud)
    report = tally.report()
    assert (report.rows, report.converted, report.frauds) == (8, 4, 2)
    assert report.rejected == {"event_time_out_of_range": 2, "no_holder": 2}
    assert (report.duplicates, report.out_of_order, report.fraud_share) == (2, 1, 0.5)
    assert report.ranges["amount_minor"] == (5716, 8151)


def test_sparkov_card_numbers_become_tokens() -> None:
    raw = Batch(
        {
            "trans_num": Strings.from_list(["a", "b"]),
            "trans_date_trans_time": Strings.from_list(["2019-01-01 00:04:03", "x"]),
            "cc_num": Strings.from_list(["4111111111111111", "4111111111111111"]),
            "merchant": Strings.from_list(["Friesen-D'Amore", None]),
            "category": Strings.from_list(["gas_transport", "misc_net"]),
            "amt": np.array([34.89, 1.0]),
            "lat": np.array([40.179, 1.0]),
            "is_fraud": np.array([0, 1]),
        }
    )
    transactions = sparkov_convert.convert(raw, 0).transactions
    assert transactions.strings("local_date").to_list() == ["2019-01-01", None]
    admitted = admit(transactions, KEYS, DEFAULT_RATES)
    assert [fault.reason for fault in admitted.faults] == ["missing_field"]
    assert admitted.batch.strings("card_id").to_list() == [KEYS.token("4111111111111111")]
    assert admitted.batch.numbers("event_time").tolist() == [1_546_301_043_000]


def test_paysim_rows_are_numbered_across_slices() -> None:
    raw = Batch(
        {
            "step": np.array([1, 25]),
            "type": Strings.from_list(["CASH_IN", "TRANSFER"]),
            "amount": np.array([96347.8, 0.0]),
            "nameOrig": Strings.from_list(["C1", "C2"]),
            "oldbalanceOrg": np.array([94.69, 0.0]),
            "newbalanceOrig": np.array([96442.49, np.nan]),
            "nameDest": Strings.from_list(["M1", "C1"]),
            "oldbalanceDest": np.array([0.0, 0.07]),
            "newbalanceDest": np.array([0.0, 1e300]),
            "isFraud": np.array([0, 1]),
        }
    )
    batch = paysim_convert.convert(raw, 10).transactions
    assert batch.strings("transaction_id").to_list() == ["paysim-10", "paysim-11"]
    assert np.diff(batch.numbers("event_time")).tolist() == [86_400_000]
    assert batch.strings("transaction_type").to_list() == ["cash_in", "transfer"]
    assert batch.numbers("amount_minor").tolist() == [9_634_780, 0]
    assert batch.numbers("balance_before_minor").tolist() == [9_469, 0]
    assert batch.numbers("balance_after_minor").tolist() == [9_644_249, NULL_INT]
    assert batch.numbers("counterparty_balance_before_minor").tolist() == [0, 7]
    assert batch.numbers("counterparty_balance_after_minor").tolist() == [0, NULL_INT]
