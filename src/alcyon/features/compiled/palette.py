"""Palettes: the few different codes that a run of events has in one 32-bit lane.

Two words of an inner row hold up to four codes, or say that there are more. Most cards pay from
one or two countries and devices, so a distinct count need not look at whole leaves.
"""

from __future__ import annotations

from alcyon.features.compiled.machine import Word, Words, compiled

WORDS = 2
_SLOTS = 4
_CODE = 0xFFFFFFFF
_MANY = -1  # in the first word


@compiled
def clear(words: Words, at: Word) -> None:
    """No codes."""
    words[at] = 0
    words[at + 1] = 0


@compiled
def is_known(words: Words, at: Word) -> bool:
    """Whether all codes are in the palette."""
    return bool(words[at] != _MANY)


@compiled
def add(words: Words, at: Word, code: Word) -> None:
    """Put in a code; 0 is null and none."""
    if code == 0 or words[at] == _MANY:
        return
    for slot in range(_SLOTS):
        word, shift = at + (slot >> 1), 32 * (slot & 1)
        present = (words[word] >> shift) & _CODE
        if present == code:
            return
        if present == 0:
            words[word] |= code << shift
            return
    words[at] = _MANY


@compiled
def unite(words: Words, at: Word, other: Word) -> None:
    """Put in all codes of another palette."""
    if words[other] == _MANY:
        words[at] = _MANY
        return
    for slot in range(_SLOTS):
        add(words, at, (words[other + (slot >> 1)] >> (32 * (slot & 1))) & _CODE)


@compiled
def stamp(words: Words, stamps: Words, stamp: Word, at: Word) -> Word:
    """Stamp the codes of a known palette; how many were not stamped before."""
    total = 0
    for slot in range(_SLOTS):
        code = (words[at + (slot >> 1)] >> (32 * (slot & 1))) & _CODE
        if code == 0:
            break
        if stamps[code] != stamp:
            stamps[code] = stamp
            total += 1
    return total
