"""Promotion: whether a challenger may become the champion by itself, and why not.

A pure function of the evidence and of what a person has approved beforehand. It never promotes
without an approval that is in force; a person promotes with `alcyon models promote`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from alcyon.learning.evidence import Evidence

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
NO_APPROVAL = "no_approval"
_TOO_LITTLE = frozenset({"few_frauds", "few_days"})
_NOT_GOOD = frozenset({"ranks_worse", "not_better", "unfaithful", "slow"})


class StandingApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody allows until when; times are UTC ms."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    given_at: int
    expires_at: int
    decline_rate_change_max: Rate
    """How far the share of payments declined may move, up or down: the far end of the interval."""
    review_rate_change_max: Rate
    money_lost_minor_per_day_max: Annotated[float, msgspec.Meta(ge=0)]
    """How much more a day it may cost at worst: the upper end of the interval."""

    def __post_init__(self) -> None:
        if self.expires_at <= self.given_at:
            raise ValueError("expires_at must be after given_at")


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What evidence must at least be, whoever approves."""

    frauds_min: int = 50
    days_min: float = 2.0
    average_precision_loss_max: float = 0.005
    """How much worse the ranking may be at worst: the lower end of the interval."""
    parity_max: float = 1e-4
    """Largest difference of the log-odds, file against native, on recorded rows."""
    latency_us_max: float = 100.0
    """For one payment alone, on one core."""


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of the challenger's file."""

    parity: float
    latency_us: float


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why not."""

    code: str
    text: str


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it came to and everything it came of, to be recorded."""

    promote: bool
    reasons: tuple[Reason, ...]
    """All that speaks against it; empty iff `promote`."""
    evidence: Evidence
    checks: Checks
    gate: Gate
    approval: StandingApproval | None
    at: int
    """UTC ms."""

    @property
    def is_rejected(self) -> bool:
        """Whether there was enough evidence and it is not good enough, whoever may approve."""
        codes = {reason.code for reason in self.reasons}
        return not codes & _TOO_LITTLE and bool(codes & _NOT_GOOD)


def find(
    evidence: Evidence,
    checks: Checks,
    approval: StandingApproval | None,
    at: int,
    gate: Gate | None = None,
) -> Finding:
    """Promote iff nothing speaks against it."""
    gate = gate or Gate()
    reasons = (
        *_too_little(evidence, gate),
        *_not_better(evidence, gate),
        *_unfit(checks, gate),
        *_not_approved(evidence, approval, at),
    )
    return Finding(not reasons, reasons, evidence, checks, gate, approval, at)


def _too_little(evidence: Evidence, gate: Gate) -> list[Reason]:
    found = []
    if evidence.frauds < gate.frauds_min:
        found.append(
            Reason("few_frauds", f"{evidence.frauds} known frauds of {gate.frauds_min} needed")
        )
    if evidence.days < gate.days_min:
        found.append(Reason("few_days", f"{evidence.days:.1f} days of {gate.days_min:g} needed"))
    return found


def _not_better(evidence: Evidence, gate: Gate) -> list[Reason]:
    rank, money = (
        evidence.average_precision.difference, evidence.money_lost_minor_per_day.difference,
    )  # fmt: skip
    found = []
    if not rank.low >= -gate.average_precision_loss_max:
        found.append(
            Reason("ranks_worse", f"average precision may be {-rank.low:.4f} lower than now")
        )
    if not (rank.low > 0 or money.high < 0):
        found.append(
            Reason(
                "not_better",
                f"it is not certain that it ranks better ({rank.low:+.4f} … {rank.high:+.4f}) or "
                f"loses less ({money.low:+,.0f} … {money.high:+,.0f} minor units a day)",
            )
        )
    return found


def _unfit(checks: Checks, gate: Gate) -> list[Reason]:
    found = []
    if not checks.parity <= gate.parity_max:
        found.append(Reason("unfaithful", f"the file differs by {checks.parity:.2g}"))
    if not checks.latency_us <= gate.latency_us_max:
        found.append(
            Reason("slow", f"{checks.latency_us:.0f} µs a payment, {gate.latency_us_max:g} allowed")
        )
    return found


def _not_approved(evidence: Evidence, approval: StandingApproval | None, at: int) -> list[Reason]:
    if approval is None:
        return [Reason(NO_APPROVAL, "there is no standing approval; see alcyon models promote")]
    found = []
    if not approval.given_at <= at < approval.expires_at:
        found.append(Reason("approval_not_in_force", f"that of {approval.by} is not in force now"))
    for code, compared, bound in (
        ("declines_change", evidence.decline_rate, approval.decline_rate_change_max),
        ("reviews_change", evidence.review_rate, approval.review_rate_change_max),
    ):
        most = max(-compared.difference.low, compared.difference.high)
        if not most <= bound:
            found.append(Reason(code, f"by up to {most:.4f}, {approval.by} approved {bound:g}"))
    risk, allowed = (
        evidence.money_lost_minor_per_day.difference.high, approval.money_lost_minor_per_day_max,
    )  # fmt: skip
    if not risk <= allowed:
        found.append(
            Reason("costs_more", f"up to {risk:,.0f} a day, {approval.by} approved {allowed:,.0f}")
        )
    return found
