"""Grafana's dashboards: whole, as they are built, and about metrics that there are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from alcyon.telemetry.instruments import Described
from alcyon.telemetry.metrics import Telemetry
from deploy.grafana.__main__ import BOARDS, FOLDER, texts
from deploy.grafana.board import COLUMNS, RUNBOOKS
from tests.deploy.asked import asked, panels
from tests.deploy.rule_files import RUNBOOK, names

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy/grafana"
FILES = sorted(FOLDER.glob("*.json"))
GRANTED = {"job", "instance", "process", "le", "alertname", "severity", "alertstate"}
"""Labels that Prometheus, its rules and its targets add."""
NOT_SHOWN = {
    "alcyon_child_failures_total",  # among the starts of any process
    "alcyon_worker_batches_total",  # as the count of records of a batch
    "alcyon_worker_next_sequence",  # for the runbook: it does not say how anything is
    "alcyon_worker_recoveries_total",  # 1 after each start, which is shown
    "alcyon_projection_commits_total",  # rows say it better
    "alcyon_projection_failures_total",  # halted says it while it is so
    "alcyon_learner_commits_total",  # decisions say it better
    "alcyon_learner_outages_total",  # away says it while it is so
    "alcyon_api_dropped_watchers_total",  # a client of its own making
    "alcyon_api_oversized_requests_total",  # among the 4xx
}
SINCE_START = {
    "alcyon_worker_recoveries_total", "alcyon_worker_replayed_records_total",
    "alcyon_worker_refused_snapshots_total",
}  # fmt: skip
"""Counted while a process starts, so that no rise of theirs is ever read."""
SELECTOR = re.compile(r"\b((?:alcyon|process)_[a-z_]+|up|ALERTS)\b(?:\{([^}]*)\})?")


@cache
def boards() -> dict[str, dict[str, Any]]:
    """As they are committed, by file."""
    return {file.name: json.loads(file.read_text()) for file in FILES}


@cache
def metrics() -> dict[str, Described]:
    """What the processes tell of, by name."""
    return {d.name: d for part in Telemetry().described().values() for d in part}


def test_the_files_are_what_the_entries_make() -> None:
    assert set(FILES) == set(texts())
    stale = [file.name for file, text in texts().items() if file.read_text() != text]
    assert stale == [], "run python -m deploy.grafana"


def test_dashboards_and_their_panels_are_told_apart() -> None:
    assert len({board["uid"] for board in boards().values()}) == len(boards()) == 4
    assert len({board["title"] for board in boards().values()}) == len(boards())
    for board in boards().values():
        for key in ("id", "title"):
            often = Counter(panel[key] for panel in panels(board, rows=True))
            assert {value for value, count in often.items() if count > 1} == set()
        assert board["id"] is None  # Grafana gives it


@pytest.mark.parametrize("board", boards().values(), ids=boards())
def test_panels_lie_side_by_side_and_fill_their_shelves(board: dict[str, Any]) -> None:
    cells = {
        panel["title"]: {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        for panel in panels(board, rows=True)
        for place in [panel["gridPos"]]
    }
    assert [(a, b) for a, b in combinations(cells, 2) if cells[a] & cells[b]] == []
    taken = set().union(*cells.values())
    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(COLUMNS) for y in range(height)}


def test_everything_asks_the_data_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/alcyon.yaml").read_text())
    (source,) = sources["datasources"]
    named = {"type": source["type"], "uid": source["uid"]}
    own = {"type": "grafana", "uid": "-- Grafana --"}  # Grafana's own, of notes that people make
    for board in boards().values():
        found = list(_sources(board))
        assert all(each == named for each in found if each != own)
        assert found.count(own) == 1
        for panel in panels(board):
            assert panel["datasource"] == named
            assert all(target["datasource"] == named for target in panel["targets"])


def _sources(node: object) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        if "datasource" in node:
            yield node["datasource"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _sources(each)


def test_the_dashboards_are_provisioned_as_files_that_nobody_edits_in_the_browser() -> None:
    text = (GRAFANA / "provisioning/dashboards/alcyon.yaml").read_text()
    (provider,) = yaml.safe_load(text)["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False


def test_every_metric_and_label_that_is_asked_for_is_told() -> None:
    wrong = []
    for question in asked():
        for name, matchers in SELECTOR.findall(question.expr):
            if not name.startswith("alcyon_"):
                continue
            described = metrics().get(re.sub("_(bucket|sum|count)$", "", name), metrics().get(name))
            if described is None:
                wrong.append((question.title, name))
                continue
            for label, value in re.findall(r'(\w+)[=!]~?"([^"]*)"', matchers):
                known = described.labels.get(label)
                if known is None and label not in GRANTED:
                    wrong.append((question.title, f"{name}{{{label}}}"))
                elif known and not set(value.split("|")) <= set(known):
                    wrong.append((question.title, f"{label}={value}"))
                elif label == "le" and float(value) not in described.buckets:
                    wrong.append((question.title, f"{name}{{le={value}}}"))
    assert wrong == []


def test_labels_are_kept_and_called_by_names_that_the_metrics_have() -> None:
    wrong = []
    for question in asked():
        named = [m for m, _ in SELECTOR.findall(question.expr)]
        base = {re.sub("_(bucket|sum|count)$", "", m) for m in named} | set(named)
        has = GRANTED.union(*(metrics()[m].labels for m in base if m in metrics()))
        kept = {
            label.strip()
            for labels in re.findall(r"\bby \(([^)]*)\)", question.expr)
            for label in labels.split(",")
        }
        called = set(re.findall(r"\{\{(\w+)\}\}", question.legend))
        wrong += [(question.title, label) for label in kept - has]
        # An aggregation leaves nothing else to call a series by.
        wrong += [(question.title, label) for label in called - (kept or has)]
    assert wrong == []


def test_a_series_that_may_be_one_of_many_is_called_by_its_labels() -> None:
    for question in asked():
        if " by (" in question.expr and question.kind != "table":
            labels = re.findall(r"\bby \(([^)]*)\)", question.expr)[0].split(", ")
            wanted = {label for label in labels if label != "le"} or {"le"}
            if not re.search(r"^histogram_quantile|^scalar", question.expr) or wanted != {"le"}:
                assert wanted <= set(re.findall(r"\{\{(\w+)\}\}", question.legend)), question


def test_all_that_is_measured_is_shown_or_left_out_on_purpose() -> None:
    shown = {name for question in asked() for name, _ in SELECTOR.findall(question.expr)}
    shown |= {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert set(metrics()) - shown == NOT_SHOWN


def test_counters_are_asked_for_their_rise_over_what_is_shown_and_gauges_for_their_value() -> None:
    for question in asked():
        for name, matchers in SELECTOR.findall(question.expr):
            if name in SINCE_START:
                continue
            # A start is a change of the moment of the start.
            ends = ("_total", "_bucket", "_sum", "_count", "process_start_time_seconds")
            rises = name.endswith(ends)
            whole = f"{name}{{{matchers}}}"
            behind = question.expr.partition(whole)[2]
            assert behind.startswith(("[$__rate_interval]", "[$__range]")) is rises, question
        # The whole of the time shown is one moment's question.
        assert ("$__range" not in question.expr) or question.is_instant, question


def test_processes_are_those_that_the_variables_choose() -> None:
    for question in asked():
        for name, matchers in SELECTOR.findall(question.expr):
            if name != "ALERTS":
                for label in ("job", "instance"):
                    assert f'{label}=~"${label}"' in matchers, question
    for board in boards().values():
        names = [variable["name"] for variable in board["templating"]["list"]]
        assert names == ["job", "instance", "runbook"]


def test_each_panel_says_what_is_seen() -> None:
    for board in BOARDS:
        for panel in board.panels():
            assert re.fullmatch(r"[A-Z0-9].{7,}[.]", panel.about, re.DOTALL), panel.title
            assert len(panel.title) < 32
            assert panel.title[0].isupper()
            assert len(panel.asks) <= 8


def test_a_panel_leads_to_the_page_about_its_prometheus_alert() -> None:
    named = {panel.runbook for board in BOARDS for panel in board.panels() if panel.runbook}
    assert named - names() == set()
    assert [name for name in named if not (RUNBOOK / f"{name}.md").is_file()] == []
    for board in boards().values():
        urls = [each["url"] for panel in panels(board) for each in panel.get("links", ())]
        assert urls
        assert all(re.fullmatch(r"\$\{runbook\}/Alcyon\w+\.md", url) for url in urls)
    assert f"RUNBOOKS_URL: ${{RUNBOOKS_URL:-{RUNBOOKS}}}\n" in (ROOT / "compose.yaml").read_text()


def test_every_dashboard_is_explained() -> None:
    page = (ROOT / "docs/dashboards.md").read_text()
    for board in BOARDS:
        assert f"**{board.title}**" in page
        for row in board.rows:
            assert row.title in page, row.title
