"""The Live page left open: does its heap grow?

    python benchmarks/console_heap.py [--minutes 30] [--messages 121]

A real Chromium looks at the built console over simulated work. However many payments there are,
the API tells a watcher 20 of them a second, 100 alerts and one line of statistics
(`runners/serving/feeds.py`):
so `--messages` a second is what 5,000 transactions a second come to. The heap is read once a minute
after the garbage was collected. Writes reports/console_heap.json. All work is simulated.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from playwright.sync_api import CDPSession, sync_playwright
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `services`, `tests` lie beside us

from tests.console.serve import new_scene, serving

from report import write
from services.cache import needed

MIB = 1024 * 1024


def main() -> None:
    """Watch, and tell the heap by minute."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--messages", type=int, default=121, help="of the live feed, per second")
    given = parser.parse_args()
    scene = new_scene()
    scene.messages_per_s = given.messages
    heap: list[float] = []
    with sync_playwright() as playwright, serving(scene) as (url, _):
        browser = playwright.chromium.launch(
            executable_path=needed("chromium", "chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.wait_for_selector("main")
        session = page.context.new_cdp_session(page)
        for _ in track(range(given.minutes + 1), "minutes"):
            heap.append(_used(session))
            page.wait_for_timeout(60_000)
        browser.close()
    for minute, mib in enumerate(heap):
        print(f"{minute:3d} min  {mib:6.2f} MiB")
    print(f"after 5 minutes {heap[min(5, given.minutes)]:.2f} MiB, at the end {heap[-1]:.2f} MiB")
    found = {"messages_per_s": given.messages, "heap_mib": heap, "at": time.time()}
    write("console_heap", found)


def _used(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return round(float(session.send("Runtime.getHeapUsage")["usedSize"]) / MIB, 2)


if __name__ == "__main__":
    main()
