//! What an asset says of itself. One set of words; each kind uses some of them, and the words of the
//! source documents and of common trackers map onto them.

use crate::{Kind, Reject, RejectCode};

/// A reported status. The numbers are written to disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Moving or at work.
    Active = 1,
    /// Standing, ready.
    Idle = 2,
    /// Signed off (said by the device itself; silence is freshness, not status).
    Offline = 3,
    /// A station that works.
    Operational = 4,
    /// A station that works in part.
    Degraded = 5,
    /// Out of service for repair.
    Maintenance = 6,
}

/// Words of other systems and the status they mean.
const ALIASES: [(&str, Status); 12] = [
    ("moving", Status::Active),
    ("driving", Status::Active),
    ("in_transit", Status::Active),
    ("busy", Status::Active),
    ("online", Status::Active),
    ("available", Status::Idle),
    ("stopped", Status::Idle),
    ("parked", Status::Idle),
    ("stationary", Status::Idle),
    ("inactive", Status::Offline),
    ("ok", Status::Operational),
    ("out_of_service", Status::Maintenance),
];

impl Status {
    const ALL: [Status; 6] =
        [Status::Active, Status::Idle, Status::Offline, Status::Operational, Status::Degraded, Status::Maintenance];

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Idle => "idle",
            Status::Offline => "offline",
            Status::Operational => "operational",
            Status::Degraded => "degraded",
            Status::Maintenance => "maintenance",
        }
    }

    /// Reads the number written to disk.
    pub fn from_number(number: u8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as u8 == number)
    }

    /// Reads a word without regard to the kind, for filters.
    pub fn parse_any(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| word.eq_ignore_ascii_case(status.name()))
    }

    /// Reads a word that an asset of `kind` sent.
    pub fn parse(kind: Kind, word: &str) -> Result<Status, Reject> {
        let allowed = Status::allowed(kind);
        let alias = || ALIASES.iter().find(|(alias, _)| word.eq_ignore_ascii_case(alias)).map(|(_, status)| *status);
        Status::parse_any(word)
            .or_else(alias)
            .filter(|status| allowed.contains(status))
            .ok_or_else(|| unknown(kind, word, allowed))
    }

    fn allowed(kind: Kind) -> &'static [Status] {
        match kind {
            Kind::Station => &[Status::Operational, Status::Degraded, Status::Maintenance, Status::Offline],
            Kind::Vehicle | Kind::Other => &[Status::Active, Status::Idle, Status::Offline, Status::Maintenance],
            Kind::Driver | Kind::Rider => &[Status::Active, Status::Idle, Status::Offline],
        }
    }
}

fn unknown(kind: Kind, word: &str, allowed: &[Status]) -> Reject {
    let word: String = word.chars().take(40).collect();
    let allowed: Vec<_> = allowed.iter().map(|status| status.name()).collect();
    Reject::new(
        RejectCode::UnknownValue,
        "status",
        format!("status is {word:?}; allowed for a {kind} are {}", allowed.join(", ")),
    )
    .with_value(word)
}
