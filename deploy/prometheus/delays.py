"""How soon each Prometheus alert comes, worked out from its rule.

    python -m deploy.prometheus.delays

Prometheus evaluates each rule every 15 s, on scrapes that are 5 s apart. What is there at one
moment (a gauge, `up`) is seen by the evaluation after the next scrape. A rule over a range sees a
fault by and by: at the latest when the whole range lies in it, and sooner where a share need only
pass a bound. The alert is pending from then on, and fires once it has been for its `for`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent / "rules"
EVERY_S = 15
"""`evaluation_interval` in prometheus.yml."""
EVALUATIONS = 2
"""The first may come before the scrape that shows the fault, or be under way."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RANGE = re.compile(r"\[(\d+)([smhd])\](?! offset)")
_RECORDED = re.compile(r"\b\w+:alcyon_\w+:\w+")
_SHARE_ABOVE = re.compile(r">\s*(0\.\d+)\s*$")
_EVENTS = re.compile(r"(?:sum by \([\w, ]+\) )?\(?(?:increase|changes)\([^/]*>=?\s*\d+\s*$")
_OPERATOR = re.compile(r"(?<![\w:])(and|or|unless)(?![\w:])")


@dataclass(frozen=True)
class Delay:
    """Of one alert of one severity. Seconds."""

    alert: str
    severity: str
    range_s: float
    """What its rule looks back over, where the whole range must lie in the fault."""
    total_s: float | None
    """How much of that must, where everything fails; None: the rule compares no share with a
    number."""
    for_s: float

    def fires_s(self, every_s: float = EVERY_S, *, is_total: bool = False) -> float:
        """From the fault, at the latest. is_total: where everything fails."""
        seen = self.total_s if is_total and self.total_s is not None else self.range_s
        return seen + self.for_s + EVALUATIONS * every_s


def delays(texts: Iterable[str]) -> list[Delay]:
    """Of every alert of these rule files, as they come."""
    parsed = [yaml.safe_load(text)["groups"] for text in texts]
    rules = [rule for groups in parsed for group in groups for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    return [_delay(rule, recorded) for rule in rules if "alert" in rule]


def deployed() -> list[Delay]:
    """Of the rules as they are deployed."""
    return delays(file.read_text() for file in sorted(RULES.glob("*.yml")))


def page() -> str:
    """A table for the documentation, in Markdown."""
    rows = [
        f"| [{d.alert}](../runbook/{d.alert}.md) | {d.severity} | {shown(d.range_s)} "
        f"| {shown(d.for_s)} | {shown(d.fires_s())} "
        f"| {shown(d.fires_s(is_total=True)) if d.total_s is not None else ''} |"
        for d in sorted(deployed(), key=lambda d: (d.alert, d.severity))
    ]
    head = "| alert | severity | looks back | `for` | at most | where all fails |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def shown(seconds: float) -> str:
    """As people say it: two units, without breaks in between.

    >>> shown(0), shown(82).split(), shown(87_330).split()
    ('–', ['1', 'min', '22', 's'], ['1', 'd', '15', 'min'])
    """
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count}\N{NO-BREAK SPACE}{unit}"] if count else []
    return "\N{NO-BREAK SPACE}".join(parts[:2]) or "–"


def _delay(rule: Mapping[str, Any], recorded: Mapping[str, str]) -> Delay:
    waits = re.fullmatch(r"(\d+)([smhd])", rule.get("for", "0s"))
    assert waits, rule
    range_s, total_s = _seen_s(rule["expr"], recorded)
    return Delay(rule["alert"], rule["labels"]["severity"], range_s, total_s, _s(waits))


def _seen_s(expr: str, recorded: Mapping[str, str]) -> tuple[float, float | None]:
    """What it looks back over, and how much of that must lie in a fault of everything."""
    for word, chosen in ((("or",), min), (("and", "unless"), max)):
        parts = list(_split(expr, word))
        if len(parts) > 1:  # of several any may tell; of those that must hold together, the last
            seen = [_seen_s(part, recorded) for part in parts]
            totals = [total_s for _, total_s in seen if total_s is not None]
            return chosen(range_s for range_s, _ in seen), chosen(totals, default=None)
    if _EVENTS.match(expr.strip()):
        return 0, None  # they are counted as they come
    whole = _resolved(expr, recorded)
    range_s = max((_s(found) for found in _RANGE.finditer(whole)), default=0)
    share = _SHARE_ABOVE.search(expr)
    is_share = share and range_s and ("/" in whole or "1 - avg" in whole) and "abs(" not in whole
    return range_s, float(share[1]) * range_s if share and is_share else None


def _resolved(expr: str, recorded: Mapping[str, str]) -> str:
    """With what is recorded in place of its name."""
    while found := _RECORDED.search(expr):
        expr = f"{expr[: found.start()]}({recorded[found[0]]}){expr[found.end() :]}"
    return expr


def _split(expr: str, words: Collection[str]) -> Iterator[str]:
    """The operands of these set operators at the outermost level; brackets around all go first."""
    expr = expr.strip()
    while expr.startswith("(") and _closes(expr) == len(expr) - 1:
        expr = expr[1:-1].strip()
    begin = 0
    for found in _OPERATOR.finditer(expr):
        before = expr[: found.start()]
        if found[0] in words and before.count("(") == before.count(")"):
            yield expr[begin : found.start()]
            begin = found.end()
    yield expr[begin:]


def _closes(expr: str) -> int:
    """Where the bracket that begins it ends."""
    depth = 0
    for at, character in enumerate(expr):
        depth += (character == "(") - (character == ")")
        if not depth:
            return at
    raise ValueError(f"a bracket is open: {expr}")


def _s(found: re.Match[str]) -> int:
    return int(found[1]) * _SECONDS[found[2]]


if __name__ == "__main__":
    print(page())
