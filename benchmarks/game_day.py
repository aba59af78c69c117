"""A game day: real faults on a running Alcyon, and which Prometheus alert told of each, how soon.

    make game-day          # or: python benchmarks/game_day.py [--faults worker,poison] [--rate 200]

Starts a broker, Postgres, worker, projections, API, learner, simulated payments, Prometheus and
Alertmanager on loopback, and stops them all at the end. Rules and dashboards are the deployed ones,
the rules in haste: a day is a minute, a `for` of up to twelve minutes a second, scrapes and
evaluations are a second apart (`services.monitors.hastened`). The bar of each alert is worked out
from its rule as the documentation's are (`deploy.prometheus.delays`): what it looks back over, its
`for`, and two evaluations.

What a fault led to is written into reports/game_day.json as soon as it is over, so a run that is
broken off keeps its rows. Nothing waits for ever: a fault takes three minutes at most.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `deploy`, `services`, `tests`

from tests.deploy.asked import Asked, asked
from tests.receiving import Receiver

from deploy.prometheus.delays import RULES, Delay, delays, deployed
from game_faults import FAULTS, Fault
from game_stage import Stage, awaited, staged, tell
from report import ROOT, write
from services.monitors import EVERY_S, Monitors, PrometheusAlert, hastened

HASTE = 1440
DAY_S = 86_400 / HASTE
USUAL_S = DAY_S + 15
"""A day, and what lies between it and now."""
FIRES_S_MAX, TOLD_S_MAX, OVER_S_MAX, SETTLED_S_MAX = 120.0, 15.0, 60.0, 60.0
SETTLED = "sum(rate(alcyon_worker_decisions_total[5s])) > {rate} / 2"
"""Payments are decided as they come."""
_VARIABLES = {"$__rate_interval": "5s", "$__range": "30s", "$job": ".*", "$instance": ".*"}


@dataclass(frozen=True)
class Told:
    """What one fault led to. Seconds are from the fault on; None: it did not come."""

    fault: str
    alert: str
    severity: str
    pending_s: float | None
    fired_s: float | None
    evaluations: int | None
    """From the fault until it fired; here they are a second apart."""
    looks_back_s: float
    for_s: float
    bar_s: float
    is_met: bool
    told_s: float | None
    """Until Slack's stand-in had it."""
    over_s: float | None
    """From when the fault was healed."""
    page: str
    """The runbook's, which is there."""
    deployed_s: float
    """After how long at most it fires with the rules as they are deployed."""
    others: list[str]
    """Alerts that fired beside it."""
    before: dict[str, str]
    """What the dashboards' panels showed."""
    during: dict[str, str]


def play(fault: Fault, stage: Stage, monitors: Monitors, slack: Receiver) -> Told:
    """Inject it, see it told, heal it, see it over."""
    delay, real = _delay(fault, _hastened()), _delay(fault, deployed())
    settled = f"{SETTLED.format(rate=stage.rate)} and max(alcyon_worker_lag_seconds) < 2"
    if awaited(lambda: bool(monitors.query(settled)), SETTLED_S_MAX) is None:
        tell("payments wait: this machine is too busy to judge by")
    before, posted = panels(fault, monitors), len(slack.posted)
    quiet = monitors.firing()
    began, heal = fault.inject(stage)
    seen = list[tuple[float, PrometheusAlert]]()

    def fires() -> bool:
        found = _alert(fault, monitors)
        if found is not None and (not seen or seen[-1][1].state != found.state):
            seen.append((time.monotonic() - began, found))
        return found is not None and found.state == "firing"

    is_fired = awaited(fires, FIRES_S_MAX) is not None
    fired_s = time.monotonic() - began if is_fired else None
    named = fault.alert.encode()
    told = awaited(lambda: any(named in p.body for p in slack.posted[posted:]), TOLD_S_MAX)
    told_s = None if told is None else time.monotonic() - began
    during, others = panels(fault, monitors), monitors.firing() - quiet - {fault.alert}
    heal()
    over = awaited(lambda: _alert(fault, monitors) is None, OVER_S_MAX)
    bar_s = delay.fires_s(EVERY_S)
    return Told(
        fault.what, fault.alert, fault.severity, seen[0][0] if seen else None, fired_s,
        None if fired_s is None else math.ceil(fired_s / EVERY_S), delay.range_s, delay.for_s,
        bar_s, fired_s is not None and fired_s <= bar_s, told_s, over,
        page(seen[-1][1]) if seen else "", real.fires_s(), sorted(others), before, during,
    )  # fmt: skip


def page(alert: PrometheusAlert) -> str:
    """The file of the runbook that an alert points to; SystemExit: there is none."""
    name = alert.annotations["runbook_url"].rpartition("/")[2]
    path = Path("docs/runbook") / name
    if not (ROOT / path).is_file():
        raise SystemExit(f"{alert.name} points to {path}, which is not there")
    return str(path)


def panels(fault: Fault, monitors: Monitors) -> dict[str, str]:
    """What the panels that show a fault have now: each series by its legend."""
    shown = {}
    for name in fault.panels:
        board, _, title = name.partition("/")
        questions = [a for a in asked() if (a.dashboard, a.title) == (f"alcyon-{board}", title)]
        if not questions:
            raise SystemExit(f"there is no panel {name}")
        found = [one for question in questions for one in _answers(question, monitors)]
        shown[name] = ", ".join(found) or "–"
    return shown


def _answers(question: Asked, monitors: Monitors) -> list[str]:
    expr = question.expr
    for variable, value in _VARIABLES.items():
        expr = expr.replace(variable, value)
    return [
        f"{_legend(question.legend, labels)} {value:.4g}".strip()
        for labels, value in monitors.query(expr)
        if value or question.kind != "bargauge"
    ]


def _legend(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _alert(fault: Fault, monitors: Monitors) -> PrometheusAlert | None:
    """The one that must tell, in its furthest state."""
    found = [
        one
        for one in monitors.alerts()
        if (one.name, one.labels["severity"]) == (fault.alert, fault.severity)
    ]
    return max(found, key=lambda one: one.state == "firing", default=None)


def _hastened() -> list[Delay]:
    return delays(hastened(file.read_text(), HASTE) for file in sorted(RULES.glob("*.yml")))


def _delay(fault: Fault, of: Sequence[Delay]) -> Delay:
    return next(d for d in of if (d.alert, d.severity) == (fault.alert, fault.severity))


def save(rows: Sequence[Told], rate: float, began: float, wanted: int) -> None:
    """All so far, with the machine's load."""
    load = [round(one, 2) for one in os.getloadavg()]
    facts: dict[str, object] = {
        "rate": rate, "haste": HASTE, "evaluation_s": EVERY_S, "load": load,
        "seconds": round(time.monotonic() - began, 1), "is_whole": len(rows) == wanted,
        "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    write("game_day", facts)


def show(rows: Sequence[Told]) -> None:
    """A table, and what the dashboards had."""
    head = ("alert", "pending s", "fired s", "evaluations", "bar s", "met", "told s", "over s")
    table = [
        (row.alert, _s(row.pending_s), _s(row.fired_s), str(row.evaluations), f"{row.bar_s:g}",
         "yes" if row.is_met else "no", _s(row.told_s), _s(row.over_s))
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[i]) for line in [head, *table]) for i in range(len(head))]
    for line in [head, *table]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    for row in rows:
        print(f"\n{row.fault}: {row.page}; beside it: {', '.join(row.others) or 'nothing'}")
        for name, before in row.before.items():
            print(f"  {name}: {before} -> {row.during[name]}")


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"


def named(text: str) -> list[Fault]:
    """The faults of a list with commas between."""
    known = {fault.name: fault for fault in FAULTS}
    if unknown := set(text.split(",")) - set(known):
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(sorted(unknown))}")
    return [known[name] for name in text.split(",")]


def main() -> int:
    """0 if every alert came within its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    names = ",".join(fault.name for fault in FAULTS)
    parser.add_argument("--rate", type=float, default=200.0, help="payments a second (%(default)s)")
    parser.add_argument("--faults", type=named, default=names, help="which (%(default)s)")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)  # what runs beside us ends with us
    began, rows = time.monotonic(), list[Told]()
    with staged(given.rate, HASTE) as (stage, monitors, slack):
        watched = time.monotonic()
        for fault in given.faults:
            left = watched + USUAL_S - time.monotonic()
            if fault.needs_usual and left > 0:
                tell(f"a usual day goes by, {left:.0f} s")
                time.sleep(left)
            tell(fault.what)
            rows.append(play(fault, stage, monitors, slack))
            save(rows, given.rate, began, len(given.faults))
            tell(f"{rows[-1].alert} after {_s(rows[-1].fired_s)} s")
    show(rows)
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
