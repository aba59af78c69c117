-- The projection's tables. All of it can be filled anew from the logs.
--
-- `sequence` is a record's place in the order. Times are UTC milliseconds, as in the logs and in
-- every window: no time zone or rounding of a session can change what is compared or read back.
-- Amounts are minor units.
--
-- Tables are partitioned by sequence; partitions are made ahead by whoever writes. A partition is
-- what retention drops. Postgres has no unique index across partitions other than on sequence, and
-- looking an id up in each of them would cost more with every partition, so the first decision on
-- a transaction_id is kept, and found, through `transaction_ids`.

CREATE TABLE projection_position (
    id integer PRIMARY KEY CHECK (id = 1),
    next_index bigint NOT NULL  -- of the decisions log; its row is the lock of the one that writes
);
INSERT INTO projection_position VALUES (1, 0);

CREATE TABLE transaction_ids (
    transaction_id text COLLATE "C" PRIMARY KEY,
    sequence bigint NOT NULL
);

CREATE TABLE transactions (
    sequence bigint PRIMARY KEY,
    position bigint NOT NULL,  -- in the intake
    transaction_id text NOT NULL,
    event_time bigint NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    card_id text COLLATE "C",
    account_id text,
    customer_id text,
    merchant_id text,
    device_id text,
    counterparty_id text,
    email_hash text,
    ip text,
    country text,
    merchant_country text,
    category text,
    channel text,
    transaction_type text,
    card_bin text,
    card_last4 text,
    amount_base_minor bigint,
    latitude double precision,
    longitude double precision,
    merchant_latitude double precision,
    merchant_longitude double precision,
    utc_offset_minutes integer
) PARTITION BY RANGE (sequence);
CREATE INDEX transactions_card_id ON transactions (card_id, sequence) WHERE card_id IS NOT NULL;

CREATE TABLE versions (
    versions_id integer PRIMARY KEY,
    versions jsonb NOT NULL UNIQUE  -- engine, catalog, rules, lists, policy, model, rates, challenger
);

CREATE TABLE decisions (
    sequence bigint PRIMARY KEY,
    transaction_id text NOT NULL,
    event_time bigint NOT NULL,
    action text NOT NULL,
    score integer,
    probability_ppm integer,
    members jsonb NOT NULL,
    codes jsonb NOT NULL,
    rule_hits jsonb NOT NULL,
    shadow_hits jsonb NOT NULL,
    reasons jsonb NOT NULL,
    features bytea NOT NULL,  -- little-endian float32 in catalog order, NaN is null
    versions_id integer NOT NULL,
    challenger jsonb NOT NULL,  -- score, probability_ppm; or null
    propensity_ppm integer NOT NULL
) PARTITION BY RANGE (sequence);
CREATE INDEX decisions_event_time ON decisions (event_time);
CREATE INDEX decisions_not_approved ON decisions (event_time) WHERE action <> 'APPROVE';

CREATE TABLE labels (
    sequence bigint PRIMARY KEY,
    label_id text NOT NULL,
    transaction_id text NOT NULL,
    is_fraud boolean NOT NULL,
    fraud_type text,
    loss_minor bigint,
    source text NOT NULL,
    author text,
    labelled_at bigint NOT NULL
) PARTITION BY RANGE (sequence);
CREATE INDEX labels_transaction_id ON labels (transaction_id);

CREATE TABLE alerts (
    sequence bigint PRIMARY KEY,
    transaction_id text NOT NULL,
    event_time bigint NOT NULL,
    action text NOT NULL,
    score integer,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'open'  -- moved on by analysts; a projection never touches it again
) PARTITION BY RANGE (sequence);
CREATE INDEX alerts_status ON alerts (status, sequence);
CREATE INDEX alerts_transaction_id ON alerts (transaction_id);

CREATE TABLE dead_letters (
    sequence bigint PRIMARY KEY,
    topic text NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    payload bytea NOT NULL
) PARTITION BY RANGE (sequence);

-- Decisions counted by hour of event time and what is asked of them; moves in the same commit.
CREATE TABLE hourly_decisions (
    hour_ms bigint NOT NULL,  -- the hour's beginning
    country text COLLATE "C" NOT NULL,  -- '' where the transaction has none
    category text COLLATE "C" NOT NULL,  -- '' where there is none
    action text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,  -- the one shown in lists
    model text COLLATE "C" NOT NULL,  -- its version
    decision_count bigint NOT NULL,
    amount_base_minor_sum numeric NOT NULL,
    PRIMARY KEY (hour_ms, country, category, action, reason, model)
) WITH (fillfactor = 70);

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
