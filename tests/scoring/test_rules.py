"""Rules: how they fire, who wins, how they are written down, and the card detector's own."""

from __future__ import annotations

import math
from importlib.resources import files

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcyon.detectors.card import catalog
from alcyon.domain.decision import Action
from alcyon.domain.errors import AlcyonError, ExpressionError, InputError
from alcyon.features.catalog import KIND_OF
from alcyon.features.expression import Kind
from alcyon.scoring.rules import RULES_MAX, SCORES, Rule, RuleSet, Status, from_text, to_text

SCOPE = {"amount_minor": Kind.NUMBER, "country": Kind.STRING, "card_id": Kind.STRING, **SCORES}
APPROVE, STEP_UP, REVIEW, DECLINE = Action


def rule(
    name: str = "a", when: str = "TRUE", action: Action = REVIEW, priority: int = 100,
    status: Status = Status.LIVE,
) -> Rule:  # fmt: skip
    return Rule(name, f"Rule {name}", when, action, f"code_{name}", priority, status)


def outcome(policy: Action, *rules: Rule) -> tuple[Action, str | None]:
    """The action after rules that all fire, and the id of the rule that decides."""
    rule_set = RuleSet.compile(rules, SCOPE)
    hits = rule_set.hits(np.empty((0, 3)), np.empty(0))
    assert hits.all()
    codes = np.full(3, policy.code, np.int8)
    actions, deciding = rule_set.actions(codes, hits), rule_set.deciding(codes, hits)
    assert actions.dtype == np.int8
    assert len(set(actions.tolist())) == len(set(deciding.tolist())) == 1
    by = rule_set.evaluated[deciding[0]].id if deciding[0] >= 0 else None
    return Action.of_code(int(actions[0])), by


def test_a_strict_rule_raises_the_action() -> None:
    assert outcome(APPROVE, rule("a", action=REVIEW)) == (REVIEW, "a")


def test_a_rule_less_strict_than_the_policy_changes_nothing() -> None:
    assert outcome(DECLINE, rule("a", action=REVIEW)) == (DECLINE, None)
    assert outcome(REVIEW, rule("a", action=REVIEW)) == (REVIEW, None)


def test_the_strictest_of_several_decides_whatever_its_priority() -> None:
    rules = rule("a", action=REVIEW, priority=900), rule("b", action=DECLINE, priority=1)
    assert outcome(APPROVE, *rules) == (DECLINE, "b")


def test_an_allow_rule_above_all_others_wins() -> None:
    rules = rule("a", action=APPROVE, priority=900), rule("b", action=DECLINE, priority=1)
    assert outcome(DECLINE, *rules) == (APPROVE, "a")
    assert outcome(APPROVE, *rules) == (APPROVE, "a")


def test_an_allow_rule_below_a_stricter_one_does_nothing() -> None:
    allow = rule("a", action=APPROVE, priority=100)
    assert outcome(REVIEW, allow, rule("b", action=STEP_UP, priority=101)) == (REVIEW, None)
    assert outcome(REVIEW, allow, rule("b", action=DECLINE, priority=101)) == (DECLINE, "b")


def test_equal_priorities_are_ordered_by_id() -> None:
    assert outcome(REVIEW, rule("b", action=DECLINE), rule("a", action=APPROVE)) == (APPROVE, "a")
    assert outcome(REVIEW, rule("a", action=DECLINE), rule("b", action=APPROVE)) == (DECLINE, "a")
    assert outcome(REVIEW, rule("b", action=DECLINE), rule("a", action=DECLINE)) == (DECLINE, "a")


def test_a_shadow_rule_fires_and_never_decides() -> None:
    shadow = rule("a", action=DECLINE, status=Status.SHADOW)
    assert outcome(APPROVE, shadow) == (APPROVE, None)
    allow = rule("a", action=APPROVE, priority=900, status=Status.SHADOW)
    assert outcome(APPROVE, allow, rule("b", action=DECLINE)) == (DECLINE, "b")
    # nor does it stand in the way of a live allow rule that it outranks
    shadow = rule("a", action=DECLINE, priority=901, status=Status.SHADOW)
    assert outcome(REVIEW, shadow, rule("b", action=APPROVE)) == (APPROVE, "b")


def test_draft_and_off_rules_are_kept_and_not_evaluated() -> None:
    rules = [rule("a", when="nonsense(", status=Status.DRAFT), rule("b", status=Status.OFF)]
    rule_set = RuleSet.compile(rules, SCOPE)
    assert rule_set.evaluated == ()
    assert rule_set.rules == tuple(rules)
    hits = rule_set.hits(np.empty((0, 2)), np.empty(0))
    codes = np.array([APPROVE.code, DECLINE.code], np.int8)
    assert rule_set.actions(codes, hits).tolist() == codes.tolist()
    assert rule_set.deciding(codes, hits).tolist() == [-1, -1]


def test_each_row_has_its_own_hits_and_null_is_no_hit() -> None:
    rules = [rule("a", "amount_minor > 5 OR score >= 800"), rule("b", "country = 'DE'", DECLINE)]
    rule_set = RuleSet.compile(rules, SCOPE)
    assert rule_set.program.inputs == ("amount_minor", "country", "score")
    nan = math.nan
    inputs = np.array([[6.0, 5.0, nan, nan], [1.0, 2.0, 1.0, nan], [0.0, nan, nan, 800.0]])
    hits = rule_set.hits(inputs, np.array([1.0]))
    assert hits.tolist() == [[True, False, False, True], [True, False, True, False]]
    codes = np.full(4, STEP_UP.code, np.int8)
    wanted = [DECLINE.code, STEP_UP.code, DECLINE.code, REVIEW.code]
    assert rule_set.actions(codes, hits).tolist() == wanted
    assert rule_set.deciding(codes, hits).tolist() == [1, -1, 1, 0]


def test_lists_are_inputs() -> None:
    rule_set = RuleSet.compile([rule(when="listed('watch', card_id) AND country = 'DE'")], SCOPE)
    assert rule_set.lists == {("watch", "card_id")}
    assert rule_set.program.inputs == ("country", "listed:watch:card_id")


def test_the_version_is_of_the_text_and_not_of_the_order() -> None:
    a, b = rule("a"), rule("b")
    version = RuleSet.compile([a, b], SCOPE).version
    assert len(version) == 16
    assert RuleSet.compile([b, a], SCOPE).version == version
    changed = msgspec.structs.replace(b, priority=101)
    assert RuleSet.compile([a, changed], SCOPE).version != version


def test_text_is_stable_and_a_change_is_one_line() -> None:
    rules = [rule("b", "amount_minor > 5\nAND country = 'DE'"), rule("a")]
    text = to_text(rules)
    assert text == to_text(rules[::-1])
    changed = to_text([rules[0], rule("a", priority=7)])
    differ = [pair for pair in zip(text.split("\n"), changed.split("\n"), strict=True)
              if pair[0] != pair[1]]  # fmt: skip
    assert differ == [("priority = 100", "priority = 7")]
    assert "\nAND country = 'DE'" in text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_condition_survives_text_and_back(when: str) -> None:
    rules = (rule("a", when), rule("b", f'\'\n{when}"""\\'))
    assert from_text(to_text(rules)) == rules


GOOD = to_text([rule("first"), rule("second")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule", "rules are not TOML"),
        ("x = 1", "rules: unexpected `x`: write each rule as a [[rule]] block"),
        ("rule = 5", "rules: unexpected `rule`"),
        ("rule = [5]", "rule number 1: Expected `object`, got `int`"),
        (GOOD.replace('"second"', '"first"'), "rule first: two rules have this id"),
        (GOOD.replace('"second"', '"No Word"'), "rule No Word: Expected `str` matching"),
        (GOOD.replace('"REVIEW"', '"BLOCK"'), "one of APPROVE, STEP_UP, REVIEW, DECLINE"),
        (
            GOOD.replace('"live"', '"on"'),
            "rule first: Invalid enum value 'on' - at `$.status`: one",
        ),
        (GOOD.replace("priority = 100", "priority = -1"), "rule first: Expected `int` >= 0"),
        (GOOD.replace("priority = 100", ""), "missing required field `priority`"),
        (GOOD.replace("priority", "prio"), "rule first: "),
        (GOOD.replace('"Rule first"', '"two\\nlines"'), "rule first: Expected `str` matching"),
        (GOOD.replace('"code_first"', '"Code"'), "rule first: Expected `str` matching"),
    ],
)
def test_wrong_texts_are_refused_by_rule(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_text(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("amuont_minor > 5", "rule a: unknown column in `amuont_minor`: did you mean `amount_m"),
        ("amount_minor", "rule a: `when` is a NUMBER: write a condition"),
        ("listed('blok', card_id)", "rule a: unknown list in"),
        ("count(*) > 1", "rule a: aggregate `count` is not allowed"),
    ],
)
def test_wrong_conditions_are_refused_by_rule(when: str, message: str) -> None:
    for status in (Status.LIVE, Status.SHADOW):
        with pytest.raises(ExpressionError) as caught:
            RuleSet.compile([rule("a", when, status=status)], SCOPE)
        assert message in str(caught.value)


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(AlcyonError, match="501 rules: at most 500"):
        RuleSet.compile([rule(f"r{i}") for i in range(RULES_MAX + 1)], SCOPE)


# The card detector's rules.

CARD_RULES = from_text((files("alcyon.detectors") / "card_rules.toml").read_text("utf-8"))
CARD_SCOPE = {
    **catalog.transaction_scope,
    **{name: KIND_OF[kind] for name, kind in catalog.types.items()},
    **SCORES,
}
CODES = {"DE": 1.0, "FR": 2.0}
Values = dict[str, float | str]

FIRES: list[tuple[str, Values, Values]] = [
    ("block_list", {"listed:block:card_id": 0, "listed:block:device_id": 1},
     {"listed:block:device_id": 0}),
    ("block_list", {"listed:block:merchant_id": 1}, {"listed:block:merchant_id": math.nan}),
    ("allow_list", {"listed:allow:card_id": 1}, {"listed:allow:card_id": 0}),
    ("watch_list", {"listed:watch:card_id": 1}, {"listed:watch:card_id": 0}),
    ("card_testing", {"card_small_amounts_1h": 5}, {"card_small_amounts_1h": 4}),
    ("card_testing_at_merchant",
     {"amount_base_minor": 199, "merchant_small_amounts_1h": 20, "merchant_count_1h": 24},
     {"amount_base_minor": 200}),
    ("card_testing_at_merchant",
     {"amount_base_minor": 199, "merchant_small_amounts_1h": 20, "merchant_count_1h": 24},
     {"merchant_small_amounts_1h": 19}),
    ("card_testing_at_merchant",
     {"amount_base_minor": 199, "merchant_small_amounts_1h": 20, "merchant_count_1h": 24},
     {"merchant_count_1h": 25}),
    ("card_velocity", {"card_count_10m": 8, "card_count_1h": 8}, {"card_count_10m": 7}),
    ("card_velocity", {"card_count_10m": 1, "card_count_1h": 20}, {"card_count_1h": 19}),
    ("card_spending_burst",
     {"card_count_1h": 3, "card_sum_amount_base_minor_1h": 50_000,
      "card_max_amount_base_minor_30d_prior": 12_499}, {"card_count_1h": 2}),
    ("card_spending_burst",
     {"card_count_1h": 3, "card_sum_amount_base_minor_1h": 50_000,
      "card_max_amount_base_minor_30d_prior": 12_499},
     {"card_max_amount_base_minor_30d_prior": 12_500}),
    ("card_spending_burst",
     {"card_count_1h": 3, "card_sum_amount_base_minor_1h": 50_000,
      "card_max_amount_base_minor_30d_prior": 1}, {"card_sum_amount_base_minor_1h": 49_999}),
    ("impossible_travel", {"card_km_from_previous": 300.1, "card_speed_kmh": 1000.1},
     {"card_speed_kmh": 1000.0}),
    ("impossible_travel", {"card_km_from_previous": 300.1, "card_speed_kmh": 1000.1},
     {"card_km_from_previous": 300.0}),
    ("device_with_many_cards", {"device_distinct_card_id_1d": 5, "device_distinct_card_id_7d": 5},
     {"device_distinct_card_id_1d": 4}),
    ("device_with_many_cards", {"device_distinct_card_id_1d": 1, "device_distinct_card_id_7d": 10},
     {"device_distinct_card_id_7d": 9}),
    ("new_country_and_device",
     {"is_new_country": 1, "is_new_device": 1, "country": "FR", "card_previous_country": "DE",
      "amount_to_mean_30d": 3.01}, {"amount_to_mean_30d": 3.0}),
    ("new_country_and_device",
     {"is_new_country": 1, "is_new_device": 1, "country": "FR", "card_previous_country": "DE",
      "amount_to_mean_30d": 3.01}, {"card_previous_country": "FR"}),
    ("new_country_and_device",
     {"is_new_country": 1, "is_new_device": 1, "country": "FR", "card_previous_country": "DE",
      "amount_to_mean_30d": 3.01}, {"card_previous_country": math.nan}),
    ("new_country_and_device",
     {"is_new_country": 1, "is_new_device": 1, "country": "FR", "card_previous_country": "DE",
      "amount_to_mean_30d": 3.01}, {"is_new_device": 0}),
    ("amount_out_of_pattern",
     {"amount_base_minor": 50_000,
      "card_mean_amount_base_minor_30d_prior": 19_999,
      "card_std_amount_base_minor_30d_prior": 5_000},
     {"card_mean_amount_base_minor_30d_prior": 20_000}),
    ("amount_out_of_pattern",
     {"amount_base_minor": 50_000,
      "card_mean_amount_base_minor_30d_prior": 100, "card_std_amount_base_minor_30d_prior": 10},
     {"amount_base_minor": 49_999}),
    ("merchant_with_frauds", {"merchant_mean_is_fraud_30d_delay_7d": 0.1, "score": 300},
     {"score": 299}),
    ("merchant_with_frauds", {"merchant_mean_is_fraud_30d_delay_7d": 0.1, "score": 300},
     {"merchant_mean_is_fraud_30d_delay_7d": 0.0999}),
]  # fmt: skip
"""Rule, values of a transaction that just fires it, and what to change so that it just does not."""


def fired(values: Values) -> set[str]:
    """Ids of the card rules that fire on these values, all others null."""
    rule_set = RuleSet.compile(CARD_RULES, CARD_SCOPE)
    program = rule_set.program
    row = [values.get(name, math.nan) for name in program.inputs]
    inputs = np.array([[CODES[v] if isinstance(v, str) else float(v)] for v in row])
    hits = rule_set.hits(inputs, np.array([CODES.get(s, -1.0) for s in program.strings]))
    return {r.id for r, hit in zip(rule_set.evaluated, hits[:, 0], strict=True) if hit}


@pytest.mark.parametrize(("name", "values", "change"), FIRES)
def test_a_card_rule_fires_at_its_boundary_and_not_beyond(
    name: str, values: Values, change: Values
) -> None:
    assert name in fired(values)
    assert name not in fired(values | change)


def test_every_card_rule_is_tested_and_has_its_own_reason_code() -> None:
    assert {r.id for r in CARD_RULES} == {name for name, _, _ in FIRES}
    assert len(CARD_RULES) == len({r.reason_code for r in CARD_RULES}) == 12


def test_no_card_rule_fires_where_nothing_is_known() -> None:
    assert fired({}) == set()


def test_card_rules_name_only_what_exists() -> None:
    for name, values, change in FIRES:
        known = CARD_SCOPE.keys() | set(RuleSet.compile(CARD_RULES, CARD_SCOPE).program.inputs)
        assert values.keys() | change.keys() <= known, name
