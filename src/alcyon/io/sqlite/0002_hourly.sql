-- Decisions counted by hour of event time and what is asked of them; moves in the same commit.
CREATE TABLE hourly_decisions (
    hour_ms INTEGER NOT NULL,  -- the hour's beginning
    country TEXT NOT NULL,  -- '' where the transaction has none
    category TEXT NOT NULL,  -- '' where there is none
    action TEXT NOT NULL,
    reason TEXT NOT NULL,  -- the one shown in lists
    model TEXT NOT NULL,  -- its version
    decision_count INTEGER NOT NULL,
    amount_base_minor_sum INTEGER NOT NULL,  -- beyond 63 bits: a float
    PRIMARY KEY (hour_ms, country, category, action, reason, model)
) WITHOUT ROWID;

INSERT INTO hourly_decisions
SELECT
    d.event_time - d.event_time % 3600000,
    coalesce(t.country, ''),
    coalesce(t.category, ''),
    d.action,
    coalesce(a.reason, json_extract(d.codes, '$[0]'), 'score'),
    json_extract(d.versions, '$.model'),
    count(*),
    coalesce(sum(t.amount_base_minor), 0)
FROM decisions AS d
JOIN transactions AS t USING (sequence)
LEFT JOIN alerts AS a USING (sequence)
GROUP BY 1, 2, 3, 4, 5, 6;

-- A decision is found through its transaction, which has the same sequence.
DROP INDEX decisions_transaction_id;
-- A card's newest are the last to arrive: the rowid, which is the sequence, is in the index.
DROP INDEX transactions_card_id;
CREATE INDEX transactions_card_id ON transactions (card_id) WHERE card_id IS NOT NULL;
