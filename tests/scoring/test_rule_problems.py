"""Every problem of a text of rules is found, at the place where it stands."""

from __future__ import annotations

from importlib.resources import files

import pytest

from alcyon.detectors.card import catalog
from alcyon.scoring.conduct import rule_scope
from alcyon.scoring.rule_problems import Problem, problems_of

SCOPE = rule_scope(catalog)
CARD = (files("alcyon.detectors") / "card_rules.toml").read_text()


def block(**changed: str) -> str:
    fields = {
        "id": '"one"', "name": '"One"', "when": '"amount_minor > 5"', "action": '"REVIEW"',
        "reason_code": '"one"', "priority": "10", "status": '"live"',
    } | changed  # fmt: skip
    return "[[rule]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items()) + "\n"


def found(text: str) -> list[Problem]:
    return problems_of(text, SCOPE)


@pytest.mark.parametrize("text", ["", CARD, "# nothing\n", block()])
def test_what_can_take_effect_has_no_problem(text: str) -> None:
    assert found(text) == []


def test_every_rule_that_is_wrong_is_named_at_its_place() -> None:
    text = (
        block()
        + block(id='"two"', when='"amuont_minor > 5"')
        + block(id='"three"', action='"PUNISH"')
        + block(id='"four"', when='"""\namount_minor > 5\n  AND lissted(1)"""')
    )
    two, three, four = found(text)
    assert (two.rule, two.line, two.column) == ("two", 13, 9)
    assert "did you mean `amount_minor`" in two.problem
    assert (three.rule, three.line, three.column) == ("three", 23, 1)
    assert "one of APPROVE, STEP_UP, REVIEW, DECLINE" in three.problem
    assert (four.rule, four.line, four.column) == ("four", 33, 7)


def test_a_text_that_is_no_toml_is_named_where_it_breaks() -> None:
    (one,) = found('[[rule]]\nid = "a\n')
    assert (one.line, one.rule) == (2, None)
    assert "not TOML" in one.problem
    assert "at line" not in one.problem


def test_a_rule_without_id_is_named_by_its_number() -> None:
    (one,) = found(block() + block(id='""'))
    assert (one.line, one.rule) == (11, "")
    (one,) = found(block() + '[[rule]]\nname = "no id"\n')
    assert (one.line, one.rule) == (10, None)
    assert "rule number 2" in one.problem


def test_a_repeated_id_is_named_where_it_is_repeated() -> None:
    (one,) = found(block() + block())
    assert (one.line, one.column, one.rule) == (11, 1, "one")


def test_drafts_may_be_half_written() -> None:
    assert found(block(status='"draft"', when='"amuont >"')) == []


@pytest.mark.parametrize("text", ['x = 1\n[[rule]]\nid = "a"\n', "rule = 5\n", "[rule]\nid = 1\n"])
def test_another_document_is_one_problem(text: str) -> None:
    (one,) = found(text)
    assert "[[rule]] block" in one.problem or "not TOML" in one.problem


def test_a_header_inside_a_condition_is_no_rule() -> None:
    assert found(block(when='"""\ncountry = \'[[rule]]\'\n[[rule]]"""')) != []
    assert found(block(status='"off"', when='"""\n[[rule]]"""')) == []
