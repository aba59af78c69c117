"""Parsing: SQL text to a typed tree, by an allow-list over sqlglot's reading of DuckDB's dialect.

>>> scope = {"amount_minor": Kind.NUMBER, "country": Kind.STRING}
>>> expr = parse("amount_minor / 100 > 5 AND country IN ('DE', 'FR')", scope)
>>> expr.kind, sorted(expr.columns)
(<Kind.BOOLEAN: 'BOOLEAN'>, ['amount_minor', 'country'])
>>> parse("amuont > 5", scope)
Traceback (most recent call last):
alcyon.domain.errors.ExpressionError: unknown column in `amuont`: did you mean `amount_minor`?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from sqlglot import exp

from alcyon.domain.errors import ExpressionError
from alcyon.features import functions
from alcyon.features.functions import made, number, numeric, of_kind, unified
from alcyon.features.syntax import DEPTH_MAX, TEXT_MAX, operands, read, shown
from alcyon.features.tree import LISTED, Expr, Kind

__all__ = ["DEPTH_MAX", "TEXT_MAX", "Expr", "Kind", "parse"]


def parse(text: str, scope: Mapping[str, Kind], *, lists: Collection[str] = ()) -> Expr:
    """The typed tree of a SQL scalar expression over the columns of `scope`.

    `lists` names the entity lists that `listed('name', column)` may ask for; only rules have any.
    Raises ExpressionError, one line: what is wrong, in which piece of the text, and the remedy.
    """
    try:
        return _Parser(scope, lists).expr(read(text))
    except _LocatedError as error:
        raise ExpressionError(str(error)) from None


_ARITHMETIC: dict[type[exp.Expression], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.Neg: "neg",
}  # fmt: skip
_EQUALITIES: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.NullSafeEQ: "is not distinct from",
}  # fmt: skip
_ORDERS: dict[type[exp.Expression], str] = {
    exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_FUNCTIONS: dict[type[exp.Expression], str] = {
    exp.Abs: "abs", exp.Sign: "sign", exp.Floor: "floor", exp.Ceil: "ceil", exp.Round: "round",
    exp.Sqrt: "sqrt", exp.Exp: "exp", exp.Ln: "ln", exp.Sin: "sin", exp.Cos: "cos",
    exp.Tan: "tan", exp.Asin: "asin", exp.Acos: "acos", exp.Atan: "atan", exp.Atan2: "atan2",
    exp.Radians: "radians", exp.Degrees: "degrees", exp.Pow: "power", exp.Least: "least",
    exp.Greatest: "greatest", exp.Coalesce: "coalesce", exp.Nullif: "nullif", exp.If: "if",
    exp.Pi: "pi",
}  # fmt: skip


class _LocatedError(ExpressionError):
    """An ExpressionError that names its piece of text already."""


@dataclass(frozen=True)
class _Parser:
    scope: Mapping[str, Kind]
    lists: Collection[str]

    def expr(self, node: exp.Expression) -> Expr:
        """The tree of `node`; ExpressionError names the smallest piece that is wrong."""
        while isinstance(node, exp.Paren):
            node = node.this
        try:
            return self._built(node)
        except _LocatedError:
            raise
        except ExpressionError as error:
            what, colon, remedy = str(error).partition(": ")
            raise _LocatedError(f"{what} in `{shown(node)}`{colon}{remedy}") from None

    def _built(self, node: exp.Expression) -> Expr:
        kind = type(node)
        if kind in _ARITHMETIC:
            return numeric(_ARITHMETIC[kind], *self._operands(node))
        if kind in _EQUALITIES:
            op = _EQUALITIES[kind]
            return made(op, Kind.BOOLEAN, unified(self._operands(node), op))
        if kind in _ORDERS:
            op = _ORDERS[kind]
            args = [of_kind(a, Kind.NUMBER, op) for a in self._operands(node)]
            return made(op, Kind.BOOLEAN, args)
        if kind in _FUNCTIONS:
            return functions.call(_FUNCTIONS[kind], self._operands(node))
        build = _FORMS.get(kind)
        if build is None:
            raise ExpressionError(_refusal(node))
        return build(self, node)

    def _operands(self, node: exp.Expression) -> list[Expr]:
        return [self.expr(a) for a in operands(node)]

    def column(self, node: exp.Expression) -> Expr:
        """A name of the scope, letter case ignored unless quoted."""
        name, identifier = node.name, node.this
        if node.args.get("table") or not isinstance(identifier, exp.Identifier):
            raise ExpressionError("not a plain column name: write columns without a table")
        if name not in self.scope and not identifier.args.get("quoted"):
            same = [n for n in self.scope if n.lower() == name.lower()]
            name = same[0] if len(same) == 1 else name
        if name not in self.scope:
            raise ExpressionError(f"unknown column: {_nearest(name, self.scope)}")
        return Expr("column", self.scope[name], (), name)

    def literal(self, node: exp.Expression) -> Expr:
        """A number or a string."""
        if node.args.get("is_string"):
            return Expr("string", Kind.STRING, (), node.name)
        try:
            value = float(node.name)
        except ValueError:
            raise ExpressionError("not a number: write it as 12, 0.5 or 1e3") from None
        if not math.isfinite(value):
            raise ExpressionError("number too large: the largest is 1.7976931348623157e308")
        return number(value)

    def boolean(self, node: exp.Expression) -> Expr:
        """TRUE or FALSE."""
        return Expr("boolean", Kind.BOOLEAN, (), float(bool(node.this)))

    def junction(self, node: exp.Expression) -> Expr:
        """AND or OR, a chain of one of them as one node."""
        op = "and" if isinstance(node, exp.And) else "or"
        args = [of_kind(self.expr(a), Kind.BOOLEAN, op) for a in operands(node)]
        return made(op, Kind.BOOLEAN, args)

    def negation(self, node: exp.Expression) -> Expr:
        """NOT."""
        return made("not", Kind.BOOLEAN, [of_kind(self.expr(node.this), Kind.BOOLEAN, "not")])

    def distinct(self, node: exp.Expression) -> Expr:
        """IS DISTINCT FROM."""
        args = unified(self._operands(node), "is distinct from")
        return made("not", Kind.BOOLEAN, [made("is not distinct from", Kind.BOOLEAN, args)])

    def state(self, node: exp.Expression) -> Expr:
        """IS NULL, IS TRUE, IS FALSE."""
        operand, of = self.expr(node.this), node.expression
        if isinstance(of, exp.Null):
            return made("is null", Kind.BOOLEAN, [operand])
        if not isinstance(of, exp.Boolean):
            raise ExpressionError("IS takes NULL, TRUE, FALSE or DISTINCT FROM: use one of these")
        args = [of_kind(operand, Kind.BOOLEAN, "is"), self.boolean(of)]
        return made("is not distinct from", Kind.BOOLEAN, args)

    def membership(self, node: exp.Expression) -> Expr:
        """IN (literals)."""
        values = node.expressions
        if not values or not all(_is_literal(v) for v in values):
            raise ExpressionError("IN takes a list of literals: write IN (1, 2) or IN ('a', 'b')")
        args = unified([self.expr(v) for v in (node.this, *values)], "in")
        return made("in", Kind.BOOLEAN, args)

    def between(self, node: exp.Expression) -> Expr:
        """BETWEEN, both ends inclusive."""
        if node.args.get("symmetric"):
            raise ExpressionError("BETWEEN SYMMETRIC is not allowed: put the smaller end first")
        parts = (self.expr(a) for a in (node.this, node.args["low"], node.args["high"]))
        args = [of_kind(a, Kind.NUMBER, "between") for a in parts]
        return made("between", Kind.BOOLEAN, args)

    def case(self, node: exp.Expression) -> Expr:
        """CASE, with or without an operand."""
        branches: list[exp.Expression] = node.args["ifs"]
        conditions = [self._condition(node, b) for b in branches]
        default = node.args.get("default")
        otherwise = functions.NULL if default is None else self.expr(default)
        values = unified([*(self.expr(b.args["true"]) for b in branches), otherwise], "case")
        pairs = [part for pair in zip(conditions, values, strict=False) for part in pair]
        return made("case", values[0].kind, [*pairs, values[-1]])

    def _condition(self, node: exp.Expression, branch: exp.Expression) -> Expr:
        condition = self.expr(branch.this)
        if node.this is None:
            return of_kind(condition, Kind.BOOLEAN, "when")
        return made("=", Kind.BOOLEAN, unified([self.expr(node.this), condition], "case"))

    def cast(self, node: exp.Expression) -> Expr:
        """CAST(… AS DOUBLE) of a number or a boolean."""
        if node.args["to"].this is not exp.DataType.Type.DOUBLE or node.args.get("safe"):
            raise ExpressionError("only CAST(… AS DOUBLE) is allowed: numbers are DOUBLE already")
        operand = self.expr(node.this)
        if operand.kind is Kind.BOOLEAN and operand.op != "null":
            return made("double", Kind.NUMBER, [operand])
        return of_kind(operand, Kind.NUMBER, "cast")

    def logarithm(self, node: exp.Expression) -> Expr:
        """log10 and log2, which sqlglot reads as a logarithm with a base."""
        base = node.this.name if isinstance(node.this, exp.Literal) else ""
        if node.expression is None or base not in ("10", "2"):
            raise ExpressionError("`log` is ambiguous: use ln, log10 or log2")
        return functions.call(f"log{base}", [self.expr(node.expression)])

    def function(self, node: exp.Expression) -> Expr:
        """A function that sqlglot has no class for: ours, or one that is not allowed."""
        name = node.name.lower()
        if name == LISTED:
            return self._listed(node)
        return functions.call(name, [self.expr(a) for a in node.expressions])

    def _listed(self, node: exp.Expression) -> Expr:
        if not self.lists:
            raise ExpressionError("`listed` is allowed in rules only: use a rule instead")
        args = node.expressions
        if len(args) != 2 or not args[0].is_string or not isinstance(args[1], exp.Column):
            raise ExpressionError("write listed('list name', column)")
        name, column = args[0].name, self.expr(args[1])
        if ":" in name:
            raise ExpressionError(f"list name `{name}` has a colon: rename the list")
        if name not in self.lists:
            raise ExpressionError(f"unknown list: {_nearest(name, self.lists)}")
        of_kind(column, Kind.STRING, LISTED)
        return Expr("column", Kind.BOOLEAN, (), f"{LISTED}:{name}:{column.value}")


_FORMS: dict[type[exp.Expression], Callable[[_Parser, exp.Expression], Expr]] = {
    exp.Column: _Parser.column,
    exp.Literal: _Parser.literal,
    exp.Boolean: _Parser.boolean,
    exp.Null: lambda _parser, _node: functions.NULL,
    exp.And: _Parser.junction,
    exp.Or: _Parser.junction,
    exp.Not: _Parser.negation,
    exp.NullSafeNEQ: _Parser.distinct,
    exp.Is: _Parser.state,
    exp.In: _Parser.membership,
    exp.Between: _Parser.between,
    exp.Case: _Parser.case,
    exp.Cast: _Parser.cast,
    exp.TryCast: _Parser.cast,
    exp.Log: _Parser.logarithm,
    exp.Anonymous: _Parser.function,
}


def _is_literal(node: exp.Expression) -> bool:
    if isinstance(node, exp.Neg):
        node = node.this
    return isinstance(node, exp.Literal | exp.Boolean | exp.Null)


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    some = ", ".join(sorted(known)[:8])
    return f"there are {some}{' …' if len(known) > 8 else ''}" if known else "there are none"


def _refusal(node: exp.Expression) -> str:
    if isinstance(node, exp.Func) and not isinstance(node, exp.Exists):
        name = node.sql_name().lower()
        if isinstance(node, exp.AggFunc):
            return f"aggregate `{name}` is not allowed: define a windowed feature and use its name"
        return f"function `{name}` is not allowed: use one of {', '.join(functions.names())}"
    if isinstance(node, exp.Query | exp.Subquery | exp.Exists):
        return "subqueries are not allowed: define a feature and use its name"
    if isinstance(node, exp.Window):
        return "window functions are not allowed: define a windowed feature and use its name"
    return f"{type(node).__name__.lower()} is not allowed: use arithmetic, comparisons, functions"
