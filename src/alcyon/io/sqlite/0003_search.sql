-- Searching: whatever is asked for is found in the order of event time, the newest first.

-- The reason codes, rules and shadow rules of the few decisions that have any.
CREATE TABLE decision_words (
    kind TEXT NOT NULL,  -- reason, rule, shadow
    word TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (kind, word, event_time, sequence)
) WITHOUT ROWID;

INSERT INTO decision_words
SELECT 'rule', w.value, d.event_time, d.sequence
FROM decisions AS d, json_each(d.rule_hits) AS w WHERE d.rule_hits <> '[]'
UNION
SELECT 'shadow', w.value, d.event_time, d.sequence
FROM decisions AS d, json_each(d.shadow_hits) AS w WHERE d.shadow_hits <> '[]'
UNION
SELECT 'reason', w.value, d.event_time, d.sequence
FROM decisions AS d, json_each(d.codes) AS w WHERE d.codes <> '[]'
UNION
SELECT 'reason', json_extract(w.value, '$.code'), d.event_time, d.sequence
FROM decisions AS d, json_each(d.reasons) AS w
WHERE d.reasons <> '[]' AND json_extract(w.value, '$.code') NOT IN ('base_rate', 'other_features')
UNION
SELECT 'reason', a.reason, a.event_time, a.sequence FROM alerts AS a;

DROP INDEX transactions_card_id;
CREATE INDEX transactions_card_id ON transactions (card_id, event_time) WHERE card_id IS NOT NULL;
CREATE INDEX transactions_account_id ON transactions (account_id, event_time)
    WHERE account_id IS NOT NULL;
CREATE INDEX transactions_customer_id ON transactions (customer_id, event_time)
    WHERE customer_id IS NOT NULL;
CREATE INDEX transactions_merchant_id ON transactions (merchant_id, event_time)
    WHERE merchant_id IS NOT NULL;
CREATE INDEX transactions_device_id ON transactions (device_id, event_time)
    WHERE device_id IS NOT NULL;
CREATE INDEX transactions_counterparty_id ON transactions (counterparty_id, event_time)
    WHERE counterparty_id IS NOT NULL;

-- Both hold few of the rows, and what is asked of them is in the index.
DROP INDEX decisions_not_approved;
CREATE INDEX decisions_not_approved ON decisions (event_time, action, score)
    WHERE action <> 'APPROVE';
CREATE INDEX decisions_high_score ON decisions (event_time, score) WHERE score >= 500;

-- The queue's order, see `expected_losses`.
ALTER TABLE alerts ADD COLUMN amount_base_minor INTEGER;
ALTER TABLE alerts ADD COLUMN expected_loss_base_minor INTEGER NOT NULL DEFAULT 0;
UPDATE alerts SET (amount_base_minor, expected_loss_base_minor) = (
    SELECT
        t.amount_base_minor,
        coalesce(
            t.amount_base_minor / 1000000 * coalesce(d.probability_ppm, 1000000)
            + t.amount_base_minor % 1000000 * coalesce(d.probability_ppm, 1000000) / 1000000,
            0
        )
    FROM transactions AS t JOIN decisions AS d USING (sequence)
    WHERE t.sequence = alerts.sequence
);
DROP INDEX alerts_status;
CREATE INDEX alerts_status ON alerts (status, expected_loss_base_minor, sequence);
