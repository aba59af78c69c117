"""A real browser before the built console, over simulated work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from alcyon.api.app import STATIC
from alcyon.api.callers import KNOWN_S
from services.cache import needed
from services.facts import ServiceError
from tests.console.desk import Scene
from tests.console.memory_office import MemoryOffice
from tests.console.serve import new_scene, serving, with_proposals
from tests.servers import cannot

WIDTHS = {"narrow": {"width": 1280, "height": 800}, "wide": {"width": 1920, "height": 1080}}
PAGES = ["/", "/alerts", "/case", "/entity", "/models", "/rules", "/rules?edit=new", "/system"]


@dataclass
class Opened:
    """A page of the console, and all that went wrong on it."""

    page: Page
    url: str
    scene: Scene
    office: MemoryOffice
    problems: list[str] = field(default_factory=list)

    def end_session(self) -> None:
        """From elsewhere, so that the API heeds it only some seconds later."""
        self.scene.is_signed_in = False
        self.page.wait_for_timeout(1_000 * KNOWN_S + 100)

    def go(self, path: str) -> Page:
        """`/case` and `/entity` are those of the first alert."""
        alerts = self.scene.world.alerts
        if path in ("/case", "/entity"):
            line = alerts[0].line if alerts else None
            name = "nobody" if line is None else line.transaction_id
            path = f"/case/{name}" if path == "/case" else f"/entity/card/{line and line.card_id}"
        self.page.goto(self.url + path)
        self.page.wait_for_selector("main")
        return self.page


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Debian's Chromium; installed if that can be done.

    Not for the session: while Playwright is open its event loop runs in this thread, and tests of
    other files have loops of their own.
    """
    try:
        chromium = needed("chromium", "chromium")
    except ServiceError as error:
        cannot(request.config, f"no browser for tests: {error}")
    if not (STATIC / "index.html").is_file():
        cannot(request.config, "the console is not built: make console")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()


Open = Callable[..., Opened]


@pytest.fixture
def open_console(browser: Browser) -> Iterator[Open]:
    """Opens consoles; at the end nothing may have gone wrong on them that is not expected."""
    closing: list[Any] = []
    opened: list[Opened] = []

    def make(alerts: int = 60, *, theme: str = "light", size: str = "narrow") -> Opened:
        scene = new_scene(alerts)
        server = serving(scene)
        url, office = server.__enter__()
        with_proposals(office)
        context = browser.new_context(
            viewport=WIDTHS[size],  # type: ignore[arg-type]
            color_scheme=theme,  # type: ignore[arg-type]
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        made = Opened(page, url, scene, office)
        page.on("pageerror", lambda error: made.problems.append(str(error)))
        page.on("dialog", lambda dialog: made.problems.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: _note(made, said.type, said.text))
        closing.extend((lambda: server.__exit__(None, None, None), context.close))
        opened.append(made)
        return made

    yield make
    for close in reversed(closing):
        close()
    assert [problem for one in opened for problem in one.problems] == []


def _note(made: Opened, kind: str, text: str) -> None:
    # What the server refuses is shown by the page, and the browser says it too.
    if kind == "error" and "the server responded with a status of" not in text:
        made.problems.append(text)


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, of the console's own packages."""
    return (Path("console/node_modules/axe-core/axe.min.js")).read_text()


def serious(page: Page, axe: str) -> list[str]:
    """Serious findings of axe on what is shown, with where they are."""
    # By the developer's protocol: the page's policy allows no script but its own.
    page.evaluate(f"() => {{ {axe} }}")
    found = page.evaluate(
        "async () => JSON.stringify((await axe.run(document,"
        " {resultTypes: ['violations']})).violations)"
    )
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for one in json.loads(found)
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
