"""Closed cases leave the office by age, with all that hangs on them; the audit log tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.officing import KINDS, SHELL, open_cases, opened, person, raised


@pytest.mark.parametrize("kind", KINDS)
def test_cases_closed_before_go_and_no_others(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with opened(kind, tmp_path, request) as made:
        office, ada = made.office(), person("ada")
        cards = ("c1", "c2", "c3")
        cases = open_cases(office, *(raised(f"t-{c}", i, card_id=c) for i, c in enumerate(cards)))
        by_card = {case.card_id: case.case_id for case in cases}
        for card in ("c1", "c2"):
            office.claim(ada, by_card[card])
            office.close_case(ada, by_card[card], "genuine", "release", "asked the holder")
            made.clock.now += 1000
        before = made.clock.now - 1000  # c1 was closed before, c2 then
        assert office.closed_before(before) == 1
        assert office.retire(SHELL, before, {"transactions": 7}) == 1
        left = {case.card_id for case in office.cases(None, None, None, 9).items}
        assert left == {"c2", "c3"}
        assert office.case(by_card["c1"]) is None
        assert set(office.cases_of(["t-c1", "t-c2", "t-c3"])) == {"t-c2", "t-c3"}
        (last,) = office.audit(None, 1).items
        assert (last.what, last.detail) == ("retention", {"transactions": 7, "cases": 1})
        assert office.walk_audit().broken is None
