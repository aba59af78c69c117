"""What every model registry does, whatever keeps the models.

`make test-mlflow` runs it against MLflow, on a sqlite file and on a server.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier

import pytest

from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.errors import ConflictError, ModelError
from alcyon.domain.moves import MoveKind, MoveState, Wanted, head, standing, winners
from alcyon.domain.moves import before as champion_before
from alcyon.domain.ports import ModelRegistry
from alcyon.io.mlflow import MlflowRegistry
from alcyon.io.model_folder import FolderRegistry
from alcyon.scoring.model import Model
from tests.contracts.discovery import implementers
from tests.learning.synthetic import CATALOG, NAMES
from tests.models import damaged, two_models

Opened = Callable[[], ModelRegistry]
"""Opens the same registry again."""


def _folder(folder: Path, request: pytest.FixtureRequest) -> Opened:
    del request
    return lambda: FolderRegistry(folder / "models")


def _mlflow_file(folder: Path, request: pytest.FixtureRequest) -> Opened:
    del request
    return _mlflow(f"sqlite:///{folder}/mlflow.db", "alcyon", folder)


def _mlflow_server(folder: Path, request: pytest.FixtureRequest) -> Opened:
    _wants_mlflow()
    return _mlflow(request.getfixturevalue("mlflow_server"), f"t-{folder.name}", folder)


def _wants_mlflow() -> None:
    if find_spec("mlflow") is None:
        pytest.skip("MLflow is not installed here: make test-mlflow")


def _mlflow(uri: str, name: str, folder: Path) -> Opened:
    _wants_mlflow()
    opened = iter(range(10**6))
    # A folder each for what is fetched: they are different machines.
    return lambda: MlflowRegistry(uri, name, folder / f"kept-{next(opened)}")


OPENERS = {
    "folder": (FolderRegistry, _folder),
    "mlflow-file": (MlflowRegistry, _mlflow_file),
    "mlflow-server": (MlflowRegistry, _mlflow_server),
}


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    return OPENERS[request.param][1](tmp_path, request)


@pytest.fixture
def registry(opened: Opened) -> ModelRegistry:
    return opened()


def test_every_implementer_is_tested() -> None:
    assert {kind for kind, _ in OPENERS.values()} == implementers(ModelRegistry)


def wanted(model: str, registry: ModelRegistry, **given: object) -> Wanted:
    """A move of the champion upon what is there."""
    expected = head(winners(registry.moves(CHAMPION)))
    return Wanted(CHAMPION, model, expected, **given)  # type: ignore[arg-type]


def moved(registry: ModelRegistry, model: str, **given: object) -> None:
    move = registry.begin_move(wanted(model, registry, **given))
    registry.end_move(move, MoveState.DONE)


def champion(registry: ModelRegistry) -> str | None:
    return standing(winners(registry.moves(CHAMPION)))


def test_an_empty_registry_has_nothing(registry: ModelRegistry) -> None:
    assert registry.models() == []
    assert registry.moves(CHAMPION) == []
    with pytest.raises(ModelError, match="no model m1"):
        registry.fetch("m1")


def test_a_model_comes_back_as_it_was_registered(registry: ModelRegistry, opened: Opened) -> None:
    one, _ = two_models()
    registered = registry.register(one)
    version = Model.load(one, catalog_hash=CATALOG, feature_names=NAMES).version
    assert (registered.name, registered.catalog_hash) == (version, CATALOG)
    assert registered.metrics["blend"]["average_precision"] == 0.5
    assert registered.parameters["training_rows"].isdigit()
    with closing(opened()) as again:
        assert again.models() == [registered]
        folder = again.fetch(version)
        for file in ("model.onnx", "manifest.json", "golden.npz"):
            assert (folder / file).read_bytes() == (one / file).read_bytes()
        assert Model.load(folder, catalog_hash=CATALOG, feature_names=NAMES).version == version


def test_models_are_listed_the_newest_first(registry: ModelRegistry) -> None:
    one, two = two_models()
    names = [registry.register(one, "a").name, registry.register(two, "b").name]
    listed = registry.models()
    assert {m.name for m in listed} == set(names)
    assert [m.registered_at for m in listed] == sorted(m.registered_at for m in listed)[::-1]


def test_a_repeat_changes_nothing_and_a_name_is_given_once(registry: ModelRegistry) -> None:
    one, two = two_models()
    registered = registry.register(one, "m1")
    assert registry.register(one, "m1") == registered
    with pytest.raises(ModelError, match="m1 is another model"):
        registry.register(two, "m1")
    assert registry.models() == [registered]


@pytest.mark.parametrize("name", ["", ".hidden", "../m", "a/b", "a b", "x" * 101])
def test_what_is_no_name_is_refused(registry: ModelRegistry, name: str) -> None:
    one, _ = two_models()
    with pytest.raises(ModelError, match="no name of a model"):
        registry.register(one, name)
    with pytest.raises(ModelError, match="no name of a model"):
        registry.fetch(name)
    assert registry.models() == []


@pytest.mark.parametrize("kind", ["corrupt", "external", "nan", "half", "no manifest", "empty"])
def test_a_model_that_fails_a_check_is_not_registered(
    registry: ModelRegistry, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(ModelError):
        registry.register(damaged(kind, tmp_path / "bad"))
    assert registry.models() == []


def test_an_alias_moves_at_the_end_of_a_move(registry: ModelRegistry, opened: Opened) -> None:
    one, two = two_models()
    registry.register(one, "m1"), registry.register(two, "m2")
    evidence = {"m1": {"average_precision": 0.5, "brier": None}}
    moved(registry, "m1", by="ada", why="the first", evidence=evidence)
    move = registry.begin_move(wanted("m2", registry))
    assert champion(opened()) == "m1"
    registry.end_move(move, MoveState.DONE)
    assert champion(opened()) == "m2"
    assert champion_before(winners(registry.moves(CHAMPION))) == "m1"
    first = opened().moves(CHAMPION)[0]
    assert (first.wanted.by, first.wanted.why, first.wanted.evidence) == (
        "ada", "the first", evidence,
    )  # fmt: skip
    assert opened().moves(CHALLENGER) == []


def test_a_move_that_failed_moves_nothing(registry: ModelRegistry) -> None:
    one, two = two_models()
    registry.register(one, "m1"), registry.register(two, "m2")
    moved(registry, "m1")
    registry.end_move(registry.begin_move(wanted("m2", registry)), MoveState.FAILED)
    assert champion(registry) == "m1"
    moved(registry, "m2")
    assert champion(registry) == "m2"


def test_a_roll_back_goes_to_the_one_before_and_the_next_to_that_before_it(
    registry: ModelRegistry,
) -> None:
    one, two = two_models()
    for name in ("m1", "m3"):
        registry.register(one, name)
    registry.register(two, "m2")
    for name in ("m1", "m2", "m2", "m3"):
        moved(registry, name)
    for goes_to in ("m2", "m1"):
        assert champion_before(winners(registry.moves(CHAMPION))) == goes_to
        moved(registry, goes_to, kind=MoveKind.ROLL_BACK)
        assert champion(registry) == goes_to
    assert champion_before(winners(registry.moves(CHAMPION))) is None


def test_a_move_upon_an_older_one_loses(registry: ModelRegistry) -> None:
    one, two = two_models()
    registry.register(one, "m1"), registry.register(two, "m2")
    late = wanted("m2", registry)
    moved(registry, "m1", by="ada")
    with pytest.raises(ConflictError, match=r"moved to m1 \(by ada\) meanwhile"):
        registry.begin_move(late)
    assert champion(registry) == "m1"


def test_a_move_to_a_model_that_is_not_there_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(ModelError, match="no model m9"):
        registry.begin_move(Wanted(CHAMPION, "m9", 0))
    assert registry.moves(CHAMPION) == []


def test_of_several_moves_at_once_exactly_one_wins(registry: ModelRegistry, opened: Opened) -> None:
    one, two = two_models()
    registry.register(one, "m0")
    registry.register(two, "m1")
    for _ in range(3):
        expected, at_once = head(winners(registry.moves(CHAMPION))), Barrier(4)

        def ask(number: int, expected: int = expected, at_once: Barrier = at_once) -> str:
            with closing(opened()) as own:
                asked = Wanted(CHAMPION, f"m{number % 2}", expected, by=f"p{number}")
                at_once.wait()
                try:
                    own.end_move(own.begin_move(asked), MoveState.DONE)
                except ConflictError:
                    return ""
                return asked.by

        with ThreadPoolExecutor(4) as asking:
            won = [by for by in asking.map(ask, range(4)) if by]
        assert len(won) == 1
        newest = winners(opened().moves(CHAMPION))[-1]
        assert (newest.wanted.by, newest.state) == (won[0], MoveState.DONE)
        assert champion(registry) == newest.wanted.model


def test_several_registrations_at_once_leave_one_model_per_name(
    opened: Opened, tmp_path: Path
) -> None:
    one, two = two_models()
    at_once = Barrier(4)
    opened().models()  # a database is made by one

    def register(number: int) -> tuple[str, str]:
        source = shutil.copytree((one, two)[number % 2], tmp_path / f"from-{number}")
        with closing(opened()) as own:
            at_once.wait()
            try:
                return "", own.register(source, "m").files["model.onnx"]
            except ModelError as error:
                return str(error), ""

    with ThreadPoolExecutor(4) as registering:
        told = list(registering.map(register, range(4)))
    (model,) = opened().models()
    for error, digest in told:
        assert digest == model.files["model.onnx"] or "m is another model" in error
    assert sum(not error for error, _ in told) == 2
