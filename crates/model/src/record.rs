//! How a report is written down, version 1:
//!
//! ```text
//! version u8 | flags u16 | receive_time i64 | kind u8 | event_time i64 | id_len u8 | id | field*
//! field = tag u8 (number << 3 | width), then 1, 4, 8 bytes or (length u16, bytes) by width
//! ```
//!
//! Little-endian. A reader skips fields it does not know, and a field that is absent reads as none,
//! so fields may be added without a new version. What a resend changes (flags, receive time) stands
//! in front, and what Drover derived stands at the end, where flags tell how much it is: one hash over
//! the rest tells a duplicate from a conflict.

use crate::{Flags, Kind, Position, Readings, Report, Status};
use std::borrow::Cow;

/// The version that this build writes. It reads this one and no later one.
pub const RECORD_VERSION: u8 = 1;

const FLAGS_AT: usize = 1;
const RECEIVE_TIME_AT: usize = 3;
const KIND_AT: usize = 11;
const EVENT_TIME_AT: usize = 12;
const ID_LEN_AT: usize = 20;
const ID_AT: usize = 21;

const WIDTH_1: u8 = 0;
const WIDTH_4: u8 = 1;
const WIDTH_8: u8 = 2;
const WIDTH_BYTES: u8 = 3;

const POSITION: u8 = 1 << 3 | WIDTH_8;
const ACCURACY: u8 = 2 << 3 | WIDTH_4;
const SPEED: u8 = 3 << 3 | WIDTH_4;
const HEADING: u8 = 4 << 3 | WIDTH_4;
const BATTERY: u8 = 5 << 3 | WIDTH_4;
const STATUS: u8 = 6 << 3 | WIDTH_1;
const ORDER_ID: u8 = 7 << 3 | WIDTH_BYTES;
const CITY: u8 = 8 << 3 | WIDTH_BYTES;
const READINGS: u8 = 9 << 3 | WIDTH_BYTES;
const DEPOT_DISTANCE: u8 = 10 << 3 | WIDTH_4;

/// Flags of the fields at the end that no device sent; each field takes [`DERIVED_BYTES`].
const DERIVED: u16 = Flags::DERIVED_SPEED | Flags::DERIVED_HEADING | Flags::DEPOT;
const DERIVED_BYTES: usize = 5;

/// Why bytes are not a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a later version of Drover.
    #[error("record version {0} is newer than this build reads (1)")]
    Version(u8),
    /// The bytes end too early or make no sense.
    #[error("record is damaged")]
    Damaged,
}

impl<'a> Report<'a> {
    /// Appends the record of this report.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(RECORD_VERSION);
        out.extend_from_slice(&self.flags.0.to_le_bytes());
        out.extend_from_slice(&self.receive_time.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.event_time.to_le_bytes());
        out.push(self.id.len() as u8);
        out.extend_from_slice(self.id.as_bytes());
        if let Some(position) = self.position {
            out.push(POSITION);
            out.extend_from_slice(&position.lat_e7.to_le_bytes());
            out.extend_from_slice(&position.lon_e7.to_le_bytes());
        }
        put_f32(out, ACCURACY, self.accuracy_m);
        put_f32(out, SPEED, self.speed_kmh);
        put_f32(out, HEADING, self.heading_deg);
        put_f32(out, BATTERY, self.battery_pct);
        if let Some(status) = self.status {
            out.extend_from_slice(&[STATUS, status as u8]);
        }
        put_bytes(out, ORDER_ID, self.order_id.as_deref().map(str::as_bytes));
        put_bytes(out, CITY, self.city.as_deref().map(str::as_bytes));
        put_bytes(out, READINGS, Some(self.readings.bytes()).filter(|bytes| !bytes.is_empty()));
    }

    /// Reads a record. The report borrows from `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Report<'a>, DecodeError> {
        read(bytes)?.ok_or(DecodeError::Damaged)
    }
}

fn put_f32(out: &mut Vec<u8>, tag: u8, value: Option<f32>) {
    if let Some(value) = value {
        out.push(tag);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(tag);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
    }
}

fn read(bytes: &[u8]) -> Result<Option<Report<'_>>, DecodeError> {
    match bytes.first() {
        Some(&RECORD_VERSION) => Ok(read_v1(bytes)),
        Some(&version) if version > RECORD_VERSION => Err(DecodeError::Version(version)),
        _ => Err(DecodeError::Damaged),
    }
}

fn read_v1(bytes: &[u8]) -> Option<Report<'_>> {
    let id_len = *bytes.get(ID_LEN_AT)? as usize;
    let id = std::str::from_utf8(bytes.get(ID_AT..ID_AT + id_len)?).ok()?;
    let mut report = Report {
        kind: Kind::from_number(bytes[KIND_AT])?,
        id: Cow::Borrowed(id),
        event_time: i64_at(bytes, EVENT_TIME_AT),
        receive_time: i64_at(bytes, RECEIVE_TIME_AT),
        position: None,
        accuracy_m: None,
        speed_kmh: None,
        heading_deg: None,
        battery_pct: None,
        status: None,
        order_id: None,
        city: None,
        flags: Flags(u16::from_le_bytes([bytes[FLAGS_AT], bytes[FLAGS_AT + 1]])),
        readings: Readings::default(),
    };
    let mut rest = &bytes[ID_AT + id_len..];
    while !rest.is_empty() {
        rest = read_field(rest, &mut report)?;
    }
    Some(report)
}

fn read_field<'a>(bytes: &'a [u8], report: &mut Report<'a>) -> Option<&'a [u8]> {
    let (&tag, rest) = bytes.split_first()?;
    let (value, rest) = match tag & 7 {
        WIDTH_1 => rest.split_at_checked(1)?,
        WIDTH_4 => rest.split_at_checked(4)?,
        WIDTH_8 => rest.split_at_checked(8)?,
        WIDTH_BYTES => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            rest.split_at_checked(u16::from_le_bytes(*len) as usize)?
        }
        _ => return None,
    };
    match tag {
        POSITION => report.position = Some(Position { lat_e7: i32_at(value, 0), lon_e7: i32_at(value, 4) }),
        ACCURACY => report.accuracy_m = Some(f32_at(value)),
        SPEED => report.speed_kmh = Some(f32_at(value)),
        HEADING => report.heading_deg = Some(f32_at(value)),
        BATTERY => report.battery_pct = Some(f32_at(value)),
        STATUS => report.status = Status::from_number(value[0]),
        ORDER_ID => report.order_id = Some(Cow::Borrowed(std::str::from_utf8(value).ok()?)),
        CITY => report.city = Some(Cow::Borrowed(std::str::from_utf8(value).ok()?)),
        READINGS => report.readings.set_bytes(value),
        DEPOT_DISTANCE => report.readings.set_distance_from_depot(f32_at(value)),
        _ => {} // a field of a later build
    }
    Some(rest)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn f32_at(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// A look into a record without decoding all of it.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a>(&'a [u8]);

impl<'a> RecordRef<'a> {
    /// Takes bytes that [`Report::encode`] wrote. Anything shorter than a record is refused.
    pub fn new(bytes: &'a [u8]) -> Option<RecordRef<'a>> {
        let id_len = *bytes.get(ID_LEN_AT)? as usize;
        (bytes.len() >= ID_AT + id_len).then_some(RecordRef(bytes))
    }

    /// Everything that a resend repeats: kind, event time, id, fields. Its hash tells a duplicate
    /// from a conflict.
    pub fn content(self) -> &'a [u8] {
        let derived = (self.flags() & DERIVED).count_ones() as usize * DERIVED_BYTES;
        &self.0[KIND_AT..self.0.len().saturating_sub(derived).max(KIND_AT)]
    }

    fn flags(self) -> u16 {
        u16::from_le_bytes([self.0[FLAGS_AT], self.0[FLAGS_AT + 1]])
    }

    /// Kind, event time and id: what makes a report unique.
    pub fn key(self) -> &'a [u8] {
        &self.0[KIND_AT..ID_AT + self.0[ID_LEN_AT] as usize]
    }

    /// The kind's number.
    pub fn kind_number(self) -> u8 {
        self.0[KIND_AT]
    }

    /// The id's bytes.
    pub fn id(self) -> &'a [u8] {
        &self.0[ID_AT..ID_AT + self.0[ID_LEN_AT] as usize]
    }

    /// Receive time, ms UTC.
    pub fn receive_time(self) -> i64 {
        i64_at(self.0, RECEIVE_TIME_AT)
    }

    /// Event time, ms UTC.
    pub fn event_time(self) -> i64 {
        i64_at(self.0, EVENT_TIME_AT)
    }
}

/// A record that admission may still stamp before it goes to the log.
#[derive(Debug)]
pub struct RecordMut<'a>(&'a mut Vec<u8>);

impl<'a> RecordMut<'a> {
    /// Takes bytes that [`Report::encode`] just wrote.
    pub fn new(bytes: &'a mut Vec<u8>) -> RecordMut<'a> {
        debug_assert_eq!(bytes[0], RECORD_VERSION);
        RecordMut(bytes)
    }

    /// The record as it stands.
    pub fn view(&self) -> RecordRef<'_> {
        RecordRef(self.0)
    }

    /// Replaces the event time.
    pub fn set_event_time(&mut self, ms: i64) {
        self.0[EVENT_TIME_AT..EVENT_TIME_AT + 8].copy_from_slice(&ms.to_le_bytes());
    }

    /// Adds a flag.
    pub fn set_flag(&mut self, flag: u16) {
        let flags = self.view().flags() | flag;
        self.0[FLAGS_AT..FLAGS_AT + 2].copy_from_slice(&flags.to_le_bytes());
    }

    /// Adds a speed that the device did not say, km/h.
    pub fn derive_speed(&mut self, kmh: f32) {
        self.derive(Flags::DERIVED_SPEED, SPEED, kmh);
    }

    /// Adds a heading that the device did not say, 0 up to but not including 360.
    pub fn derive_heading(&mut self, deg: f32) {
        self.derive(Flags::DERIVED_HEADING, HEADING, deg);
    }

    /// Adds the way from the asset's depot, metres. It is read back as the reading [`DISTANCE_FROM_DEPOT`].
    ///
    /// [`DISTANCE_FROM_DEPOT`]: crate::DISTANCE_FROM_DEPOT
    pub fn derive_distance_from_depot(&mut self, metres: f32) {
        self.derive(Flags::DEPOT, DEPOT_DISTANCE, metres);
    }

    fn derive(&mut self, flag: u16, tag: u8, value: f32) {
        debug_assert!(self.view().flags() & flag == 0, "derived twice");
        self.set_flag(flag);
        put_f32(self.0, tag, Some(value));
    }

    /// The finished record.
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
}
