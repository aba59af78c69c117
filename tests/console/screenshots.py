"""The README's pictures of the console, over simulated work: `make screenshots`."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import image
from playwright.sync_api import Page, sync_playwright

from services.cache import needed
from tests.console.serve import new_scene, serving, with_proposals
from tests.console.simulated import HOSTILE, LONG

FOLDER = Path("docs/screenshots")
SIZE = {"width": 1440, "height": 900}


