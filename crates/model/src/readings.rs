//! Named extra values of a report (temperature, battery_available, door_open …), kept in the very
//! bytes in which they are written down, so that neither reading nor writing copies them.

use crate::{Reject, RejectCode};
use std::borrow::Cow;

/// Most bytes that the readings of one report may take, written down.
pub const READINGS_MAX_BYTES: usize = 4096;

/// The reading under which the way from an asset's depot is told, metres along the great circle. A device that sends
/// a reading of this name has the last word.
pub const DISTANCE_FROM_DEPOT: &str = "distance_from_depot_m";

const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const TRUE: u8 = 3;
const FALSE: u8 = 4;

/// One extra value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<'a> {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// Yes or no.
    Bool(bool),
}

/// The extra values of one report, in the order in which they came:
/// (name length u8, name, type u8, value)*, with f64 little-endian or (length u16, UTF-8).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings<'a> {
    bytes: Cow<'a, [u8]>,
    /// What Drover adds, metres.
    distance_from_depot: Option<f32>,
}

impl<'a> Readings<'a> {
    /// Takes bytes that [`Readings::bytes`] gave.
    pub fn from_bytes(bytes: &'a [u8]) -> Readings<'a> {
        Readings { bytes: Cow::Borrowed(bytes), distance_from_depot: None }
    }

    pub(crate) fn set_bytes(&mut self, bytes: &'a [u8]) {
        self.bytes = Cow::Borrowed(bytes);
    }

    pub(crate) fn set_distance_from_depot(&mut self, metres: f32) {
        self.distance_from_depot = Some(metres);
    }

    /// The bytes to write down, without what was derived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes every value away and keeps the room for others.
    pub fn clear(&mut self) {
        match &mut self.bytes {
            Cow::Owned(bytes) => bytes.clear(),
            Cow::Borrowed(bytes) => *bytes = &[],
        }
        self.distance_from_depot = None;
    }

    /// True without any reading.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.distance_from_depot.is_none()
    }

    /// Adds one value; a value that has the name already is replaced. On error nothing was changed.
    pub fn push(&mut self, name: &str, value: Reading<'_>) -> Result<(), Reject> {
        let value_bytes = match value {
            Reading::Number(number) if !number.is_finite() => {
                return Err(Reject::new(
                    RejectCode::OutOfRange,
                    "readings",
                    format!("reading {name} is {number}; finite numbers are allowed"),
                ));
            }
            Reading::Number(_) => 8,
            Reading::Text(text) => 2 + text.len(),
            Reading::Bool(_) => 0,
        };
        if name.is_empty() || name.len() > 64 {
            return Err(Reject::new(
                RejectCode::TooLong,
                "readings",
                format!("a reading's name has {} bytes; allowed is 1 to 64", name.len()),
            ));
        }
        if self.bytes.len() + 2 + name.len() + value_bytes > READINGS_MAX_BYTES {
            return Err(Reject::new(
                RejectCode::TooLong,
                "readings",
                format!("readings take more than {READINGS_MAX_BYTES} bytes"),
            ));
        }
        self.remove(name);
        let out = self.bytes.to_mut();
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        match value {
            Reading::Number(number) => {
                out.push(NUMBER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Reading::Text(text) => {
                out.push(TEXT);
                out.extend_from_slice(&(text.len() as u16).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Reading::Bool(yes) => out.push(if yes { TRUE } else { FALSE }),
        }
        Ok(())
    }

    /// Names are few and hardly ever come twice: a walk is cheaper than a table.
    fn remove(&mut self, name: &str) {
        let mut rest: &[u8] = &self.bytes;
        loop {
            let start = self.bytes.len() - rest.len();
            match next_reading(&mut rest) {
                Some((found, _)) if found == name => {
                    let end = self.bytes.len() - rest.len();
                    self.bytes.to_mut().drain(start..end);
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The values in order, what was derived last. Bytes that make no sense end the walk.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Reading<'_>)> {
        let derived = self.distance_from_depot.map(|metres| (DISTANCE_FROM_DEPOT, Reading::Number(metres.into())));
        self.sent().chain(derived)
    }

    /// The values that the device sent, in order.
    pub fn sent(&self) -> impl Iterator<Item = (&str, Reading<'_>)> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || next_reading(&mut rest))
    }
}

fn next_reading<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Reading<'a>)> {
    let (name_len, tail) = rest.split_first()?;
    let (name, tail) = tail.split_at_checked(*name_len as usize)?;
    let (tag, tail) = tail.split_first()?;
    let (value, tail) = match *tag {
        NUMBER => {
            let (bytes, tail) = tail.split_first_chunk::<8>()?;
            (Reading::Number(f64::from_le_bytes(*bytes)), tail)
        }
        TEXT => {
            let (len, tail) = tail.split_first_chunk::<2>()?;
            let (text, tail) = tail.split_at_checked(u16::from_le_bytes(*len) as usize)?;
            (Reading::Text(std::str::from_utf8(text).ok()?), tail)
        }
        TRUE => (Reading::Bool(true), tail),
        FALSE => (Reading::Bool(false), tail),
        _ => return None,
    };
    *rest = tail;
    Some((std::str::from_utf8(name).ok()?, value))
}
