//! Records as callers see them, and what they ask with.

use drover_model::format_time;
use serde::Serialize;
use serde_json::{Map, Value};

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id, unique within its resource.
    pub id: String,
    /// 1 for a new record, one more with every change; the ETag.
    pub version: i64,
    /// When it was made, ms UTC.
    pub created_at: i64,
    /// When it changed last, ms UTC.
    pub updated_at: i64,
    /// True if it held personal data of somebody who was erased; those fields are null.
    pub erased: bool,
    /// Every field of the resource, null where it holds nothing, in the order of the definition where serde_json keeps it.
    pub fields: Map<String, Value>,
}

impl Record {
    /// The text of a field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    /// As one JSON object: id, version, the fields, the two times; `erased` only where it is true.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("id".into(), self.id.clone().into());
        object.insert("version".into(), self.version.into());
        object.extend(self.fields.clone());
        object.insert("created_at".into(), time(self.created_at));
        object.insert("updated_at".into(), time(self.updated_at));
        if self.erased {
            object.insert("erased".into(), true.into());
        }
        Value::Object(object)
    }
}

/// A time as JSON shows it.
pub(crate) fn time(ms: i64) -> Value {
    let mut text = String::new();
    format_time(ms, &mut text);
    text.into()
}

/// Names in a body that are not fields of the resource: Drover sets them, and passes over what a request repeats.
pub const SET_BY_DROVER: [&str; 4] = ["version", "created_at", "updated_at", "erased"];

/// Most records of a page.
pub const LIMIT_MAX: u32 = 1000;
/// Records of a page, where nothing is asked.
pub const LIMIT_DEFAULT: u32 = 25;

/// What to list.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// All of them must hold: field, comparison, value as text (for `In`, values separated by commas). Fields are those of
    /// the resource, `id`, `created_at` and `updated_at`. Fields sealed with an index can be compared by `Eq` and `In`.
    pub filters: Vec<(String, Comparison, String)>,
    /// Field, and true for descending. Ties go by id.
    pub sort: Vec<(String, bool)>,
    /// From 1.
    pub page: u32,
    /// Records of a page, 1 to [`LIMIT_MAX`].
    pub limit: u32,
    /// Text that the id or some text field contains, in any case; sealed fields with an index are found by their whole
    /// value.
    pub search: Option<String>,
}

impl Default for Query {
    fn default() -> Query {
        Query { filters: Vec::new(), sort: Vec::new(), page: 1, limit: LIMIT_DEFAULT, search: None }
    }
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// One of several, separated by commas.
    In,
    /// Not less.
    Gte,
    /// Not more.
    Lte,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// How many there are on all pages.
    pub total: u64,
}

/// One change, as the outbox has it. Personal fields, places of deliveries and notes appear as `(sealed)`, or as
/// `(sealed, changed)` where the change is about them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its number, growing in the order of commits.
    pub seq: i64,
    /// The resource: `vehicles`; other crates use words of their own.
    pub resource: String,
    /// The record.
    pub id: String,
    /// `create`, `update`, `remove`, `transition` or `erase`.
    pub op: String,
    /// The record's version after it.
    pub version: i64,
    /// When, ms UTC.
    pub time_ms: i64,
    /// Who: [`drover_access::Principal::subject`].
    pub actor: String,
    /// The record's fleet after it (before it, for `remove`).
    pub fleet_id: Option<String>,
    /// The record before it.
    pub before: Option<Value>,
    /// The record after it.
    pub after: Option<Value>,
    /// From where it was asked for, where a request did.
    pub address: Option<String>,
}

/// Where to move a delivery, and what to keep of the moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transition {
    /// The new status.
    pub to: String,
    /// Names the driver with it, for `assigned`.
    pub driver_id: Option<String>,
    /// Where it happened: latitude, longitude.
    pub place: Option<(f64, f64)>,
    /// Anything to keep with the event, at most 8 KiB as JSON.
    pub data: Option<Map<String, Value>>,
}

/// Whom a delivery is for, as whoever brings it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Contact {
    /// The delivery.
    pub delivery_id: String,
    /// Its customer, where it has one.
    pub customer_id: Option<String>,
    /// His name; none once he was erased.
    pub name: Option<String>,
    /// His telephone number, where it is known.
    pub phone: Option<String>,
}

/// One event of a delivery's history.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeliveryEvent {
    /// Its id.
    pub id: String,
    /// The delivery.
    pub delivery_id: String,
    /// The status it moved to: `created`, `assigned` …
    pub event_type: String,
    /// When, RFC 3339.
    pub time: String,
    /// Where, degrees north. Not told to customers.
    pub latitude: Option<f64>,
    /// Where, degrees east. Not told to customers.
    pub longitude: Option<f64>,
    /// What was kept with it. Not told to customers.
    pub data: Option<Value>,
    /// Who did it. Not told to customers.
    #[schema(required = false)]
    pub actor: String,
}
