"""A game day: real faults on a running Alcyon, and which Prometheus alert told of each, how soon.

    make game-day          # or: python benchmarks/game_day.py [--faults worker,poison] [--rate 200]
    python benchmarks/game_day.py --as-deployed --faults worker,postgres,poison

Starts a broker, Postgres, worker, projections, API, learner, simulated payments, Prometheus and
Alertmanager on loopback, and stops them all at the end. Rules and dashboards are the deployed ones,
the rules in haste: a day is a minute, a `for` of up to twelve minutes a second
(`services.monitors.hastened`); between two evaluations lie three scrapes as they do in production,
of a second each. The bar of each alert is worked out from its rule as the documentation's are
(`deploy.prometheus.delays`): what it looks back over, its `for`, and two evaluations.

--as-deployed: nothing in haste, for the faults whose rules compare with no day before.

What a fault led to is written into reports/game_day.json as soon as it is over, so a run that is
broken off keeps its rows. Nothing waits for ever.
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
from services.monitors import AS_DEPLOYED, Every, Monitors, PrometheusAlert, hastened

HASTE = 1440
DAY_S = 86_400 / HASTE
USUAL_S = DAY_S + 15
"""A day, and what lies between it and now."""
IN_PROPORTION = Every(1, 3)
"""As deployed: three scrapes to an evaluation."""
PATIENCE_S, TOLD_S_MAX, SETTLED_S_MAX = 60.0, 15.0, 60.0
SETTLED = "sum(rate(alcyon_worker_decisions_total[{range_s}s])) > {rate} / 2"
"""Payments are decided as they come."""


@dataclass(frozen=True)
class Told:
    """What one fault led to. Seconds are from the fault on; None: it did not come."""

    fault: str
    alert: str
    severity: str
    pending_s: float | None
    fired_s: float | None
    evaluations: int | None
    """From the fault until it fired."""
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


@dataclass(frozen=True)
class Watch:
    """Prometheus and Alertmanager over the stage, and where the latter tells."""

    monitors: Monitors
    slack: Receiver
    haste: int
    every: Every

    @property
    def range_s(self) -> int:
        """A short range that holds five scrapes."""
        return 5 * self.every.scrape_s


def play(fault: Fault, stage: Stage, watch: Watch) -> Told:
    """Inject it, see it told, heal it, see it over."""
    monitors, slack = watch.monitors, watch.slack
    delay, real = _delay(fault, _hastened(watch.haste)), _delay(fault, deployed())
    bar_s, least_s = delay.fires_s(watch.every.evaluation_s), PATIENCE_S + delay.range_s
    is_decided = SETTLED.format(rate=stage.rate, range_s=watch.range_s)
    settled = f"{is_decided} and max(alcyon_worker_lag_seconds) < 2"
    if awaited(lambda: bool(monitors.query(settled)), SETTLED_S_MAX) is None:
        tell("payments wait: this machine is too busy to judge by")
    before, posted = panels(fault, watch), len(slack.posted)
    quiet = monitors.firing()
    began, heal = fault.inject(stage)
    seen = list[tuple[float, PrometheusAlert]]()

    def fires() -> bool:
        found = _alert(fault, monitors)
        if found is not None and (not seen or seen[-1][1].state != found.state):
            seen.append((time.monotonic() - began, found))
        return found is not None and found.state == "firing"

    is_fired = awaited(fires, bar_s + PATIENCE_S) is not None
    fired_s = time.monotonic() - began if is_fired else None
    named = fault.alert.encode()
    told = awaited(lambda: any(named in p.body for p in slack.posted[posted:]), TOLD_S_MAX)
    told_s = None if told is None else time.monotonic() - began
    during, others = panels(fault, watch), monitors.firing() - quiet - {fault.alert}
    heal()
    over = awaited(lambda: _alert(fault, monitors) is None, least_s)
    return Told(
        fault.what, fault.alert, fault.severity, seen[0][0] if seen else None, fired_s,
        None if fired_s is None else math.ceil(fired_s / watch.every.evaluation_s),
        delay.range_s, delay.for_s, bar_s, fired_s is not None and fired_s <= bar_s, told_s, over,
        page(seen[-1][1]) if seen else "", real.fires_s(), sorted(others), before, during,
    )  # fmt: skip


def page(alert: PrometheusAlert) -> str:
    """The file of the runbook that an alert points to; SystemExit: there is none."""
    name = alert.annotations["runbook_url"].rpartition("/")[2]
    path = Path("docs/runbook") / name
    if not (ROOT / path).is_file():
        raise SystemExit(f"{alert.name} points to {path}, which is not there")
    return str(path)


def panels(fault: Fault, watch: Watch) -> dict[str, str]:
    """What the panels that show a fault have now: each series by its legend."""
    shown = {}
    for name in fault.panels:
        board, _, title = name.partition("/")
        questions = [a for a in asked() if (a.dashboard, a.title) == (f"alcyon-{board}", title)]
        if not questions:
            raise SystemExit(f"there is no panel {name}")
        found = [one for question in questions for one in _answers(question, watch)]
        shown[name] = ", ".join(found) or "–"
    return shown


def _answers(question: Asked, watch: Watch) -> list[str]:
    expr = question.expr
    ranges = {"$__rate_interval": f"{watch.range_s}s", "$__range": f"{6 * watch.range_s}s"}
    for variable, value in (ranges | {"$job": ".*", "$instance": ".*"}).items():
        expr = expr.replace(variable, value)
    return [
        f"{_legend(question.legend, labels)} {value:.4g}".strip()
        for labels, value in watch.monitors.query(expr)
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


def _hastened(by: int) -> list[Delay]:
    return delays(hastened(file.read_text(), by) for file in sorted(RULES.glob("*.yml")))


def _delay(fault: Fault, of: Sequence[Delay]) -> Delay:
    return next(d for d in of if (d.alert, d.severity) == (fault.alert, fault.severity))


def save(rows: Sequence[Told], watch: Watch, began: float, wanted: int) -> None:
    """All so far, with the machine's load."""
    load = [round(one, 2) for one in os.getloadavg()]
    facts: dict[str, object] = {
        "haste": watch.haste, "scrape_s": watch.every.scrape_s,
        "evaluation_s": watch.every.evaluation_s, "load": load,
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
    parser.add_argument("--as-deployed", action="store_true", help="no rule in haste")
    given = parser.parse_args()
    if given.as_deployed and (days := [f.name for f in given.faults if f.needs_usual]):
        parser.error(f"a usual day would take a day: leave out {', '.join(days)}")
    haste, every = (1, AS_DEPLOYED) if given.as_deployed else (HASTE, IN_PROPORTION)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)  # what runs beside us ends with us
    began, rows = time.monotonic(), list[Told]()
    with staged(given.rate, haste, every) as (stage, monitors, slack):
        watch, watched = Watch(monitors, slack, haste, every), time.monotonic()
        for fault in given.faults:
            left = watched + USUAL_S - time.monotonic()
            if fault.needs_usual and left > 0:
                tell(f"a usual day goes by, {left:.0f} s")
                time.sleep(left)
            tell(fault.what)
            rows.append(play(fault, stage, watch))
            save(rows, watch, began, len(given.faults))
            tell(f"{rows[-1].alert} after {_s(rows[-1].fired_s)} s")
    show(rows)
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
