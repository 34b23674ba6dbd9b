//! The tables of identities, step by step. A step that was released is never changed.

use drover_database::Step;

/// The name under which the steps are recorded.
pub(crate) const AREA: &str = "auth";

/// All steps, in order.
pub(crate) const STEPS: &[Step] = &[
    Step { number: 1, name: "identities", sqlite: IDENTITIES, postgres: IDENTITIES },
    Step { number: 2, name: "elsewhere", sqlite: ELSEWHERE, postgres: ELSEWHERE },
];

// Sessions of those whom another provider vouched for: no password of ours let them in.
const ELSEWHERE: &str = "ALTER TABLE sessions ADD COLUMN elsewhere BIGINT NOT NULL DEFAULT 0";

// Nothing is NULL: empty text and 0 mean none, on both databases alike.
const IDENTITIES: &str = "
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_blind TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    fleets TEXT NOT NULL,
    all_fleets BIGINT NOT NULL,
    driver_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    must_change_password BIGINT NOT NULL,
    totp_secret TEXT NOT NULL,
    totp_on BIGINT NOT NULL,
    totp_last_step BIGINT NOT NULL,
    recovery TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    cookie TEXT NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    cookie_ends_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE TABLE refresh_tokens (
    digest TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    ends_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    old_secret TEXT NOT NULL,
    old_until_ms BIGINT NOT NULL,
    scopes TEXT NOT NULL,
    fleets TEXT NOT NULL,
    all_fleets BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE device_tokens (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    device_id TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL
);
CREATE TABLE oidc_links (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL
);
CREATE INDEX oidc_links_user ON oidc_links (user_id);
CREATE TABLE auth_clock (
    one BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO auth_clock (one, seq) VALUES (1, 0);
CREATE TABLE auth_changes (
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    what TEXT NOT NULL,
    id TEXT NOT NULL
);
CREATE INDEX auth_changes_seq ON auth_changes (seq);
";
