from __future__ import annotations

import hmac
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.tokens import TokenKeys, mask, tokenise, tokenise_ids

KEYS = TokenKeys(3, b"a key of sixteen")
VISA = "4111111111111111"


def luhn(digits: str) -> bool:
    """The naive definition, to check ours against."""
    total = 0
    for i, c in enumerate(reversed(digits)):
        value = int(c) * (2 if i % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def tokenised(values: list[str | None], name: str = "card_id") -> Batch:
    return tokenise(Batch({name: Strings.from_list(values)}), KEYS)


def test_a_card_number_becomes_its_keyed_hash() -> None:
    expected = "k3_" + hmac.digest(KEYS.key, VISA.encode(), "sha256").hex()[:32]
    assert tokenised([VISA]).strings("card_id").to_list() == [expected]


def test_grouping_does_not_change_the_token() -> None:
    spellings = [VISA, "4111 1111 1111 1111", "4111-1111-1111-1111", " 4111111111111111 "]
    assert len(set(tokenised(list(spellings)).strings("card_id").to_list())) == 1


def test_what_is_no_card_number_stays() -> None:
    values = [None, "", "c_123", "4111111111111112", VISA + "x", "4" * 11, "0" * 20, "é" * 12]
    batch = Batch({"card_id": Strings.from_list(values)})
    assert tokenise(batch, KEYS) is batch


def test_issuer_digits_and_last_four_are_kept_apart_where_absent() -> None:
    batch = Batch(
        {
            "card_id": Strings.from_list([VISA, "c1", VISA]),
            "card_last4": Strings.from_list(["9999", None, None]),
        }
    )
    after = tokenise(batch, KEYS)
    assert after.strings("card_bin").to_list() == ["411111", None, "411111"]
    assert after.strings("card_last4").to_list() == ["9999", None, "1111"]


def test_other_id_columns_are_tokenised_and_keep_nothing_apart() -> None:
    after = tokenised([VISA], "merchant_id")
    assert list(after.columns) == ["merchant_id"]
    assert after.strings("merchant_id").to_list()[0] == KEYS.token(VISA)


def test_a_name_in_an_id_column_is_masked_and_an_id_is_not() -> None:
    names = [f"Shop {VISA}", None, VISA, "550e8400-e29b-41d4-a716-446655440000", "Shop 12"]
    after = tokenised(list(names), "merchant_id").strings("merchant_id").to_list()
    assert after == ["Shop 411111******1111", None, KEYS.token(VISA), names[3], "Shop 12"]
    assert tokenise_ids(Strings.from_list(names[:1]), KEYS).to_list() == after[:1]


@given(st.from_regex(r"[0-9]{10,21}", fullmatch=True))
def test_every_luhn_number_of_twelve_to_nineteen_digits_is_found(digits: str) -> None:
    found = tokenised([digits]).strings("card_id").to_list() != [digits]
    assert found == (12 <= len(digits) <= 19 and luhn(digits))


@given(st.from_regex(r"[0-9]{12,19}", fullmatch=True).filter(luhn), st.data())
def test_no_card_number_survives_masking(digits: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(1, len(digits) - 1), max_size=3, unique=True))
    separator = data.draw(st.sampled_from([" ", "-"]))
    grouped = "".join(separator + c if i in cuts else c for i, c in enumerate(digits))
    masked = mask(f'{{"card":"{grouped}","n":1}}')
    assert grouped not in masked
    assert masked.count("*") == len(digits) - 10


def test_masking_sees_through_json_escapes_and_keeps_other_bytes() -> None:
    assert b"*" in mask(b'{"a":"\\u00341111111\\u002d11111111"}')
    assert mask(b"\xff\x00 1700000000001 \xfe") == b"\xff\x00 1700000000001 \xfe"
    assert "*" in mask("9" * 400)


def test_a_card_number_before_other_digits_is_masked() -> None:
    assert mask(f"{VISA} 1234 5") == "411111******1111 1234 5"


@given(st.binary(max_size=200))
def test_masking_takes_any_bytes(raw: bytes) -> None:
    assert mask(mask(raw)) == mask(raw)


@pytest.mark.parametrize(("version", "key"), [(0, b"a key of sixteen"), (1, b"short")])
def test_weak_keys_are_refused(version: int, key: bytes) -> None:
    with pytest.raises(ValueError, match="token key"):
        TokenKeys(version, key)


def test_the_key_is_not_in_the_repr() -> None:
    assert "sixteen" not in repr(KEYS)


@pytest.mark.parametrize("text", ["1 " * 30_000, "1234567890123456 " * 4000, "1-2 " * 15_000])
def test_masking_hostile_text_is_quick(text: str) -> None:
    start = time.process_time()
    mask(text)
    assert time.process_time() - start < 1.0
