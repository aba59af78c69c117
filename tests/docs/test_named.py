"""What pages name is there: commands and their options, scripts, targets, settings, metrics."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache

import pytest
from pydantic import BaseModel

from alcyon.cli import COMMANDS, GROUPS
from alcyon.settings import Settings
from tests.cli.running import run
from tests.deploy.composed import ROOT, composed
from tests.deploy.exposed import exposed
from tests.deploy.rule_files import metrics_in, recorded

MADE = ROOT / "docs/reference"
"""Made from the code, and compared with it by another test."""
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent != MADE),
]
_FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    \S.*$", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_NEXT = re.compile(r"&&|\|\||[;|()]|\$\(")
"""What ends a command."""
_FILES = ("json", "py", "sh", "sqlite", "toml", "yaml")
ELSEWHERE = {"ALCYON_CONFIG", "ALCYON_SECRETS", "ALCYON_TEST_DATA", "ALCYON_TEST_SERVERS"}
"""Variables that are no settings."""


@cache
def shown() -> tuple[tuple[str, str], ...]:
    """Page and line of all code: blocks line by line, what is within sentences as a line each."""
    return tuple(
        (str(page.relative_to(ROOT)), line.partition("  #")[0].strip())
        for page in PAGES
        for line in _lines(page.read_text())
    )


def _lines(text: str) -> Iterator[str]:
    for block in _FENCED.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    prose = _FENCED.sub("", text)
    yield from _INDENTED.findall(prose)
    yield from (" ".join(span.split()) for span in _SPAN.findall(prose))


def parts(program: str) -> Iterator[tuple[str, str]]:
    """Page and arguments of every command of this program."""
    begins = re.compile(rf"(?:^|\s){program} (.+)$")
    for page, line in shown():
        for part in _NEXT.split(line):
            if found := begins.search(part):
                yield page, found[1].replace("…", " ").strip()


def words(arguments: str) -> list[str]:
    """As a shell would have them; a quote may end on the next line."""
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()


def test_each_command_is_there_with_the_options_that_are_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {(page, tuple(words(given))) for page, given in parts("alcyon") if given}
    assert len(found) > 100
    helps = dict[tuple[str, ...], str]()
    wrong = []
    for page, given in sorted(found):
        if given[0].startswith("-"):
            continue
        depth = 2 if given[0] in GROUPS and given[1:2] and not given[1].startswith("-") else 1
        path = given[:depth]
        if given[0] not in COMMANDS:
            wrong.append((page, path))
            continue
        if path not in helps:
            capsys.readouterr()
            code = run(*path, "--help")
            helps[path] = capsys.readouterr().out if code == 0 else ""
        if f"alcyon {' '.join(path)}" not in helps[path]:
            wrong.append((page, path))
        options = [word.partition("=")[0] for word in given[depth:] if word.startswith("--")]
        wrong += [
            (page, (*path, option))
            for option in options
            if not re.search(rf"{option}(?![\w-])", helps[path])
        ]
    assert wrong == []


def test_each_benchmark_is_there_with_the_options_that_are_given() -> None:
    found = [
        (page, script, words(given))
        for page, line in shown()
        for script, given in re.findall(r"benchmarks/(\w+\.py)([^|&;]*)", line)
    ]
    assert len(found) > 30
    wrong = []
    for page, script, given in found:
        file = ROOT / "benchmarks" / script
        if not file.is_file():
            wrong.append((page, script))
            continue
        text = file.read_text()
        beside = [ROOT / f"benchmarks/{name}.py" for name in re.findall(r"from (\w+) import", text)]
        text += "".join(path.read_text() for path in beside if path.is_file())
        wrong += [(page, f"{script} {w}") for w in given if w[:2] == "--" and f'"{w}"' not in text]
    assert wrong == []


def test_each_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(page, words(given)[0]) for page, given in parts("make")}
    assert len(named) > 15
    assert {(page, name) for page, name in named if name[0] != "-" and name not in targets} == set()


def test_each_setting_is_there() -> None:
    sections = {
        name: set(field.annotation.model_fields)
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    variables = {f"ALCYON_{s}__{k}".upper() for s, keys in sections.items() for k in keys}
    variables |= {f"ALCYON_{name}".upper() for name in Settings.model_fields} | ELSEWHERE
    wrong = [
        (page.name, variable)
        for page in PAGES
        for variable in re.findall(r"ALCYON_[A-Z0-9_]*", page.read_text())
        if variable not in variables
        and not (variable.endswith("_") and _begins(variable, variables))
    ]
    dotted = re.compile(rf"^({'|'.join(sections)})\.([a-z_]+)$")
    named = [(page, found) for page, line in shown() if (found := dotted.match(line))]
    assert len(named) > 50
    wrong += [
        (page, found[0])
        for page, found in named
        if found[2] not in sections[found[1]] and found[2] not in _FILES
    ]
    assert wrong == []


def _begins(prefix: str, names: set[str]) -> bool:
    return any(name.startswith(prefix) for name in names)


def test_each_service_of_compose_is_there() -> None:
    verb = re.compile(r"(?:exec|restart|logs|stop) (?:-\S+ )*([\w-]+)")
    named = {
        (page, found[1]) for page, given in parts("docker compose") if (found := verb.search(given))
    }
    assert len(named) > 2
    services = composed()["services"]
    assert {(page, name) for page, name in named if name not in services} == set()


def test_each_metric_is_exposed_and_each_recording_recorded() -> None:
    allowed, written = exposed(), recorded()
    texts = [(page.name, page.read_text()) for page in PAGES]
    unknown = {(name, metric) for name, text in texts for metric in metrics_in(text) - allowed}
    # In prose a histogram goes by its own name.
    assert {(n, m) for n, m in unknown if f"{m}_count" not in allowed} == set()
    named = {(n, r) for n, text in texts for r in re.findall(r"\b\w+:alcyon_\w+:\w+", text)}
    assert len(named) > 20
    assert {(n, r) for n, r in named if r not in written} == set()
