-- Every change, in the order of commits; a number is never used twice.

CREATE TABLE outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource TEXT NOT NULL,
    id TEXT NOT NULL,
    op TEXT NOT NULL,
    version BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    fleet_id TEXT,
    before_json TEXT,
    after_json TEXT
);

-- One row: changes up to here were read by everybody and are gone.
CREATE TABLE outbox_trimmed (
    seq BIGINT NOT NULL
);
INSERT INTO outbox_trimmed (seq) VALUES (0);
