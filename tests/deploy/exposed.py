"""The metrics that processes of ours expose, as their telemetry describes them."""

from __future__ import annotations

from alcyon.telemetry.metrics import Telemetry

_PARTS = ("bucket", "sum", "count")


def exposed() -> set[str]:
    """The names of all series."""
    return {
        name
        for described in Telemetry().described().values()
        for metric in described
        for name in (
            (f"{metric.name}_{part}" for part in _PARTS)
            if metric.kind == "histogram"
            else (metric.name,)
        )
    }


def buckets(name: str) -> set[str]:
    """The `le` of a histogram's buckets."""
    found = [m for d in Telemetry().described().values() for m in d if m.name == name]
    return {repr(bound) for metric in found for bound in metric.buckets} | {"+Inf"}
