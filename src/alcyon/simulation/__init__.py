"""Populations and attacks: labelled card traffic with known truth. Pure and seeded.

A transaction is made in this order: `population` (who), `clockwork` (when), `purchases` and
`attacks` (what), `traffic` (in order), `rendering` (as columns); `labels` says who finds out.
"""

from alcyon.simulation.attacks import ATTACKS
from alcyon.simulation.labels import Reporting, labels_of
from alcyon.simulation.population import Population
from alcyon.simulation.scenario import AttackMix, Scenario
from alcyon.simulation.traffic import Slice, simulate

__all__ = [
    "ATTACKS",
    "AttackMix",
    "Population",
    "Reporting",
    "Scenario",
    "Slice",
    "labels_of",
    "simulate",
]
