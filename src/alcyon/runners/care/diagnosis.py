"""Diagnosis: is this machine ready to decide? Facts, each with what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from alcyon.domain.errors import AlcyonError, ModelError, SettingsError
from alcyon.features.catalog import Catalog
from alcyon.scoring.inspection import read_manifest
from alcyon.scoring.model import Model

REQUIRED = ("cyclopts", "msgspec", "numba", "numpy", "onnx", "onnxruntime", "sqlglot")
OPTIONAL = ("pyarrow", "fastavro", "scikit-learn", "xgboost-cpu", "matplotlib")
"""What only some commands need."""
MEMORY_BYTES_MIN, DISK_BYTES_MIN = 2**30, 2**30
CLOCKS_APART_MS_MAX = 2000
"""Time services keep clocks within milliseconds; answers take up to a second."""
CLOCK_FROM = datetime(2025, 1, 1, tzinfo=UTC)
"""No build of Alcyon is older."""


class State(Enum):
    """How a check went; a warning is no reason not to start."""

    FINE = "fine"
    WARNING = "warning"
    WRONG = "wrong"


class Check(msgspec.Struct, frozen=True):
    """One thing looked at."""

    name: str
    state: State
    found: str


def machine(home: Path) -> list[Check]:
    """Python, packages, processor, memory, clock, and the data folder with its disk."""
    return [
        _python(),
        *(_package(name, State.WRONG) for name in REQUIRED),
        *(_package(name, State.WARNING) for name in OPTIONAL),
        _processor(),
        _memory(),
        _clock(),
        _writable(home),
        _disk(home),
    ]


def model(directory: Path, catalog: Catalog) -> list[Check]:
    """Whether a model is there, loads, and is of this catalog."""
    try:
        manifest = read_manifest(directory)
        Model.load(directory, catalog_hash=catalog.hash, feature_names=catalog.model_names)
    except ModelError as error:
        return [Check("model", State.WRONG, f"{directory}: {error}")]
    trained = datetime.fromtimestamp(manifest.validation.stop / 1000, UTC)
    found = f"{directory}: loads, catalog {manifest.catalog_hash}, trained to {trained:%Y-%m-%d}"
    return [Check("model", State.FINE, found)]


def clocks(theirs: Mapping[str, int], now_ms: int) -> Check:
    """This machine's clock against the servers', UTC ms; what is asked may be answered late."""
    apart = {name: (there - now_ms) / 1000 for name, there in theirs.items()}
    found = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in apart.items())
    if all(abs(there - now_ms) <= CLOCKS_APART_MS_MAX for there in theirs.values()):
        return Check("clocks", State.FINE, found)
    remedy = "set this machine's and theirs by the same time service (chrony, NTP)"
    return Check("clocks", State.WRONG, f"{found}: {remedy}")


_REFUSALS = (
    ("sasl authentication", "kafka.username and kafka.password"),
    ("sasl.username and sasl.password", "kafka.username and kafka.password"),
    ("mechanism", "kafka.sasl_mechanism"),
    ("certificate verify failed", "kafka.ca"),
    ("ssl.ca.location", "kafka.ca"),
    ("ssl.certificate.location", "kafka.certificate"),
    ("ssl.key.location", "kafka.certificate_key"),
    ("alert bad certificate", "kafka.certificate and kafka.certificate_key"),
    ("alert certificate required", "kafka.certificate and kafka.certificate_key"),
    ("alert unknown ca", "kafka.certificate and kafka.certificate_key"),
    ("connecting to a plaintext broker", "kafka.security"),
)
"""What the client says where waiting does not cure it, and the setting that does."""
_LOOK_AT = ": look at "


def refusal(error: AlcyonError) -> SettingsError | None:
    """What must be set otherwise before the broker takes us; None: it may come by waiting."""
    told, _, look = str(error).partition(_LOOK_AT)
    for words, named in _REFUSALS:
        if words in told.lower():
            return SettingsError(f"{told}{_LOOK_AT}{named}")
    # Where the error sends us to kafka.bootstrap, the broker does not answer, or not yet.
    return None if "kafka.bootstrap" in look else SettingsError(str(error))


def failed(name: str, error: AlcyonError) -> Check:
    """What an error says, as a check."""
    return Check(name, State.WRONG, str(error))


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    is_fine = sys.version_info >= (3, 11)
    return Check("python", State.FINE if is_fine else State.WRONG, found)


def _package(name: str, otherwise: State) -> Check:
    try:
        return Check(name, State.FINE, version(name))
    except PackageNotFoundError:
        remedy = "install alcyon again" if otherwise is State.WRONG else "install alcyon[all]"
        return Check(name, otherwise, f"is not installed: {remedy}")


def _processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check("processor", State.FINE, f"{cores} cores")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    is_enough = total >= MEMORY_BYTES_MIN
    remedy = "" if is_enough else ": state for windows needs more"
    state = State.FINE if is_enough else State.WARNING
    return Check("memory", state, f"{total / 2**30:.1f} GiB{remedy}")


def _clock() -> Check:
    """A clock that was never set would make all that arrives lie in the future."""
    now = datetime.now(UTC)
    is_sane = now >= CLOCK_FROM
    remedy = "" if is_sane else ": set the clock"
    state = State.FINE if is_sane else State.WRONG
    return Check("clock", state, f"{now:%Y-%m-%dT%H:%M:%SZ}{remedy}")


def _writable(home: Path) -> Check:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home):
            return Check("home", State.FINE, f"{home}: can be written")
    except OSError as error:
        return Check("home", State.WRONG, f"{home}: {error.strerror}: set ALCYON_HOME")


def _disk(home: Path) -> Check:
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Check("disk", State.WRONG, f"{home}: {error.strerror}: set ALCYON_HOME")
    is_enough = free >= DISK_BYTES_MIN
    remedy = "" if is_enough else ": make room"
    state = State.FINE if is_enough else State.WARNING
    return Check("disk", state, f"{free / 2**30:.1f} GiB free{remedy}")
