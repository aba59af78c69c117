-- The projection's tables. `sequence` is a record's place in the order; times are UTC milliseconds,
-- amounts minor units. Lists and maps are JSON. All of it can be filled anew from the logs.

CREATE TABLE projection_position (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_index INTEGER NOT NULL  -- of the decisions log; moves in the same commit as the rows
);
INSERT INTO projection_position VALUES (1, 0);

CREATE TABLE transactions (
    sequence INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,  -- in the intake
    transaction_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    card_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    merchant_id TEXT,
    device_id TEXT,
    counterparty_id TEXT,
    email_hash TEXT,
    ip TEXT,
    country TEXT,
    merchant_country TEXT,
    category TEXT,
    channel TEXT,
    transaction_type TEXT,
    card_bin TEXT,
    card_last4 TEXT,
    amount_base_minor INTEGER,
    latitude REAL,
    longitude REAL,
    merchant_latitude REAL,
    merchant_longitude REAL,
    utc_offset_minutes INTEGER
);
CREATE UNIQUE INDEX transactions_transaction_id ON transactions (transaction_id);
CREATE INDEX transactions_card_id ON transactions (card_id, event_time) WHERE card_id IS NOT NULL;
CREATE INDEX transactions_event_time ON transactions (event_time);

CREATE TABLE decisions (
    sequence INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    action TEXT NOT NULL,
    score INTEGER,
    probability_ppm INTEGER,
    members TEXT NOT NULL,
    codes TEXT NOT NULL,
    rule_hits TEXT NOT NULL,
    shadow_hits TEXT NOT NULL,
    reasons TEXT NOT NULL,
    features BLOB NOT NULL,  -- little-endian float32 in catalog order, NaN is null
    versions TEXT NOT NULL,
    challenger TEXT NOT NULL,
    propensity_ppm INTEGER NOT NULL
);
CREATE UNIQUE INDEX decisions_transaction_id ON decisions (transaction_id);
CREATE INDEX decisions_not_approved ON decisions (event_time) WHERE action <> 'APPROVE';

CREATE TABLE labels (
    sequence INTEGER PRIMARY KEY,
    label_id TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    is_fraud INTEGER NOT NULL,
    fraud_type TEXT,
    loss_minor INTEGER,
    source TEXT NOT NULL,
    author TEXT,
    labelled_at INTEGER NOT NULL
);
CREATE INDEX labels_transaction_id ON labels (transaction_id);

CREATE TABLE alerts (
    sequence INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    action TEXT NOT NULL,
    score INTEGER,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'open'  -- moved on by analysts; a projection never touches it again
);
CREATE INDEX alerts_status ON alerts (status, sequence);
CREATE INDEX alerts_transaction_id ON alerts (transaction_id);

CREATE TABLE dead_letters (
    sequence INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    payload BLOB NOT NULL
);

CREATE VIEW anomalies AS
SELECT
    d.sequence, d.transaction_id, d.event_time, d.action, d.score, d.probability_ppm,
    t.amount_minor, t.currency, t.card_id, t.merchant_id, t.country, t.channel,
    a.reason, a.status, d.codes, d.rule_hits, d.reasons
FROM decisions AS d
JOIN transactions AS t USING (sequence)
LEFT JOIN alerts AS a USING (sequence)
WHERE d.action <> 'APPROVE';
