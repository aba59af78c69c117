"""SQL text to sqlglot's tree, within bounds and with errors of one line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from alcyon.domain.errors import ExpressionError

TEXT_MAX = 10_000
"""Characters of an expression."""

DEPTH_MAX = 64
"""Operations inside one another; a chain of ANDs or of ORs counts once."""

_FRAMES = 5_000
"""Python frames for sqlglot, which spends about 25 per level: DEPTH_MAX levels and a caller's."""

_PIECE_MAX = 60

_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)
_PREFIXES = (TokenType.NOT, TokenType.DASH)

_stack = threading.Lock()


def read(text: str) -> exp.Expression:
    """sqlglot's tree of one expression; ExpressionError if it is too large or not SQL."""
    if len(text) > TEXT_MAX:
        raise ExpressionError(
            f"expression of {len(text):,} characters in `{_cut(text)}`: "
            f"at most {TEXT_MAX:,}; give parts names of their own, as earlier expressions"
        )
    try:
        _check_tokens(text)
        with _deep_stack():
            trees = sqlglot.parse(text, dialect="duckdb")
    except ParseError as error:
        where = error.errors[0]
        piece = f"{where['start_context']}{where['highlight']}"[-_PIECE_MAX:].strip()
        raise ExpressionError(
            f"not a SQL expression in `{_cut(piece or text)}`, column {where['col']}: "
            "check for a missing operator, bracket or quote there"
        ) from error
    except SqlglotError as error:
        raise ExpressionError(
            f"not a SQL expression in `{_cut(text)}`: check its quotes"
        ) from error
    except RecursionError as error:
        raise _too_deep(text) from error
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Expression):
        found = "several statements" if any(trees) else "no expression"
        raise ExpressionError(f"{found} in `{_cut(text)}`: write one expression")
    _refuse_deep_tree(tree, text)
    return tree


def operands(node: exp.Expression) -> list[exp.Expression]:
    """The parts of a node in order; of a chain of ANDs (or of ORs), all its links."""
    if isinstance(node, exp.And | exp.Or):
        return _links(node)
    parts: list[exp.Expression] = []
    for name in node.arg_types:
        part = node.args.get(name)
        parts.extend(
            p for p in (part if isinstance(part, list) else [part]) if isinstance(p, exp.Expression)
        )
    return parts


def shown(node: exp.Expression) -> str:
    """The piece of text that `node` stands for, cut to a line."""
    return _cut(node.sql(dialect="duckdb"))


def _links(node: exp.Expression) -> list[exp.Expression]:
    kind, links, waiting = type(node), list[exp.Expression](), [node]
    while waiting:
        link = waiting.pop()
        while isinstance(link, exp.Paren):
            link = link.this
        if type(link) is kind:
            waiting += (link.args["expression"], link.this)
        else:
            links.append(link)
    return links


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _PIECE_MAX else f"{line[: _PIECE_MAX - 1]}…"


def _too_deep(text: str) -> ExpressionError:
    return ExpressionError(
        f"nested deeper than {DEPTH_MAX} in `{_cut(text)}`: "
        "give parts names of their own, as earlier expressions"
    )


def _check_tokens(text: str) -> None:
    # Before sqlglot parses: its parser recurses, and a deep text would exhaust the stack; it also
    # lets an open bracket or an AS without a name pass at the end.
    depth = prefixes = 0
    tokens = sqlglot.tokenize(text, dialect="duckdb")
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        if max(depth, prefixes) > DEPTH_MAX:
            raise _too_deep(text)
    if depth > 0 or (tokens and tokens[-1].token_type is TokenType.ALIAS):
        raise ExpressionError(
            f"not a SQL expression in `{_cut(text)}`: its end is missing; check its brackets"
        )


def _refuse_deep_tree(tree: exp.Expression, text: str) -> None:
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise _too_deep(text)
        if not isinstance(node, exp.Column):
            waiting += ((part, depth + 1) for part in operands(node))


@contextmanager
def _deep_stack() -> Iterator[None]:
    # Whether an expression is accepted must not depend on how deep its caller's stack is.
    with _stack:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, _FRAMES))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
