"""The parts of the compiled kernel, each against the plainest thing that does the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcyon.features.compiled import hashing, interner, ledger, table, wide
from alcyon.features.compiled.memory import (
    BLOCK_WORDS,
    BUMP,
    META_WORDS,
    SMALL_MAX,
    TABLES,
    Memory,
    allocate,
)
from tests.features.siphash import siphash

PATIENT = settings(deadline=None, max_examples=300)
"""The first example may have to wait for the compiler."""

BASE = TABLES
WORD, LONG = 2**64, 2**128


def empty_memory(words: int = 2**17) -> Memory:
    """Nothing handed out, no snapshot running."""
    memory = Memory(
        words=np.zeros(words, np.int64),
        meta=np.zeros(META_WORDS, np.int64),
        free=np.zeros(SMALL_MAX + 64, np.int64),
        copied=np.zeros(words // BLOCK_WORDS + 1, np.uint8),
        side=np.zeros(BLOCK_WORDS + 1, np.int64),
        stamps=np.zeros(1024, np.int64),
    )
    memory.meta[BUMP] = 8
    return memory


# Integers whose words are near their ends as often as anywhere.
_edges = st.sampled_from([0, 1, 2, 3, 2**31, 2**32, 2**53, 2**62, 2**63])
_int64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.builds(lambda e, d: max(-(2**63), min(2**63 - 1, e + d)), _edges, st.integers(-2, 2)),
)
_int128 = st.builds(lambda low, high: high * WORD + low % WORD, _int64, _int64)


# 54 bits, the last one of them a half: ties, and what lies next to them.
_near_ties = st.builds(
    lambda sign, odd, shift, d: sign * ((2**53 + 2 * odd + 1 << shift) + d),
    st.sampled_from([-1, 1]), st.integers(0, 2**52 - 1), st.integers(0, 73), st.integers(-1, 1),
)  # fmt: skip


def halves(number: int) -> tuple[np.int64, np.int64]:
    """(low, high) of a number taken modulo 2^128."""
    low, high = number % WORD, number // WORD % WORD
    return np.int64(low - WORD * (low >> 63)), np.int64(high - WORD * (high >> 63))


def joined(pair: tuple[int, int]) -> int:
    """The signed 128-bit number."""
    return int(pair[1]) * WORD + int(pair[0]) % WORD


def signed(number: int) -> int:
    """The number modulo 2^128, in [−2^127, 2^127)."""
    return (number + LONG // 2) % LONG - LONG // 2


@PATIENT
@given(_int128, _int128)
def test_add_and_subtract_are_those_of_integers_modulo_2_to_the_128(a: int, b: int) -> None:
    assert joined(wide.add(*halves(a), *halves(b))) == signed(a + b)
    assert joined(wide.subtract(*halves(a), *halves(b))) == signed(a - b)


@PATIENT
@given(_int64.map(lambda x: x % WORD), _int64.map(lambda x: x % WORD), _int64)
def test_products_have_all_their_bits(a: int, b: int, x: int) -> None:
    low, high = wide.multiply_unsigned(np.uint64(a), np.uint64(b))
    assert int(high) * WORD + int(low) == a * b
    assert joined(wide.square(np.int64(x))) == x * x
    words = [np.uint64(w) for w in (a, b, b ^ 1, a ^ 1)]
    product = wide._multiply_wide(*words)
    want = (b * WORD + a) * ((a ^ 1) * WORD + (b ^ 1))
    assert sum(int(w) * WORD**i for i, w in enumerate(product)) == want


@PATIENT
@given(st.lists(_int64, max_size=32))
def test_sums_of_halves_make_the_sum(values: list[int]) -> None:
    low, high = sum(v & 0xFFFFFFFF for v in values), sum(v >> 32 for v in values)
    assert joined(wide.from_halves(np.int64(low), np.int64(high))) == sum(values)


@PATIENT
@given(_int128)
def test_only_what_int64_holds_and_is_not_null_fits_it(a: int) -> None:
    assert wide.fits_int64(*halves(a)) == (-(2**63) < a < 2**63)


@PATIENT
@given(st.one_of(_int128, _near_ties))
def test_to_float_is_the_nearest_double(a: int) -> None:
    assert wide.to_float(*halves(a)) == float(a)


@PATIENT
@given(st.lists(st.integers(-(10**15), 10**15), min_size=2, max_size=9), st.integers(1, 10**8))
def test_the_variance_numerator_is_exact_before_it_is_rounded(values: list[int], k: int) -> None:
    n, total, squares = len(values) * k, sum(values) * k, sum(v * v for v in values) * k
    want = float(n * squares - total * total)
    assert wide.variance_numerator(np.int64(n), *halves(total), *halves(squares)) == want


KEY = bytes(range(16))


def test_the_reference_of_siphash_gives_the_authors_vectors() -> None:
    short = ["310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785"]
    long = ["a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45",
            "8177228da4a45dc7fca38bdef60affe4"]  # fmt: skip
    for n, text in enumerate(short):
        assert siphash(bytes(range(n)), KEY, 2, 4, 64).hex() == text
    for n, text in enumerate(long):
        assert siphash(bytes(range(n)), KEY, 2, 4, 128).hex() == text
    assert siphash(bytes(range(15)), KEY, 2, 4, 64) == (0xA129CA6149BE45E5).to_bytes(8, "little")


@PATIENT
@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16), st.integers(0, 9))
def test_sip_is_siphash_1_3_of_128_bits(data: bytes, key: bytes, start: int) -> None:
    padded = np.frombuffer(bytes(start) + data + b"rest", np.uint8)
    low, high = hashing.sip(padded, start, start + len(data), np.frombuffer(key, "<u8"))
    assert np.array([low, high], "<i8").tobytes() == siphash(data, key, 1, 3, 128)


def test_integers_hash_one_to_one_and_apart_from_text() -> None:
    values = np.arange(-5000, 5000)
    out = np.empty((2, len(values)), np.int64)
    hashing.hash_integers(values, np.int64(7), out)
    assert len(set(zip(*out.tolist(), strict=True))) == len(values)
    assert out[:, 5007].tolist() == [0, 0]
    assert set(out[1].tolist()) == {0, 2}  # text has an odd one


@pytest.mark.parametrize("seed", range(12))
def test_a_table_is_a_dictionary(seed: int) -> None:
    rng, m = random.Random(seed), empty_memory()
    table.create(m, BASE)
    held: dict[tuple[int, int], int] = {}
    # few home slots, the last ones among them: long clusters, which wrap around
    homes = rng.choice([[60, 62, 63], [0, 63], [5, 6, 7], list(range(2**12))])
    most = rng.choice([20, 200])
    for _ in range(3000):
        key = rng.choice(homes) + 2**12 * rng.randint(-3, 3), rng.choice([1, 2, 1 << 60, -5])
        address = held.get(key, 0)
        assert table.find(m, BASE, *key) == address
        if address == 0 and len(held) < most:
            held[key] = address = int(allocate(m, 2))
            m.words[address : address + 2] = key
            table.insert(m, BASE, address)
        elif address != 0 and rng.random() < 0.2:
            new = int(allocate(m, 2))
            m.words[new : new + 2] = key
            table.repoint(m, BASE, address, new)
            table.remove(m, BASE, address)  # leads elsewhere by now: nothing happens
            held[key] = new
        elif address != 0:
            table.remove(m, BASE, held.pop(key))
        assert m.meta[BASE + table.COUNT] == len(held)
    assert all(table.find(m, BASE, *key) == address for key, address in held.items())


@pytest.mark.parametrize("seed", range(4))
def test_a_ledger_forgets_the_oldest_and_finds_the_newest(seed: int) -> None:
    rng, m, width = random.Random(seed), empty_memory(), 5
    ledger.create(m, BASE, width)
    rows: list[tuple[int, int, int]] = []  # key, front, value
    front = 0
    for value in range(3000):
        front += rng.choice([0, 0, 1, 3, 40])
        key = rng.randint(1, 400)
        row = ledger.append(m, BASE, width, key, 1, front)
        m.words[row + 3] = value
        rows.append((key, front, value))
        if rng.random() < 0.2:
            oldest = front - rng.randint(0, 900)
            ledger.forget(m, BASE, width, oldest)
            rows = [r for r in rows if r[1] >= oldest]
        wanted = rng.randint(1, 400)
        found = ledger.find(m, BASE, wanted, 1)
        values = [r[2] for r in rows if r[0] == wanted]
        assert (m.words[found + 3] if found else None) == (values[-1] if values else None)
        assert m.meta[BASE + table.COUNT] == len({r[0] for r in rows})
    assert m.meta[BUMP] < 2**15  # chunks are used again


@pytest.mark.parametrize("seed", range(4))
def test_codes_are_equal_where_texts_are_as_long_as_they_are_in_use(seed: int) -> None:
    rng, m, key = random.Random(seed), empty_memory(), np.zeros(2, np.uint64)
    interner.create(m, BASE)
    used: dict[str, int] = {}  # text: time of last use
    code_of: dict[str, int] = {}
    horizon = -1
    for time in range(400):
        texts = [f"text {rng.randint(time // 2, time + 30)}" * rng.randint(1, 2) for _ in range(8)]
        data = np.frombuffer("".join(texts).encode(), np.uint8)
        offsets = np.cumsum([0, *map(len, texts)])
        keys, codes = np.empty((2, 8), np.int64), np.empty(8, np.int64)
        hashing.hash_strings(offsets, data, np.ones(8, np.bool_), key, 0, keys, np.zeros(8, int))
        times = np.full(8, time)
        interner.use(m, BASE, keys, offsets, data, True, times, codes)
        for text, code in zip(texts, codes.tolist(), strict=True):
            assert code != 0
            assert used.get(text, horizon) <= horizon or code == code_of[text]
            used[text], code_of[text] = time, code
        live = [t for t in used if used[t] > horizon]
        assert len({code_of[t] for t in live}) == len(live)
        text, out = rng.choice(live), np.empty(64, np.uint8)
        size = interner.text_of(m, code_of[text], out)
        assert out[:size].tobytes().decode() == text
        assert interner.text_of(m, code_of[text], out[:2]) == -1 - len(text)
        if rng.random() < 0.3:
            horizon = max(horizon, time - 40)
            interner.sweep(m, BASE, rng.choice([5, 500]), horizon)
    interner.sweep(m, BASE, 4096, 10**6)
    interner.sweep(m, BASE, 4096, 10**6)  # what moved into the hand's slot
    assert m.meta[BASE + table.COUNT] == 0
