"""`alcyon train` and `alcyon evaluate --model`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alcyon.learning.training import MEMBERS
from tests.cli.conftest import World
from tests.cli.running import DAY_MS, START, label, read, refused, run, transaction, written

DELAY = ("--label-delay", "5d")


def given(world: World) -> tuple[object, ...]:
    return ("--input", world.transactions, "--labels", world.labels)


def test_a_model_is_three_files_and_its_figures(model: Path) -> None:
    assert sorted(p.name for p in model.iterdir()) == ["golden.npz", "manifest.json", "model.onnx"]
    manifest = json.loads((model / "manifest.json").read_text())
    assert manifest["metrics"]["blend"]["roc_auc"] > 0.7
    assert manifest["policy"]["reviews_per_day"] == 20


def test_training_prints_a_row_per_member_and_says_that_the_data_is_simulated(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    given_ = ("train", *given(world), *DELAY, "--out", out, "--members", "xgboost")
    assert run(*given_, "--from", "2025-01-02", "--to", "2025-01-31") == 0
    said = capsys.readouterr()
    assert [name for name in ("blend", *MEMBERS) if name in said.out] == [
        "blend",
        "xgboost",
    ]
    assert "simulated" in said.err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["training"]["start"] >= START + DAY_MS


def test_evaluation_is_of_what_the_model_has_not_seen(
    world: World, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plots = tmp_path / "plots"
    assert run("evaluate", "--model", model, *given(world), *DELAY, "--json", "--plots", plots) == 0
    found = json.loads(capsys.readouterr().out)
    manifest = json.loads((model / "manifest.json").read_text())
    assert found["start"] >= manifest["validation"]["stop"] + 5 * 86_400_000
    assert [row["name"] for row in found["rows"]] == ["blend", *MEMBERS]
    for name, figure in manifest["metrics"]["xgboost"].items():
        if name in ("roc_auc", "average_precision"):  # the same days, but for a few minutes
            assert found["rows"][1]["ranking"][name] == pytest.approx(figure, abs=0.01)
    assert len(list(plots.glob("*.png"))) == 5
    assert run("evaluate", "--model", model, *given(world), *DELAY) == 0
    assert "Money" in capsys.readouterr().out


def test_what_the_model_has_seen_is_not_judged(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early = written(tmp_path / "t.parquet", [transaction(i) for i in range(20)])
    labels = written(tmp_path / "l.parquet", [label(1)])
    said = refused(capsys, "evaluate", "--model", model, "--input", early, "--labels", labels)
    assert "give later transactions" in said


@pytest.mark.parametrize(
    ("is_fraud", "complaint"), [(False, "holds one class only"), (None, "no labels to judge by")]
)
def test_without_both_kinds_of_payment_nothing_is_judged(
    world: World, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    is_fraud: bool | None, complaint: str,
) -> None:  # fmt: skip
    evaluate = ["evaluate", "--model", model, "--input", world.transactions, *DELAY]
    if is_fraud is not None:
        of = read(world.labels)[-1]["transaction_id"]
        said = label(1, transaction_id=of, is_fraud=is_fraud, labelled_at=START + 40 * DAY_MS)
        evaluate += ["--labels", written(tmp_path / "l.parquet", [said])]
    assert complaint in refused(capsys, *evaluate)


def test_a_model_of_another_catalog_is_refused(
    world: World, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ("--model", model, "--catalog", "handbook", "--input", world.transactions)
    assert "this is catalog" in refused(capsys, "score", *other, "--output", tmp_path / "d.csv")
    judged = refused(capsys, "evaluate", *other, "--labels", world.labels)
    assert "this is catalog" in judged
    for folder in (tmp_path, tmp_path / "none"):
        said = refused(capsys, "evaluate", "--model", folder, *given(world))
        assert f"there is no manifest.json in {folder}: name the folder of a model" in said


def test_training_without_labels_is_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "--input", world.transactions, "--out", tmp_path / "m")
    assert "give --labels" in refused(capsys, *train)
    genuine = [label(i, is_fraud=False) for i in range(3)]
    labels = written(tmp_path / "l.parquet", genuine)
    assert "known frauds" in refused(capsys, *train, "--labels", labels, *DELAY)
    assert not (tmp_path / "m").exists()


def test_frauds_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [transaction(i) for i in range(24 * 30)]
    source = written(tmp_path / "t.parquet", rows)
    labels = written(tmp_path / "l.parquet", [label(i) for i in range(len(rows))])
    train = ("train", "--input", source, "--labels", labels, *DELAY, "--out", tmp_path / "m")
    assert "frauds only" in refused(capsys, *train)


def test_wrong_options_are_one_line(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", *given(world), "--out", tmp_path / "m")
    assert "members must be some of" in refused(capsys, *train, "--members", "lightgbm")
    assert "--label-delay: 'soon'" in refused(capsys, *train, "--label-delay", "soon")
    assert "too few for a label delay" in refused(capsys, *train, "--label-delay", "60d")
    assert "give --model" in refused(capsys, "evaluate", *given(world))


def test_a_model_that_cannot_be_written_is_one_line(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    said = refused(capsys, "train", *given(world), *DELAY, "--out", blocked / "m")
    assert "cannot be written" in said


def test_what_another_search_found_is_trained_with_and_stands_in_the_manifest(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        "parameters": {"max_depth": 3, "eta": 0.2},
        "average_precision": 0.6,
        "average_precision_of_defaults": 0.5,
        "trials": 4,
    }
    parameters, out = tmp_path / "p.json", tmp_path / "m"
    parameters.write_text(json.dumps(found))
    asked = ("train", *given(world), *DELAY, "--members", "xgboost", "--out", out)
    assert run(*asked, "--parameters", parameters) == 0
    assert "search: 4 trials" in capsys.readouterr().err
    assert json.loads((out / "manifest.json").read_text())["search"] == found
    both = ("--parameters", parameters, "--search", "1m")
    assert "one search is enough" in refused(capsys, *asked, *both)
    parameters.write_text('{"max_depth": 3}')
    assert "is not what a search leaves" in refused(capsys, *asked, "--parameters", parameters)
    assert "no such file" in refused(capsys, *asked, "--parameters", tmp_path / "none.json")
