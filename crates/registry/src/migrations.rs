//! How the tables came to be, step by step. A step that was released is never changed; a new field is a new step.

use drover_database::Step;

/// All steps, oldest first.
pub const STEPS: &[Step] = &[
    Step {
        number: 1,
        name: "records",
        sqlite: include_str!("../migrations/001_records.sql"),
        postgres: include_str!("../migrations/001_records.sql"),
    },
    Step {
        number: 2,
        name: "outbox",
        sqlite: include_str!("../migrations/002_outbox.sqlite.sql"),
        postgres: include_str!("../migrations/002_outbox.postgres.sql"),
    },
    Step {
        number: 3,
        name: "delivery_events",
        sqlite: include_str!("../migrations/003_delivery_events.sqlite.sql"),
        postgres: include_str!("../migrations/003_delivery_events.postgres.sql"),
    },
    Step {
        number: 4,
        name: "erasure",
        sqlite: include_str!("../migrations/004_erasure.sqlite.sql"),
        postgres: include_str!("../migrations/004_erasure.postgres.sql"),
    },
    Step {
        number: 5,
        name: "idempotency_keys",
        sqlite: include_str!("../migrations/005_idempotency_keys.sql"),
        postgres: include_str!("../migrations/005_idempotency_keys.sql"),
    },
    Step {
        number: 6,
        name: "fleets",
        sqlite: include_str!("../migrations/006_fleets.sqlite.sql"),
        postgres: include_str!("../migrations/006_fleets.postgres.sql"),
    },
    Step {
        number: 7,
        name: "addresses",
        sqlite: include_str!("../migrations/007_addresses.sql"),
        postgres: include_str!("../migrations/007_addresses.sql"),
    },
];
