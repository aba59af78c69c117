"""Words: the values that labels may have. All of them are known, so that series stay few."""

from __future__ import annotations

TOPICS = ("transactions", "labels", "control")
ACTIONS = ("APPROVE", "STEP_UP", "REVIEW", "DECLINE")
PARTS = ("poll", "decode", "decide", "commit", "snapshot")
"""The parts of a worker's step."""
VERSIONS = ("engine", "catalog", "rules", "lists", "policy", "model", "rates", "challenger")
STORES = ("sqlite", "postgres", "redis", "office")
APPLIED, REFUSED = "applied", "refused"
ACCEPTED = "accepted"
WRITTEN, FAILED = "written", "failed"
PROMOTE, KEEP = "promote", "keep"
LESSONS = ("retrained", "online")
"""How a challenger was made."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
STATUSES = ("2xx", "3xx", "4xx", "5xx")
UNMATCHED = "unmatched"
"""The route of what nothing is served for, and of what was turned away before it was looked at."""
TOLD, UNGROUNDED, TIMEOUT = "told", "ungrounded", "timeout"
PROSE = (TOLD, UNGROUNDED, TIMEOUT, FAILED)
"""What came of asking a language model."""
CHANNELS = ("slack", "webhook", "mail", "labels", "resolutions", "statuses")
DELIVERED, RETRIED, GIVEN_UP = "delivered", "retried", "given_up"
OTHER = "other"
"""Whatever is not known beforehand: labels stay few, the log line has the name."""
REASONS = (
    "amount_out_of_range", "conflicting_duplicate", "control_character", "control_refused",
    "empty_id", "event_time_out_of_range", "id_too_long", "invalid_avro", "invalid_control",
    "invalid_json", "labelled_at_out_of_range", "latitude_out_of_range", "longitude_out_of_range",
    "merchant_latitude_out_of_range", "merchant_longitude_out_of_range", "missing_field",
    "negative_amount", "no_holder", "no_rate", "payload_too_large", "schema_mismatch",
    "text_too_long", "unknown_currency", "unknown_schema", "unknown_source",
    "utc_offset_minutes_out_of_range", "wrong_type", OTHER,
)  # fmt: skip
"""Why a record became a dead letter; a detector's own columns have reasons of their own."""
KINDS = (
    "fenced", "unreachable", "log", "state", "snapshot", "model", "conflict", "settings", "catalog",
    "input", "store", "access", "slow", OTHER,
)  # fmt: skip
"""What a process ended by, or what could not be done."""
