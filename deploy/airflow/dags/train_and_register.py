"""Every week: train on what came in, and register the model for people to judge and promote."""

from __future__ import annotations

from airflow.sdk import dag
from alcyon_tasks import PARAMETERS
from alcyon_tasks import train_and_register as steps


@dag(schedule="@weekly", catchup=False, max_active_runs=1, params=PARAMETERS, tags=["alcyon"])
def train_and_register() -> None:
    steps()


train_and_register()
