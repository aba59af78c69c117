"""Fetching ahead: memory that the next transactions of a batch will need, before they need it.

State is far larger than the processor's caches, and each transaction begins with a chain of reads
that each wait for the one before: slot, header, root, newest leaf. Within a batch the chains of
different transactions can overlap: each stage asks for what the next one will read.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from alcyon.features.compiled import table
from alcyon.features.compiled.entity import Plan
from alcyon.features.compiled.growth import DEPTH, ROOT
from alcyon.features.compiled.machine import Word, Words, compiled, inlined
from alcyon.features.compiled.memory import Memory

SLOT, HEADER, TREE, LEAF = 16, 12, 8, 4
"""How many transactions ahead each stage works."""
_LINE_WORDS = 8


@intrinsic
def fetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index]; any index is harmless."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(words.data, [arguments[1]])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # for reading, to be kept in all caches, data
        builder.call(function, [builder.bitcast(address, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@compiled
def _header(m: Memory, plan: Plan, low: Word, high: Word) -> Word:
    return table.find(m, plan.base, low, high) if high != 0 else 0


@inlined
def fetch_ahead(m: Memory, plan: Plan, keys: Words, i: Word) -> None:
    """Before transaction i: each stage for the transaction so many places on."""
    words, n = m.words, keys.shape[1]
    if i + SLOT < n:
        fetch(words, table.home(m, plan.base, keys[0, i + SLOT]))
    if i + HEADER < n:
        fetch(words, table.first_address(m, plan.base, keys[0, i + HEADER]))
    if i + TREE < n:
        header = _header(m, plan, keys[0, i + TREE], keys[1, i + TREE])
        if header != 0:
            root = words[header + ROOT]
            fetch(words, root)
            fetch(words, root + _LINE_WORDS)
    if i + LEAF < n:
        header = _header(m, plan, keys[0, i + LEAF], keys[1, i + LEAF])
        if header != 0 and words[header + ROOT] != 0:
            node, step = words[header + ROOT], plan.shape.stride
            if words[header + DEPTH] > 0:
                step = plan.shape.row
            last = node + 2 + (words[node] - 1) * step
            fetch(words, last)
            if words[header + DEPTH] > 0:
                leaf = words[last + 1]
                fetch(words, leaf)
                fetch(words, leaf + _LINE_WORDS)
                fetch(words, leaf + 2 * _LINE_WORDS)


@compiled
def fetch_seen_ahead(m: Memory, base: Word, ids: Words, i: Word) -> None:
    """The same for the ledger of what was seen."""
    if i + HEADER < ids.shape[1]:
        fetch(m.words, table.home(m, base, ids[0, i + HEADER]))
    if i + TREE < ids.shape[1]:
        fetch(m.words, table.first_address(m, base, ids[0, i + TREE]))
