//! Many records at once: a resource as a CSV file, out and in.

use super::asked::{self, Pairs, once_each};
use super::body::{FILE_MAX_BYTES, Fields, whole, wrong};
use super::operation::{Described, Op, text};
use super::records::{AWAY, filter_parameters, path};
use super::shapes::{counted, envelope, envelope_example, id_example, object};
use super::sheet::{Row, Said, Sheet, cells, columns, lines};
use super::{Place, envelope as answer, not_reserved, problem};
use crate::schema::Resource;
use crate::{Error, LIMIT_MAX, Record};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Here};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use drover_access::Caller;
use drover_answer::{Problem, ProblemKind};
use drover_model::check_id;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder};

const CSV: &str = "text/csv";
/// Characters of a refused value that are repeated.
const SHOWN_MAX: usize = 60;

/// The routes of both ways.
pub(super) fn routes(place: &Place) -> Vec<Described> {
    let all = path(place.resource);
    vec![
        export_op(place.resource).at(
            HttpMethod::Get,
            &format!("{all}/export"),
            Vec::new(),
            get(export).with_state(place.clone()),
        ),
        import_op(place.resource).at(
            HttpMethod::Post,
            &format!("{all}/import"),
            vec![("ImportReport".into(), report_schema())],
            post(import).with_state(place.clone()),
        ),
    ]
}

async fn export(
    Here(place): Here<Place>,
    caller: Caller,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query?;
    let mut query = asked::filters(place.resource, pairs)?;
    query.sort = vec![("id".into(), false)];
    query.limit = LIMIT_MAX;
    // The first page is read before anything is answered, so that what is wrong is said with its status.
    let header = lines([columns(place.resource)]);
    let first = Pages { place: place.clone(), caller, query }.read().await.map_err(problem)?;
    let pages = stream::try_unfold((Some(header), Some(first)), |(header, next)| async move {
        if let Some(header) = header {
            return Ok(Some((Bytes::from(header), (None, next))));
        }
        let Some((records, rest)) = next else { return Ok(None) };
        let next = match rest {
            Some(rest) => Some(rest.read().await.map_err(io::Error::other)?),
            None => None,
        };
        Ok::<_, io::Error>(Some((Bytes::from(records), (None, next))))
    });
    let file = format!("attachment; filename=\"{}.csv\"", place.resource.name);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// The pages of an export that are still to be read.
struct Pages {
    place: Place,
    caller: Caller,
    query: crate::Query,
}

impl Pages {
    /// A page as lines, and what comes after it.
    async fn read(mut self) -> Result<(Vec<u8>, Option<Pages>), Error> {
        let Place { door, resource } = &self.place;
        let page = door.registry.list(&self.caller, resource, &self.query).await?;
        let written = lines(page.records.iter().map(|record| cells(resource, record)));
        let more = page.records.len() == LIMIT_MAX as usize;
        self.query.page += 1;
        Ok((written, more.then_some(self)))
    }
}

/// What became of a file.
#[derive(Default, Serialize)]
struct Report {
    /// Whether nothing was written.
    dry_run: bool,
    rows: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
    outcomes: Vec<Outcome>,
}

/// What became of a row.
#[derive(Serialize)]
struct Outcome {
    /// Its line in the file.
    row: u64,
    outcome: Became,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    Created,
    Updated,
    Unchanged,
    Refused,
}

async fn import(
    Here(place): Here<Place>,
    caller: Caller,
    query: Result<Query<Pairs>, QueryRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let Query(pairs) = query?;
    let mut report = Report { dry_run: dry_run(once_each(pairs)?)?, ..Report::default() };
    let file = whole(body, FILE_MAX_BYTES).await?;
    let mut sheet = Sheet::open(place.resource, file.to_vec())?;
    drop(file);
    while let Some(row) = sheet.next(place.resource) {
        let outcome = take(&place, &caller, row, report.dry_run).await;
        // Without a database no row of the rest would fare better. What was written stays; the file can be sent again.
        let (line, taken) = outcome;
        if let Err((problem, _)) = &taken
            && problem.kind == ProblemKind::Unavailable
        {
            let message = format!("{}; {} rows before row {line} were worked on", problem.message, report.rows);
            return Err(Problem { message, ..problem.clone() });
        }
        report.add(line, taken);
    }
    Ok(answer::success(StatusCode::OK, report))
}

fn dry_run(pairs: Pairs) -> Result<bool, Problem> {
    asked::only(&pairs, &["dry_run"])?;
    match pairs.first().map(|(_, value)| value.as_str()) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong("dry_run", "out_of_range", "dry_run is true or false")),
    }
}

type Taken = Result<(Became, Option<String>), (Problem, Option<String>)>;

/// Writes one row, or sees what would become of it. A refusal comes with the value that was refused.
async fn take(place: &Place, caller: &Caller, row: Row, dry_run: bool) -> (u64, Taken) {
    let said = match row.said {
        Ok(said) => said,
        Err(problem) => return (row.line, Err((problem, None))),
    };
    let mut values = said.fields.clone();
    values.extend(said.id.clone().map(|id| ("id".to_owned(), Value::from(id))));
    let taken = write(place, caller, said, dry_run).await.map_err(|problem| {
        let field = problem.field.as_deref().map(|field| field.split(['[', '.']).next().unwrap_or(field));
        let value = field.and_then(|field| values.get(field)).map(shown);
        (problem, value)
    });
    (row.line, taken)
}

async fn write(place: &Place, caller: &Caller, said: Said, dry_run: bool) -> Result<(Became, Option<String>), Problem> {
    let Place { door, resource } = place;
    let there = match &said.id {
        None => None,
        Some(id) => {
            check_id(id).map_err(Problem::from)?;
            match door.registry.get(caller, resource, id).await {
                Ok(record) => Some(record),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(problem(error)),
            }
        }
    };
    let Some(there) = there else {
        let fields = new_fields(said);
        not_reserved(&fields)?;
        if dry_run {
            door.registry.would_create(caller, resource, fields).await.map_err(problem)?;
            return Ok((Became::Created, None));
        }
        let made = door.registry.create(caller, resource, fields).await.map_err(problem)?;
        return Ok((Became::Created, Some(made.id)));
    };
    let patch = patch(&there, said);
    if dry_run {
        let changes = door.registry.would_update(caller, resource, &there.id, patch).await.map_err(problem)?;
        return Ok((if changes { Became::Updated } else { Became::Unchanged }, Some(there.id)));
    }
    let now = door.registry.update(caller, resource, &there.id, patch, None).await.map_err(problem)?;
    Ok((if now.version == there.version { Became::Unchanged } else { Became::Updated }, Some(now.id)))
}

/// What Drover sets is refused as in JSON, where a cell says something else than a new record has.
fn new_fields(said: Said) -> Fields {
    let mut fields = said.fields;
    fields.extend(said.id.map(|id| ("id".to_owned(), Value::from(id))));
    fields
}

/// A column with an empty cell empties its field.
fn patch(there: &Record, said: Said) -> Fields {
    let mut patch = said.fields;
    let filled = |name: &String| there.fields.get(name).is_some_and(|value| !value.is_null());
    patch.extend(said.empty.into_iter().filter(filled).map(|name| (name, Value::Null)));
    patch
}

impl Report {
    fn add(&mut self, row: u64, taken: Taken) {
        self.rows += 1;
        let outcome = match taken {
            Ok((outcome, id)) => Outcome { row, outcome, id, code: None, field: None, value: None, message: None },
            Err((problem, value)) => Outcome {
                row,
                outcome: Became::Refused,
                id: None,
                code: Some(problem.code.into_owned()),
                field: problem.field.map(|field| field.into_owned()),
                value,
                message: Some(problem.message),
            },
        };
        match outcome.outcome {
            Became::Created => self.created += 1,
            Became::Updated => self.updated += 1,
            Became::Unchanged => self.unchanged += 1,
            Became::Refused => self.refused += 1,
        }
        self.outcomes.push(outcome);
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(SHOWN_MAX).collect()
}

fn export_op(resource: &'static Resource) -> Op {
    let name = resource.name;
    let example = String::from_utf8(lines([columns(resource)])).unwrap_or_default();
    let op = Op::new(format!("export_{name}"), name, format!("All {name} within reach as CSV."))
        .about(
            "Ordered by id, in pages: what changes meanwhile may be missing or twice. A text that a spreadsheet would \
                take for a formula begins with an apostrophe, which an import takes away again.",
        )
        .query("q", "Text that the id or some text field contains, in any case.", text());
    filter_parameters(op, resource)
        .gives_as(
            CSV,
            200,
            "a header, then a line for each record",
            text(),
            json!(example),
            &[("Content-Disposition", "A name for the file.")],
        )
        .fails(&[(422, "a parameter is not known or a value is not allowed"), AWAY])
}

fn import_op(resource: &'static Resource) -> Op {
    let name = resource.name;
    let first = resource.fields.iter().find(|field| field.required).map_or("id", |field| field.name);
    Op::new(format!("import_{name}"), name, format!("Make or change {name} from CSV."))
        .about(
            "The header names fields. A row whose id exists changes that record, where an empty cell empties its \
                field; any other row makes one. What Drover sets (a status of deliveries, a tracking number) may be \
                repeated but not given: such a row is refused. Each row stands for itself: one that is refused holds \
                up no other. A dry run does with each row, by itself, what a real one would, and writes nothing.",
        )
        .query("dry_run", "Only say what would become of the rows.", ObjectBuilder::new().schema_type(Type::Boolean))
        .takes(CSV, text(), json!(format!("id,{first}\r\n{},…\r\n", id_example(resource))))
        .gives(
            200,
            "what became of each row",
            envelope(super::operation::named("ImportReport"), "RecordMeta"),
            envelope_example(200, report_example(resource)),
            &[],
        )
        .fails(&[
            (400, "the file cannot be read as CSV"),
            (413, "the file is larger than 16 MiB"),
            (422, "a column is not a field, or a parameter is not known"),
            AWAY,
        ])
}

fn report_example(resource: &Resource) -> Value {
    json!({
        "dry_run": false, "rows": 2, "created": 1, "updated": 0, "unchanged": 0, "refused": 1,
        "outcomes": [
            {"row": 2, "outcome": "created", "id": id_example(resource)},
            {"row": 3, "outcome": "refused", "code": "invalid_field", "field": "id", "value": "a b", "message": "…"}
        ]
    })
}

fn report_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    let outcome = object()
        .property("row", ObjectBuilder::new().schema_type(Type::Integer).description(Some("Its line in the file.")))
        .required("row")
        .property("outcome", text().enum_values(Some(["created", "updated", "unchanged", "refused"])))
        .required("outcome")
        .property("id", text().description(Some("The record.")))
        .property("code", text().description(Some("Why it was refused, for programs.")))
        .property("field", text().description(Some("Which field was refused.")))
        .property("value", text().description(Some("What was refused, cut.")))
        .property("message", text().description(Some("Why it was refused, for people.")));
    let report = object()
        .property("dry_run", ObjectBuilder::new().schema_type(Type::Boolean))
        .required("dry_run")
        .property("outcomes", ArrayBuilder::new().items(outcome))
        .required("outcomes");
    counted(report, &["rows", "created", "updated", "unchanged", "refused"]).into()
}
