"""What every page must do: hold hostile words, be accessible, have a state for everything."""

from __future__ import annotations

import gzip
import re

import pytest
from playwright.sync_api import expect

from alcyon.domain.office.access import Role
from tests.console.conftest import PAGES, Open, serious
from tests.console.simulated import HOSTILE, LONG

SCRIPT_BYTES_MAX = 300_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_finding(open_console: Open, axe: str, theme: str) -> None:
    console = open_console(theme=theme)
    found = []
    for path in PAGES:
        page = console.go(path)
        page.wait_for_load_state("networkidle") if path != "/" else page.wait_for_timeout(2_500)
        page.wait_for_timeout(400)
        found += [f"{path} {one}" for one in serious(page, axe)]
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("a-00")
    page.wait_for_timeout(600)
    found += [f"palette {one}" for one in serious(page, axe)]
    console.end_session()
    page = console.go("/")
    expect(page.get_by_label("Password")).to_be_visible()
    found += [f"sign-in {one}" for one in serious(page, axe)]
    assert found == []


def test_hostile_names_are_only_words(open_console: Open) -> None:
    console = open_console()
    for path in ("/", "/alerts", "/case", "/rules", f"/entity/merchant/{HOSTILE}"):
        page = console.go(path)
        expect(page.get_by_text(re.compile(r"<img src=x")).first).to_be_attached()
        assert page.locator('img[src="x"]').count() == 0
    page = console.go("/system")
    page.get_by_role("button", name="line 1, column 17").first.click()
    expect(page.locator("pre").get_by_text(re.compile(r"<img src=x"))).to_be_visible()
    assert page.locator('img[src="x"]').count() == 0


def test_money_has_its_currencys_decimals(open_console: Open) -> None:
    page = open_console().go("/alerts")
    expect(page.get_by_role("option").first).to_be_visible()
    yen = next(r for r in page.get_by_role("option").all() if HOSTILE in r.inner_text())
    dinar = next(r for r in page.get_by_role("option").all() if LONG in r.inner_text())
    assert "¥\xa01,234,567" in yen.inner_text()
    assert "KWD\xa02,345.678" in dinar.inner_text()


EMPTY = [
    ("/", "No decisions right now"),
    ("/alerts", "The queue is empty"),
    ("/case", "Nothing is known of this payment"),
    ("/entity", "Nothing is known of the card"),
    ("/models", "No model decides"),
    ("/system", "No record was refused"),
]


@pytest.mark.parametrize(("path", "words"), EMPTY)
def test_a_page_with_nothing_says_what_to_do(open_console: Open, path: str, words: str) -> None:
    page = open_console(0).go(path)
    expect(page.get_by_text(words).first).to_be_visible()


@pytest.mark.parametrize("path", [p for p in PAGES if "edit" not in p])
def test_an_error_says_what_failed_and_is_tried_again(open_console: Open, path: str) -> None:
    console = open_console()
    console.scene.is_broken = True
    page = console.go(path)
    again = page.get_by_role("button", name="Try again").first
    expect(again).to_be_visible(timeout=15_000)
    expect(page.get_by_text("the store does not answer").first).to_be_visible()
    console.scene.is_broken = False
    # All at once: one that helps may take the others away.
    page.get_by_role("button", name="Try again").evaluate_all("all => all.map(b => b.click())")
    expect(page.get_by_text("Could not load").first).to_be_hidden(timeout=15_000)


def test_what_is_old_says_since_when(open_console: Open) -> None:
    console = open_console()
    console.page.clock.install()
    page = console.go("/rules")
    expect(page.get_by_text("Lists")).to_be_visible()
    console.scene.is_broken = True
    for _ in range(5):
        page.clock.fast_forward(16_000)
        page.wait_for_timeout(200)
    expect(page.get_by_text("the store does not answer").first).to_be_visible()
    expect(page.get_by_text("As of").first).to_be_visible()
    expect(page.get_by_text("Lists")).to_be_visible()


def test_who_is_not_signed_in_signs_in_and_out(open_console: Open) -> None:
    console = open_console()
    console.scene.is_signed_in = False
    page = console.go("/models")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("name or password is wrong")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_session_that_ends_asks_to_sign_in(open_console: Open) -> None:
    console = open_console()
    page = console.go("/alerts")
    expect(page.get_by_text("60 alerts open")).to_be_visible()
    console.end_session()
    page.get_by_role("button", name="claimed").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_what_only_analysts_may_see_is_not_asked_for_by_a_viewer(open_console: Open) -> None:
    console = open_console()
    console.scene.role = Role.VIEWER
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url))
    page = console.go("/case")
    expect(page.get_by_text("What is usual for this card is for analysts.")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "explanation" in url]
    page = console.go("/rules")
    expect(page.get_by_role("button", name="Write a rule")).to_have_count(0)
    expect(page.get_by_text("A lead approves it.").first).to_be_visible()


def test_live_needs_little_script(open_console: Open) -> None:
    console = open_console()
    scripts: dict[str, int] = {}
    console.page.on(
        "response",
        lambda answer: (
            scripts.update({answer.url: len(gzip.compress(answer.body()))})
            if answer.url.endswith(".js")
            else None
        ),
    )
    page = console.go("/")
    expect(page.get_by_text("Decisions per second")).to_be_visible()
    page.wait_for_timeout(1_000)
    assert 0 < sum(scripts.values()) <= SCRIPT_BYTES_MAX
