"""Every week: remove what is older than it may be, and erase again what a rebuild brought back."""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from alcyon_tasks import alcyon

_PARAMETERS = {
    "older_than": Param("400d", type="string", description="The age, by event time."),
}


@task
def show(params: dict[str, str]) -> None:
    """What will go, in the task's log."""
    alcyon("retention", "--older-than", params["older_than"], "--dry-run")


@task
def remove(params: dict[str, str]) -> None:
    """What is older."""
    alcyon("retention", "--older-than", params["older_than"])


@task
def erase_again() -> None:
    """What was erased once, and came back with a projection that was filled anew."""
    alcyon("erase", "--again")


@dag(schedule="@weekly", catchup=False, max_active_runs=1, params=_PARAMETERS, tags=["alcyon"])
def retention_cleanup() -> None:
    show() >> remove() >> erase_again()


retention_cleanup()
