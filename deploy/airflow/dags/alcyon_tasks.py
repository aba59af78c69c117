"""What both DAGs are made of: the commands of `alcyon`, which must be on the PATH.

Airflow and Alcyon do not share an environment: their libraries exclude each other.
"""

from __future__ import annotations

import subprocess

from airflow.sdk import Param, task, task_group

PARAMETERS = {
    "input": Param("transactions.parquet", type="string", description="What to learn from."),
    "labels": Param("labels.parquet", type="string", description="What is known of it."),
    "catalog": Param("card", type="string", description="A detector, or a Python file."),
    "out": Param("models", type="string", description="The folder that models are written to."),
}
DRIFTED = 3
"""The exit code of `alcyon drift` where something drifted."""


@task_group
def train_and_register() -> None:
    """A model of the input, judged on its last days, gated, and in the registry under the run's
    name."""
    register(train())


@task
def train(params: dict[str, str], run_id: str) -> str:
    """The folder of the new model."""
    folder = f"{params['out']}/{name_of(run_id)}"
    alcyon("train", "--input", params["input"], "--labels", params["labels"],
           "--catalog", params["catalog"], "--out", folder)  # fmt: skip
    return folder


@task
def register(folder: str, params: dict[str, str], run_id: str) -> None:
    """Into the registry that the settings name. It decides nothing before it is promoted."""
    name = name_of(run_id)
    alcyon("models", "register", folder, "--name", name, "--catalog", params["catalog"])


@task.short_circuit
def drifted(params: dict[str, str]) -> bool:
    """Whether what is recent differs from the reference; where it does not, nothing follows."""
    given = ["--reference", params["reference"], "--input", params["recent"]]
    given += ["--labels", params["labels"], "--catalog", params["catalog"]]
    return alcyon("drift", *given, allowed=(0, DRIFTED)) == DRIFTED


def name_of(run_id: str) -> str:
    """The run's id in the letters that a model's name may have."""
    return "".join(c if c.isalnum() or c in "_.-" else "-" for c in run_id)[:100]


def alcyon(*arguments: str, allowed: tuple[int, ...] = (0,)) -> int:
    """Run a command, its words in the task's log; the exit code. RuntimeError: not `allowed`."""
    done = subprocess.run(
        ["alcyon", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout, flush=True)
    if done.returncode not in allowed:
        raise RuntimeError(f"alcyon {arguments[0]}: exit code {done.returncode}, see above")
    return done.returncode
