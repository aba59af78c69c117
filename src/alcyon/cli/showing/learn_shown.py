"""What `alcyon learn --once` reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alcyon.cli.showing.talk import show_json, show_table, tell

if TYPE_CHECKING:
    from alcyon.learning.promotion import Finding
    from alcyon.runners.learning.learner import Acted, LeftBand
    from alcyon.runners.learning.remembering import Memory


class Report(msgspec.Struct, frozen=True):
    """All that is known at the end of the log, and what was done."""

    at: int
    """Newest event time, UTC ms."""
    decisions: int
    remembered: int
    labels: int
    unknown_labels: int
    contradicted: int
    other_catalog: int
    champion: str
    watched: str
    """Empty where the champion is watched in a band, else why it is not."""
    challenger: str
    finding: object
    waits: str | None
    published: tuple[str, str] | None
    unpublished: str | None
    promoted: str | None
    rolled_back: object


def show_learnt(memory: Memory, acted: Acted, as_json: bool) -> None:
    """On stdout."""
    report = _report(memory, acted)
    if as_json:
        show_json(report)
        return
    facts = [
        ("decisions read", f"{report.decisions:,}"),
        ("in memory", f"{report.remembered:,}"),
        ("labels read", f"{report.labels:,}"),
        ("of unknown transactions", f"{report.unknown_labels:,}"),
        ("transactions with contradictory labels", f"{report.contradicted:,}"),
        ("decided by another catalog", f"{report.other_catalog:,}"),
        ("champion", report.champion),
        ("watched", report.watched or "in the band of its evaluation"),
        ("challenger", report.challenger),
    ]
    show_table(None, ("learnt", ""), [*facts, *_done(acted)], figures=False)
    if acted.finding is not None:
        _show_finding(acted.finding)


def _report(memory: Memory, acted: Acted) -> Report:
    tenure = memory.tenure
    return Report(
        at=acted.at,
        decisions=memory.decisions,
        remembered=len(memory.history),
        labels=memory.labels,
        unknown_labels=memory.history.unknown,
        contradicted=memory.history.known(acted.at).contradicted,
        other_catalog=memory.foreign,
        champion="none" if tenure is None else tenure.champion.decode(),
        watched="there is none" if tenure is None else tenure.unwatched,
        challenger=memory.challenger,
        finding=acted.finding,
        waits=acted.waits,
        published=acted.published,
        unpublished=acted.unpublished,
        promoted=acted.promoted,
        rolled_back=acted.rolled_back,
    )


def _done(acted: Acted) -> list[tuple[str, str]]:
    left: LeftBand | None = acted.rolled_back
    published = None if acted.published is None else " ".join(acted.published)
    rolled = None if left is None else f"{left.departure.kind} left its band"
    done = [
        ("rolled back", rolled), ("promoted", acted.promoted), ("published", published),
        ("nothing published", acted.unpublished), ("challenger not judged", acted.waits),
    ]  # fmt: skip
    return [(name, what) for name, what in done if what is not None]


def _show_finding(finding: Finding) -> None:
    evidence = finding.evidence
    compared = {
        "average precision": evidence.average_precision,
        "money lost a day, minor units": evidence.money_lost_minor_per_day,
        "share declined": evidence.decline_rate,
        "share reviewed": evidence.review_rate,
    }
    rows = [
        [
            name, f"{c.champion:,.4f}", f"{c.challenger:,.4f}",
            f"{c.difference.low:+,.4f} … {c.difference.high:+,.4f}",
        ]
        for name, c in compared.items()
    ]  # fmt: skip
    title = (
        f"{evidence.transactions:,} payments of known outcome over {evidence.days:.1f} days, "
        f"{evidence.frauds:,} frauds; both act alike on {evidence.agreement:.2%}"
    )
    show_table(title, ("", "champion", "challenger", "difference (95 %)"), rows)
    for reason in finding.reasons:
        tell(f"not promoted: {reason.code}: {reason.text}")
