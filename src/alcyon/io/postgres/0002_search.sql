-- Searching: whatever is asked for is found in the order of event time, the newest first.

-- Ids are compared by their bytes: equal, and by what they begin with. The view is made anew, for
-- columns that one shows cannot change.
DROP VIEW anomalies;
ALTER TABLE transactions
    ALTER COLUMN account_id TYPE text COLLATE "C",
    ALTER COLUMN customer_id TYPE text COLLATE "C",
    ALTER COLUMN merchant_id TYPE text COLLATE "C",
    ALTER COLUMN device_id TYPE text COLLATE "C",
    ALTER COLUMN counterparty_id TYPE text COLLATE "C",
    ALTER COLUMN country TYPE text COLLATE "C";
CREATE VIEW anomalies AS
SELECT
    d.sequence, d.transaction_id, d.event_time, to_timestamp(d.event_time / 1000.0) AS event_at,
    d.action, d.score, d.probability_ppm,
    t.amount_minor, t.currency, t.amount_base_minor, t.card_id, t.merchant_id, t.device_id,
    t.country, t.merchant_country, t.category, t.channel,
    a.reason, a.status, d.codes, d.rule_hits, d.reasons, v.versions ->> 'model' AS model
FROM decisions AS d
JOIN transactions AS t USING (sequence)
JOIN versions AS v USING (versions_id)
LEFT JOIN alerts AS a USING (sequence)
WHERE d.action <> 'APPROVE';

-- The reason codes, rules and shadow rules of the few decisions that have any.
CREATE TABLE decision_words (
    kind text COLLATE "C" NOT NULL,  -- reason, rule, shadow
    word text COLLATE "C" NOT NULL,
    event_time bigint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (kind, word, event_time, sequence)
) PARTITION BY RANGE (sequence);

DO $$
DECLARE
    number bigint;
BEGIN
    FOR number IN
        SELECT substring(c.relname FROM '[0-9]+$')::bigint
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'decisions'::regclass
    LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF decision_words FOR VALUES FROM (%s) TO (%s)',
            'decision_words_' || number, number * 10000000, (number + 1) * 10000000
        );
    END LOOP;
END $$;

INSERT INTO decision_words
SELECT 'rule', w, d.event_time, d.sequence
FROM decisions AS d, jsonb_array_elements_text(d.rule_hits) AS w
UNION
SELECT 'shadow', w, d.event_time, d.sequence
FROM decisions AS d, jsonb_array_elements_text(d.shadow_hits) AS w
UNION
SELECT 'reason', w, d.event_time, d.sequence
FROM decisions AS d, jsonb_array_elements_text(d.codes) AS w
UNION
SELECT 'reason', w ->> 'code', d.event_time, d.sequence
FROM decisions AS d, jsonb_array_elements(d.reasons) AS w
WHERE w ->> 'code' NOT IN ('base_rate', 'other_features')
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
ALTER TABLE alerts ADD COLUMN amount_base_minor bigint;
ALTER TABLE alerts ADD COLUMN expected_loss_base_minor bigint NOT NULL DEFAULT 0;
UPDATE alerts AS a SET
    amount_base_minor = t.amount_base_minor,
    expected_loss_base_minor = coalesce(
        div(t.amount_base_minor::numeric * coalesce(d.probability_ppm, 1000000), 1000000), 0
    )
FROM transactions AS t JOIN decisions AS d USING (sequence)
WHERE t.sequence = a.sequence;
DROP INDEX alerts_status;
CREATE INDEX alerts_status ON alerts (status, expected_loss_base_minor, sequence);
