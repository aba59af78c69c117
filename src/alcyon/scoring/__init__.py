"""Scoring: rules, model, attribution, reasons, policy. Pure: columns in, columns out."""
