from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alcyon.domain.errors import InputError, ModelError
from alcyon.learning import boosting, isolation
from alcyon.learning.blend import Blend, fit_blend
from alcyon.learning.evaluation import evaluate_ensemble, evaluate_model
from alcyon.learning.export import export, parity_gate
from alcyon.learning.member import FitSettings
from alcyon.learning.metrics import calibration
from alcyon.learning.plots import save_plots
from alcyon.learning.thresholds import Scored
from alcyon.learning.training import MEMBERS, TrainingSettings, fit_ensemble, train
from alcyon.scoring.manifest import Manifest
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy, Thresholds
from tests.learning.synthetic import (
    CATALOG,
    NAMES,
    dataset,
    exported,
    model,
    payments,
    policy,
    recorded,
    trained,
)


def test_probabilities_are_true_on_payments_of_the_same_kind() -> None:
    rows, is_fraud = payments(20_000, seed=5)
    probability = model().score(rows.features).probability_ppm / 1e6
    assert calibration(probability, is_fraud).expected_error < 0.01


def test_probabilities_stay_true_where_nine_of_ten_genuine_payments_were_left_out() -> None:
    settings = TrainingSettings(genuine_share=0.1)
    ensemble, _ = fit_ensemble(dataset().train, dataset().validation, settings)
    rows, is_fraud = payments(20_000, seed=5)
    log_odds = ensemble.log_odds(rows.features)
    probability = 1 / (1 + np.exp(-log_odds))
    assert calibration(probability, is_fraud).expected_error < 0.012
    assert probability.mean() == pytest.approx(is_fraud.mean(), rel=0.15)
    margin = ensemble.members[0].signal(rows.features)  # what is left out lifts it tenfold
    assert (1 / (1 + np.exp(-margin))).mean() > 3 * is_fraud.mean()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="above 0, at most 1"):
        TrainingSettings(genuine_share=share)


def test_the_model_finds_the_frauds_and_saves_money() -> None:
    found = evaluate_model(model(), dataset().test)
    blend = found.rows[0]
    assert blend.name == "blend"
    assert blend.ranking.roc_auc > 0.8
    assert [r.name for r in found.rows[1:]] == list(MEMBERS)
    assert found.money.lost_minor < found.money_at_half.lost_minor
    json.dumps(msgspec.to_builtins(found), allow_nan=False)
    assert found.metrics()["blend"]["average_precision"] == blend.ranking.average_precision


def test_the_served_model_is_evaluated_as_the_native_one() -> None:
    native = evaluate_ensemble(trained().ensemble, dataset().test, policy()).metrics()
    served = evaluate_model(model(), dataset().test).metrics()
    for name, figures in native.items():
        for figure, value in figures.items():
            assert served[name][figure] == pytest.approx(value, abs=1e-4), (name, figure)


def test_what_a_member_adds_is_the_blend_less_the_blend_of_the_others() -> None:
    """The others trained and blended without it, by themselves."""
    test, fit = dataset().test, TrainingSettings(refit=False)
    whole, _ = fit_ensemble(dataset().train, dataset().validation, fit)
    found = {r.name: r for r in evaluate_ensemble(whole, test, policy()).rows}
    for name in ("xgboost", "online_linear"):
        others = tuple(m for m in MEMBERS if m != name)
        settings = TrainingSettings(members=others, refit=False)
        rest, _ = fit_ensemble(dataset().train, dataset().validation, settings)
        alone = evaluate_ensemble(rest, test, policy()).rows[0].ranking.average_precision
        assert found[name].average_precision_without == pytest.approx(alone, abs=1e-9)
    without = found["xgboost"].average_precision_without
    assert without is not None
    assert without < found["blend"].ranking.average_precision
    assert found["blend"].average_precision_without is None


@pytest.mark.parametrize("name", MEMBERS)
def test_any_member_may_be_left_out(name: str, tmp_path: Path) -> None:
    export(trained((name,)), tmp_path / "one", Policy(), {})
    one = Model.load(tmp_path / "one", catalog_hash=CATALOG, feature_names=NAMES)
    assert one.member_names == (name,)
    assert one.score(recorded(5)).members.shape == (5, 1)
    assert [row.average_precision_without for row in evaluate_model(one, dataset().test).rows] == [
        None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("members", [(), ("autopilot",), ("xgboost", "xgboost")])
def test_members_that_do_not_exist_are_refused(members: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="members must be"):
        TrainingSettings(members=members)


def test_the_blend_does_not_believe_a_member_that_contradicts_itself() -> None:
    random = np.random.default_rng(3)
    fraud = random.random(4000) < 0.1
    right = random.normal(size=4000) + 2 * fraud
    wrong = random.normal(size=4000) - fraud
    blend = fit_blend(np.column_stack([right, wrong]), fraud, np.array([True, True]))
    assert blend.weights[0] > 0
    assert blend.weights[1] == 0
    predicted = 1 / (1 + np.exp(-blend.log_odds(np.column_stack([right, wrong]))))
    assert predicted.mean() == pytest.approx(fraud.mean(), abs=1e-3)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    export(train(dataset(), CATALOG), tmp_path, policy(), {})
    for name in ("model.onnx", "golden.npz", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (exported() / name).read_bytes()


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[str, int, int]] = []
    fit = FitSettings(progress=lambda name, done, total: told.append((name, done, total)))
    train(dataset(), CATALOG, TrainingSettings(fit=fit, refit=False))
    assert ("xgboost", boosting.TREES, boosting.TREES) in told
    assert ("isolation_forest", isolation.TREES, isolation.TREES) in told
    assert {name for name, done, total in told if done == total} == set(MEMBERS)


def test_the_gate_refuses_a_file_that_scores_otherwise() -> None:
    blend = trained().ensemble.blend
    other = replace(trained().ensemble, blend=Blend(blend.weights, blend.bias + 0.001))
    with pytest.raises(ModelError, match="log-odds differ"):
        parity_gate(other, model(), recorded(100), Policy())


def test_the_gate_refuses_a_single_flipped_decision() -> None:
    """A threshold between the native and the served probability of one row."""
    rows, ensemble = recorded(100), trained().ensemble
    served = model().score(rows)
    riskiest = int(np.argmax(served.probability_ppm))
    shift = Blend(ensemble.blend.weights, ensemble.blend.bias - 5e-5)
    at = Policy({"default": Thresholds(decline_ppm=int(served.probability_ppm[riskiest]))})
    assert parity_gate(ensemble, model(), rows, Policy()).log_odds < 1e-5
    with pytest.raises(ModelError, match="1 of 100"):
        parity_gate(replace(ensemble, blend=shift), model(), rows, at)


def test_a_refused_export_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    directory = shutil.copytree(exported(), tmp_path / "model")
    before = {p.name: p.read_bytes() for p in directory.iterdir()}
    ensemble = trained().ensemble
    endless = replace(ensemble, blend=Blend(ensemble.blend.weights, float("nan")))
    with pytest.raises(ModelError):
        export(replace(trained(), ensemble=endless), directory, Policy(), {})
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == before


def test_the_manifest_tells_where_the_model_comes_from() -> None:
    raw = (exported() / "manifest.json").read_bytes()
    manifest = msgspec.json.decode(raw, type=Manifest)
    assert manifest.training.rows == len(dataset().train)
    assert manifest.training.stop <= manifest.validation.start < manifest.validation.stop
    assert manifest.parity < 1e-5
    assert {"xgboost-cpu", "onnxruntime"} <= manifest.libraries.keys()
    assert manifest.policy == policy()


def test_plots_are_drawn(tmp_path: Path) -> None:
    test = dataset().test
    scores = model().score(test.features)
    scored = Scored(scores.probability_ppm, test.is_fraud, test.amount_minor, test.days)
    by_name = {"blend": scores.log_odds, "xgboost": scores.members[:, 0].astype(np.float64)}
    drawn = save_plots(tmp_path / "plots", by_name, scored, policy())
    assert len(drawn) == 5
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in drawn)
