"""Alcyon decides, for every payment, approve, review or decline while the payment waits."""
