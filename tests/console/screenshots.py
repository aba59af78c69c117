"""The README's pictures of the console, over simulated work: `make screenshots`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from services.cache import needed
from tests.console.desk import Scene
from tests.console.memory_office import now_ms
from tests.console.serve import serving, with_proposals
from tests.console.simulated import simulate

FOLDER = Path("docs/screenshots")
WIDTH, HEIGHT = 1440, 900
COLOURS = 256
"""Of a picture's palette: a page needs few, and they keep it small."""


def take(browser: Browser, name: str, path: str, theme: str) -> None:
    """One picture, of a server of its own."""
    scene = Scene(simulate(now_ms(), 60, is_hostile=False))
    with serving(scene) as (url, office):
        with_proposals(office)
        context = browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme=theme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        largest = scene.world.alerts[0]
        page.goto(url + path.format(id=largest.line.transaction_id))
        page.wait_for_timeout(9_000 if name == "live" else 2_500)
        _act(page, name)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        few(picture).save(FOLDER / f"{name}.png", optimize=True)
        context.close()


def few(picture: Image.Image) -> Image.Image:
    """With a palette of the colours that it has most of, so that these stay what they are."""
    found = picture.getcolors(picture.width * picture.height) or []
    frequent = [
        cast("tuple[int, int, int]", colour)
        for _, colour in sorted(found, key=lambda one: -one[0])[:COLOURS]
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in frequent for part in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _act(page: Page, name: str) -> None:
    if name == "case":
        page.get_by_role("button", name="What would have been approved?").click()
        page.wait_for_timeout(800)
    if name == "alerts":
        for key in "jf":
            page.keyboard.press(key)
        page.wait_for_timeout(1_500)


def main() -> None:
    """Take all four."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needed("chromium", "chromium"), args=["--no-sandbox"]
        )
        take(browser, "live", "/", "light")
        take(browser, "alerts", "/alerts", "dark")
        take(browser, "case", "/case/{id}", "light")
        take(browser, "rules", "/rules?edit=card_velocity", "light")
        browser.close()
    for file in sorted(FOLDER.glob("*.png")):
        print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
