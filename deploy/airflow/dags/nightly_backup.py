"""Every night: back up, and check what was written; old backups go once the new one is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from airflow.sdk import Param, dag, task
from alcyon_tasks import alcyon, name_of

_PARAMETERS = {
    "folder": Param("backups", type="string", description="The folder that holds the backups."),
    "kept": Param(14, type="integer", minimum=1, description="How many are kept."),
}


@task
def write(params: dict[str, str], run_id: str) -> str:
    """The backup's folder, named by the run; what a try before this one left there goes."""
    folder = Path(params["folder"]) / name_of(run_id)
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    alcyon("backup", "--to", str(folder))
    return str(folder)


@task
def verify(folder: str) -> str:
    """Every byte of it, read again."""
    alcyon("backup", "--verify", folder)
    return folder


@task
def remove_old(folder: str, params: dict[str, str]) -> None:
    """All but the newest."""
    written = [p.parent for p in Path(folder).parent.glob("*/manifest.json")]
    newest_first = sorted(
        written, key=lambda p: (p / "manifest.json").stat().st_mtime, reverse=True
    )
    for old in newest_first[int(params["kept"]) :]:
        shutil.rmtree(old)


@dag(schedule="@daily", catchup=False, max_active_runs=1, params=_PARAMETERS, tags=["alcyon"])
def nightly_backup() -> None:
    remove_old(verify(write()))


nightly_backup()
