"""The allow-list: every function an expression may call, and how it becomes a tree.

Our own functions (`distance_km`, `hour_of_day`, `weekday`) are expanded into the others, so that
neither the SQL nor the program needs to know them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from alcyon.domain.errors import ExpressionError
from alcyon.features.tree import Expr, Kind

NULL = Expr("null", Kind.NUMBER)
"""A NULL literal; `unified` gives it the kind of its neighbours."""

SIZE_MAX = 10_000
"""Nodes of an expression when written out: bounds the generated SQL and the program."""

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""

_DAY_MS, _HOUR_MS, _MINUTE_MS = 86_400_000.0, 3_600_000.0, 60_000.0

_ALIASES = {"iff": "if", "pow": "power", "ceiling": "ceil", "ifnull": "coalesce", "mod": "%"}


def number(value: float) -> Expr:
    """A number literal."""
    return Expr("number", Kind.NUMBER, (), value)


def numeric(op: str, *args: Expr) -> Expr:
    """An operation on numbers that gives a number; ExpressionError for another kind of operand."""
    return made(op, Kind.NUMBER, [of_kind(a, Kind.NUMBER, op) for a in args])


def made(op: str, kind: Kind, args: Sequence[Expr]) -> Expr:
    """A node; ExpressionError if the expression has grown too large."""
    expr = Expr(op, kind, tuple(args))
    if expr.size > SIZE_MAX:
        raise ExpressionError(
            f"more than {SIZE_MAX:,} operations when written out: give parts names of their own, "
            "as earlier expressions"
        )
    return expr


def of_kind(expr: Expr, kind: Kind, op: str) -> Expr:
    """`expr`, a NULL literal taking this kind; ExpressionError if it is of another kind."""
    if expr.op == "null":
        return Expr("null", kind)
    if expr.kind is kind:
        return expr
    remedy = f": give it a {kind.name}"
    if kind is Kind.BOOLEAN and expr.kind is Kind.NUMBER:
        remedy = ": compare it, as in `… <> 0`"
    if kind is Kind.NUMBER and expr.kind is Kind.BOOLEAN:
        remedy = ": use CAST(… AS DOUBLE)"
    raise ExpressionError(f"`{op}` takes a {kind.name}, not a {expr.kind.name}{remedy}")


def unified(args: Sequence[Expr], op: str) -> list[Expr]:
    """`args`, NULL literals taking the others' kind; ExpressionError if the kinds differ."""
    kinds = {a.kind: None for a in args if a.op != "null"}
    if len(kinds) > 1:
        names = " and ".join(k.name for k in kinds)
        raise ExpressionError(f"`{op}` mixes {names}: give it values of one kind")
    kind = next(iter(kinds), Kind.NUMBER)
    return [of_kind(a, kind, op) for a in args]


def call(name: str, args: Sequence[Expr]) -> Expr:
    """A function applied; ExpressionError for an unknown name, a wrong number or kind of args."""
    name = _ALIASES.get(name, name)
    if name not in _FUNCTIONS:
        raise ExpressionError(f"function `{name}` is not allowed: use one of {', '.join(names())}")
    fewest, most, build = _FUNCTIONS[name]
    if not fewest <= len(args) <= most:
        takes = f"{fewest}" if fewest == most else f"{fewest} to {most:,}"
        raise ExpressionError(f"`{name}` with {len(args)} arguments: give it {takes}")
    return build(name, args)


def names() -> list[str]:
    """Names of all functions allowed, sorted (`listed` is allowed in rules only)."""
    aliases = (a for a in _ALIASES if a != "iff")
    return sorted({*_FUNCTIONS, *aliases} - {"%"})


def _numeric(name: str, args: Sequence[Expr]) -> Expr:
    return numeric(name, *args)


def _same_kind(name: str, args: Sequence[Expr]) -> Expr:
    args = unified(args, name)
    return made(name, args[0].kind, args)


def _if(name: str, args: Sequence[Expr]) -> Expr:
    values = unified([args[1], args[2] if len(args) > 2 else NULL], name)
    condition = of_kind(args[0], Kind.BOOLEAN, name)
    return made("case", values[0].kind, [condition, *values])


def _pi(_name: str, _args: Sequence[Expr]) -> Expr:
    return number(math.pi)


def _distance_km(_name: str, args: Sequence[Expr]) -> Expr:
    """Great-circle distance by the haversine formula, args in degrees: lat1, lon1, lat2, lon2."""
    lat1, lon1, lat2, lon2 = args
    lat_part = _squared_sine_of_half(numeric("-", lat2, lat1))
    lon_part = _squared_sine_of_half(numeric("-", lon2, lon1))
    cosines = numeric("*", *(numeric("cos", numeric("radians", x)) for x in (lat1, lat2)))
    chord = numeric("+", lat_part, numeric("*", cosines, lon_part))
    # Between antipodes rounding can push the chord beyond 1, where asin has no value.
    angle = numeric("asin", numeric("sqrt", _at_most_one(chord)))
    return numeric("*", number(2 * EARTH_RADIUS_KM), angle)


def _at_most_one(x: Expr) -> Expr:
    # least() would ignore a null and give 1; the sum of a null and a number stays null.
    one = number(1.0)
    return made("case", Kind.NUMBER, [made(">", Kind.BOOLEAN, [x, one]), one, x])


def _squared_sine_of_half(degrees: Expr) -> Expr:
    sine = numeric("sin", numeric("/", numeric("radians", degrees), number(2.0)))
    return numeric("*", sine, sine)


def _hour_of_day(_name: str, args: Sequence[Expr]) -> Expr:
    """0 … 23; args: UTC milliseconds, minutes east of UTC."""
    local = _local_ms(args)
    hours, days = (numeric("floor", numeric("/", local, number(u))) for u in (_HOUR_MS, _DAY_MS))
    return numeric("-", hours, numeric("*", number(24.0), days))


def _weekday(_name: str, args: Sequence[Expr]) -> Expr:
    """0 = Monday … 6 = Sunday; args: UTC milliseconds, minutes east of UTC."""
    days = numeric("floor", numeric("/", _local_ms(args), number(_DAY_MS)))
    since_monday = numeric("+", days, number(3.0))  # 1970-01-01 was a Thursday
    weeks = numeric("floor", numeric("/", since_monday, number(7.0)))
    return numeric("-", since_monday, numeric("*", number(7.0), weeks))


def _local_ms(args: Sequence[Expr]) -> Expr:
    return numeric("+", args[0], numeric("*", args[1], number(_MINUTE_MS)))


_UNARY = (
    "abs", "sign", "floor", "ceil", "round", "sqrt", "exp", "ln", "log10", "log2", "sin", "cos",
    "tan", "asin", "acos", "atan", "radians", "degrees",
)  # fmt: skip
_ARGUMENTS_MAX = 1000

_FUNCTIONS: dict[str, tuple[int, int, Callable[[str, Sequence[Expr]], Expr]]] = {
    **dict.fromkeys(_UNARY, (1, 1, _numeric)),
    **dict.fromkeys(("atan2", "power", "%"), (2, 2, _numeric)),
    **dict.fromkeys(("least", "greatest"), (1, _ARGUMENTS_MAX, _numeric)),
    "coalesce": (1, _ARGUMENTS_MAX, _same_kind),
    "nullif": (2, 2, _same_kind),
    "if": (2, 3, _if),
    "pi": (0, 0, _pi),
    "distance_km": (4, 4, _distance_km),
    "hour_of_day": (2, 2, _hour_of_day),
    "weekday": (2, 2, _weekday),
}
"""Per name: the fewest and the most arguments, and what builds the tree."""
