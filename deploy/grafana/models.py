"""Models and drift: what decides, whether the world is as it was learnt, what is learnt."""

from __future__ import annotations

from deploy.grafana.board import Board, Row, Shelf
from deploy.grafana.look import Bars, Heat, Lines, Number, Table
from deploy.grafana.panel import YES_IS_BAD, Limits, Panel
from deploy.grafana.promql import age, buckets, excess, level, of, quantile, rate, share, total

SCORES = "alcyon_worker_scores"
VERSIONS = of("alcyon_versions_info", 'engine!=""')
FEATURE_DRIFT = excess("alcyon_learner_feature_drift_psi", "feature")
SCORE_DRIFT = excess("alcyon_learner_score_drift_psi")
DRIFTED = Limits(0.1, 0.25)
"""The customary bounds of PSI, as docs/drift.md has them."""
NOT_MEASURED = "not measured yet"


def above(bound: str) -> str:
    """Share of scores above a bound of a bucket."""
    whole = rate(f"{SCORES}_count")
    below = rate(f"{SCORES}_bucket", where=f'le="{bound}"')
    return share(f"({whole} - {below})", whole)


NOW = Row(
    "Now",
    (
        Shelf(
            5,
            (
                Panel(
                    "Champion",
                    "The model that decides.",
                    {"{{model}}": f"group by (model) ({VERSIONS})"},
                    Number(shows="name"),
                    unit="none",
                    unknown="no worker",
                    wide=8,
                ),
                Panel(
                    "Champion is missing",
                    "Yes: rules and the fallback action decide alone.",
                    {"": level("alcyon_worker_model_missing_bool")},
                    Number(),
                    names=YES_IS_BAD,
                    runbook="AlcyonModelMissing",
                ),
                Panel(
                    "Age of the champion",
                    "Since it was registered.",
                    {"": age("alcyon_learner_champion_timestamp_seconds")},
                    Number(),
                    unit="s",
                    unknown="no learner",
                    runbook="AlcyonModelOld",
                ),
                Panel(
                    "Drift of scores",
                    "PSI of the champion's scores against what it was trained on. From 0.1 "
                    "moderate, from 0.25 major.",
                    {"": SCORE_DRIFT},
                    Number(),
                    unit="none",
                    decimals=3,
                    limits=DRIFTED,
                    unknown=NOT_MEASURED,
                    runbook="AlcyonScoreDrift",
                ),
                Panel(
                    "Drift of the worst feature",
                    "The largest PSI of a feature against what the champion was trained on.",
                    {"": excess("alcyon_learner_feature_drift_psi")},
                    Number(),
                    unit="none",
                    decimals=3,
                    limits=DRIFTED,
                    unknown=NOT_MEASURED,
                    runbook="AlcyonFeatureDrift",
                ),
            ),
        ),
        Shelf(
            4,
            (
                Panel(
                    "Challenger",
                    "The model that is scored beside the champion, and decides nothing.",
                    {"{{challenger}}": f"group by (challenger) ({VERSIONS})"},
                    Number(shows="name"),
                    unit="none",
                    unknown="no worker",
                ),
                Panel(
                    "Drift alarms",
                    "Over the time shown: drift that is rare, large and lasting (docs/drift.md).",
                    {"": total("alcyon_learner_drift_alarms_total")},
                    Number(is_total=True),
                    decimals=0,
                    limits=Limits(warn=1),
                    runbook="AlcyonFeatureDrift",
                ),
                Panel(
                    "Promotions",
                    "Over the time shown, under a standing approval; a person's are marked as "
                    "new versions.",
                    {"": total("alcyon_learner_promotions_total")},
                    Number(is_total=True),
                    decimals=0,
                ),
                Panel(
                    "Roll-backs",
                    "Over the time shown: champions that behaved otherwise than their evaluation "
                    "predicted.",
                    {"": total("alcyon_learner_roll_backs_total")},
                    Number(is_total=True),
                    decimals=0,
                    limits=Limits(bad=1),
                    runbook="AlcyonChampionRolledBack",
                ),
                Panel(
                    "Learner waits",
                    "Whether the logs, the registry or the intake are out of its reach.",
                    {"": level("alcyon_learner_away_bool")},
                    Number(),
                    names=YES_IS_BAD,
                    runbook="AlcyonLearnerAway",
                ),
                Panel(
                    "Learner behind",
                    "Commits it has not read yet.",
                    {"": level("alcyon_learner_lag_commits")},
                    Number(),
                    decimals=0,
                    unknown="no learner",
                    runbook="AlcyonLearnerAway",
                ),
            ),
        ),
        Shelf(
            5,
            (
                Panel(
                    "Versions in force",
                    "Of all that changes a decision; each decision names them too.",
                    {"": VERSIONS},
                    Table(),
                    unit="none",
                    only=(
                        "instance",
                        "model",
                        "challenger",
                        "rules",
                        "lists",
                        "policy",
                        "rates",
                        "catalog",
                        "engine",
                    ),
                ),
            ),
        ),
    ),
)

SCORING = Row(
    "Scores",
    (
        Shelf(
            8,
            (
                Panel(
                    "Champion's scores",
                    "Probabilities of fraud; the darker, the more payments.",
                    {"{{le}}": buckets(SCORES)},
                    Heat("none"),
                ),
                Panel(
                    "Quantiles of scores",
                    "Where most payments lie, and the tail that decides.",
                    {f"p{n}": quantile(n / 100, SCORES) for n in (50, 95, 99)},
                    Lines(),
                    unit="none",
                    unknown="nothing scored",
                ),
                Panel(
                    "Share of high scores",
                    "Of all payments scored.",
                    {f"above {bound}": above(bound) for bound in ("0.1", "0.5", "0.9")},
                    Lines(),
                    unit="percentunit",
                    runbook="AlcyonFraudRateJump",
                ),
            ),
        ),
    ),
)

DRIFT = Row(
    "Drift",
    (
        Shelf(
            9,
            (
                Panel(
                    "Features that drifted most",
                    "PSI now. One feature alone: look at who fills it. Many: the population "
                    "changed, or the way they are counted.",
                    {"{{feature}}": f"sort_desc(topk(15, {FEATURE_DRIFT}))"},
                    Bars(),
                    unit="none",
                    decimals=3,
                    limits=DRIFTED,
                    unknown=NOT_MEASURED,
                    runbook="AlcyonFeatureDrift",
                ),
                Panel(
                    "Drift over time",
                    "PSI of scores, and of the five features that drifted most.",
                    {"scores": SCORE_DRIFT, "{{feature}}": f"topk(5, {FEATURE_DRIFT})"},
                    Lines(),
                    unit="none",
                    limits=DRIFTED,
                    unknown=NOT_MEASURED,
                    runbook="AlcyonFeatureDrift",
                ),
            ),
        ),
    ),
)

LEARNING = Row(
    "Learning",
    (
        Shelf(
            7,
            (
                Panel(
                    "Challengers judged",
                    "Over the time shown. Keep: the champion stays, not found worse.",
                    {"{{outcome}}": total("alcyon_learner_findings_total", "outcome")},
                    Bars(),
                    decimals=0,
                ),
                Panel(
                    "Challengers published",
                    "Over the time shown, by how they were made.",
                    {"{{kind}}": total("alcyon_learner_published_models_total", "kind")},
                    Bars(),
                    decimals=0,
                ),
                Panel(
                    "Online updates",
                    "Steps of the online member over the time shown. Refused ones did not pass "
                    "the gates.",
                    {"{{outcome}}": total("alcyon_learner_online_updates_total", "outcome")},
                    Bars(),
                    decimals=0,
                ),
                Panel(
                    "Labels read",
                    "By the learner, per minute.",
                    {"labels": f"60 * {rate('alcyon_learner_labels_total')}"},
                    Lines(),
                    unit="count:/min",
                ),
            ),
        ),
        Shelf(
            7,
            (
                Panel(
                    "Decisions remembered",
                    "What the next challenger learns from, at most learn.decisions_max.",
                    {"decisions": level("alcyon_learner_history_rows")},
                    Lines(),
                ),
                Panel(
                    "Labels of unknown payments",
                    "They wait for a decision that may never come; many mean that labels name "
                    "other ids than payments do.",
                    {"labels": level("alcyon_learner_unknown_labels")},
                    Lines(),
                    runbook="AlcyonLabelsStopped",
                ),
                Panel(
                    "Learner reads",
                    "Per second.",
                    {"decisions": rate("alcyon_learner_decisions_total")},
                    Lines(),
                    unit="count:/s",
                    runbook="AlcyonLearnerAway",
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "models",
    "Models & drift",
    "What decides, whether the world is still as it was learnt, and what is learnt from labels.",
    (NOW, SCORING, DRIFT, LEARNING),
    span="24h",
    refresh="1m",
)
