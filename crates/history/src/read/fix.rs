//! A row of history, in the units of a report.

use arrow::array::{
    Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
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

    /// Where, if that is to be believed; see [`Report::place`].
    pub fn place(&self) -> Option<Position> {
        self.at.filter(|_| !self.flags.has(Flags::NO_PLACE))
    }

    /// Where at this time, if both are to be believed: what a way is made of.
    pub fn place_in_time(&self) -> Option<Position> {
        self.at.filter(|_| !self.flags.has(Flags::NOISE))
    }

    /// Order of history: event time, then position on the log.
    pub(super) fn key(&self) -> (i64, u64) {
        (self.event_time, self.position)
    }
}

fn rounded(value: f32) -> f32 {
    ((f64::from(value) * 100.0).round() / 100.0) as f32
}

type Texts<'a> = Option<&'a StringArray>;
type Decimals<'a> = Option<&'a Decimal128Array>;
type Times<'a> = Option<&'a TimestampMillisecondArray>;

/// The columns of one batch, found once; those that the reader did not ask for are none, and of no use to it.
pub(super) struct Columns<'a> {
    kind: Texts<'a>,
    id: Texts<'a>,
    event_time: Times<'a>,
    receive_time: Times<'a>,
    latitude: Decimals<'a>,
    longitude: Decimals<'a>,
    accuracy_m: Decimals<'a>,
    speed_kmh: Decimals<'a>,
    heading_deg: Decimals<'a>,
    battery_pct: Decimals<'a>,
    status: Texts<'a>,
    order_id: Texts<'a>,
    flags: Option<&'a Int32Array>,
    position: Option<&'a Int64Array>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Columns<'a> {
        Columns {
            kind: found(batch, "kind"),
            id: found(batch, "id"),
            event_time: found(batch, "event_time"),
            receive_time: found(batch, "receive_time"),
            latitude: found(batch, "latitude"),
            longitude: found(batch, "longitude"),
            accuracy_m: found(batch, "accuracy_m"),
            speed_kmh: found(batch, "speed_kmh"),
            heading_deg: found(batch, "heading_deg"),
            battery_pct: found(batch, "battery_pct"),
            status: found(batch, "status"),
            order_id: found(batch, "order_id"),
            flags: found(batch, "flags"),
            position: found(batch, "position"),
        }
    }

    /// The name of the row's kind.
    pub(super) fn kind_name(&self, row: usize) -> &'a str {
        text(self.kind, row).unwrap_or("")
    }

    pub(super) fn id(&self, row: usize) -> &'a str {
        text(self.id, row).unwrap_or("")
    }

    pub(super) fn event_time(&self, row: usize) -> i64 {
        asked(self.event_time).value(row)
    }

    pub(super) fn kind(&self, row: usize) -> Option<Kind> {
        let word = self.kind_name(row);
        Kind::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// Whether the row has a place that is to be believed.
    pub(super) fn has_place(&self, row: usize) -> bool {
        asked(self.latitude).is_valid(row) && asked(self.flags).value(row) & i32::from(Flags::NO_PLACE) == 0
    }

    fn at(&self, row: usize) -> Option<Position> {
        let (lat, lon) = (decimal(self.latitude, row)?, decimal(self.longitude, row)?);
        Some(Position { lat_e7: lat as i32, lon_e7: lon as i32 })
    }

    pub(super) fn fix(&self, row: usize) -> Fix {
        Fix {
            position: asked(self.position).value(row) as u64,
            event_time: self.event_time(row),
            receive_time: asked(self.receive_time).value(row),
            at: self.at(row),
            accuracy_m: hundredths(self.accuracy_m, row),
            speed_kmh: hundredths(self.speed_kmh, row),
            heading_deg: hundredths(self.heading_deg, row),
            battery_pct: hundredths(self.battery_pct, row),
            status: text(self.status, row).and_then(Status::parse_any),
            order_id: text(self.order_id, row).map(Into::into),
            flags: Flags(asked(self.flags).value(row) as u16),
        }
    }
}

/// A column of another type is damage, which whoever reads files catches.
fn found<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a T> {
    let column = batch.column_by_name(name)?;
    Some(column.as_any().downcast_ref().expect("a column of the type that was written"))
}

fn asked<T>(column: Option<&T>) -> &T {
    column.expect("the reader asked for this column")
}

fn text(column: Texts<'_>, row: usize) -> Option<&str> {
    let column = asked(column);
    column.is_valid(row).then(|| column.value(row))
}

fn decimal(column: Decimals<'_>, row: usize) -> Option<i128> {
    let column = asked(column);
    column.is_valid(row).then(|| column.value(row))
}

fn hundredths(column: Decimals<'_>, row: usize) -> Option<f32> {
    decimal(column, row).map(|value| (value as f64 / 100.0) as f32)
}
