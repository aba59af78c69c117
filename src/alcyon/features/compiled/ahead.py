"""Fetching ahead: memory that the next transactions of a batch will need, before they need it.

State is far larger than the processor's caches, and each transaction begins with a chain of reads
that each wait for the one before: slot, header, root, newest leaf, newest events. Within a batch
the chains of different transactions can overlap: each stage asks for what the next one will read.
"""

from __future__ import annotations

from alcyon.features.compiled import table
from alcyon.features.compiled.entity import Plan
from alcyon.features.compiled.growth import DEPTH, ROOT
from alcyon.features.compiled.machine import Word, Words, compiled, fetch, inlined
from alcyon.features.compiled.memory import Memory

SLOT, HEADER, TREE, ROWS, LEAF, EVENTS = 16, 13, 10, 7, 4, 2
"""How many transactions ahead each stage works."""
_LINE_WORDS = 8


@compiled
def _header(m: Memory, plan: Plan, low: Word, high: Word) -> Word:
    return table.find(m, plan.base, low, high) if high != 0 else 0


@compiled
def _newest_leaf(words: Words, node: Word, depth: Word, row: Word) -> Word:
    """Where the next event will most likely go, and the windows of it begin."""
    for _ in range(depth):
        node = words[node + 2 + (words[node] - 1) * row + 1]
    return node


@inlined
def fetch_ahead(m: Memory, plan: Plan, keys: Words, i: Word) -> None:
    """Before transaction i: each stage for the transaction so many places on."""
    words, n, row = m.words, keys.shape[1], plan.shape.row
    if i + SLOT < n:
        fetch(words, table.home(m, plan.base, keys[0, i + SLOT]))
    if i + HEADER < n:
        fetch(words, table.first_address(m, plan.base, keys[0, i + HEADER]))
    if i + TREE < n:
        header = _header(m, plan, keys[0, i + TREE], keys[1, i + TREE])
        if header != 0:
            fetch(words, words[header + ROOT])
            fetch(words, words[header + ROOT] + _LINE_WORDS)
    if i + ROWS < n:
        header = _header(m, plan, keys[0, i + ROWS], keys[1, i + ROWS])
        if header != 0 and words[header + DEPTH] > 0:
            root = words[header + ROOT]
            fetch(words, root + 2 + (words[root] - 1) * row)
            if words[header + DEPTH] > 1:  # a busy entity: its windows end all over the root
                at = root + 2 + words[root] * row
                while at > root:
                    fetch(words, at)
                    at -= _LINE_WORDS
    if i + LEAF < n:
        header = _header(m, plan, keys[0, i + LEAF], keys[1, i + LEAF])
        if header != 0 and words[header + ROOT] != 0:
            fetch(words, _newest_leaf(words, words[header + ROOT], words[header + DEPTH], row))
    if i + EVENTS < n:
        header = _header(m, plan, keys[0, i + EVENTS], keys[1, i + EVENTS])
        if header != 0 and words[header + ROOT] != 0:
            leaf = _newest_leaf(words, words[header + ROOT], words[header + DEPTH], row)
            end = leaf + 2 + words[leaf] * plan.shape.stride
            fetch(words, end)
            fetch(words, end - _LINE_WORDS)
            fetch(words, end - 2 * _LINE_WORDS)


@compiled
def fetch_seen_ahead(m: Memory, base: Word, ids: Words, i: Word) -> None:
    """The same for the ledger of what was seen."""
    if i + HEADER < ids.shape[1]:
        fetch(m.words, table.home(m, base, ids[0, i + HEADER]))
    if i + TREE < ids.shape[1]:
        fetch(m.words, table.first_address(m, base, ids[0, i + TREE]))
