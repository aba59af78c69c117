import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alcyon.simulation.identifiers import (
    address,
    decimal,
    fixed,
    hexadecimal,
    lettered,
    mixed,
    scattered,
    unit,
)


@given(st.lists(st.integers(0, 10**10 - 1), max_size=20), st.integers(1, 12))
def test_decimals_are_the_last_digits_padded(numbers: list[int], digits: int) -> None:
    column = fixed(decimal(np.array(numbers, np.int64), digits))
    assert column.to_list() == [f"{n:0{digits}d}"[-digits:] for n in numbers]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_keys_are_written_byte_by_byte(keys: list[int]) -> None:
    array = np.array(keys, np.int64)
    assert fixed(hexadecimal(array)).to_list() == [k.to_bytes(8, "little", signed=True).hex() for k in keys]  # fmt: skip # noqa: E501
    letters = fixed(lettered(array)).to_list()
    assert all(isinstance(text, str) and text.isalpha() and len(text) == 16 for text in letters)
    assert len(set(letters)) == len(set(keys))


def test_an_address_is_a_public_one_of_fixed_width() -> None:
    keys = (np.arange(40, 62) << 24) | np.arange(22) * 7919
    for text in fixed(address(keys)).to_list():
        octets = [int(part) for part in str(text).split(".")]
        assert len(octets) == 4
        assert all(100 <= octet <= 255 for octet in octets)
        assert octets[0] not in (100, 127, 169, 172, 192, 198)
        assert octets[0] < 224


def test_nulls_have_no_bytes_and_keep_their_rows() -> None:
    valid = np.array([True, False, True])
    matrix = decimal(np.array([1, 2, 3]), 2)
    assert fixed(matrix, valid).to_list() == ["01", None, "03"]
    assert scattered(matrix[valid], valid).to_list() == ["01", None, "03"]


def test_mixing_spreads_neighbours_evenly() -> None:
    spread = unit(mixed(7, np.arange(100_000)))
    assert len(np.unique(spread)) == 100_000
    assert np.abs(np.histogram(spread, 20, (0, 1))[0] / 5_000 - 1).max() < 0.07
