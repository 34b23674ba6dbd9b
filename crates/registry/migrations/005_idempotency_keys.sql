-- Requests that made a record and may come again, by the word that their caller gave them. Nothing of the record is
-- repeated here: what is about a person is in one place, and leaves from there.

CREATE TABLE idempotency_keys (
    subject TEXT NOT NULL,
    resource TEXT NOT NULL,
    word TEXT NOT NULL,
    number BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    record_id TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (subject, resource, word),
    UNIQUE (subject, number)
);
CREATE INDEX idempotency_keys_made_at ON idempotency_keys (made_at);
