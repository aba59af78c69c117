"""Features: written once, equal in the stream, in training, in replay and in SQL."""

from alcyon.features.aggregation import (
    Count,
    Distinct,
    Elapsed,
    Entity,
    Expression,
    Max,
    Mean,
    Min,
    Previous,
    Std,
    Sum,
)
from alcyon.features.catalog import Catalog

__all__ = [
    "Catalog",
    "Count",
    "Distinct",
    "Elapsed",
    "Entity",
    "Expression",
    "Max",
    "Mean",
    "Min",
    "Previous",
    "Std",
    "Sum",
]
