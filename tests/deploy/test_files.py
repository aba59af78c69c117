"""What is only run elsewhere is checked here, by the tools that know it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.composed import COMPOSE, ROOT, SECRETS

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


def passes(program: str, *arguments: str | Path) -> None:
    """A tool of our environment has nothing to say against it."""
    checked(Path(sys.executable).with_name(program), *arguments)


def checked(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_yaml_is_as_the_schema_says() -> None:
    passes("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_dockerfile_is_sound() -> None:
    passes("hadolint", "Dockerfile")


def test_workflows_are_as_the_schema_says() -> None:
    assert {file.stem for file in WORKFLOWS} >= {"ci", "image", "nightly", "release"}
    passes("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_updates_are_as_the_schema_says() -> None:
    file = ROOT / ".github/dependabot.yml"
    passes("check-jsonschema", "--builtin-schema", "vendor.dependabot", file)


def test_workflows_are_safe() -> None:
    passes("zizmor", "--offline", "--no-progress", "--strict-collection", ".github")


def test_workflows_say_what_they_mean() -> None:
    own, go = shutil.which("actionlint"), shutil.which("go")
    if own is None and go is None:
        pytest.skip("neither actionlint nor go")
    command = [own] if own else [str(go), "run", ACTIONLINT]
    checked(*command, *WORKFLOWS)


PREINSTALLED = {
    "chromium", "curl", "maven", "nodejs", "npm", "openjdk-17-jre-headless", "openssl",
    "postgresql", "postgresql-client", "tar",
}  # fmt: skip
"""On the machines that GitHub lends (ubuntu-24.04)."""
WITH = {"redis-server": {"redis-tools"}}
"""What a package brings along."""


def test_ci_installs_the_programs_that_tests_start() -> None:
    """As no root it cannot while it tests, and servers are required there."""
    sources = [path for part in ("tests", "services") for path in (ROOT / part).rglob("*.py")]
    asked = re.compile(r'\b(?:client|needed|program)\(\s*(?:"[\w-]+"|name), "([\w-]+)"')
    wanted = {name for path in sources for name in asked.findall(path.read_text())}
    assert {"prometheus", "prometheus-alertmanager", "kcat", "redis-server"} <= wanted
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    (line,) = [step["run"] for step in steps if "apt-get install" in step.get("run", "")]
    installed = set(line.partition("--yes ")[2].split())
    brought = set[str]().union(*(WITH.get(name, set()) for name in installed))
    assert wanted - PREINSTALLED - brought == installed


def test_hooks_before_a_commit_are_commands_of_make_lint_and_look_at_files_that_there_are() -> None:
    lint = re.findall(r"^\t\$\(RUN\) (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local", "nothing is downloaded"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    commands = set[str]()
    for hook in repo["hooks"]:
        words = hook["entry"].split()
        if words[:3] == ["uv", "run", "--no-sync"]:
            assert Path(sys.executable).with_name(words[3]).is_file(), hook["id"]
            commands.add(" ".join(word for word in words[3:5] if not word.startswith("-")))
        assert [path for path in words[3:] if "/" in path and path not in tracked] == []
        for pattern in re.findall(r"[^^$()|]+", hook.get("files", "").replace("\\", "")):
            assert any(pattern in path for path in tracked), (hook["id"], pattern)
    named = {
        line.replace(" --check", "") for line in lint if line.startswith(("ruff", "mypy", "lint"))
    }
    assert {command for command in commands if not command.startswith("pytest")} == named


def test_the_example_of_the_environment_is_that_of_the_settings() -> None:
    script = ROOT / "deploy/docker/env_example.py"
    env = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
    made = subprocess.run(
        [sys.executable, script], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert made == (ROOT / ".env.example").read_text(), f"run {script.relative_to(ROOT)}"


def test_secrets_are_made_once_and_for_their_owner(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run(["sh", SECRETS, folder], check=True)
    made = {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}
    password = made["postgres_password"].strip()
    assert made["ALCYON_POSTGRES__DSN"] == f"postgresql://alcyon:{password}@postgres:5432/alcyon\n"
    assert made["redis.conf"] == f"requirepass {made['redis_password']}"
    own = {made[name] for name in ("postgres_password", "redis_password", "ALCYON_TOKEN__KEY")}
    assert len(own) == 3
    assert all(len(secret) == 49 for secret in own)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Read in containers by users that this machine does not know.
    assert stat.S_IMODE((folder / "ALCYON_TOKEN__KEY").stat().st_mode) == 0o444
    subprocess.run(["sh", SECRETS, folder], check=True)
    assert made == {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_what_is_sent_to_the_builder_holds_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "nothing but what is named"
    copied = {
        word.partition("/")[0]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    named = {rule[1:].partition("/")[0] for rule in rules if rule.startswith("!")}
    assert named == copied
