"""The folder registry: one folder per model, and a file per alias that names one of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from alcyon.domain.errors import ModelError
from alcyon.features.catalog import Catalog
from alcyon.scoring.model import Model

CHAMPION = "champion"
"""The alias of the model that decides."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class FolderRegistry:
    """Models in `folder`, for one catalog."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder, self._catalog = folder, catalog

    def place(self, name: str) -> Path:
        """The folder of a model, there or not. ModelError: it cannot be a model's name."""
        if not _NAME.fullmatch(name):
            raise ModelError(f"{name[:100]!r} is no name of a model: use letters, digits, _ . -")
        return self._folder / name

    def load(self, name: str) -> Model:
        """The model of that name; ModelError if it cannot be used."""
        place = self.place(name)
        if not place.is_dir():
            raise ModelError(f"there is no model {name} in {self._folder}: put it there")
        return Model.load(
            place, catalog_hash=self._catalog.hash, feature_names=self._catalog.model_names
        )

    def put(self, folder: Path) -> str:
        """Copy a model's folder in, under its version; the name. ModelError: it cannot be used."""
        model = Model.load(
            folder, catalog_hash=self._catalog.hash, feature_names=self._catalog.model_names
        )
        place = self.place(model.version)
        if not place.is_dir():
            draft = place.with_name(f"{place.name}.unfinished")
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(folder, draft)
            draft.rename(place)
        return place.name

    def named(self, alias: str) -> str | None:
        """The model that an alias names, None where it is not set."""
        file = self._folder / alias
        return file.read_text("utf-8").strip() if file.is_file() else None

    def name(self, alias: str, model: str) -> None:
        """Let an alias name this model from now on."""
        self.place(model)
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f"{alias}.new"
        written.write_text(f"{model}\n", "utf-8")
        written.replace(self._folder / alias)
