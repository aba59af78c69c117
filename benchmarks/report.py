"""Writes what a benchmark measured, with where and on what: `reports/<name>.json`.

    from report import write
    write("models", {"rows": [...]})

Every report carries machine, commit and versions, so that a figure can be judged and repeated.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "reports"
LIBRARIES = (
    "alcyon", "numpy", "numba", "msgspec", "onnx", "onnxruntime", "scikit-learn", "xgboost-cpu",
    "duckdb", "pyarrow", "fastavro", "sqlglot", "redis", "fakeredis",
)  # fmt: skip


def write(name: str, payload: Mapping[str, object]) -> Path:
    """Write `payload` (JSON-able) under the keys every report has; the path written.

    Keys added: `name`, `command`, `measured_at`, `machine`, `commit`, `versions`.
    """
    report = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "versions": versions(),
        **payload,
    }
    REPORTS.mkdir(exist_ok=True)
    path = REPORTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    return path


def machine() -> dict[str, object]:
    """Processor, cores this process may use, memory in MB, kernel, Python; no host name."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """The checkout's commit, with `+changes` when tracked files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head


def versions() -> dict[str, str]:
    """Installed versions of the libraries that figures depend on."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or ("unknown" if done.returncode else "")
