"""The register program against DuckDB: equal nulls, equal booleans, numbers within 4 ulp."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from alcyon.domain.errors import ExpressionError
from alcyon.features.expression import Kind, parse
from alcyon.features.interpreter import BLOCK
from alcyon.features.program import Program

Floats = NDArray[np.float64]

SCOPE = {
    "x": Kind.NUMBER, "y": Kind.NUMBER, "n": Kind.NUMBER,
    "p": Kind.BOOLEAN, "q": Kind.BOOLEAN, "s": Kind.STRING, "t": Kind.STRING,
}  # fmt: skip
NAMES = list(SCOPE)
WORDS = ("", "DE", "it's", "FR")
ROWS = 300
HOSTILE = (
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 0.49999999999999994, 1e308, -1e308, 5e-324,
    -2.2250738585072014e-308, 1.7976931348623157e308, 4503599627370497.0, 9007199254740993.0,
    math.inf, -math.inf, math.nan, 709.0, -745.0, 1e15, 90.0, 180.0,
)  # fmt: skip


def numbers(rng: np.random.Generator) -> Floats:
    """float64[ROWS]: hostile, ordinary and null values."""
    ordinary = rng.normal(0, 1, ROWS) * 10.0 ** rng.integers(-3, 6, ROWS)
    return np.where(rng.random(ROWS) < 0.5, rng.choice(HOSTILE, ROWS), ordinary)


def mixed_texts(count: int) -> list[str]:
    """Random numbers, booleans and strings, the same in every run."""
    rng = random.Random(99)
    return [grown(rng.choice, rng.choice("NNBS"), 3) for _ in range(count)]


def compiled(*texts: str) -> Program:
    """A program of these expressions over all columns."""
    return Program.compile([parse(t, SCOPE) for t in texts], NAMES)


def run(text: str, *values: float, literals: Sequence[float] = ()) -> float:
    """One expression on one row; columns without a value are null."""
    row = np.full((len(NAMES), 1), math.nan)
    row[: len(values), 0] = values
    return float(compiled(text).run(row, np.array(literals, np.float64))[0, 0])


class Table:
    """The same random rows in DuckDB and as a program's inputs."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.codes = {word: code for code, word in enumerate(WORDS)}
        truths = [rng.choice([0.0, 1.0, math.nan], ROWS) for _ in "pq"]
        words = [rng.choice([0.0, 1.0, 2.0, math.nan], ROWS) for _ in "st"]
        whole = rng.integers(-(2**62), 2**62, ROWS) >> rng.integers(0, 62, ROWS)
        number = np.where(rng.random(ROWS) < 0.2, math.nan, whole.astype(np.float64))
        self.inputs = np.array([numbers(rng), numbers(rng), number, *truths, *words])
        self.connection = duckdb.connect()
        self.connection.execute(
            "CREATE TABLE rows (i INTEGER, x DOUBLE, y DOUBLE, n BIGINT, "
            "p BOOLEAN, q BOOLEAN, s VARCHAR, t VARCHAR)"
        )
        self.connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._rows(whole)
        )

    def _rows(self, whole: NDArray[np.int64]) -> list[list[object]]:
        x, y, n, p, q, s, t = self.inputs.tolist()
        words = [[None if math.isnan(v) else WORDS[int(v)] for v in column] for column in (s, t)]
        truths = [[None if math.isnan(v) else bool(v) for v in column] for column in (p, q)]
        integers = [None if math.isnan(v) else int(w) for v, w in zip(n, whole, strict=True)]
        # Null in the table is NULL in some rows and NaN in others.
        nulls = [None if i % 17 == 0 and math.isnan(v) else v for i, v in enumerate(x)]
        columns = zip(range(ROWS), nulls, y, integers, *truths, *words, strict=True)
        return [list(row) for row in columns]

    def by_sql(self, selected: list[str]) -> list[list[object]]:
        """Values of SQL expressions, one list per expression."""
        query = f"SELECT {', '.join(selected)} FROM rows ORDER BY i"
        return [list(c) for c in zip(*self.connection.execute(query).fetchall(), strict=True)]

    def literals(self, program: Program) -> Floats:
        """Codes of the program's strings; -1 for those that no row holds."""
        return np.array([float(self.codes.get(w, -1)) for w in program.strings], np.float64)

    def by_program(self, texts: list[str]) -> Floats:
        """Values of the same expressions from one program."""
        program = compiled(*texts)
        return program.run(self.inputs, self.literals(program))


TABLE = Table()


def value_of(raw: object, kind: Kind) -> float:
    """DuckDB's value as the machine holds it."""
    if raw is None:
        return math.nan
    if kind is Kind.STRING:
        return float(TABLE.codes.get(str(raw), -1))
    assert isinstance(raw, float | bool)
    return float(raw)


def check(texts: list[str]) -> None:
    """Both evaluations agree; the message names the expression and the row."""
    exprs = [parse(t, SCOPE) for t in texts]
    wanted = TABLE.by_sql([e.sql(lambda name: f"rows.{name}", integers={"n"}) for e in exprs])
    got = TABLE.by_program(texts)
    for text, expr, raw, row in zip(texts, exprs, wanted, got, strict=True):
        want = np.array([value_of(v, expr.kind) for v in raw])
        assert not np.isinf(want).any(), text
        known = np.where(row < 0, -1.0, row) if expr.kind is Kind.STRING else row
        differ = np.isnan(want) != np.isnan(known)
        ulps = 4 * np.spacing(np.abs(np.nan_to_num(want) / 2)) if expr.kind is Kind.NUMBER else 0.0
        differ |= np.abs(want - known) > ulps
        at = int(np.argmax(differ))
        assert not differ.any(), f"{text}: DuckDB {want[at]!r}, program {known[at]!r}, row {at}"


LEAVES = {
    "N": [
        *("x", "y", "n") * 3,
        *("0", "1", "2", "0.5", "-3", "1e308", "1e-300", "100", "7.25", "NULL"),
    ],
    "B": ["p", "q", "p", "q", "TRUE", "FALSE"],
    "S": ["s", "t", "s", "t", "'DE'", "'it''s'", "'XX'", "'YY'", "''"],
}  # fmt: skip
UNARY = [
    "abs",
    "sign",
    "floor",
    "ceil",
    "ceiling",
    "round",
    "sqrt",
    "exp",
    "ln",
    "log10",
    "log2",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "radians",
    "degrees",
    "-",
]
EQUALITIES = ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
GRAMMAR = {
    "N": [
        *(f"({{N}} {op} {{N}})" for op in "+-*/%" * 3),
        *(f"{name}({{N}})" for name in UNARY),
        *(f"{name}({{N}}, {{N}})" for name in ("power", "pow", "atan2", "nullif", "mod", "ifnull")),
        *(f"{name}({{N}}, {{N}}, {{N}})" for name in ("least", "greatest", "coalesce")),
        "CASE WHEN {B} THEN {N} WHEN {B} THEN {N} ELSE {N} END",
        "CASE {N} WHEN {N} THEN {N} END",
        "iff({B}, {N}, {N})",
        "if({B}, {N})",
        "CAST({B} AS DOUBLE)",
        "({N})::DOUBLE",
        "distance_km({N}, {N}, x, y)",
        "hour_of_day({N}, n)",
        "weekday(x, {N})",
    ],
    "B": [
        *(f"({{N}} {op} {{N}})" for op in ("<", "<=", ">", ">=", *EQUALITIES)),
        *(f"({{S}} {op} {{S}})" for op in EQUALITIES),
        *(f"({{B}} {op} {{B}})" for op in EQUALITIES),
        *(f"({{{kind}}} IS {null})" for kind in "NBS" for null in ("NULL", "NOT NULL")),
        *(f"({{B}} IS {truth})" for truth in ("TRUE", "FALSE", "NOT TRUE")),
        "({B} AND {B} OR {B})",
        "({B} AND {B} AND {B})",
        "({B} OR {B})",
        "(NOT {B})",
        "({N} IN (1, -3, 0.5))",
        "({N} NOT IN (1, NULL))",
        "({S} IN ('DE', 'XX'))",
        "({S} NOT IN ('it''s', NULL))",
        "({N} BETWEEN {N} AND {N})",
        "({N} NOT BETWEEN {N} AND {N})",
        "coalesce({B}, {B})",
        "nullif({B}, {B})",
        "CASE WHEN {B} THEN {B} ELSE {B} END",
    ],
    "S": [
        "coalesce({S}, {S})",
        "nullif({S}, {S})",
        "CASE WHEN {B} THEN {S} ELSE {S} END",
        "CASE {S} WHEN {S} THEN {S} END",
    ],
}
"""Templates by kind (number, boolean, string); `{N}` stands for any number, and so on."""

Choice = Callable[[Sequence[str]], str]


def grown(choose: Choice, kind: str, depth: int) -> str:
    """A random expression of a kind, at most `depth` operations deep."""
    template = choose(LEAVES[kind] if depth == 0 else [*GRAMMAR[kind], choose(LEAVES[kind])])
    return re.sub(r"{([NBS])}", lambda found: grown(choose, found[1], depth - 1), template)


QUERIES, EACH = 60, 40


@pytest.mark.parametrize("query", range(QUERIES))
def test_2400_random_expressions_equal_duckdb(query: int) -> None:
    rng = random.Random(query)
    check([grown(rng.choice, rng.choice("NNBBS"), rng.choice((1, 2, 3, 3))) for _ in range(EACH)])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_an_expression_equals_duckdb(data: st.DataObject) -> None:
    # Few, but a failure is shrunk to its smallest form.
    def choose(among: Sequence[str]) -> str:
        return data.draw(st.sampled_from(among))

    check([grown(choose, choose("NBS"), 3)])


@pytest.mark.parametrize("template", [t for kind in "NBS" for t in GRAMMAR[kind]])
def test_each_operation_equals_duckdb_on_leaves(template: str) -> None:
    rng = random.Random(template)
    check([re.sub(r"{([NBS])}", lambda f: rng.choice(LEAVES[f[1]]), template) for _ in range(8)])


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16, 63, BLOCK, 1000])
def test_a_rows_result_does_not_depend_on_its_batch(batch: int) -> None:
    texts = mixed_texts(60)
    program = compiled(*texts, "exp(x)", "sin(y)", "power(abs(x), y)", "ln(abs(n))", "x % y")
    inputs, literals = np.tile(TABLE.inputs, 4), TABLE.literals(program)
    n = inputs.shape[1]
    whole = program.run(inputs, literals).view(np.int64)
    for shift in (0, 1):
        edges = [0, *range(shift or batch, n, batch), n]
        parts = [program.run(inputs[:, a:b], literals) for a, b in pairwise(edges)]
        assert np.array_equal(np.concatenate(parts, axis=1).view(np.int64), whole)


def test_every_null_has_one_bit_pattern() -> None:
    texts = ["x / 0", "ln(-1 - abs(x))", "-x", "abs(x)", "x + y", "NOT p", "p AND q", "NULL", "p"]
    out = compiled(*texts).run(TABLE.inputs, np.empty(0))
    assert set(out[np.isnan(out)].view(np.int64).tolist()) == {
        int(np.array(math.nan).view(np.int64))
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("round(2.5)", 3.0), ("round(-2.5)", -3.0), ("round(0.49999999999999994)", 0.0),
        ("round(4503599627370497)", 4503599627370497.0), ("least(NULL, 2)", 2.0),
        ("FALSE AND NULL", 0.0), ("TRUE OR NULL", 1.0), ("1 IN (2, NULL)", math.nan),
        ("1 IN (1, NULL)", 1.0), ("NULL = NULL", math.nan), ("NULL IS NOT DISTINCT FROM NULL", 1.0),
        ("1e308 * 10 - 1e308 * 10", math.nan), ("1 / (1e308 * 10)", math.nan),
        ("exp(-(1e308 * 10))", math.nan), ("5 % 0", math.nan), ("-7 % 4", -3.0),
        ("power(NULL, 0)", math.nan), ("CASE WHEN NULL THEN 1 ELSE 2 END", 2.0),
        ("'a' = 'b'", 0.0), ("CASE WHEN TRUE THEN 'a' END = 'b'", 0.0), ("log10(1000)", 3.0),
    ],
)  # fmt: skip
def test_known_values(text: str, wanted: float) -> None:
    program = compiled(text)
    got = program.run(np.empty((len(NAMES), 1)), np.full(len(program.strings), -1.0))
    assert np.array_equal(got, [[wanted]], equal_nan=True)


def test_literals_no_row_holds_differ_from_one_another() -> None:
    program = compiled("CASE WHEN x > 0 THEN 'a' ELSE 'b' END = 'c'", "coalesce(s, 'b')")
    inputs = np.full((len(NAMES), 1), math.nan)
    out = program.run(inputs, np.full(3, -1.0))
    assert out[0, 0] == 0.0
    assert program.strings[-1 - int(out[1, 0])] == "b"


def test_common_parts_are_computed_once() -> None:
    once, thrice = compiled("exp(x) + y"), compiled(*["exp(x) + y"] * 3)
    assert len(thrice.code) == len(once.code) + 2  # two more outputs
    assert len(compiled("exp(x) + y", "(EXP( X ))+Y > 1").code) == len(once.code) + 3


def test_constants_are_folded() -> None:
    assert len(compiled("exp(ln(2) + sin(1)) / 3 > 0.1 AND TRUE").code) == 2
    assert compiled("x + exp(0)").constants.tolist() == [1.0]


def test_zeros_of_different_sign_are_not_merged() -> None:
    assert run("atan2(-0.0, -1) - atan2(0.0, -1)") == -2 * math.pi
    assert run("atan2(x * -0.0, -1) - atan2(x * 0.0, -1)", 1.0) == -2 * math.pi


def test_registers_are_reused() -> None:
    chain = " + ".join(f"abs(x - {i})" for i in range(60))
    assert compiled(chain).registers <= 6


def test_needs_are_the_inputs_really_read() -> None:
    assert compiled("x + 1", "s = 'DE'").needs == ("x", "s")
    assert compiled("1 + 1").needs == ()


def test_out_and_row_slices_of_larger_arrays_are_written_in_place() -> None:
    program = compiled("x + 1", "p")
    inputs, out = np.zeros((len(NAMES), 900)), np.full((5, 900), 7.0)
    returned = program.run(inputs[:, 100:400], np.empty(0), out[1:3, 100:400])
    assert np.array_equal(returned, [[1.0] * 300, [0.0] * 300])
    assert (out[1, 100:400] == 1.0).all()
    assert (out[1:3, :100] == 7.0).all()
    assert (out[[0, 3, 4]] == 7.0).all()


def test_no_rows_give_no_rows() -> None:
    assert compiled("x + 1").run(np.empty((len(NAMES), 0)), np.empty(0)).shape == (1, 0)


def test_no_outputs_give_no_outputs() -> None:
    assert compiled().run(TABLE.inputs, np.empty(0)).shape == (0, ROWS)


def test_wrong_shapes_are_refused() -> None:
    program = compiled("s = 'DE'")
    with pytest.raises(ValueError, match="do not fit a program of 7 inputs and 1 outputs"):
        program.run(TABLE.inputs[:3], np.zeros(1))
    with pytest.raises(ValueError, match="do not fit"):
        program.run(TABLE.inputs, np.zeros(1), np.empty((2, ROWS)))
    with pytest.raises(ValueError, match="0 literals for 1 strings"):
        program.run(TABLE.inputs, np.empty(0))


def test_a_column_that_is_no_input_is_refused() -> None:
    with pytest.raises(ExpressionError, match="column `y` is not an input"):
        Program.compile([parse("x + y", SCOPE)], ["x"])
