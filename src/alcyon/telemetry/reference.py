"""Reference: docs/metrics.md, all metrics in words, as the code makes them.

python -m alcyon.telemetry.reference > docs/metrics.md
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from alcyon.telemetry.instruments import Described
from alcyon.telemetry.metrics import PARTS_OF, Named, Part, Telemetry
from alcyon.telemetry.words import OTHER
from alcyon.telemetry.worker import RULES_MAX

_HEAD = f"""# Metrics

Made from the code by `python -m alcyon.telemetry.reference > docs/metrics.md`; a test fails where
the two differ.

Every process serves its own metrics at `/metrics`, as Prometheus text; none of them asks for a key.
Who may see them is a matter of who may reach the port: by default all listen on this machine only.
The status ports also serve OpenMetrics to who asks for it.

Counters and histograms are there from the start, at 0; those of projections, by the process that
fills the store: the office's are the duties'. A gauge is NaN while its value is not known.
No label holds an id of a payment or of a person, and its values are known beforehand: `rule` has
the ids of the rules that were live since the start, at most {RULES_MAX}, `route` the API's
templates of paths, `feature` the names of the model's features and of the
amount.
"""
_PROCESSES: Mapping[Named, tuple[str, str]] = MappingProxyType(
    {
        "worker": ("`alcyon run`", "`status.port` (9464)"),
        "projections": ("the projections beside it", "`status.port` + 1 (9465)"),
        "learner": ("`alcyon learn`", "`status.port` + 2 (9466)"),
        "api": ("`alcyon serve`", "`serve.port` (8080)"),
        "duties": ("the duties beside it", "`status.port` + 3 (9467)"),
    }
)
_TITLES: Mapping[Part | str, str] = MappingProxyType(
    {
        "process": "Every process",
        "worker": "Decisions",
        "projections": "Projections",
        "learner": "Learning",
        "api": "API",
        "delivery": "Delivery",
    }
)
_TAIL = (
    "What a process is in itself (`process_cpu_seconds_total`, `process_resident_memory_bytes`, …) "
    "has the names that all Prometheus clients give it."
)
_VALUES_MAX = 8
"""More values stand below the tables."""


def reference() -> str:
    """The whole page."""
    parts = Telemetry().described()
    lines = [_HEAD, *_table(("process", "port", "metrics"), map(_process, PARTS_OF)), ""]
    for part, described in parts.items():
        lines += [f"## {_TITLES[part]}", "", *_metrics(described), ""]
    many = {
        label: values
        for described in parts.values()
        for each in described
        for label, values in each.labels.items()
        if len(values) > _VALUES_MAX
    }
    lines += ["## Values of labels", ""]
    lines += [f"- `{label}`: {', '.join(values)}" for label, values in many.items()]
    lines += ["", "## Bounds of histograms", ""]
    for each in (d for described in parts.values() for d in described if d.buckets):
        lines.append(f"- `{each.name}`: {' '.join(f'{bound:g}' for bound in each.buckets)}")
    lines += ["", _TAIL]
    return "\n".join(lines) + "\n"


def _process(named: Named) -> tuple[str, str, str]:
    parts = ", ".join(_TITLES[part] for part in PARTS_OF[named])
    return *_PROCESSES[named], f"Every process, {parts}"


def _metrics(described: Collection[Described]) -> list[str]:
    rows = ((f"`{d.name}`", d.kind, _labels(d.labels), d.words) for d in described)
    return _table(("name", "type", "labels", "what it tells"), rows)


def _labels(labels: Mapping[str, Sequence[str]]) -> str:
    shown = []
    for label, values in labels.items():
        few = 0 < len(values) <= _VALUES_MAX and tuple(values) != (OTHER,)
        shown.append(f"`{label}`: {', '.join(values)}" if few else f"`{label}`")
    return "; ".join(shown)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(reference())
