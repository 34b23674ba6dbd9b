//! A row of history, in the units of a report.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use drover_model::{Flags, Kind, Position, Report, Status};

/// One admitted report as history keeps it. What the lake rounds (hundredths of a metre, km/h, degree, percent) is
/// rounded here too, whether it comes from a file or from the tail.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// Position on the log.
    pub position: u64,
    /// ms UTC.
    pub event_time: i64,
    /// ms UTC.
    pub receive_time: i64,
    /// Where.
    pub at: Option<Position>,
    /// Radius of uncertainty, metres.
    pub accuracy_m: Option<f32>,
    /// Speed over ground, km/h.
    pub speed_kmh: Option<f32>,
    /// Degrees from north.
    pub heading_deg: Option<f32>,
    /// Percent.
    pub battery_pct: Option<f32>,
    /// What the asset said of itself.
    pub status: Option<Status>,
    /// Order being served.
    pub order_id: Option<Box<str>>,
    /// What admission found out.
    pub flags: Flags,
}

/// The columns of a file that a [`Fix`] is made of, and those that name its asset.
pub(super) const COLUMNS: [&str; 14] = [
    "kind",
    "id",
    "event_time",
    "receive_time",
    "latitude",
    "longitude",
    "accuracy_m",
    "speed_kmh",
    "heading_deg",
    "battery_pct",
    "status",
    "order_id",
    "flags",
    "position",
];

impl Fix {
    /// Of a report that is in no file yet.
    pub(super) fn of_report(position: u64, report: &Report<'_>) -> Fix {
        Fix {
            position,
            event_time: report.event_time,
            receive_time: report.receive_time,
            at: report.position,
            accuracy_m: report.accuracy_m.map(rounded),
            speed_kmh: report.speed_kmh.map(rounded),
            heading_deg: report.heading_deg.map(rounded),
            battery_pct: report.battery_pct.map(rounded),
            status: report.status,
            order_id: report.order_id.as_deref().map(Into::into),
            flags: report.flags,
        }
    }

    /// Order of history: event time, then position on the log.
    pub(super) fn key(&self) -> (i64, u64) {
        (self.event_time, self.position)
    }
}

fn rounded(value: f32) -> f32 {
    ((f64::from(value) * 100.0).round() / 100.0) as f32
}

/// The columns of one batch, found once.
pub(super) struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Columns<'a> {
        Columns { batch }
    }

    fn column(&self, name: &str) -> &'a dyn Array {
        self.batch.column_by_name(name).expect("the reader asked for this column").as_ref()
    }

    pub(super) fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let column = self.column(name).as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }

    pub(super) fn event_time(&self, row: usize) -> i64 {
        self.column("event_time").as_primitive::<TimestampMillisecondType>().value(row)
    }

    pub(super) fn position(&self, row: usize) -> u64 {
        self.column("position").as_primitive::<Int64Type>().value(row) as u64
    }

    pub(super) fn kind(&self, row: usize) -> Option<Kind> {
        let word = self.text("kind", row)?;
        Kind::ALL.into_iter().find(|kind| kind.name() == word)
    }

    fn decimal(&self, name: &str, row: usize) -> Option<i128> {
        let column = self.column(name).as_primitive::<Decimal128Type>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn hundredths(&self, name: &str, row: usize) -> Option<f32> {
        self.decimal(name, row).map(|value| (value as f64 / 100.0) as f32)
    }

    fn at(&self, row: usize) -> Option<Position> {
        let (lat, lon) = (self.decimal("latitude", row)?, self.decimal("longitude", row)?);
        Some(Position { lat_e7: lat as i32, lon_e7: lon as i32 })
    }

    pub(super) fn fix(&self, row: usize) -> Fix {
        let status = self.text("status", row).and_then(Status::parse_any);
        Fix {
            position: self.position(row),
            event_time: self.event_time(row),
            receive_time: self.column("receive_time").as_primitive::<TimestampMillisecondType>().value(row),
            at: self.at(row),
            accuracy_m: self.hundredths("accuracy_m", row),
            speed_kmh: self.hundredths("speed_kmh", row),
            heading_deg: self.hundredths("heading_deg", row),
            battery_pct: self.hundredths("battery_pct", row),
            status,
            order_id: self.text("order_id", row).map(Into::into),
            flags: Flags(self.column("flags").as_primitive::<Int32Type>().value(row) as u16),
        }
    }
}
