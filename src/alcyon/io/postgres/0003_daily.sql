-- The hourly counts added up by day of event time; move in the same commit as these.
CREATE TABLE daily_decisions (
    day_ms bigint NOT NULL,  -- the UTC day's beginning
    country text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    decision_count bigint NOT NULL,
    amount_base_minor_sum numeric NOT NULL,
    PRIMARY KEY (day_ms, country, category, action, reason, model)
) WITH (fillfactor = 70);

-- The lock of the one that writes: nothing is added to the hours meanwhile.
SELECT next_index FROM projection_position FOR UPDATE;

INSERT INTO daily_decisions
SELECT
    hour_ms - hour_ms % 86400000,
    country,
    category,
    action,
    reason,
    model,
    sum(decision_count),
    sum(amount_base_minor_sum)
FROM hourly_decisions
GROUP BY 1, 2, 3, 4, 5, 6;
