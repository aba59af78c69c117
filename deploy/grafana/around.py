"""The rows of the Worker dashboard about what runs beside the worker."""

from __future__ import annotations

from deploy.grafana.board import Row, Shelf
from deploy.grafana.look import Bars, Lines, States
from deploy.grafana.panel import YES_IS_BAD, Limits, Panel
from deploy.grafana.promql import largest, level, of, rate, total

AROUND = Row(
    "Projections and broker",
    (
        Shelf(
            7,
            (
                Panel(
                    "Projections behind",
                    "Commits that a store does not have yet. Decisions do not wait for it.",
                    {"{{store}}": level("alcyon_projection_lag_commits", "store")},
                    Lines(),
                    unknown="no projection runs",
                    runbook="AlcyonProjectionLagging",
                ),
                Panel(
                    "Rows stored",
                    "Per second, by store.",
                    {"{{store}}": rate("alcyon_projection_rows_total", "store")},
                    Lines(),
                    unit="count:/s",
                    runbook="AlcyonProjectionLagging",
                ),
                Panel(
                    "Out of reach, or halted",
                    "A store that is away is written once it is back; a halted projection waits "
                    "for somebody.",
                    {
                        "broker away": level("alcyon_broker_away_bool"),
                        "{{store}} away": level("alcyon_projection_away_bool", "store"),
                        "{{store}} halted": level("alcyon_projection_halted_bool", "store"),
                    },
                    States(),
                    names=YES_IS_BAD,
                    runbook="AlcyonProjectionHalted",
                ),
            ),
        ),
        Shelf(
            6,
            (
                Panel(
                    "Outages",
                    "Times over the time shown that something went out of reach.",
                    {
                        "broker": total("alcyon_broker_outages_total"),
                        "{{store}}": total("alcyon_projection_outages_total", "store"),
                    },
                    Bars(),
                    decimals=0,
                    limits=Limits(warn=1),
                    runbook="AlcyonBrokerAway",
                ),
                Panel(
                    "Errors that ended a part",
                    "By kind, over the time shown.",
                    {
                        "{{kind}}": largest(
                            f"{total('alcyon_run_failures_total', 'kind')} > 0", "kind"
                        )
                    },
                    Bars(),
                    decimals=0,
                    limits=Limits(bad=1),
                    runbook="AlcyonRestarting",
                ),
            ),
        ),
    ),
    is_folded=True,
)

PROCESSES = Row(
    "Processes",
    (
        Shelf(
            7,
            (
                Panel(
                    "Processor",
                    "Cores that each process keeps busy.",
                    {"{{job}} {{instance}}": rate("process_cpu_seconds_total", "job, instance")},
                    Lines(),
                    unit="none",
                ),
                Panel(
                    "Open files",
                    "Connections count too.",
                    {"{{job}} {{instance}}": of("process_open_fds")},
                    Lines(),
                    unit="none",
                ),
                Panel(
                    "Log lines lost",
                    "Per second: lines that could not be written, for a full disk or a reader "
                    "that is gone.",
                    {"lost": rate("alcyon_log_lost_lines_total")},
                    Lines(),
                    unit="count:/s",
                ),
            ),
        ),
    ),
    is_folded=True,
)
