"""MLflow: what is there for those who look with MLflow's own eyes, and what happens without it.

The contract itself is in tests/contracts. `make test-mlflow` runs both.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow import free_port, serving
from tests.models import METRICS, two_models
from tests.runners.working import CATALOG

from alcyon.domain.errors import ModelError, SettingsError, UnreachableError
from alcyon.domain.moves import MoveState, Wanted
from alcyon.io.mlflow import MlflowRegistry
from alcyon.runners.learning.models import loader

HAS_MLFLOW = find_spec("mlflow") is not None
with_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed here")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def looked_at(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


@pytest.mark.skipif(HAS_MLFLOW, reason="MLflow is installed here")
def test_without_the_extra_it_says_which(uri: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"install alcyon\[mlflow\]"):
        MlflowRegistry(uri, "alcyon", tmp_path / "kept")


@with_mlflow
def test_a_run_holds_figures_parameters_and_files(uri: str, tmp_path: Path) -> None:
    registered = MlflowRegistry(uri, "alcyon", tmp_path / "kept").register(two_models()[0], "m1")
    client = looked_at(uri)
    (version,) = client.search_model_versions("name='alcyon'")
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    figures = {k: v for k, v in METRICS["blend"].items() if v is not None}
    assert run.data.metrics == {f"blend.{name}": value for name, value in figures.items()}
    assert run.data.params == registered.parameters
    files = {Path(f.path).name for f in client.list_artifacts(version.run_id, "model")}
    assert files == {"model.onnx", "manifest.json", "golden.npz"}
    assert registered.run_id == version.run_id


@with_mlflow
def test_mlflows_own_alias_follows(uri: str, tmp_path: Path) -> None:
    registry = MlflowRegistry(uri, "alcyon", tmp_path / "kept")
    for name, source in zip(("m1", "m2"), two_models(), strict=True):
        registry.register(source, name)
        expected = len(registry.moves("champion"))
        move = registry.begin_move(Wanted("champion", name, expected))
        registry.end_move(move, MoveState.DONE)
        version = looked_at(uri).get_model_version_by_alias("alcyon", "champion")
        assert version.tags["alcyon.name"] == name


@with_mlflow
def test_a_half_written_model_is_not_seen(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = MlflowRegistry(uri, "alcyon", tmp_path / "kept")

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(registry, "_create", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.register(two_models()[0], "m1")
    assert registry.models() == []
    with pytest.raises(ModelError, match="no model m1"):
        registry.fetch("m1")
    registry.register(two_models()[1], "m1")
    assert [model.name for model in registry.models()] == ["m1"]


@with_mlflow
def test_files_that_were_changed_in_the_store_are_refused(uri: str, tmp_path: Path) -> None:
    MlflowRegistry(uri, "alcyon", tmp_path / "kept").register(two_models()[0], "m1")
    (stored,) = tmp_path.glob("mlflow.db.artifacts/**/model.onnx")
    stored.write_bytes(b"rotten")
    with pytest.raises(ModelError, match="hash differs"):
        MlflowRegistry(uri, "alcyon", tmp_path / "other").fetch("m1")


@with_mlflow
def test_a_server_that_is_down_is_one_line_and_what_was_fetched_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server").mkdir()
    port = free_port()
    with serving(tmp_path / "server", port) as uri:
        registry = MlflowRegistry(uri, "alcyon", tmp_path / "kept")
        for name, source in zip(("m1", "m2"), two_models(), strict=True):
            registry.register(source, name)
        fetched = registry.fetch("m1")
    away = MlflowRegistry(uri, "alcyon", tmp_path / "kept")
    assert away.fetch("m1") == fetched
    for asked in (away.models, lambda: away.fetch("m2"), lambda: away.moves("champion")):
        with pytest.raises(UnreachableError, match=r"look at models\.registry") as told:
            asked()
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 400
    with pytest.raises(ModelError, match="m2 cannot be had now"):
        loader(away, CATALOG)("m2")
    assert capfd.readouterr() == ("", "")  # all that is said is what was raised
    with serving(tmp_path / "server", port):
        assert {model.name for model in away.models()} == {"m1", "m2"}


@with_mlflow
def test_a_password_is_not_told(tmp_path: Path) -> None:
    uri = f"http://ada:very-secret@127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError) as told:
        MlflowRegistry(uri, "alcyon", tmp_path).models()
    assert "very-secret" not in str(told.value)


@with_mlflow
def test_what_was_fetched_needs_no_mlflow(uri: str, tmp_path: Path) -> None:
    """A worker that starts again is not to wait seconds for an import."""
    registry = MlflowRegistry(uri, "alcyon", tmp_path / "kept")
    registry.register(two_models()[0], "m1")
    registry.fetch("m1")
    code = (
        "import sys; from pathlib import Path; from alcyon.io.mlflow import MlflowRegistry;"
        f"MlflowRegistry({uri!r}, 'alcyon', Path({str(tmp_path / 'kept')!r})).fetch('m1');"
        "print([m for m in ('mlflow', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
