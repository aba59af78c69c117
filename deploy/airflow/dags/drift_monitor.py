"""Every day: does what is recent differ from the reference? If so, train and register it."""

from __future__ import annotations

from airflow.sdk import Param, dag
from alcyon_tasks import PARAMETERS, drifted, train_and_register

_COMPARED = {
    "reference": Param("reference.parquet", type="string", description="What counts as usual."),
    "recent": Param("recent.parquet", type="string", description="What came after it."),
}


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    params={**PARAMETERS, **_COMPARED},
    tags=["alcyon"],
)
def drift_monitor() -> None:
    drifted() >> train_and_register()


drift_monitor()
