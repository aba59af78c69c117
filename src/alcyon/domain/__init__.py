"""The words: transaction, label, decision, errors. Schemas are columns; frozen; no I/O."""
