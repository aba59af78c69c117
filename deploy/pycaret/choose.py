"""PyCaret chooses a family and its parameters. Runs in an environment of its own, without Alcyon.

    python choose.py TRAIN.csv FOUND.json [TRIALS]

TRAIN.csv: the train span in order of time, `is_fraud` and the features, empty where null. PyCaret
compares the families that can be exported (XGBoost, a linear model) by average precision on folds
that follow each other in time, tunes XGBoost where it wins, and leaves what it found: the family,
and what `alcyon train --parameters` reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from pycaret.classification import ClassificationExperiment
from sklearn.impute import SimpleImputer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

FAMILIES = {"XGBClassifier": "xgboost", "Pipeline": "online_linear"}
"""PyCaret's words for what Alcyon can export, and the member that each becomes."""
NAMES = {
    "max_depth": "max_depth",
    "learning_rate": "eta",
    "min_child_weight": "min_child_weight",
    "reg_lambda": "lambda",
    "subsample": "subsample",
}
"""scikit-learn's words for XGBoost's parameters, and its own."""
DEFAULTS = {
    "max_depth": 4,
    "learning_rate": 0.1,
    "min_child_weight": 1.0,
    "reg_lambda": 1.0,
    "subsample": 0.8,
}
GRID = {
    "max_depth": [3, 4, 5, 6],
    "learning_rate": [0.03, 0.05, 0.1, 0.2, 0.3],
    "min_child_weight": [0.5, 1.0, 3.0, 10.0, 30.0],
    "reg_lambda": [0.1, 1.0, 3.0, 10.0, 30.0],
    "subsample": [0.5, 0.65, 0.8, 1.0],
}
SEED = 7


def main() -> None:
    """Compare, tune, write."""
    rows, found = pd.read_csv(sys.argv[1]), Path(sys.argv[2])
    trials = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    experiment = ClassificationExperiment()
    experiment.setup(
        rows, target="is_fraud", session_id=SEED, preprocess=False, n_jobs=1, verbose=False,
        html=False, fold_strategy="timeseries", fold=3, data_split_shuffle=False,
        data_split_stratify=False, train_size=0.9,
    )  # fmt: skip
    experiment.add_metric("ap", "AP", average_precision_score, target="pred_proba")
    trees = XGBClassifier(
        n_estimators=100, tree_method="hist", max_bin=2048, base_score=0.5, colsample_bynode=0.8,
        n_jobs=1, random_state=SEED, **DEFAULTS,
    )  # fmt: skip
    linear = make_pipeline(
        SimpleImputer(), StandardScaler(), SGDClassifier(loss="log_loss", random_state=SEED)
    )
    best = experiment.compare_models(include=[trees, linear], sort="AP", verbose=False)
    compared = experiment.pull()
    print(compared[["Model", "AP", "AUC"]].to_string(index=False))
    family = FAMILIES[type(best).__name__]
    plain = float(compared["AP"].iloc[0])
    result: dict[str, object] = {"family": family}
    if family == "xgboost":
        tuned = experiment.tune_model(
            best, custom_grid=GRID, optimize="AP", n_iter=trials, choose_better=True, verbose=False
        )
        reached = max(plain, float(experiment.pull()["AP"].loc["Mean"]))
        result["search"] = {
            "parameters": {ours: getattr(tuned, theirs) for theirs, ours in NAMES.items()},
            "average_precision": reached,
            "average_precision_of_defaults": plain,
            "trials": trials,
        }
    found.write_text(json.dumps(result, indent=2, default=float) + "\n")
    print(found.read_text())


if __name__ == "__main__":
    main()
