"""Simulated traffic: how fast it is made, in how much memory, and how hard it is to judge.

    python benchmarks/simulation.py --rows 5000000 --judged 1000000

Speed: rows to column batches on one core, slices dropped as they come. Difficulty: the ROC AUC of
every single history feature, and average precision of trees on raw columns and on history, over
the last 35 % of the time. Features see the truth of the past only where they say so, 7 days late.
Writes reports/simulation.json.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from xgboost import XGBClassifier

from alcyon.domain.columns import Batch, Strings
from alcyon.simulation import ATTACKS, Scenario, simulate
from report import write

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
RAW = (
    "amount", "category", "channel", "country", "merchant_country", "hour", "weekday",
    "latitude", "longitude", "transaction_type",
)  # fmt: skip


def speed(rows: int, seed: int) -> dict[str, float]:
    """Rows per second of wall clock and of CPU, and the peak of the process's memory in MB."""
    scenario = Scenario(transactions=rows, seed=seed)
    population = scenario.create_population()
    wall, cpu, made = time.perf_counter(), time.process_time(), 0
    for part in simulate(scenario, population):
        made += len(part)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "rows": made,
        "cards": len(population.cards),
        "rows_per_s_wall": round(made / wall),
        "rows_per_s_cpu": round(made / cpu),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit),
    }


def window(entity: str, size_ms: int, last_ms: int = 0) -> str:
    end = f"{last_ms} preceding" if last_ms else "current row"
    return f"over (partition by {entity} order by event_time range between {size_ms} preceding and {end})"  # noqa: E501


def only_with(column: str, expression: str) -> str:
    return f"case when {column} is not null then {expression} end"


def history() -> dict[str, str]:
    """SQL of plausible default features, by name."""
    sizes = {"10m": 10 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY}
    prior = window("card_id", 30 * DAY, 1)
    small = "sum((amount < 500)::int)"
    before = "lag({0}) over (partition by card_id order by sequence)"
    lat, lon = before.format("latitude"), before.format("longitude")
    features = {
        **{f"card_count_{k}": f"count(*) {window('card_id', ms)}" for k, ms in sizes.items()},
        **{
            f"card_sum_amount_{k}": f"sum(amount) {window('card_id', ms)}"
            for k, ms in sizes.items()
        },
        **{f"card_small_{k}": f"{small} {window('card_id', sizes[k])}" for k in ("1h", "24h")},
        "card_count_30d_prior": f"count(*) {prior}",
        "amount_to_mean_30d": f"amount / nullif(avg(amount) {prior}, 0)",
        "amount_to_max_30d": f"amount / nullif(max(amount) {prior}, 0)",
        "card_merchants_24h": f"count(distinct merchant_id) {window('card_id', DAY)}",
        "card_countries_24h": f"count(distinct country) {window('card_id', DAY)}",
        "elapsed_ms": f"event_time - {before.format('event_time')}",
        "previous_km": f"""6371 * 2 * asin(sqrt(least(1, pow(sin(radians(latitude - {lat}) / 2), 2)
            + cos(radians(latitude)) * cos(radians({lat}))
            * pow(sin(radians(longitude - {lon}) / 2), 2))))""",
        "merchant_count_1h": f"count(*) {window('merchant_id', HOUR)}",
        "merchant_small_1h": f"{small} {window('merchant_id', HOUR)}",
        "amount_to_merchant_mean": f"amount / avg(amount) {window('merchant_id', 30 * DAY)}",
        "merchant_fraud_30d_delay_7d": f"avg(is_fraud) {window('merchant_id', 37 * DAY, 7 * DAY)}",
        "card_fraud_30d_delay_7d": f"sum(is_fraud) {window('card_id', 37 * DAY, 7 * DAY)}",
    }
    for name in ("device_id", "merchant_id", "country", "category"):
        seen = f"count(*) {window('card_id, ' + name, 40 * DAY)}"
        features[f"card_seen_{name}"] = only_with(name, seen)
    for name, ms in (("1d", DAY), ("7d", 7 * DAY)):
        cards = f"count(distinct card_id) {window('device_id', ms)}"
        features[f"device_cards_{name}"] = only_with("device_id", cards)
        features[f"ip_count_{name}"] = only_with("ip", f"count(*) {window('ip', ms)}")
    return features


def table(batch: Batch) -> pa.Table:
    return pa.table(
        {
            name: pa.array(c.to_list(), pa.string()) if isinstance(c, Strings) else c
            for name, c in batch.columns.items()
        }
    )


def columns_of(rows: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """All features of a run of 45 days as numbers (null is NaN), in order of time."""
    parts = list(simulate(Scenario(transactions=rows, seed=seed, duration_ms=45 * DAY)))
    data = duckdb.connect(config={"threads": 1})
    data.register("t", pa.concat_tables([table(p.transactions) for p in parts]))
    data.register("k", pa.concat_tables([table(p.truth) for p in parts]))
    features = ",\n".join(f"{sql} as {name}" for name, sql in history().items())
    local = "event_time // 60000 + utc_offset_minutes"
    found = data.execute(f"""
        with rows as (
            select t.*, is_fraud, attack, amount_base_minor as amount,
                row_number() over (order by event_time, transaction_id) as sequence
            from t join k using (transaction_id))
        select sequence, is_fraud, attack, amount, category, channel, country, merchant_country,
            ({local}) // 60 % 24 as hour, ({local}) // 1440 % 7 as weekday, latitude, longitude,
            transaction_type, {features}
        from rows order by sequence""").fetchnumpy()
    numbers = {name: number(np.ma.asarray(values)) for name, values in found.items()}
    seconds = np.maximum(numbers["elapsed_ms"], MINUTE) / HOUR
    numbers["previous_km_per_hour"] = numbers["previous_km"] / seconds
    names = [None, *ATTACKS]
    attack = np.ma.asarray(found["attack"]).filled("")
    numbers["attack"] = np.array([names.index(a or None) for a in attack], np.float64)
    return numbers


def number(values: np.ma.MaskedArray) -> NDArray[np.float64]:
    """As float64; words become codes."""
    if values.dtype.kind == "O":
        codes = np.unique(values.filled("").astype(str), return_inverse=True)[1]
        return codes.astype(np.float64)
    return values.astype(np.float64).filled(np.nan)


def single_auc(values: NDArray[np.float64], fraud: NDArray[np.bool_]) -> float:
    """The better direction, and nulls on the better side."""
    found = [roc_auc_score(fraud, np.nan_to_num(values, nan=null)) for null in (-1e15, 1e15)]
    return float(max(max(a, 1 - a) for a in found))


def found_by(
    score: NDArray[np.float32], fraud: NDArray[np.bool_], attack: NDArray[np.float64]
) -> dict[str, object]:
    """A model's figures; `attack` is 0 where genuine, else the attack's position from 1."""
    line = np.sort(score)[-len(score) // 100]
    return {
        "average_precision": round(float(average_precision_score(fraud, score)), 4),
        "roc_auc": round(float(roc_auc_score(fraud, score)), 4),
        "recall_in_top_1_percent": {
            name: round(float((score[attack == code] >= line).mean()), 3)
            for code, name in enumerate(ATTACKS, 1)
            if (attack == code).any()
        },
    }


def judged(rows: int, seed: int) -> dict[str, object]:
    """Difficulty: see the module."""
    columns = columns_of(rows, seed)
    fraud, attack = columns.pop("is_fraud") == 1, columns.pop("attack")
    del columns["sequence"]
    warm, cut = rows // 4, rows * 65 // 100
    single = {name: single_auc(values[cut:], fraud[cut:]) for name, values in columns.items()}
    models = {}
    for name, chosen in (("raw", list(RAW)), ("history", list(columns))):
        matrix = np.stack([columns[c] for c in chosen], axis=1).astype(np.float32)
        trees = XGBClassifier(
            n_estimators=250, max_depth=6, learning_rate=0.08, subsample=0.8,
            colsample_bytree=0.6, min_child_weight=5, n_jobs=1, random_state=seed,
        )  # fmt: skip
        trees.fit(matrix[warm:cut], fraud[warm:cut])
        score = trees.predict_proba(matrix[cut:])[:, 1]
        models[name] = found_by(score, fraud[cut:], attack[cut:])
        print(f"average precision, {name:24} {models[name]['average_precision']:.3f}")
        print(f"  found in the top 1 %: {models[name]['recall_in_top_1_percent']}")
    ranked = sorted(single.items(), key=lambda item: -item[1])
    for name, auc in ranked[:12]:
        print(f"ROC AUC alone: {name:28} {auc:.3f}")
    return {
        "rows": rows,
        "fraud_rate": round(float(fraud[cut:].mean()), 5),
        "single_feature_roc_auc": {name: round(auc, 4) for name, auc in ranked},
        "models": models,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=5_000_000, help="for speed and memory")
    parser.add_argument("--judged", type=int, default=1_000_000, help="for difficulty; 0: none")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    made = speed(given.rows, given.seed)
    for name, value in made.items():
        print(f"{name:34} {value:>12,}")
    hard = judged(given.judged, given.seed) if given.judged else {}
    print(write("simulation", {"speed": made, "difficulty": hard}).name)


if __name__ == "__main__":
    main()
