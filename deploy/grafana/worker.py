"""Worker: where the time goes, what came in, what is kept, and what runs beside it."""

from __future__ import annotations

from deploy.grafana.around import AROUND, PROCESSES
from deploy.grafana.board import Board, Row, Shelf
from deploy.grafana.look import Bars, Heat, Lines, Number
from deploy.grafana.overview import IN_TIME, LATE, LATENCY
from deploy.grafana.panel import BLUE, GREEN, ORANGE, RED, YES_IS_BAD, Limits, Panel
from deploy.grafana.promql import (
    age,
    buckets,
    largest,
    level,
    mean,
    of,
    quantile,
    rate,
    share,
    total,
)

STAGES, EVENTS = "alcyon_worker_stage_seconds", "alcyon_worker_event_latency_seconds"
INFERENCE, BATCHES = "alcyon_worker_inference_seconds", "alcyon_worker_batch_records"
PARTS = {"poll": "text", "decode": BLUE, "decide": GREEN, "commit": ORANGE, "snapshot": "purple"}
GOOD_AND_BAD = {"applied": GREEN, "refused": RED, "written": GREEN, "failed": RED}
NOT_YET = "none yet"

NOW = Row(
    "Now",
    (
        Shelf(
            5,
            (
                Panel(
                    "Busy",
                    "Share of the worker's time that is not spent waiting for records. Near 1 it "
                    "can take no more, and lag begins.",
                    {"": share(rate(f"{STAGES}_sum", where='part!="poll"'), rate(f"{STAGES}_sum"))},
                    Number(),
                    unit="percentunit",
                    decimals=0,
                    limits=Limits(0.8, 0.95),
                    runbook="AlcyonLagging",
                ),
                Panel(
                    "Records per batch",
                    "A batch is whatever has arrived, at most worker.batch_max: the busier, the "
                    "larger.",
                    {"": mean(BATCHES)},
                    Number(),
                    decimals=1,
                ),
                Panel(
                    "Memory of the state",
                    "What the windows take; it grows with the rate and with what the catalog "
                    "remembers.",
                    {"": level("alcyon_worker_state_bytes")},
                    Number(),
                    unit="bytes",
                    unknown=NOT_YET,
                ),
                Panel(
                    "Age of the last snapshot",
                    "A recovery replays what came since.",
                    {"": age("alcyon_worker_snapshot_timestamp_seconds")},
                    Number(),
                    unit="s",
                    unknown=NOT_YET,
                    runbook="AlcyonSnapshotOld",
                ),
                Panel(
                    "Last recovery",
                    "From the start of the process to its first decision, or the end of an outage.",
                    {"": level("alcyon_worker_recovery_seconds")},
                    Number(),
                    unit="s",
                    unknown=NOT_YET,
                    runbook="AlcyonRestarting",
                ),
                Panel(
                    "Broker away",
                    "Whether a process cannot reach the broker just now. Nothing is lost: they "
                    "wait and go on.",
                    {"": level("alcyon_broker_away_bool")},
                    Number(),
                    names=YES_IS_BAD,
                    runbook="AlcyonBrokerAway",
                ),
            ),
        ),
    ),
)

TIME = Row(
    "Where the time goes",
    (
        Shelf(
            8,
            (
                Panel(
                    "Time by stage",
                    "Seconds per second, stacked: a batch is polled (waiting included), decoded, "
                    "decided, committed; snapshots are written when due.",
                    {"{{part}}": rate(f"{STAGES}_sum", "part")},
                    Lines(is_stacked=True),
                    unit="s",
                    colors=PARTS,
                    runbook="AlcyonDecisionLatencyBurn",
                ),
                Panel(
                    "Stages of one batch, p95",
                    "Without poll, which is waiting.",
                    {"{{part}}": quantile(0.95, STAGES, "part", where='part!="poll"')},
                    Lines(),
                    unit="s",
                    colors=PARTS,
                    unknown="nothing decided",
                    runbook="AlcyonDecisionLatencyBurn",
                ),
            ),
        ),
        Shelf(
            8,
            (
                Panel(
                    "Latency of decisions",
                    "From when the log took a payment to when its decision was committed; the "
                    "darker, the more payments.",
                    {"{{le}}": buckets(LATENCY)},
                    Heat("s"),
                    unit="s",
                    runbook="AlcyonDecisionLatencyBurn",
                ),
                Panel(
                    "Event to decision",
                    "From when a payment happened (event_time) to when its decision was "
                    "committed: its way to the log is in it, and clocks that differ. 95 % are to "
                    "be within 2 s.",
                    {f"p{n}": quantile(n / 100, EVENTS) for n in (50, 95, 99)},
                    Lines(),
                    unit="s",
                    limits=Limits(warn=2),
                    unknown="nothing decided",
                    runbook="AlcyonEventLatencyBurn",
                ),
                Panel(
                    "Inference",
                    "Time of the models on one batch.",
                    {f"p{n}": quantile(n / 100, INFERENCE) for n in (50, 95, 99)},
                    Lines(),
                    unit="s",
                    limits=Limits(warn=IN_TIME.warn),
                    unknown="nothing scored",
                    runbook="AlcyonDecisionLatencyBurn",
                ),
            ),
        ),
        Shelf(
            7,
            (
                Panel(
                    "Batch size",
                    "Records of a batch.",
                    {"{{le}}": buckets(BATCHES)},
                    Heat("short"),
                ),
                Panel(
                    "Lag in time",
                    "Age of the oldest record known to wait. Beyond 5 s (status.lag_s_max) the "
                    "worker is not ready.",
                    {"age": level("alcyon_worker_lag_seconds")},
                    Lines(),
                    unit="s",
                    limits=LATE,
                    unknown="no worker",
                    runbook="AlcyonLagging",
                ),
                Panel(
                    "Front behind the clock",
                    "The front is the largest event time accepted. It stands still where no "
                    "payments come.",
                    {"behind": age("alcyon_worker_front_timestamp_seconds")},
                    Lines(),
                    unit="s",
                    unknown="nothing accepted",
                    runbook="AlcyonNoTraffic",
                ),
            ),
        ),
    ),
)

INTAKE = Row(
    "What came in",
    (
        Shelf(
            8,
            (
                Panel(
                    "Records read",
                    "By topic.",
                    {"{{topic}}": rate("alcyon_worker_records_total", "topic")},
                    Lines(),
                    unit="count:/s",
                    runbook="AlcyonRequestRateJump",
                ),
                Panel(
                    "Dead letters by reason",
                    "Records over the time shown that could not be used. Each is kept, with its "
                    "reason, in the dead letters' topic.",
                    {
                        "{{reason}}": largest(
                            f"{total('alcyon_worker_dead_letters_total', 'reason')} > 0", "reason"
                        )
                    },
                    Bars(),
                    decimals=0,
                    limits=Limits(warn=1),
                    runbook="AlcyonDeadLetters",
                ),
                Panel(
                    "Late and seen before",
                    "Per second. Late: older than the catalog's lateness, seen by no window, "
                    "never approved by itself. Seen before: sent again, not decided again.",
                    {
                        "late": rate("alcyon_worker_late_total"),
                        "seen before": rate("alcyon_worker_duplicates_total"),
                    },
                    Lines(),
                    unit="count:/s",
                    runbook="AlcyonLatePayments",
                ),
            ),
        ),
        Shelf(
            6,
            (
                Panel(
                    "Labels",
                    "Per second; refused ones are dead letters.",
                    {"{{outcome}}": rate("alcyon_worker_labels_total", "outcome")},
                    Lines(),
                    unit="count:/s",
                    colors=GOOD_AND_BAD,
                    runbook="AlcyonLabelsStopped",
                ),
                Panel(
                    "Control records",
                    "Changes of rules, lists, policy, model or rates over the time shown.",
                    {"{{outcome}}": total("alcyon_worker_controls_total", "outcome")},
                    Bars(),
                    decimals=0,
                    runbook="AlcyonControlRefused",
                ),
            ),
        ),
    ),
)

STATE = Row(
    "State, snapshots and recovery",
    (
        Shelf(
            7,
            (
                Panel(
                    "Memory",
                    "Of the state, and of each process whole.",
                    {
                        "state": level("alcyon_worker_state_bytes"),
                        "{{job}} {{instance}}": of("process_resident_memory_bytes"),
                    },
                    Lines(),
                    unit="bytes",
                    unknown=NOT_YET,
                ),
                Panel(
                    "Snapshots take",
                    "The whole, which a thread writes while decisions go on, and the pause in "
                    "which they wait.",
                    {
                        "whole": level("alcyon_worker_snapshot_duration_seconds"),
                        "pause": level("alcyon_worker_snapshot_pause_seconds"),
                    },
                    Lines(),
                    unit="s",
                    unknown=NOT_YET,
                    runbook="AlcyonSnapshotOld",
                ),
                Panel(
                    "Snapshots",
                    "Over the time shown.",
                    {"{{outcome}}": total("alcyon_worker_snapshots_total", "outcome")},
                    Bars(),
                    decimals=0,
                    runbook="AlcyonSnapshotFailed",
                ),
            ),
        ),
        Shelf(
            5,
            (
                Panel(
                    "Size of the last snapshot",
                    "On disk; at least two are kept.",
                    {"": level("alcyon_worker_snapshot_bytes")},
                    Number(),
                    unit="bytes",
                    unknown=NOT_YET,
                ),
                Panel(
                    "Starts",
                    "Of any process, over the time shown.",
                    {"": f"sum(changes({of('process_start_time_seconds')}[$__range]))"},
                    Number(is_total=True),
                    decimals=0,
                    runbook="AlcyonRestarting",
                ),
                Panel(
                    "Records replayed",
                    "Since the worker started: read again to recover, not decided again.",
                    {"": level("alcyon_worker_replayed_records_total", of_all="sum")},
                    Number(),
                    decimals=0,
                    runbook="AlcyonRestarting",
                ),
                Panel(
                    "Snapshots refused",
                    "Since the worker started: damaged, or of other versions, when a recovery "
                    "looked at them. The one before was taken.",
                    {"": level("alcyon_worker_refused_snapshots_total", of_all="sum")},
                    Number(),
                    decimals=0,
                    limits=Limits(bad=1),
                    runbook="AlcyonSnapshotFailed",
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "worker",
    "Worker",
    "Where the time goes, what came in, what is kept, and what runs beside it.",
    (NOW, TIME, INTAKE, STATE, AROUND, PROCESSES),
)
