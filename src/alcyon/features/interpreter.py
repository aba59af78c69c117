"""The register machine: one compiled function that runs every program.

Instructions are data, so new expressions compile nothing. Rows are taken in blocks, so that the
registers stay in the processor's cache; within a block each instruction runs over all its rows.

A value is a float64: null is NaN, a boolean 0 or 1, a string its code. Every result that would be
NaN or infinite becomes NaN of one bit pattern. Transcendental functions are scalar calls of libm
and nothing is reassociated, so a row's result does not depend on its place or on the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Runner = Callable[[NDArray[np.int32], Floats, Floats, Floats, Floats, int], None]

BLOCK = 256
"""Rows per block: 2 KiB per register, so that about 16 registers fit the first-level cache."""


class Op(IntEnum):
    """Operations; an instruction is (operation, to, a, b, c), all but the first registers.

    `INPUT`, `CONSTANT`, `TEXT` read row `a` of inputs, constants, literals; `OUTPUT` writes
    register `a` to row `to` of the outputs. `SELECT` is b where a is true, c elsewhere.
    """

    INPUT, CONSTANT, TEXT, OUTPUT = 0, 1, 2, 3
    ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATE = 10, 11, 12, 13, 14
    ABS, FLOOR, CEIL, ROUND, SQRT, SIGN = 15, 16, 17, 18, 19, 20
    EXP, LN, LOG10, LOG2, SIN, COS, TAN = 30, 31, 32, 33, 34, 35, 36
    ASIN, ACOS, ATAN, ATAN2, POWER, REMAINDER = 37, 38, 39, 40, 41, 42
    EQUAL, LESS, LESS_EQUAL, SAME, IS_NULL = 50, 51, 52, 53, 54
    AND, OR, NOT, COALESCE, NULLIF, LEAST, GREATEST, SELECT = 60, 61, 62, 63, 64, 65, 66, 67


# Numba reads plain integers as constants; the enumeration's members would be looked up.
_INPUT, _CONSTANT, _TEXT, _OUTPUT = (int(op) for op in list(Op)[:4])
_ARITHMETIC, _LIBM, _COMPARISON, _LOGIC = int(Op.ADD), int(Op.EXP), int(Op.EQUAL), int(Op.AND)
_SUBTRACT, _MULTIPLY, _DIVIDE = int(Op.SUBTRACT), int(Op.MULTIPLY), int(Op.DIVIDE)
_NEGATE, _ABS, _FLOOR, _CEIL = int(Op.NEGATE), int(Op.ABS), int(Op.FLOOR), int(Op.CEIL)
_ROUND, _SQRT = int(Op.ROUND), int(Op.SQRT)
_LN, _LOG10, _LOG2, _SIN, _COS = int(Op.LN), int(Op.LOG10), int(Op.LOG2), int(Op.SIN), int(Op.COS)
_TAN, _ASIN, _ACOS, _ATAN = int(Op.TAN), int(Op.ASIN), int(Op.ACOS), int(Op.ATAN)
_ATAN2, _POWER = int(Op.ATAN2), int(Op.POWER)
_LESS, _LESS_EQUAL, _SAME = int(Op.LESS), int(Op.LESS_EQUAL), int(Op.SAME)
_OR, _NOT, _COALESCE, _NULLIF = int(Op.OR), int(Op.NOT), int(Op.COALESCE), int(Op.NULLIF)
_LEAST, _GREATEST = int(Op.LEAST), int(Op.GREATEST)

_scalar = njit(error_model="numpy", nogil=True, inline="always")
_block = njit(error_model="numpy", nogil=True)


@_scalar
def _finite(x: float) -> float:
    return x if x - x == 0.0 else math.nan


@_scalar
def _rounded(x: float) -> float:
    """Half away from zero, as C's round()."""
    whole: float = np.trunc(x)
    return whole + math.copysign(1.0, x) if abs(x - whole) >= 0.5 else whole


@_block
def _arithmetic(op: int, to: Floats, a: Floats, b: Floats) -> None:
    # One loop per operation, so that each is compiled to vector instructions (exact by IEEE 754).
    n = len(to)
    if op == _ARITHMETIC:
        for i in range(n):
            to[i] = _finite(a[i] + b[i])
    elif op == _SUBTRACT:
        for i in range(n):
            to[i] = _finite(a[i] - b[i])
    elif op == _MULTIPLY:
        for i in range(n):
            to[i] = _finite(a[i] * b[i])
    elif op == _DIVIDE:
        for i in range(n):
            to[i] = _finite(a[i] / b[i])
    else:
        _unary(op, to, a)


@_block
def _unary(op: int, to: Floats, a: Floats) -> None:
    n = len(to)
    if op == _NEGATE:
        for i in range(n):
            to[i] = _finite(-a[i])
    elif op == _ABS:
        for i in range(n):
            to[i] = abs(a[i])
    elif op == _FLOOR:
        for i in range(n):
            to[i] = np.floor(a[i])
    elif op == _CEIL:
        for i in range(n):
            to[i] = np.ceil(a[i])
    elif op == _ROUND:
        for i in range(n):
            to[i] = _rounded(a[i])
    elif op == _SQRT:
        for i in range(n):
            to[i] = _finite(np.sqrt(a[i]))
    else:
        for i in range(n):
            x = a[i]
            to[i] = 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0 if x == 0.0 else math.nan


@_block
def _libm(op: int, to: Floats, a: Floats, b: Floats) -> None:
    for i in range(len(to)):
        to[i] = _finite(_called(op, a[i], b[i]))


@_block
def _called(op: int, x: float, y: float) -> float:
    # NumPy's spelling, where libm's result outside a function's domain is NaN, not an exception.
    value = math.nan
    if op == _LIBM:
        value = np.exp(x)
    elif op == _LN:
        value = np.log(x)
    elif op == _LOG10:
        value = np.log10(x)
    elif op == _LOG2:
        value = np.log2(x)
    elif op == _SIN:
        value = np.sin(x)
    elif op == _COS:
        value = np.cos(x)
    elif op == _TAN:
        value = np.tan(x)
    elif op == _ASIN:
        value = np.arcsin(x)
    elif op == _ACOS:
        value = np.arccos(x)
    elif op == _ATAN:
        value = np.arctan(x)
    elif not (math.isnan(x) or math.isnan(y)):  # libm's pow(NaN, 0) and pow(1, NaN) are 1
        if op == _ATAN2:
            value = np.arctan2(x, y)
        elif op == _POWER:
            value = x**y
        else:
            value = np.fmod(x, y)
    return value


@_block
def _comparison(op: int, to: Floats, a: Floats, b: Floats) -> None:
    n = len(to)
    if op == _COMPARISON:
        for i in range(n):
            known = a[i] == a[i] and b[i] == b[i]
            to[i] = (1.0 if a[i] == b[i] else 0.0) if known else math.nan
    elif op == _LESS:
        for i in range(n):
            known = a[i] == a[i] and b[i] == b[i]
            to[i] = (1.0 if a[i] < b[i] else 0.0) if known else math.nan
    elif op == _LESS_EQUAL:
        for i in range(n):
            known = a[i] == a[i] and b[i] == b[i]
            to[i] = (1.0 if a[i] <= b[i] else 0.0) if known else math.nan
    elif op == _SAME:
        for i in range(n):
            to[i] = 1.0 if a[i] == b[i] or (a[i] != a[i] and b[i] != b[i]) else 0.0
    else:
        for i in range(n):
            to[i] = 1.0 if a[i] != a[i] else 0.0


@_block
def _logic(op: int, to: Floats, a: Floats, b: Floats, c: Floats) -> None:
    n = len(to)
    if op == _LOGIC:
        for i in range(n):  # false AND null is false
            to[i] = 0.0 if a[i] == 0.0 or b[i] == 0.0 else a[i] * b[i]
    elif op == _OR:
        for i in range(n):  # true OR null is true
            to[i] = 1.0 if a[i] == 1.0 or b[i] == 1.0 else a[i] + b[i]
    elif op == _NOT:
        for i in range(n):
            to[i] = 1.0 - a[i]
    elif op == _COALESCE:
        for i in range(n):
            to[i] = a[i] if a[i] == a[i] else b[i]
    elif op == _NULLIF:
        for i in range(n):
            to[i] = math.nan if a[i] == b[i] else a[i]
    elif op == _LEAST:
        for i in range(n):  # nulls are ignored, the first of equals is kept
            to[i] = b[i] if b[i] < a[i] or a[i] != a[i] else a[i]
    elif op == _GREATEST:
        for i in range(n):
            to[i] = b[i] if b[i] > a[i] or a[i] != a[i] else a[i]
    else:
        for i in range(n):  # a null condition is not true
            to[i] = b[i] if a[i] == 1.0 else c[i]


@_block
def _text(code: float, index: int) -> float:
    # Literals that the caller does not know share the code -1, yet differ from one another.
    return code if code >= 0.0 else -1.0 - index


def _interpret(
    code: NDArray[np.int32],
    constants: Floats,
    literals: Floats,
    inputs: Floats,
    outputs: Floats,
    registers: int,
) -> None:
    """Run `code` (int32[instructions, 5]) over all columns of inputs[k, n] into outputs[m, n]."""
    n = outputs.shape[1]
    scratch = np.empty((registers, min(n, BLOCK)))
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for at in range(len(code)):
            op, x = code[at, 0], code[at, 2]
            if op == _OUTPUT:
                outputs[code[at, 1], start : start + size] = scratch[x, :size]
                continue
            to = scratch[code[at, 1], :size]
            if op == _INPUT:
                for i in range(size):
                    to[i] = _finite(inputs[x, start + i])
            elif op == _CONSTANT:
                to[:] = constants[x]
            elif op == _TEXT:
                to[:] = _text(literals[x], x)
            else:
                a, b = scratch[x, :size], scratch[code[at, 3], :size]
                if op < _LIBM:
                    _arithmetic(op, to, a, b)
                elif op < _COMPARISON:
                    _libm(op, to, a, b)
                elif op < _LOGIC:
                    _comparison(op, to, a, b)
                else:
                    _logic(op, to, a, b, scratch[code[at, 4], :size])


@cache
def runner() -> Runner:
    """The compiled interpreter; the first call in a process compiles it or loads it from disk."""
    # Strided arrays take contiguous ones and row slices alike, with one compilation.
    signature = "void(int32[:,::1], float64[::1], float64[::1], float64[:,:], float64[:,:], int64)"
    compiled: Runner = njit(signature, error_model="numpy", nogil=True, cache=True)(_interpret)
    return compiled
