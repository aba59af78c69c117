"""The runbook: a page for each alert, which says all that is asked at night."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent

import pytest

from tests.deploy.composed import composed
from tests.deploy.rule_files import DEPLOY, RUNBOOK, names
from tests.deploy.test_rules import said

PAGES = sorted(RUNBOOK.glob("*.md"))
SLO = RUNBOOK.parent / "slo.md"
HEADINGS = (
    "For payments, now", "Look first", "Likely causes, in order", "What to do", "Escalate",
    "Over when",
)  # fmt: skip
# What a person at the machine has beside Alcyon.
OTHERS = {"curl", "kcat", "psql", "ls", "df", "cat", "promtool", "amtool"}


def texts() -> Iterator[tuple[str, str]]:
    """Each page's name and text; service levels are read by the same people."""
    yield from ((page.name, page.read_text()) for page in [*PAGES, SLO])


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    """The command lines of a page's blocks."""
    joined = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert {page.stem for page in PAGES} - {"README"} == names()


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "README"], ids=lambda p: p.stem)
def test_a_page_says_all_that_is_asked_at_night(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == HEADINGS
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)
    assert all(len(part.strip()) > 20 for part in parts)
    assert blocks(text, "sh") + blocks(text, "promql")


def test_the_index_leads_to_each_page() -> None:
    index = (RUNBOOK / "README.md").read_text()
    assert {name for name in names() if f"[{name}]({name}.md)" not in index} == set()


def test_links_lead_somewhere() -> None:
    broken = [
        (name, link)
        for name, text in texts()
        for link in re.findall(r"\]\(([^)#]+)\)", text)
        if not ((SLO if name == SLO.name else RUNBOOK / name).parent / link).is_file()
    ]
    assert broken == []


def test_log_lines_and_reasons_are_those_that_the_processes_tell() -> None:
    code = "".join(path.read_text() for path in (RUNBOOK.parents[1] / "src").rglob("*.py"))
    said = re.compile(r"\blines? ((?:`[^`]+`(?:,| and)? ?)+)")
    named = {
        (name, line)
        for name, text in texts()
        for some in said.findall(text)
        for line in re.findall(r"`([a-z, ]+)`", some)
    }
    rows = re.findall(r"^\| `(\w+)` \|", (RUNBOOK / "AlcyonNotReady.md").read_text(), re.MULTILINE)
    named |= {("AlcyonNotReady.md", reason) for reason in rows}
    assert len(named) > 20
    told = {line for _, line in named if f'"{line}"' in code or f'"{line}: ' in code}
    assert {(name, line) for name, line in named if line not in told} == set()


def test_prometheus_understands_each_query(
    client: Callable[[str, str], str], tmp_path: Path
) -> None:
    queries = [query for _, text in texts() for query in blocks(text, "promql")]
    assert len(queries) > 50
    rules = "".join(
        f"  - record: query:{i}:of\n    expr: |\n{indent(query, ' ' * 6)}"
        for i, query in enumerate(queries)
    )
    file = tmp_path / "queries.yml"
    file.write_text(f"groups:\n- name: runbook\n  rules:\n{rules}")
    said(client("promtool", "prometheus"), "check", "rules", "--lint=none", file)


def test_other_commands_are_few_and_known() -> None:
    first = {
        (name, line.split()[0])
        for name, text in texts()
        for line in lines(text)
        if not re.match(r"\s|[A-Z_]+=|alcyon |#", line)
    }
    assert {(name, word) for name, word in first if word not in OTHERS} == set()


def test_the_runbook_is_where_alerts_say() -> None:
    """A setting; tests/deploy/test_live.py has a Prometheus that fills it in."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert "runbooks: ${RUNBOOKS_URL}\n" in text
    assert "RUNBOOKS_URL" in composed()["services"]["prometheus"]["environment"]
