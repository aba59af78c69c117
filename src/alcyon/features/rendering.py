"""Expressions as DuckDB SQL: the definition that the register program is tested against.

NaN and infinity become NULL. Operations that hand a non-finite operand on as a non-finite result
(`+`, `*`, `floor`, …) are left unguarded, and one guard stands around the outermost of them, so
the SQL stays readable. A guard names its operand twice; around a long operand it is written with
a one-element list, or the text would double at every level.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alcyon.features.tree import Expr

_REPEATED_MAX = 100
"""Characters of an operand that a guard may repeat."""

_GUARDED = {
    "sqrt": "{0} >= 0",
    "ln": "{0} > 0",
    "log10": "{0} > 0",
    "log2": "{0} > 0",
    "asin": "abs({0}) <= 1",
    "acos": "abs({0}) <= 1",
}
"""Functions that fail outside a domain, and the domain. A NaN or infinite operand gives NULL or a
non-finite result (in DuckDB NaN is the largest number), so the operand needs no guard itself."""

_BOUNDED = frozenset(("sin", "cos", "asin", "acos", "atan", "atan2"))
"""Functions whose results are always finite."""

_HAND_ON = frozenset(("abs", "floor", "ceil", "round", "radians"))
"""Functions that are finite exactly where their operand is."""

_INFIX = frozenset(("=", "<>", "<", "<=", ">", ">=", "and", "or", "is not distinct from"))


class _Sql(NamedTuple):
    text: str
    is_finite: bool
    """Surely neither NaN nor infinite (true of booleans and strings)."""


def quoted_name(name: str) -> str:
    """A column name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A string as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def render(expr: Expr, column: Callable[[str], str], integers: Collection[str]) -> str:
    """DuckDB SQL of `expr`; see `Expr.sql`."""
    return _Renderer(column, integers).finite(expr)


def _once(text: str, template: str) -> str:
    """`template` with `{0}` replaced by `text`, which is evaluated and, if long, written once."""
    if len(text) <= _REPEATED_MAX:
        return template.format(text)
    return f"list_transform([{text}], lambda v: {template.format('v')})[1]"


@dataclass(frozen=True)
class _Renderer:
    column: Callable[[str], str]
    integers: Collection[str]

    def finite(self, expr: Expr) -> str:
        """SQL that is never NaN or infinite."""
        sql = self.sql(expr)
        if sql.is_finite:
            return sql.text
        return _once(sql.text, "CASE WHEN isfinite({0}) THEN {0} END")

    def sql(self, expr: Expr) -> _Sql:
        """SQL that may be NaN or infinite where the value is null."""
        if not expr.args:
            return self._leaf(expr)
        if expr.op in ("+", "-", "*"):
            left, right = (self.sql(a).text for a in expr.args)
            return _Sql(f"({left} {expr.op} {right})", False)
        if expr.op in ("/", "%"):
            # A finite number divided by infinity is 0: only the divisor needs a guard.
            left, right = self.sql(expr.args[0]).text, self.finite(expr.args[1])
            return _Sql(f"({left} {expr.op} {right})", False)
        if expr.op == "neg":
            operand = self.sql(expr.args[0])
            return _Sql(f"(- {operand.text})", operand.is_finite)
        if expr.op in _HAND_ON:
            operand = self.sql(expr.args[0])
            return _Sql(f"{expr.op}({operand.text})", operand.is_finite)
        if expr.op in _GUARDED:
            template = f"CASE WHEN {_GUARDED[expr.op]} THEN {expr.op}({{0}}) END"
            return _Sql(_once(self.sql(expr.args[0]).text, template), expr.op in _BOUNDED)
        if expr.op in ("exp", "power", "degrees", "tan"):
            return _Sql(self._call(expr), False)
        return _Sql(self._operation(expr), True)

    def _leaf(self, expr: Expr) -> _Sql:
        kind = expr.kind.value
        if expr.op == "column":
            name = str(expr.value)
            is_finite = kind != "DOUBLE" or name in self.integers
            return _Sql(f"CAST({self.column(name)} AS {kind})", is_finite)
        if expr.op == "string":
            return _Sql(quoted_text(str(expr.value)), True)
        if expr.op == "boolean":
            return _Sql("TRUE" if expr.value else "FALSE", True)
        if expr.op == "null":
            return _Sql(f"CAST(NULL AS {kind})", True)
        return _Sql(_number(float(expr.value or 0)), True)

    def _call(self, expr: Expr) -> str:
        return f"{expr.op}({', '.join(self.finite(a) for a in expr.args)})"

    def _operation(self, expr: Expr) -> str:
        """An operation whose operands must be finite and whose result is."""
        args = [self.finite(a) for a in expr.args]
        if expr.op in _INFIX:
            return f"({f' {expr.op.upper()} '.join(args)})"
        if expr.op == "case":
            return _case(args)
        if expr.op == "in":
            return f"({args[0]} IN ({', '.join(args[1:])}))"
        if expr.op == "between":
            return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
        if expr.op == "not":
            return f"(NOT {args[0]})"
        if expr.op == "is null":
            return f"({args[0]} IS NULL)"
        if expr.op in ("double", "sign"):
            inner = args[0] if expr.op == "double" else f"sign({args[0]})"
            return f"CAST({inner} AS DOUBLE)"
        return self._call(expr)


def _case(args: list[str]) -> str:
    *pairs, otherwise = args
    whens = (f"WHEN {c} THEN {v}" for c, v in zip(pairs[::2], pairs[1::2], strict=True))
    return f"CASE {' '.join(whens)} ELSE {otherwise} END"


def _number(value: float) -> str:
    """A literal that DuckDB reads as exactly this double (a bare 0.1 would be a DECIMAL)."""
    if value == int(value) and abs(value) < 2**53:
        return f"CAST({int(value)} AS DOUBLE)"
    text = repr(value)
    return text if "e" in text else f"{text}e0"
