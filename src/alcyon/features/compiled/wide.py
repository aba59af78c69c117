"""Integers of 128 and 256 bits, as pairs and quadruples of 64-bit words.

A 128-bit number is (low, high): low is the unsigned lower half kept in an int64, high is signed.
Only int64 is mixed with int64 and uint64 with uint64: Numba would otherwise go through float64.
"""

from __future__ import annotations

import math

import numpy as np

from alcyon.features.compiled.machine import Word, compiled

SIGN = np.int64(-(2**63))
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@compiled
def add(a_low: Word, a_high: Word, b_low: Word, b_high: Word) -> tuple[Word, Word]:
    """a + b, modulo 2^128."""
    low = a_low + b_low
    carry = np.int64(1) if (low ^ SIGN) < (a_low ^ SIGN) else np.int64(0)
    return low, a_high + b_high + carry


@compiled
def subtract(a_low: Word, a_high: Word, b_low: Word, b_high: Word) -> tuple[Word, Word]:
    """a − b, modulo 2^128."""
    borrow = np.int64(1) if (a_low ^ SIGN) < (b_low ^ SIGN) else np.int64(0)
    return a_low - b_low, a_high - b_high - borrow


@compiled
def multiply_unsigned(a: Word, b: Word) -> tuple[Word, Word]:
    """uint64 a · uint64 b as (low, high), both uint64."""
    a0, a1 = a & _MASK, a >> _HALF
    b0, b1 = b & _MASK, b >> _HALF
    p00, p01, p10 = a0 * b0, a0 * b1, a1 * b0
    middle = (p00 >> _HALF) + (p01 & _MASK) + (p10 & _MASK)
    low = (p00 & _MASK) | (middle << _HALF)
    return low, a1 * b1 + (p01 >> _HALF) + (p10 >> _HALF) + (middle >> _HALF)


@compiled
def square(x: Word) -> tuple[Word, Word]:
    """x² of an int64 as 128 bits."""
    magnitude = np.uint64(x) if x >= 0 else np.uint64(0) - np.uint64(x)
    low, high = multiply_unsigned(magnitude, magnitude)
    return np.int64(low), np.int64(high)


@compiled
def from_halves(low_sum: Word, high_sum: Word) -> tuple[Word, Word]:
    """low_sum + high_sum · 2^32 as 128 bits, for sums of the halves of many int64."""
    return add(low_sum, low_sum >> 63, high_sum << 32, high_sum >> 32)


@compiled
def fits_int64(low: Word, high: Word) -> bool:
    """Whether the number is its low word, and not the word that stands for null."""
    return bool(high == (low >> 63) and low != SIGN)


@compiled
def _unsigned_to_float(w0: Word, w1: Word, w2: Word, w3: Word) -> float:
    """The nearest float64 of a 256-bit unsigned number (w0 lowest), ties to even."""
    shift = 192
    zero = np.uint64(0)
    while w3 == zero and shift > 0:
        w3, w2, w1, w0 = w2, w1, w0, zero
        shift -= 64
    if w3 == zero:
        return 0.0
    lead = 0
    while (w3 >> np.uint64(63)) == zero:
        w3 = (w3 << np.uint64(1)) | (w2 >> np.uint64(63))
        w2 = (w2 << np.uint64(1)) | (w1 >> np.uint64(63))
        w1 = (w1 << np.uint64(1)) | (w0 >> np.uint64(63))
        w0 = w0 << np.uint64(1)
        lead += 1
    if w2 != zero or w1 != zero or w0 != zero:
        w3 |= np.uint64(1)  # sticky: below the rounding position, so the tie breaks rightly
    return math.ldexp(np.float64(w3), shift - lead)


@compiled
def to_float(low: Word, high: Word) -> float:
    """The float64 nearest to a signed 128-bit number, ties to even."""
    if high == (low >> 63):
        return np.float64(low)
    zero = np.uint64(0)
    if high < 0:
        low, high = subtract(np.int64(0), np.int64(0), low, high)
        return -_unsigned_to_float(np.uint64(low), np.uint64(high), zero, zero)
    return _unsigned_to_float(np.uint64(low), np.uint64(high), zero, zero)


@compiled
def _multiply_wide(a0: Word, a1: Word, b0: Word, b1: Word) -> tuple[Word, Word, Word, Word]:
    """(a1 a0) · (b1 b0), unsigned 128-bit each, as four words."""
    w0, carry = multiply_unsigned(a0, b0)
    low, high = multiply_unsigned(a0, b1)
    w1 = carry + low
    w2 = high + (np.uint64(1) if w1 < low else np.uint64(0))
    low, high = multiply_unsigned(a1, b0)
    w1 = w1 + low
    high = high + (np.uint64(1) if w1 < low else np.uint64(0))
    w2 = w2 + high
    w3 = np.uint64(1) if w2 < high else np.uint64(0)
    low, high = multiply_unsigned(a1, b1)
    w2 = w2 + low
    w3 = w3 + high + (np.uint64(1) if w2 < low else np.uint64(0))
    return w0, w1, w2, w3


@compiled
def variance_numerator(
    n: Word, sum_low: Word, sum_high: Word, squares_low: Word, squares_high: Word
) -> float:
    """n · Σx² − (Σx)² ≥ 0 in 256 bits, as the nearest float64."""
    if sum_high < 0:
        sum_low, sum_high = subtract(np.int64(0), np.int64(0), sum_low, sum_high)
    zero = np.uint64(0)
    a0, a1, a2, a3 = _multiply_wide(
        np.uint64(squares_low), np.uint64(squares_high), np.uint64(n), zero
    )
    s0, s1 = np.uint64(sum_low), np.uint64(sum_high)
    b0, b1, b2, b3 = _multiply_wide(s0, s1, s0, s1)
    one = np.uint64(1)
    d0 = a0 - b0
    borrow = one if a0 < b0 else zero
    d1 = a1 - b1 - borrow
    borrow = one if (a1 < b1 or (a1 == b1 and borrow == one)) else zero
    d2 = a2 - b2 - borrow
    borrow = one if (a2 < b2 or (a2 == b2 and borrow == one)) else zero
    return _unsigned_to_float(d0, d1, d2, a3 - b3 - borrow)
