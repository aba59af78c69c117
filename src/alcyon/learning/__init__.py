"""Learning: dataset, members, training, export, evaluation, thresholds, protocols."""
