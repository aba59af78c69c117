"""The site: every page is in its navigation, links lead somewhere, and what it quotes is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.docs.test_commands import PAGES as COMMAND_PAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = _LINK.findall(page.read_text())
    assert [link for link, _ in links if link and not (page.parent / link).exists()] == []
    led = [((page.parent / link) if link else page, heading) for link, heading in links if heading]
    assert [(to.name, heading) for to, heading in led if heading not in headings(to)] == []


def headings(page: Path) -> set[str]:
    """As links name them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", one.lower()).strip() for one in found]
    return {re.sub(r"[ -]+", "-", one) for one in plain}


def test_no_page_is_unfinished() -> None:
    marks = re.compile(r"\b(MEASURED|TODO|TBD|FIXME|XXX)\b")
    assert [page.name for page in PAGES if marks.search(page.read_text())] == []


def test_every_how_to_is_under_how_to_and_is_run() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("How to:")[2].partition("Reference:")[0]
    named = {f"howto/{page.name}" for page in (DOCS / "howto").glob("*.md")}
    assert named == set(re.findall(r"(howto/\S+)", nav))
    assert {ROOT / "docs" / name for name in named} <= set(COMMAND_PAGES)


def test_the_reference_is_what_the_code_says() -> None:
    pages = runpy.run_path(str(DOCS / "reference.py"))["pages"]()
    assert pages == {path.name: path.read_text() for path in (DOCS / "reference").iterdir()}


def test_lines_of_trouble_are_in_the_code() -> None:
    lines = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    code = "".join(path.read_text() for path in (ROOT / "src" / "alcyon").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    assert lines
    assert [line for line in lines if line not in joined] == []
