"""The folder registry against its disk: what is half-written, swapped, damaged or held."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
from tests.models import two_models

from alcyon.domain.errors import ModelError, UnreachableError
from alcyon.domain.moves import MoveKind, MoveState, Wanted, before, head, standing, winners
from alcyon.io import model_folder
from alcyon.io.model_folder import RECORD_FILE, FolderRegistry


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    found = FolderRegistry(tmp_path / "models")
    found.register(two_models()[0], "m1")
    return found


def move(registry: FolderRegistry, model: str, kind: MoveKind = MoveKind.PROMOTE) -> None:
    expected = head(winners(registry.moves("champion")))
    begun = registry.begin_move(Wanted("champion", model, expected, kind))
    registry.end_move(begun, MoveState.DONE)


def test_what_was_left_by_one_that_was_killed_is_no_model(
    registry: FolderRegistry, tmp_path: Path
) -> None:
    draft = tmp_path / "models" / ".draft"
    shutil.copytree(two_models()[1], draft)
    shutil.copy(tmp_path / "models" / "m1" / RECORD_FILE, draft)
    (tmp_path / "models" / "by-hand").mkdir()
    assert [model.name for model in registry.models()] == ["m1"]
    with pytest.raises(ModelError, match="alcyon models register it"):
        registry.fetch("by-hand")
    registry.register(two_models()[1], "m2")
    assert not draft.exists()


def test_a_model_that_cannot_get_its_name_is_not_there(
    registry: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(model_folder, "_write", full)
        with pytest.raises(UnreachableError, match="No space left"):
            registry.register(two_models()[1], "m2")
        with pytest.raises(UnreachableError, match="No space left"):
            registry.begin_move(Wanted("champion", "m1", 0))
    assert [model.name for model in registry.models()] == ["m1"]
    assert registry.moves("champion") == []
    assert sorted(p.name for p in (tmp_path / "models").iterdir() if p.is_dir()) == [
        ".aliases",
        "m1",
    ]


def test_another_fit_model_in_its_place_is_refused(
    registry: FolderRegistry, tmp_path: Path
) -> None:
    for file in two_models()[1].iterdir():
        shutil.copy(file, tmp_path / "models" / "m1")
    with pytest.raises(ModelError, match="not those that were registered"):
        registry.fetch("m1")


@pytest.mark.parametrize("place", ["m1/registered.json", ".aliases/champion.json"])
def test_a_damaged_record_is_told_with_a_remedy(
    registry: FolderRegistry, tmp_path: Path, place: str
) -> None:
    move(registry, "m1")
    (tmp_path / "models" / place).write_text('{"na')
    with pytest.raises(ModelError, match="is damaged"):
        registry.fetch("m1"), registry.moves("champion")


def test_it_does_not_wait_for_ever_for_one_that_is_stopped(
    registry: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "LOCK_TIMEOUT_S", 0.05)
    with (tmp_path / "models" / ".lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnreachableError, match="another process is stopped"):
            registry.begin_move(Wanted("champion", "m1", 0))
        assert registry.fetch("m1") == tmp_path / "models" / "m1"
    move(registry, "m1")


def test_only_the_oldest_moves_are_let_go(
    registry: FolderRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "MOVES_MAX", 3)
    registry.register(two_models()[1], "m2")
    for model in ("m1", "m2", "m1", "m2", "m1"):
        move(registry, model)
    won = winners(registry.moves("champion"))
    assert [m.number for m in won] == [3, 4, 5]
    assert (standing(won), before(won)) == ("m1", "m2")
    for goes_to in ("m2", "m1", "m1"):
        move(registry, goes_to, MoveKind.ROLL_BACK)
    assert head(winners(registry.moves("champion"))) == 8
