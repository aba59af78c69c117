"""The site: every page is in its navigation, links lead somewhere, and what it quotes is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_to_files(page: Path) -> None:
    links = _LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_reference_is_what_the_code_says() -> None:
    pages = runpy.run_path(str(DOCS / "reference.py"))["pages"]()
    assert pages == {path.name: path.read_text() for path in (DOCS / "reference").iterdir()}


def test_lines_of_trouble_are_in_the_code() -> None:
    lines = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    code = "".join(path.read_text() for path in (ROOT / "src" / "alcyon").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    assert lines
    assert [line for line in lines if line not in joined] == []
