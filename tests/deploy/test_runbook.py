"""The runbook: a page for each alert, and no command, metric or link in it that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alcyon.cli import COMMANDS, GROUPS
from tests.cli.running import run
from tests.deploy.composed import composed
from tests.deploy.exposed import exposed
from tests.deploy.rule_files import DEPLOY, RUNBOOK, metrics_in, names, recorded
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


def commands(text: str) -> set[str]:
    """Every `alcyon …` that a page names, in blocks and in sentences."""
    named = [line.strip() for line in lines(text)] + re.findall(r"`(alcyon [^`\n]+)`", text)
    return {one.split("#")[0].strip() for one in named if one.startswith("alcyon ")}


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


def test_metrics_are_exposed_and_recordings_recorded() -> None:
    allowed, written = exposed(), recorded()
    unknown = {(n, metric) for n, t in texts() for metric in metrics_in(t) - allowed}
    # In prose a histogram goes by its own name.
    unknown = {(n, m) for n, m in unknown if f"{m}_count" not in allowed}
    assert unknown == set()
    named = {(n, r) for n, t in texts() for r in re.findall(r"\b\w+:alcyon_\w+:\w+", t)}
    assert {(n, r) for n, r in named if r not in written} == set()


def test_prometheus_understands_each_query(
    client: Callable[[str, str], str], tmp_path: Path
) -> None:
    queries = [query for _, text in texts() for query in blocks(text, "promql")]
    assert len(queries) > 50
    rules = "".join(
        f"- record: query:{i}:of\n  expr: |\n    {q.strip()}\n".replace("\nor ", "\n    or ")
        for i, q in enumerate(queries)
    )
    file = tmp_path / "queries.yml"
    indented = "    " + rules.replace("\n", "\n    ")
    file.write_text(f"groups:\n- name: runbook\n  rules:\n{indented}\n")
    said(client("promtool", "prometheus"), "check", "rules", "--lint=none", file)


def test_each_command_is_there_with_the_options_that_are_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {one for _, text in texts() for one in commands(text)}
    assert len(found) > 15
    helps = dict[tuple[str, ...], str]()
    for one in sorted(found):
        words = shlex.split(one.replace("…", ""))[1:]
        depth = 2 if words[0] in GROUPS and len(words) > 1 else 1
        assert words[0] in COMMANDS, one
        path = tuple(words[:depth])
        if path not in helps:
            capsys.readouterr()
            assert run(*path, "--help") == 0, one
            helps[path] = capsys.readouterr().out
        assert f"alcyon {' '.join(path)}" in helps[path], one
        options = [w for w in words[depth:] if w.startswith("--")]
        assert [o for o in options if o not in helps[path]] == [], one


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
