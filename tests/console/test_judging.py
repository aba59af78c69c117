"""Judging by keyboard: at once on the screen, ten seconds later in the log, undone until then."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import Open, Opened

CHOSEN = '[role="option"][aria-selected="true"]'


def undo(page: Page) -> Locator:
    return page.get_by_role("button", name="Undo")


def chosen(page: Page) -> str:
    return str(page.locator(CHOSEN).first.get_attribute("data-transaction"))


def case_of(console: Opened, transaction_id: str) -> str:
    found = [a for a in console.scene.world.alerts if a.line.transaction_id == transaction_id]
    return str(found[0].case_id)


def top_of_chosen(page: Page) -> float:
    box = page.locator(CHOSEN).first.bounding_box()
    assert box is not None
    return box["y"]


def test_fraud_is_claimed_at_once_and_saved_after_ten_seconds(open_console: Open) -> None:
    console = open_console()
    console.page.clock.install()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    first = chosen(page)
    case = case_of(console, first)
    with page.expect_response("**/claim"):
        page.keyboard.press("f")
    expect(undo(page)).to_be_visible()
    assert chosen(page) != first
    assert console.office.asked == [("claimed", case)]
    page.clock.fast_forward(8_000)
    assert console.office.asked == [("claimed", case)]
    with page.expect_response("**/close"):
        page.clock.fast_forward(2_500)
    assert console.office.asked == [("claimed", case), ("closed", case)]
    assert {label.is_fraud for label in console.scene.world.labels} == {True}
    expect(page.locator(f'[data-transaction="{first}"]')).to_have_count(0)


def test_undo_gives_the_case_back_and_nothing_is_saved(open_console: Open) -> None:
    console = open_console()
    console.page.clock.install()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    first = chosen(page)
    with page.expect_response("**/claim"):
        page.keyboard.press("g")
    with page.expect_response("**/release"):
        page.keyboard.press("u")
    expect(page.locator(CHOSEN)).to_have_attribute("data-transaction", first)
    page.clock.fast_forward(30_000)
    page.wait_for_load_state("networkidle")
    assert [what for what, _ in console.office.asked] == ["claimed", "released"]
    assert console.scene.world.labels == []


def test_a_case_that_a_colleague_took_is_not_judged_and_says_so(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    console.office.take_over(case_of(console, chosen(page)), "grace")
    page.keyboard.press("f")
    expect(page.get_by_text("grace has claimed this case").first).to_be_visible()
    expect(undo(page)).to_have_count(0)
    assert console.scene.world.labels == []


def test_leaving_the_page_saves_what_was_judged(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    with page.expect_response("**/claim"):
        page.keyboard.press("f")
    page.goto("about:blank")
    page.wait_for_timeout(500)
    assert [what for what, _ in console.office.asked] == ["claimed", "closed"]


def test_the_place_in_the_queue_is_kept_when_rows_above_go(open_console: Open) -> None:
    console = open_console(400)
    console.page.clock.install()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    for _ in range(30):
        page.keyboard.press("j")
    for _ in range(3):
        page.keyboard.press("f")
    expect(undo(page)).to_have_count(3)
    page.wait_for_load_state("networkidle")
    at, place = chosen(page), top_of_chosen(page)
    page.clock.fast_forward(11_000)
    expect(undo(page)).to_have_count(0)
    page.wait_for_load_state("networkidle")
    assert chosen(page) == at
    assert abs(top_of_chosen(page) - place) <= 1


def test_the_place_is_kept_when_a_larger_alert_comes_in(open_console: Open) -> None:
    from dataclasses import replace

    console = open_console(400)
    console.page.clock.install()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    for _ in range(40):
        page.keyboard.press("j")
    at, place = chosen(page), top_of_chosen(page)
    first = console.scene.world.alerts[0]
    fresh = replace(
        first, case_id="case-new", expected_loss_base_minor=9_000_000,
        line=replace(first.line, transaction_id="a-new", card_id="k1_new"),
    )  # fmt: skip
    console.scene.world.alerts.insert(0, fresh)
    with page.expect_response("**/v1/alerts?*"):
        page.clock.fast_forward(16_000)
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text("42 of")).to_be_visible()
    assert chosen(page) == at
    assert abs(top_of_chosen(page) - place) <= 1


def test_a_thousand_alerts_need_few_rows_and_all_can_be_reached(open_console: Open) -> None:
    console = open_console(1_000)
    page = console.go("/alerts")
    expect(page.get_by_text("1,000 alerts open")).to_be_visible()
    queue = page.get_by_role("listbox", name="Queue")
    rows = queue.get_by_role("option")
    for _ in range(12):
        queue.evaluate("box => box.scrollTop = box.scrollHeight")
        page.wait_for_timeout(120)
        assert rows.count() < 60
    cases = {alert.case_id for alert in console.scene.world.alerts}
    expect(page.get_by_text(f"of {len(cases)}")).to_be_visible()


def test_skip_leaves_the_alert_for_later(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_text("skipped")).to_be_visible()
    assert console.office.asked == []
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Back")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(CHOSEN)).to_be_visible()


def test_a_viewer_sees_and_cannot_judge(open_console: Open) -> None:
    from alcyon.domain.office.access import Role

    console = open_console()
    console.scene.role = Role.VIEWER
    page = console.go("/alerts")
    expect(page.locator(CHOSEN)).to_be_visible()
    expect(page.get_by_role("button", name="Fraud")).to_be_disabled()
    page.keyboard.press("f")
    expect(page.get_by_text("Judging needs the role analyst.").first).to_be_visible()
    assert console.office.asked == []


def test_what_is_judged_is_the_whole_case_and_says_so(open_console: Open) -> None:
    from dataclasses import replace

    console = open_console(400)
    alerts = console.scene.world.alerts
    first, last = alerts[0], alerts[-1]
    # Of the same case, and far beyond the page of the queue that is loaded.
    alerts[-1] = replace(last, case_id=first.case_id, line=replace(last.line, card_id=None))
    whole = sum(alert.case_id == first.case_id for alert in alerts)
    page = console.go(f"/alerts?at={first.line.transaction_id}")
    expect(page.get_by_text(f"all {whole} alerts of the case")).to_be_visible()
    page.keyboard.press("f")
    expect(undo(page).locator("..")).to_contain_text(f"{whole} alerts of this card")
