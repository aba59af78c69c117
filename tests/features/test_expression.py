"""Parsing: what is accepted, what it means, and every refusal in one clear line."""

from __future__ import annotations

import math
import random
import sys
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pytest

from alcyon.domain.errors import ExpressionError
from alcyon.features.expression import DEPTH_MAX, TEXT_MAX, Expr, Kind, parse
from alcyon.features.functions import EARTH_RADIUS_KM
from alcyon.features.program import Program

SCOPE = {
    "amount_minor": Kind.NUMBER, "latitude": Kind.NUMBER, "is_new": Kind.BOOLEAN,
    "country": Kind.STRING, "card_id": Kind.STRING, "Odd Name": Kind.NUMBER,
}  # fmt: skip


def parsed(text: str) -> Expr:
    return parse(text, SCOPE)


def constant(text: str) -> float:
    """The value of an expression without columns."""
    return float(Program.compile([parsed(text)], []).run(np.empty((0, 1)), np.empty(0))[0, 0])


@pytest.mark.parametrize(
    ("text", "kind", "columns"),
    [
        ("amount_minor / 100", Kind.NUMBER, {"amount_minor"}),
        ("amount_minor > 1 AND is_new", Kind.BOOLEAN, {"amount_minor", "is_new"}),
        ("coalesce(country, 'DE')", Kind.STRING, {"country"}),
        ('"Odd Name" + 1', Kind.NUMBER, {"Odd Name"}),
        ("NULL", Kind.NUMBER, set()),
        ("coalesce(NULL, country)", Kind.STRING, {"country"}),
        ("CASE WHEN is_new THEN NULL ELSE 'x' END", Kind.STRING, {"is_new"}),
        ("CAST(is_new AS DOUBLE)", Kind.NUMBER, {"is_new"}),
        ("amount_minor -- a comment", Kind.NUMBER, {"amount_minor"}),
        ("pi()", Kind.NUMBER, set()),
    ],
)
def test_kind_and_columns(text: str, kind: Kind, columns: set[str]) -> None:
    expr = parsed(text)
    assert expr.kind is kind
    assert expr.columns == columns


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("amount_minor/100>5 and is_new", "((AMOUNT_MINOR / 100.0) > 5)\n  AND (Is_New)"),
        ("pow(latitude, 2)", "latitude ** 2"),
        ("latitude + 1", '"latitude" + 1e0'),
        ("amount_minor != 1", "amount_minor <> 1"),
        ("is_new AND is_new AND is_new", "is_new AND (is_new AND is_new)"),
        ("if(is_new, 1, 2)", "CASE WHEN is_new THEN 1 ELSE 2 END"),
        ("country IS NOT NULL", "NOT country IS NULL"),
        ("amount_minor::DOUBLE", "amount_minor"),
    ],
)
def test_normalised_text_ignores_how_it_is_written(one: str, other: str) -> None:
    assert parsed(one).normalised == parsed(other).normalised
    assert parsed(one) == parsed(other)
    assert hash(parsed(one)) == hash(parsed(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("latitude - amount_minor", "amount_minor - latitude"),
        ("latitude - (amount_minor - 1)", "latitude - amount_minor - 1"),
        ("country = 'a'", "country = 'A'"),
        ("country = 'x'' y'", "country = 'x'' Y'"),
        ("is_new AND (is_new OR is_new)", "is_new AND is_new OR is_new"),
        ("latitude = 1", "latitude IS NOT DISTINCT FROM 1"),
    ],
)
def test_normalised_text_tells_different_meanings_apart(one: str, other: str) -> None:
    assert parsed(one).normalised != parsed(other).normalised


def test_sql_qualifies_columns_and_casts_them() -> None:
    sql = parsed("amount_minor > 200").sql(lambda name: f"j.{name}", integers={"amount_minor"})
    assert sql == "(CAST(j.amount_minor AS DOUBLE) > CAST(200 AS DOUBLE))"


def test_sql_of_deep_expressions_stays_short_and_runs() -> None:
    text = "latitude"
    for _ in range(15):
        text = f"ln(abs({text} / 3) + 1)"
    sql = parsed(text).sql(lambda name: name)
    assert len(sql) < 20_000
    value = duckdb.connect().execute(f"SELECT {sql} FROM (SELECT 5 AS latitude)").fetchall()[0][0]
    program = Program.compile([parsed(text)], ["latitude"])
    assert program.run(np.array([[5.0]]), np.empty(0))[0, 0] == value


def test_listed_is_a_boolean_input_and_tells_its_list() -> None:
    expr = parse("listed('block', card_id) AND is_new", SCOPE, lists=("block", "allow"))
    assert expr.columns == {"listed:block:card_id", "is_new"}
    assert expr.lists == {("block", "card_id")}


def test_distance_of_known_places() -> None:
    paris_london = constant("distance_km(48.8566, 2.3522, 51.5074, -0.1278)")
    assert paris_london == pytest.approx(343.56, abs=0.1)
    assert constant("distance_km(10, 20, 10, 20)") == 0.0
    half = math.pi * EARTH_RADIUS_KM
    assert constant("distance_km(0, 0, 0, 180)") == pytest.approx(half, rel=1e-12)
    assert constant("distance_km(90, 0, -90, 33)") == pytest.approx(half, rel=1e-12)
    assert constant("distance_km(0, 179.9, 0, -179.9)") == pytest.approx(22.24, abs=0.01)
    assert math.isnan(constant("distance_km(0, 0, NULL, 180)"))


@pytest.mark.parametrize("offset", [-720, -300, 0, 60, 330, 840])
def test_hour_and_weekday_are_the_calendars(offset: int) -> None:
    rng = np.random.default_rng(abs(offset))
    edges = [946_684_800_000, 4_102_444_799_999, 1_699_999_200_000, 1_699_999_199_999]
    for time_ms in [*edges, *rng.integers(edges[0], edges[1], 30).tolist()]:
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms, minutes=offset)
        assert constant(f"hour_of_day({time_ms}, {offset})") == local.hour
        assert constant(f"weekday({time_ms}, {offset})") == local.weekday()


REFUSALS = [
    # unknown names
    ("amuont_minor > 5", "unknown column in `amuont_minor`: did you mean `amount_minor`?"),
    ("zzz > 5", "unknown column in `zzz`: there are"),
    ('"AMOUNT_MINOR" > 5', "unknown column in `"),
    ("j.amount_minor", "not a plain column name in `j.amount_minor`"),
    ("foo(latitude)", "function `foo` is not allowed in `FOO(latitude)`: use one of abs, acos"),
    ("random()", "function `rand` is not allowed"),
    ("current_date", "function `current_date` is not allowed"),
    ("listed('block', card_id)", "`listed` is allowed in rules only"),
    ("log(latitude)", "`log` is ambiguous in `LOG(latitude)`: use ln, log10 or log2"),
    # what belongs to queries
    ("(SELECT 1)", "subqueries are not allowed in `(SELECT 1)`"),
    ("SELECT 1", "subqueries are not allowed"),
    ("EXISTS (SELECT 1)", "subqueries are not allowed"),
    ("latitude IN (SELECT 1)", "IN takes a list of literals"),
    ("count(*)", "aggregate `count` is not allowed in `COUNT(*)`: define a windowed feature"),
    ("sum(latitude)", "aggregate `sum` is not allowed"),
    ("sum(latitude) OVER ()", "window functions are not allowed"),
    ("*", "star is not allowed"),
    ("latitude AS x", "alias is not allowed"),
    ("DROP TABLE x", "drop is not allowed"),
    ("latitude; latitude", "several statements in"),
    # types
    ("latitude = 'x'", "`=` mixes NUMBER and STRING in `latitude = 'x'`"),
    ("latitude + country", "`+` takes a NUMBER, not a STRING"),
    ("is_new + 1", "not a BOOLEAN in `is_new + 1`: use CAST(… AS DOUBLE)"),
    ("latitude AND is_new", "`and` takes a BOOLEAN, not a NUMBER"),
    ("NOT latitude", "`not` takes a BOOLEAN"),
    ("CASE WHEN latitude THEN 1 END", "in `CASE WHEN latitude THEN 1 END`: compare it"),
    ("CASE WHEN is_new THEN 1 ELSE 'x' END", "`case` mixes NUMBER and STRING"),
    ("coalesce(latitude, 'x')", "`coalesce` mixes NUMBER and STRING"),
    ("if(latitude, 1, 2)", "`if` takes a BOOLEAN"),
    ("CAST(latitude AS INTEGER)", "only CAST(… AS DOUBLE) is allowed"),
    ("TRY_CAST(latitude AS DOUBLE)", "only CAST(… AS DOUBLE) is allowed"),
    ("CAST(country AS DOUBLE)", "`cast` takes a NUMBER, not a STRING"),
    ("DATE '2020-01-01'", "only CAST(… AS DOUBLE) is allowed"),
    # strings do little
    ("country < 'x'", "`<` takes a NUMBER, not a STRING"),
    ("country || 'x'", "dpipe is not allowed"),
    ("country LIKE 'x%'", "like is not allowed"),
    ("upper(country)", "function `upper` is not allowed"),
    ("country BETWEEN 'a' AND 'b'", "`between` takes a NUMBER"),
    ("greatest(country, 'b')", "`greatest` takes a NUMBER"),
    # forms
    ("latitude IN (amount_minor)", "IN takes a list of literals"),
    ("latitude IN (1, 'x')", "`in` mixes NUMBER and STRING"),
    ("latitude // 2", "intdiv is not allowed"),
    ("latitude IS 5", "IS takes NULL, TRUE, FALSE or DISTINCT FROM"),
    ("round(latitude, 2)", "`round` with 2 arguments in `ROUND(latitude, 2)`: give it 1"),
    ("distance_km(1, 2, 3)", "`distance_km` with 3 arguments"),
    ("1e400", "number too large in `1e400`"),
    ("INTERVAL 1 DAY", "interval is not allowed"),
    ("$1", "placeholder is not allowed"),
    ("[1, 2]", "function `array` is not allowed"),
    # not SQL
    ("", "no expression in ``: write one expression"),
    ("-- nothing", "no expression in"),
    ("ELSE", "no expression in `ELSE`"),
    (". 5.", "not a number in `0.5.`"),
    ("floor(1", "its end is missing; check its brackets"),
    ("latitude AS", "its end is missing"),
    ("CASE WHEN is_new THEN 1", "its end is missing"),
    ("latitude >", "not a SQL expression in `latitude >`"),
    ("latitude 5", "not a SQL expression in `latitude 5`"),
    ("(latitude", "not a SQL expression in `(latitude`: its end"),
    ("'open", "not a SQL expression in `'open`"),
    # bounds
    ("(" * (DEPTH_MAX + 1) + "latitude" + ")" * (DEPTH_MAX + 1), "nested deeper than 64"),
    ("NOT " * 2000 + "is_new", "nested deeper than 64"),
    ("- " * 2000 + "latitude", "nested deeper than 64"),
    (" + ".join(["latitude"] * 100), "nested deeper than 64"),
    ("[" * 3000 + "]" * 3000, "nested deeper than 64"),
    ("CASE WHEN is_new THEN " * 300 + "1" + " END" * 300, "nested deeper than 64"),
    ("latitude" + " " * TEXT_MAX, "expression of 10,008 characters"),
    ("nullif(" * 20 + "latitude" + ", 1)" * 20, "more than 10,000 operations when written out"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals_are_one_line_with_the_piece_and_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parsed(text)
    line = str(caught.value)
    assert message in line
    assert "\n" not in line
    assert ": " in line
    assert type(caught.value) is ExpressionError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listed('blok', card_id)", "unknown list in `LISTED('blok', card_id)`: did you mean"),
        ("listed('block', latitude)", "`listed` takes a STRING, not a NUMBER"),
        ("listed(card_id, 'block')", "write listed('list name', column)"),
        ("listed('block')", "write listed('list name', column)"),
        ("listed('a:b', card_id)", "has a colon"),
    ],
)
def test_refusals_of_listed(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, SCOPE, lists=("block", "allow"))
    assert message in str(caught.value)


def test_64_levels_are_accepted_from_a_deep_stack() -> None:
    text = "abs(" * (DEPTH_MAX - 1) + "latitude" + ")" * (DEPTH_MAX - 1)

    def deep(levels: int) -> Expr:
        return deep(levels - 1) if levels else parsed(text)

    limit = sys.getrecursionlimit()
    assert deep(300).columns == {"latitude"}
    assert sys.getrecursionlimit() == limit


def test_a_long_chain_of_alternatives_is_not_deep() -> None:
    text = " OR ".join(f"latitude = {i}" for i in range(300))
    assert len(parsed(text).args) == 300


NONSENSE = r"""
latitude is_new country ( ) , + - * / % = <> < <= IS NOT NULL AND OR IN BETWEEN CASE WHEN THEN ELSE
END CAST AS DOUBLE :: [ ] { } : . ; 1 2.5 1e5 'x' ' " abs( nullif( if( round( log( listed(
distance_km( DISTINCT FROM TRUE SELECT EXISTS( ANY LIKE INTERVAL DATE -> || // ** @ $1 ? lambda
COLUMNS( OVER FILTER WHERE UNION VALUES -- /* */ \ $$ e'a' x'1F' .5 5. é EXTRACT( COLLATE AT TIME
ZONE SIMILAR TO pi() max( unnest( least() INTO USING SAMPLE
"""


def refusal(text: str) -> str:
    """The message of the ExpressionError, or "" for an expression that renders as SQL."""
    try:
        expr = parsed(text)
    except ExpressionError as error:
        return str(error)
    assert expr.sql(str)
    return ""


@pytest.mark.parametrize("run", range(20))
def test_nonsense_is_refused_and_never_crashes(run: int) -> None:
    rng, pieces = random.Random(run), NONSENSE.split()
    for _ in range(100):
        text = " ".join(rng.choice(pieces) for _ in range(rng.randint(1, 8)))
        message = refusal(text)
        assert "\n" not in message, text
        assert not message or ": " in message, text
