"""Drawing the demo: one table for a terminal, a line now and then for everything else."""

from __future__ import annotations

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from alcyon.runners.demo.scoreboard import Figures
from alcyon.runners.demo.view import AlertLine, View

_COLOURS = {"APPROVE": "green", "STEP_UP": "cyan", "REVIEW": "yellow", "DECLINE": "red"}
_WORDS = {
    "APPROVE": "approved", "STEP_UP": "step up", "REVIEW": "review", "DECLINE": "declined",
}  # fmt: skip


def drawn(view: View) -> RenderableType:
    """The whole picture."""
    return Group(*(_warning(w) for w in view.warnings), _standing(view), _alerts(view))


def line(view: View) -> str:
    """The same in one line, without the alerts."""
    figures = view.figures
    return (
        f"{figures.decisions:,} decided, {_rate(view)}, {_latency(view)}, "
        f"{figures.alerts:,} alerts; simulated data: {_caught(figures)}, "
        f"{_false_alarms(figures)}; {figures.dead_letters:,} dead letters"
    )


def _warning(text: str) -> Text:
    return Text(f" ! {text}", style="bold red")


def _standing(view: View) -> Table:
    figures = view.figures
    table = Table(
        box=box.SIMPLE_HEAD, show_header=False, expand=True, padding=(0, 1), pad_edge=False,
        title="alcyon demo · simulated data · q ends", title_justify="left", title_style="bold",
    )  # fmt: skip
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("traffic", Text(f"{_rate(view)}   {figures.decisions:,} decided in all"))
    table.add_row("latency", Text(_latency(view)))
    table.add_row("actions", _actions(figures))
    table.add_row("truth", Text(f"{_caught(figures)} · {_false_alarms(figures)}"))
    table.add_row("money", Text(_money(figures)))
    table.add_row("state", Text(_state(view)))
    return table


def _alerts(view: View) -> RenderableType:
    if not view.alerts:
        return Text(" No alert yet: most payments are genuine.", style="dim")
    table = Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="dim")
    for name, justify in (("time", "left"), ("amount", "right"), ("card", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("action", no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    for alert in view.alerts:
        table.add_row(*_alert(alert))
    return table


def _alert(alert: AlertLine) -> tuple[RenderableType, ...]:
    at = datetime.fromtimestamp(alert.time_ms / 1000).astimezone()
    return (
        f"{at:%H:%M:%S}",
        escape(alert.amount),
        escape(alert.card),
        Text(_WORDS.get(alert.action, alert.action), style=_COLOURS.get(alert.action, "")),
        Text(alert.reasons),
    )


def _actions(figures: Figures) -> Text:
    text, total = Text(), max(figures.decisions, 1)
    for action, word in _WORDS.items():
        count = figures.actions.get(action, 0)
        if count or action != "STEP_UP":
            text.append(f"{word} {count / total:.2%}   ", style=_COLOURS[action])
    text.append(f"{figures.alerts:,} alerts")
    return text


def _rate(view: View) -> str:
    return "– /s" if view.per_second is None else f"{view.per_second:,.1f} /s"


def _latency(view: View) -> str:
    if view.latency is None:
        return "– ms"
    found = view.latency
    return f"p50 {found.p50:.1f}   p95 {found.p95:.1f}   p99 {found.p99:.1f} ms"


def _caught(figures: Figures) -> str:
    if figures.recall is None:
        return "no fraud yet"
    return f"caught {figures.recall:.1%} of {figures.frauds:,} frauds"


def _false_alarms(figures: Figures) -> str:
    if figures.false_positive_rate is None:
        return "no genuine payment yet"
    return f"false alarms {figures.false_positive_rate:.2%} of genuine"


def _money(figures: Figures) -> str:
    """Minor units of the base currency, which has two decimals."""
    return (
        f"EUR {figures.fraud_stopped_minor / 100:,.0f} of {figures.fraud_minor / 100:,.0f} stopped"
        f" · net of false declines EUR {figures.net_stopped_minor / 100:,.0f}"
    )


def _state(view: View) -> str:
    age = view.snapshot_age_s
    snapshot = "no snapshot yet" if age is None else f"snapshot {_age(age)} old"
    return (
        f"{view.figures.dead_letters:,} dead letters · {snapshot} · {view.undecided:,} waiting · "
        f"model {view.model[:8]}"
    )


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
