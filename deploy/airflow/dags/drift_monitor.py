"""Every day: does the input differ from the reference? If so, train and register; if not, stop."""

from __future__ import annotations

from airflow.sdk import Param, dag
from alcyon_tasks import PARAMETERS, drifted, train_and_register

_REFERENCE = Param(
    "reference.parquet", type="string", description="Transactions that count as usual."
)


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    params={**PARAMETERS, "reference": _REFERENCE},
    tags=["alcyon"],
)
def drift_monitor() -> None:
    drifted() >> train_and_register()


drift_monitor()
