"""Lowering: trees to values in the order of their computation, each computed once.

Operations that the machine does not have are expressed by those it has: `a > b` is `b < a`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alcyon.features.interpreter import Op
from alcyon.features.tree import Expr

_DIRECT = {
    "+": Op.ADD, "-": Op.SUBTRACT, "*": Op.MULTIPLY, "/": Op.DIVIDE, "%": Op.REMAINDER,
    "neg": Op.NEGATE, "abs": Op.ABS, "floor": Op.FLOOR, "ceil": Op.CEIL, "round": Op.ROUND,
    "sqrt": Op.SQRT, "sign": Op.SIGN, "exp": Op.EXP, "ln": Op.LN, "log10": Op.LOG10,
    "log2": Op.LOG2, "sin": Op.SIN, "cos": Op.COS, "tan": Op.TAN, "asin": Op.ASIN,
    "acos": Op.ACOS, "atan": Op.ATAN, "atan2": Op.ATAN2, "power": Op.POWER, "=": Op.EQUAL,
    "<": Op.LESS, "<=": Op.LESS_EQUAL, "is not distinct from": Op.SAME, "is null": Op.IS_NULL,
    "not": Op.NOT, "nullif": Op.NULLIF,
}  # fmt: skip
_CHAINS = {
    "and": Op.AND, "or": Op.OR, "coalesce": Op.COALESCE, "least": Op.LEAST,
    "greatest": Op.GREATEST,
}  # fmt: skip
_SCALES = {"radians": math.pi / 180, "degrees": 180 / math.pi}


@dataclass(frozen=True)
class Value:
    """One value of a program; `args` are positions of earlier values."""

    op: Op
    args: tuple[int, ...] = ()
    row: int = 0
    """Of inputs or literals."""
    constant: float = 0.0


@dataclass
class Lowering:
    """Collects values; equal ones are the same position."""

    rows: Mapping[str, int]
    """Input rows by column name."""
    fold: Callable[[Op, list[float]], float]
    """Computes an operation on constants."""
    values: list[Value] = field(default_factory=list)
    strings: dict[str, int] = field(default_factory=dict)
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)

    def lower(self, expr: Expr) -> int:
        """The position of the expression's value."""
        if not expr.args:
            return self._leaf(expr)
        args = [self.lower(a) for a in expr.args]
        if expr.op in _DIRECT:
            return self._operation(_DIRECT[expr.op], *args)
        if expr.op in _CHAINS:
            return self._chain(_CHAINS[expr.op], args)
        if expr.op in _SCALES:
            return self._operation(Op.MULTIPLY, args[0], self._constant(_SCALES[expr.op]))
        return self._composed(expr.op, args)

    def _leaf(self, expr: Expr) -> int:
        if expr.op == "column":
            return self._value(Value(Op.INPUT, row=self.rows[str(expr.value)]))
        if expr.op == "string":
            row = self.strings.setdefault(str(expr.value), len(self.strings))
            return self._value(Value(Op.TEXT, row=row))
        return self._constant(math.nan if expr.op == "null" else float(expr.value or 0.0))

    def _composed(self, op: str, args: list[int]) -> int:
        if op in (">", ">="):
            return self._operation(Op.LESS if op == ">" else Op.LESS_EQUAL, args[1], args[0])
        if op == "<>":
            return self._operation(Op.NOT, self._operation(Op.EQUAL, *args))
        if op == "in":
            found = [self._operation(Op.EQUAL, args[0], a) for a in args[1:]]
            return self._chain(Op.OR, found)
        if op == "between":
            value, low, high = args
            above = self._operation(Op.LESS_EQUAL, low, value)
            return self._operation(Op.AND, above, self._operation(Op.LESS_EQUAL, value, high))
        if op == "case":
            return self._case(args)
        assert op == "double", op  # a boolean is 0 or 1 already
        return args[0]

    def _case(self, args: list[int]) -> int:
        result = args[-1]
        for at in range(len(args) - 3, -1, -2):
            result = self._operation(Op.SELECT, args[at], args[at + 1], result)
        return result

    def _chain(self, op: Op, args: list[int]) -> int:
        result = args[0]
        for argument in args[1:]:
            result = self._operation(op, result, argument)
        return result

    def _constant(self, value: float) -> int:
        return self._value(Value(Op.CONSTANT, constant=value))

    def _operation(self, op: Op, *args: int) -> int:
        parts = [self.values[a] for a in args]
        if all(p.op is Op.CONSTANT for p in parts):
            return self._constant(self.fold(op, [p.constant for p in parts]))
        return self._value(Value(op, args))

    def _value(self, value: Value) -> int:
        # By text, because NaN differs from itself and 0.0 equals -0.0.
        key = (value.op, value.args, value.row, value.constant.hex())
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]
