"""The files of a model's folder, as registries copy, check and describe them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from alcyon.domain.errors import ModelError
from alcyon.domain.registered import Registered, checked_name
from alcyon.scoring.inspection import (
    GOLDEN_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    MODEL_BYTES_MAX,
    read_capped,
)
from alcyon.scoring.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Manifest
from alcyon.scoring.model import Model

BYTES_MAX = {
    MODEL_FILE: MODEL_BYTES_MAX,
    MANIFEST_FILE: MANIFEST_BYTES_MAX,
    GOLDEN_FILE: GOLDEN_BYTES_MAX,
}
"""A model is these files; what else lies beside them is left out."""


def copied(source: Path, draft: Path, name: str | None) -> Registered:
    """Copy a model's files into the new folder `draft`, forced to the disk, and check the copy.

    ModelError: one is missing or too large, a check fails (`Model.load`, for the catalog that the
    model itself names), or `name` cannot be a name.
    """
    draft.mkdir(parents=True)
    for file, bytes_max in BYTES_MAX.items():
        raw = read_capped(source / file, bytes_max)
        with (draft / file).open("xb") as copy:
            copy.write(raw)
            copy.flush()
            os.fsync(copy.fileno())
    model = Model.load_any(draft)
    return Registered(
        name=model.version if name is None else checked_name(name),
        files=hashes(draft),
        catalog_hash=model.manifest.catalog_hash,
        registered_at=round(time.time() * 1000),
        metrics=model.manifest.metrics,
        parameters=parameters(model.manifest),
    )


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file; ModelError if one cannot be read or is too large."""
    return {
        file: hashlib.sha256(read_capped(folder / file, bytes_max)).hexdigest()
        for file, bytes_max in BYTES_MAX.items()
    }


def check_files(folder: Path, name: str, files: Mapping[str, str]) -> None:
    """ModelError unless the folder's files are those that were registered."""
    if hashes(folder) != dict(files):
        raise ModelError(
            f"the files of model {name} in {folder} are not those that were registered (hash "
            "differs): remove the folder and register it again"
        )


def parameters(manifest: Manifest) -> dict[str, str]:
    """What a model was made with, as words."""
    training, validation = manifest.training, manifest.validation
    return {
        "members": ", ".join(f"{m.name} × {m.weight:.4g}" for m in manifest.members),
        "features": str(len(manifest.feature_names)),
        "training_start": str(training.start),
        "training_stop": str(training.stop),
        "training_rows": str(training.rows),
        "training_frauds": str(training.frauds),
        "validation_stop": str(validation.stop),
        **{f"library_{name}": version for name, version in manifest.libraries.items()},
    }
