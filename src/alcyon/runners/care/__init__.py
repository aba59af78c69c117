"""Care: ready or not, backed up, erased, verified."""
