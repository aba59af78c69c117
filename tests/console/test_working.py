"""Finding, writing rules, approving, and reading the live feed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
from playwright.sync_api import expect

from alcyon.domain.currency import EXPONENTS
from alcyon.learning.band import Departure
from alcyon.learning.live_drift import LiveDrift
from alcyon.learning.promotion import Finding
from tests.console.conftest import Open
from tests.console.memory_desk import MemoryControlling


def test_the_console_knows_the_same_currencies_as_the_core() -> None:
    told = json.loads(Path("console/src/exponents.json").read_text())
    known = {code: int(digits) for digits, codes in told.items() for code in codes.split()}
    assert known == {code: digits for code, digits in EXPONENTS.items() if digits != 2}


def test_the_types_are_those_of_the_api() -> None:
    from alcyon.api.app import description

    assert Path("docs/openapi.json").read_text() == description()


def test_models_are_told_in_the_learners_words(open_console: Open) -> None:
    """What the pages are tried with is of the shape that the learner writes, and is shown."""
    console = open_console()
    told = MemoryControlling(console.scene, console.office).models()
    departures = [msgspec.convert(one["departure"], Departure) for one in told["drift"]]
    page = console.go("/models")
    for departure in departures:
        expect(page.get_by_text(f"{departure.kind} rose to")).to_be_visible()
        expect(page.get_by_text("predicted at most 0.6 %")).to_be_visible()
    finding = {k: v for k, v in told["comparison"].items() if k != "model"}
    evidence = msgspec.convert(finding, Finding).evidence
    matrix = page.get_by_role("table").filter(has_text="what the challenger would have done")
    for action, by_second in evidence.actions.items():
        cells = matrix.get_by_role("row").filter(has=page.get_by_role("rowheader"))
        row = cells.nth(list(evidence.actions).index(action)).get_by_role("cell")
        expect(row).to_have_text([f"{count:,}" for count in by_second.values()])
    difference = page.get_by_role("row", name="average precision").first.get_by_role("cell").last
    expect(difference).to_contain_text(f"+{evidence.average_precision.difference.estimate:.3f}")
    now = msgspec.convert(told["drift_now"], LiveDrift)
    expect(page.get_by_text(f"1 signal of {len(now.window.comparisons)} drifted")).to_be_visible()
    expect(page.get_by_text("amount base minor moderate")).to_be_visible()
    row = page.get_by_role("row", name="money lost, at training")
    expect(row.get_by_role("cell").first).to_have_text("€ 15,074")


def test_the_palette_finds_a_card(open_console: Open) -> None:
    console = open_console()
    page = console.go("/models")
    card = console.scene.world.alerts[0].line.card_id
    assert card is not None
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill(card[:14])
    option = page.get_by_role("option").filter(has_text="card")
    expect(option.first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{console.url}/entity/card/{card}")


def test_slash_searches_and_question_mark_shows_the_keys(open_console: Open) -> None:
    page = open_console().go("/alerts")
    expect(page.get_by_text("60 alerts open")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("j")  # a letter, and no move
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_address_holds_the_filter_and_the_case(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    with page.expect_response("**/v1/alerts?*DECLINE*"):
        page.get_by_role("button", name="decline", exact=True).click()
    expect(page.get_by_text("1 of")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_text("3 of")).to_be_visible()
    address = page.url
    assert "action=DECLINE" in address
    other = page.context.new_page()
    other.goto(address)
    expect(other.get_by_text("3 of")).to_be_visible()
    expect(other.get_by_role("button", name="decline", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    page.go_back()
    expect(page.get_by_role("button", name="decline", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )


def test_the_queue_is_searched_by_keyboard_and_gone_through(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    card = console.scene.world.alerts[0].line.card_id
    assert card is not None
    expect(page.get_by_text("60 alerts open")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(card)
    page.keyboard.press("Enter")
    chip = page.get_by_role("button", name=f"{card} ✕")
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("1 of 1")).to_be_visible()
    page.keyboard.press("j")
    expect(page.get_by_role("searchbox")).to_have_value(card)
    chip.click()
    expect(page.get_by_role("searchbox")).to_have_value("")
    reason = page.get_by_role("link", name="In the queue")
    reason.click()
    expect(page.get_by_role("button", name=re.compile("✕$"))).to_be_visible()


def test_how_many_are_open_is_told_whichever_are_shown(open_console: Open) -> None:
    page = open_console().go("/alerts")
    expect(page.get_by_text("60 alerts open")).to_be_visible()
    page.get_by_role("button", name="claimed", exact=True).click()
    expect(page.get_by_text("No claimed alert matches")).to_be_visible()
    expect(page.get_by_text("60 alerts open")).to_be_visible()


def test_the_countries_of_a_card_are_on_a_map_where_there_are_several(open_console: Open) -> None:
    console = open_console()
    lines = console.scene.world.lines
    first = console.scene.world.alerts[0].line
    assert first.country == "JP"
    page = console.go("/case")
    expect(page.get_by_role("img", name=re.compile("Places: .*Japan"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"France to Japan, about 9,[78]00 km"))).to_be_visible()
    at_home = next(
        x.card_id for x in lines if len({y.country for y in lines if y.card_id == x.card_id}) == 1
    )
    page = console.go(f"/entity/card/{at_home}")
    expect(page.get_by_role("heading", name="30 days")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Places:"))).to_have_count(0)


def test_an_id_is_copied_whole(open_console: Open) -> None:
    console = open_console()
    page = console.go("/case")
    card = console.scene.world.alerts[0].line.card_id
    page.get_by_title(f"{card} – click to copy").click()
    expect(page.get_by_text("copied ✓")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == card


def test_what_would_have_been_approved_is_asked_only_when_wanted(open_console: Open) -> None:
    console = open_console()
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url))
    page = console.go("/case")
    button = page.get_by_role("button", name="What would have been approved?")
    expect(button).to_be_visible()
    assert not [url for url in asked if "counterfactual=true" in url]
    button.click()
    expect(page.get_by_text("Would have been approved below € 180.00")).to_be_visible()


def test_a_rule_is_checked_completed_compared_and_proposed(open_console: Open) -> None:
    console = open_console()
    page = console.go("/rules?edit=card_velocity")
    expect(page.get_by_text("✓ Valid")).to_be_visible()
    field = page.get_by_label("When")
    field.fill("card_cont_10m > 3")
    expect(page.get_by_role("alert")).to_contain_text("card_cont_10m")
    expect(page.get_by_role("button", name="Try on the past")).to_be_disabled()
    field.fill("")
    field.press_sequentially("card_count_1")
    expect(page.get_by_role("option", name="card_count_10m")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type(" >= 6")
    value = field.input_value()
    assert value.endswith(" >= 6")
    assert value.startswith("card_count_1")
    expect(page.get_by_text("✓ Valid")).to_be_visible()
    page.get_by_role("button", name="Try on the past").click()
    expect(page.get_by_text("Would have fired on")).to_contain_text("214")
    expect(page.get_by_text('- when = "card_count_10m >= 8 OR')).to_be_visible()
    page.get_by_label("Why").fill("They stay below")
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("Yours: somebody else approves it.")).to_be_visible()
    made = console.office.proposals("open")[-1]
    assert value in made.change["text"]
    assert made.diff.count("\n-") == 1
    assert made.diff.count("\n+") == 1 + 1  # the header's, and the line
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Withdrawn.")).to_be_visible()
    expect(page.get_by_text("Yours: somebody else approves it.")).to_have_count(0)
    assert console.office.proposals("withdrawn")[-1].proposal_id == made.proposal_id


def test_rules_are_gone_through_and_changed_by_keyboard(open_console: Open) -> None:
    console = open_console()
    page = console.go("/rules")
    expect(page.get_by_text("Lists")).to_be_visible()
    for key in "jjjk":
        page.keyboard.press(key)
    second = page.locator("tbody tr").nth(1)
    expect(second).to_have_attribute("aria-current", "true")
    name = second.locator("button").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name, as a sentence")).to_have_value(name)
    page.keyboard.press("j")
    expect(page.get_by_label("Name, as a sentence")).to_have_value(name)


def test_a_second_person_approves(open_console: Open) -> None:
    console = open_console()
    page = console.go("/rules")
    page.get_by_role("button", name="Approve").first.click()
    expect(page.get_by_text("Approved: it takes effect now.")).to_be_visible()
    assert console.office.proposals(None)[0].status == "approved"


def test_promotion_is_proposed_with_evidence(open_console: Open) -> None:
    console = open_console()
    page = console.go("/models")
    page.get_by_role("button", name="Promote the challenger…").click()
    page.get_by_role("dialog").get_by_label("Why").fill("It ranks better")
    page.get_by_role("dialog").get_by_role("button", name="Propose").click()
    expect(page.get_by_text("Promote blend-0008 to champion")).to_be_visible()
    made = console.office.proposals("open")[-1]
    assert made.evidence is not None


def test_a_card_is_proposed_for_the_block_list(open_console: Open) -> None:
    console = open_console()
    page = console.go("/case")
    page.get_by_text("Block list…").click()
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("Proposed. It is blocked once")).to_be_visible()
    change = console.office.proposals("open")[-1].change
    line = console.scene.world.alerts[0].line
    assert (change["name"], change["value"]) == ("block", line.card_id)
    assert change["expires_at"] is not None


def test_the_feed_pauses_under_the_pointer_and_says_how_many_wait(open_console: Open) -> None:
    console = open_console()
    page = console.go("/")
    feed = page.get_by_role("region", name="Decisions", exact=True)
    expect(feed.locator("tbody tr").first).to_be_visible()
    feed.hover()
    expect(page.get_by_text("wait", exact=False).first).to_be_visible()
    shown = feed.locator("tbody tr").first.inner_text()
    page.wait_for_timeout(1_200)
    assert feed.locator("tbody tr td:nth-child(2)").first.inner_text() in shown
    page.mouse.move(5, 5)
    expect(page.get_by_text("pauses under the pointer")).to_be_visible()


def test_a_fast_feed_fills_no_more_than_its_rows(open_console: Open) -> None:
    console = open_console()
    console.scene.messages_per_s = 2_000
    page = console.go("/")
    page.wait_for_timeout(4_000)
    feed = page.get_by_role("region", name="Decisions", exact=True)
    assert 3 <= feed.locator("tbody tr").count() <= 40


IS_DRAWN_EARLIER = """() => {
    const canvas = document.querySelector("figure canvas");
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(width / 4, 0, width / 4, height);
    return data.some((blue, n) => n % 4 === 2 && blue > data[n - 2] + 80 && data[n + 1] > 200);
}"""


def test_the_charts_begin_with_the_five_minutes_before(open_console: Open) -> None:
    console = open_console()
    console.scene.messages_per_s = 0
    page = console.go("/")
    expect(page.get_by_text("Listening for decisions…")).to_be_visible()
    page.wait_for_function(IS_DRAWN_EARLIER)


def test_light_and_dark_follow_the_system_until_somebody_chooses(open_console: Open) -> None:
    console = open_console(theme="dark")
    page = console.go("/system")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light or dark").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
