"""Status pages: what a running worker or its projections tell on their status port."""

from __future__ import annotations

import http.client
import json
import math
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from alcyon.io.places import place_text

TIMEOUT_S = 2.0
_PREFIX = "alcyon_"


def ready(host: str, port: int) -> dict[str, Any]:
    """What /readyz says; {ready: false, reasons: […]} where nobody answers."""
    try:
        found: dict[str, Any] = json.loads(_page(host, port, "/readyz"))
    except (OSError, OverflowError, ValueError, http.client.HTTPException):
        why = f"nobody answers at {place_text(host, port)}"
        return {"ready": False, "phase": "away", "reasons": [why]}
    return found


def metrics(host: str, port: int) -> dict[str, float]:
    """Our metrics by name and, where they have any, labels; none where nobody answers."""
    try:
        text = _page(host, port, "/metrics").decode()
    except (OSError, OverflowError, ValueError, http.client.HTTPException):
        return {}
    return {
        _named(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith(_PREFIX) and family.type in ("counter", "gauge", "info")
        for sample in family.samples
        if math.isfinite(sample.value)
    }


def _named(name: str, labels: dict[str, str]) -> str:
    short = name.removeprefix(_PREFIX)
    if not labels:
        return short
    return f"{short}{{{','.join(f'{k}={v}' for k, v in sorted(labels.items()))}}}"


def _page(host: str, port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()
