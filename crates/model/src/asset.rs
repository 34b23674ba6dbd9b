//! What is tracked: an asset has a kind and an opaque id that is unique within its kind.

use crate::{Reject, RejectCode};
use std::fmt;

/// Longest id, in bytes.
pub const ID_MAX_BYTES: usize = 64;

/// The kinds of asset. The numbers are written to disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A person who drives, rides or walks for the fleet.
    Driver = 1,
    /// A car, van, bus, truck, scooter, bicycle.
    Vehicle = 2,
    /// A place with equipment, such as a battery-swap station. Does not move.
    Station = 3,
    /// A customer or passenger who shares a position.
    Rider = 4,
    /// Anything else: a trailer, a container, a tool.
    Other = 5,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Kind; 5] = [Kind::Driver, Kind::Vehicle, Kind::Station, Kind::Rider, Kind::Other];

    /// The word used in JSON and in addresses (`driver/12`).
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Driver => "driver",
            Kind::Vehicle => "vehicle",
            Kind::Station => "station",
            Kind::Rider => "rider",
            Kind::Other => "other",
        }
    }

    /// The word used in paths (`/api/v1/drivers/…`).
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::Driver => "drivers",
            Kind::Vehicle => "vehicles",
            Kind::Station => "stations",
            Kind::Rider => "riders",
            Kind::Other => "others",
        }
    }

    /// Reads the singular or the plural word, in any case.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.name()) || word.eq_ignore_ascii_case(kind.plural()))
    }

    /// Reads the number written to disk.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One asset by name, as in `driver/12`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetRef {
    /// The kind.
    pub kind: Kind,
    /// The id within the kind.
    pub id: Box<str>,
}

impl AssetRef {
    /// Reads `kind/id`. On error the reject says which half is wrong.
    pub fn parse(text: &str) -> Result<AssetRef, Reject> {
        let (kind, id) = text.split_once('/').ok_or_else(|| {
            Reject::new(
                RejectCode::WrongType,
                "asset",
                format!("`{text}` is not of the form kind/id, such as driver/12"),
            )
        })?;
        let kind = Kind::parse(kind).ok_or_else(|| Reject::unknown_kind(kind))?;
        check_id(id)?;
        Ok(AssetRef { kind, id: id.into() })
    }
}

impl fmt::Display for AssetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// Checks an id: 1 to 64 bytes of ASCII letters, digits and `. _ : @ + -`. The alphabet is small so
/// that an id can stand in a path, a topic, a file name and a key without quoting.
pub fn check_id(id: &str) -> Result<(), Reject> {
    if id.is_empty() {
        return Err(Reject::new(RejectCode::MissingField, "id", "id is empty; give 1 to 64 characters".into()));
    }
    if id.len() > ID_MAX_BYTES {
        return Err(Reject::new(
            RejectCode::TooLong,
            "id",
            format!("id has {} bytes; at most {ID_MAX_BYTES} are allowed", id.len()),
        ));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'@' | b'+' | b'-');
    if id.bytes().all(allowed) {
        return Ok(());
    }
    let bad = id.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)).unwrap_or('?');
    Err(Reject::new(
        RejectCode::OutOfRange,
        "id",
        format!("id contains {bad:?}; letters, digits and . _ : @ + - are allowed"),
    )
    .with_value(id))
}
