"""The typed tree of a SQL scalar expression: what `parse` gives and programs and SQL are made of.

Values are float64 numbers, booleans or strings, each may be null. An operation whose result would
be NaN or infinite gives null.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import chain

from alcyon.features.rendering import quoted_name, quoted_text, render

LISTED = "listed"
"""First part of the name of the input column that stands for membership of an entity list."""


class Kind(Enum):
    """What an expression's value is; the value is DuckDB's name for it."""

    NUMBER = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    STRING = "VARCHAR"


@dataclass(frozen=True)
class Expr:
    """One node: a leaf (`column`, `number`, `string`, `boolean`, `null`) or an operation.

    The arguments of `case` are condition, value, condition, value, …, value otherwise.
    """

    op: str
    kind: Kind
    args: tuple[Expr, ...] = ()
    value: str | float | None = None
    """A leaf's name, text or number; a boolean is 0.0 or 1.0."""

    @cached_property
    def columns(self) -> frozenset[str]:
        """Names of the columns used, `listed:…` ones included."""
        if self.op == "column":
            return frozenset((str(self.value),))
        return frozenset(chain.from_iterable(a.columns for a in self.args))

    @property
    def lists(self) -> frozenset[tuple[str, str]]:
        """(entity list, column) pairs whose membership is asked by `listed()`.

        Each is the BOOLEAN input column `listed:{list}:{column}`, which the caller fills.
        """
        parts = (name.split(":", 2) for name in self.columns if name.startswith(f"{LISTED}:"))
        return frozenset((name, column) for _, name, column in parts)

    @cached_property
    def size(self) -> int:
        """Nodes when written out in SQL, where shared parts are repeated."""
        # DuckDB expands nullif(a, b) to CASE WHEN a = b THEN NULL ELSE a END.
        repeated = self.args[0].size if self.op == "nullif" else 0
        return 1 + repeated + sum(a.size for a in self.args)

    @cached_property
    def normalised(self) -> str:
        """Canonical text for hashing: independent of white space, letter case and parentheses."""
        if self.op == "column":
            return quoted_name(str(self.value))
        if self.op == "string":
            return quoted_text(str(self.value))
        if self.op in ("number", "boolean"):
            return f"{self.op}:{self.value!r}"
        return f"({' '.join([self.op, *(a.normalised for a in self.args)])})"

    def sql(self, column: Callable[[str], str], *, integers: Collection[str] = ()) -> str:
        """DuckDB SQL of the same value, with explicit casts, that neither fails nor gives NaN.

        `column` renders a column's reference from its name, so that the caller can qualify it;
        columns in `integers` are known to hold no NaN and no infinity and go without a guard.
        """
        return render(self, column, integers)
