-- The hourly counts added up by day of event time; move in the same commit as these.
CREATE TABLE daily_decisions (
    day_ms INTEGER NOT NULL,  -- the UTC day's beginning
    country TEXT NOT NULL,
    category TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    model TEXT NOT NULL,
    decision_count INTEGER NOT NULL,
    amount_base_minor_sum INTEGER NOT NULL,  -- beyond 63 bits: a float
    PRIMARY KEY (day_ms, country, category, action, reason, model)
) WITHOUT ROWID;

-- By halves: SQLite's own sum ends with an error beyond 63 bits.
INSERT INTO daily_decisions
SELECT
    hour_ms - hour_ms % 86400000,
    country,
    category,
    action,
    reason,
    model,
    sum(decision_count),
    sum(amount_base_minor_sum / 4294967296) * 4294967296 + sum(amount_base_minor_sum % 4294967296)
FROM hourly_decisions
GROUP BY 1, 2, 3, 4, 5, 6;
