"""The metrics' reference says what the code has, and each process tells of its own part only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from alcyon.domain.office.delivery import ALL_TARGETS
from alcyon.telemetry.metrics import PARTS_OF, Named, Telemetry
from alcyon.telemetry.reference import reference
from alcyon.telemetry.words import CHANNELS, VERSIONS

PAGE = Path("docs/metrics.md")
OF_ALL = ("run", "child", "log", "broker")
OF: dict[Named, tuple[str, ...]] = {
    "worker": ("worker", "versions"),
    "projections": ("projection",),
    "learner": ("learner",),
    "api": ("api", "delivery"),
    "duties": ("delivery", "projection"),
}


def exposed(telemetry: Telemetry) -> dict[str, str]:
    """Type by whole name, as a scrape has them."""
    found = parse(generate_latest(telemetry.registry).decode())
    ours = (f for f in found if f.name.startswith("alcyon_"))
    return {f"{f.name}_total" if f.type == "counter" else f.name: f.type for f in ours}


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == reference(), "python -m alcyon.telemetry.reference > docs/metrics.md"


def test_the_page_has_every_metric_that_is_exposed_and_no_other() -> None:
    telemetry = Telemetry()
    telemetry.worker.versions(dict.fromkeys(VERSIONS, "a"))
    rows = re.findall(r"^\| `(alcyon_\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == exposed(telemetry)
    assert len(rows) == len(dict(rows)) > 60


@pytest.mark.parametrize("named", OF)
def test_a_process_tells_of_its_own_part(named: Named) -> None:
    starts = {name.split("_")[1] for name in exposed(Telemetry(PARTS_OF[named]))}
    assert starts == {*OF_ALL, *OF[named]}


def test_every_target_of_the_outbox_is_a_channel() -> None:
    assert set(CHANNELS) == set(ALL_TARGETS)
