"""Text and numbers to 128 bits: SipHash-1-3 with a 128-bit result and a secret key.

Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF" (2012), and the authors' 128-bit
variant. Keyed, because transaction ids come from outside: nobody can prepare two that collide.
"""

from __future__ import annotations

import numpy as np

from alcyon.features.compiled.machine import Bytes, Flags, Key, Word, Words, compiled

_U = np.uint64
_13, _16, _17, _21, _32 = _U(13), _U(16), _U(17), _U(21), _U(32)


@compiled
def _rotate(x: Word, bits: Word) -> Word:
    return (x << bits) | (x >> (np.uint64(64) - bits))


@compiled
def _round(v0: Word, v1: Word, v2: Word, v3: Word) -> tuple[Word, Word, Word, Word]:
    v0 += v1
    v1 = _rotate(v1, _13) ^ v0
    v0 = _rotate(v0, _32)
    v2 += v3
    v3 = _rotate(v3, _16) ^ v2
    v0 += v3
    v3 = _rotate(v3, _21) ^ v0
    v2 += v1
    v1 = _rotate(v1, _17) ^ v2
    return v0, v1, _rotate(v2, _32), v3


@compiled
def sip(data: Bytes, start: Word, stop: Word, key: Key) -> tuple[Word, Word]:
    """128 bits of data[start:stop] (uint8) under key (uint64[2]), as two int64."""
    v0 = key[0] ^ np.uint64(0x736F6D6570736575)
    v1 = key[1] ^ np.uint64(0x646F72616E646F6D) ^ np.uint64(0xEE)
    v2 = key[0] ^ np.uint64(0x6C7967656E657261)
    v3 = key[1] ^ np.uint64(0x7465646279746573)
    length = stop - start
    at = start
    while at + 8 <= stop:
        word = np.uint64(0)
        for i in range(8):
            word |= np.uint64(data[at + i]) << np.uint64(8 * i)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        at += 8
    word = np.uint64(length & 0xFF) << np.uint64(56)
    for i in range(stop - at):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= np.uint64(0xEE)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    low = v0 ^ v1 ^ v2 ^ v3
    v1 ^= np.uint64(0xDD)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return np.int64(low), np.int64(v0 ^ v1 ^ v2 ^ v3)


@compiled
def mix(x: Word) -> Word:
    """A 64-bit finaliser (Steele, Lea, Flood, "SplitMix", 2014), int64 to int64."""
    z = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> np.uint64(31)))


@compiled
def hash_strings(
    offsets: Words, data: Bytes, valid: Flags, key: Key, salt: Word, out: Words, payload: Words
) -> None:
    """Hash n strings into out[2, n]; null is (0, 0). Adds each to payload[n].

    `payload` is a sum over columns, so that an absent column and one of nulls are the same;
    `salt` tells the columns apart.
    """
    for i in range(len(offsets) - 1):
        if valid[i]:
            low, high = sip(data, offsets[i], offsets[i + 1], key)
            out[0, i] = low
            out[1, i] = high | 1  # never (0, 0)
            payload[i] += mix(low ^ salt)
        else:
            out[0, i] = 0
            out[1, i] = 0


@compiled
def hash_integers(values: Words, null: Word, out: Words) -> None:
    """Integers, one to one, in out[2, n], in a part of the space that no text reaches."""
    for i in range(len(values)):
        out[0, i] = mix(values[i]) if values[i] != null else 0
        out[1, i] = 2 if values[i] != null else 0


@compiled
def add_to_payload(bits: Words, null: Word, salt: Word, payload: Words) -> None:
    """Add a numeric column (as int64 bits) to payload[n]; nulls add nothing."""
    for i in range(len(bits)):
        if bits[i] != null:
            payload[i] += mix(mix(bits[i]) ^ salt)


@compiled
def combine(parts: Words, out: Words) -> None:
    """Hash of several columns' hashes: parts[c, 2, n] to out[2, n]; null if any part is null."""
    for i in range(parts.shape[2]):
        low, high = np.int64(0), np.int64(0)
        for c in range(parts.shape[0]):
            if parts[c, 1, i] == 0:
                low, high = np.int64(0), np.int64(0)
                break
            low = mix(low + parts[c, 0, i]) ^ parts[c, 1, i]
            high = mix(high ^ parts[c, 1, i]) + mix(parts[c, 0, i] ^ low)
            high |= 1
        out[0, i] = low
        out[1, i] = high
