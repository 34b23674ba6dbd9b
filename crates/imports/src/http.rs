//! The HTTP door of files: send one, see how far it is, get its rejected rows, stop it.

use crate::announced::{__path_announce_object, announce_object};
use crate::{Imports, Job, JobId, LandingError, Options, StoreError};
use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State as Here};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use drover_answer::{Problem, ProblemKind, ReadProblems, SendProblems};
use drover_formats::{Profile, SpeedUnit};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Parts of a file that wait for the disk.
const PARTS_WAITING: usize = 16;
/// A sender that sends nothing for so long is given up.
const PART_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a list that are read at once.
const LIST_PART_BYTES: usize = 64 << 10;
/// A text field of a form.
const FORM_FIELD_MAX_BYTES: usize = 4096;

/// The routes of this door.
pub fn routes(imports: Imports) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(import_file, list_imports))
        .routes(routes!(show_import, stop_import))
        .routes(routes!(rejected_rows))
        // Files have a bound of their own.
        .layer(DefaultBodyLimit::disable())
        .routes(routes!(announce_object))
        .with_state(imports)
}

/// What may be said with a file.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Said {
    /// Name of the file. It tells the format where the first bytes do not, and names the asset where no row does.
    name: Option<String>,
    /// A profile to start from: `capmetro`, `twizy`, or one of the configuration.
    profile: Option<String>,
    /// What reports: driver, vehicle, station, rider, other.
    kind: Option<String>,
    /// Id of the one asset that the file is about.
    id: Option<String>,
    /// Unit of the speed column: km/h, mph, m/s, knots.
    speed_unit: Option<String>,
    /// Zone of times without an offset, as `Europe/Lisbon`.
    time_zone: Option<String>,
    /// How times are written, as `%d.%m.%Y %H:%M:%S`.
    time_format: Option<String>,
    /// Columns that are not found by their names, as `speed:v,time:When`.
    columns: Option<String>,
    /// Only report what would be rejected.
    dry_run: Option<bool>,
    /// Stop when more than so many of a hundred rows are rejected.
    #[param(minimum = 0, maximum = 100)]
    max_bad_percent: Option<f64>,
    /// The sender's mark of the file, to find an unfinished job again.
    #[param(max_length = 200)]
    fingerprint: Option<String>,
}

impl Said {
    fn set(&mut self, field: &str, value: String) -> Result<(), Problem> {
        let wrong = || Problem::invalid("form", format!("{field} is {value:?}, which cannot be understood"));
        let place = match field {
            "name" => &mut self.name,
            "profile" => &mut self.profile,
            "kind" => &mut self.kind,
            "id" => &mut self.id,
            "speed_unit" => &mut self.speed_unit,
            "time_zone" => &mut self.time_zone,
            "time_format" => &mut self.time_format,
            "columns" => &mut self.columns,
            "fingerprint" => &mut self.fingerprint,
            "dry_run" => {
                self.dry_run = Some(value.parse().map_err(|_| wrong())?);
                return Ok(());
            }
            "max_bad_percent" => {
                self.max_bad_percent = Some(value.parse().map_err(|_| wrong())?);
                return Ok(());
            }
            _ => return Err(Problem::invalid("form", format!("there is no field {field:?}"))),
        };
        *place = Some(value);
        Ok(())
    }

    fn options(&self) -> Result<Options, Problem> {
        let speed_unit = match self.speed_unit.as_deref() {
            None => None,
            Some(word) => Some(SpeedUnit::parse(word).ok_or_else(|| {
                Problem::invalid("speed_unit", format!("speed_unit is {word:?}; allowed are km/h, mph, m/s, knots"))
            })?),
        };
        let columns = self.columns.as_deref().map_or(Ok(BTreeMap::new()), columns)?;
        if self.fingerprint.as_ref().is_some_and(|mark| mark.len() > 200) {
            return Err(Problem::invalid("fingerprint", "fingerprint is longer than 200 bytes"));
        }
        Ok(Options {
            profile: Profile {
                profile: self.profile.clone(),
                kind: self.kind.clone(),
                id: self.id.clone(),
                speed_unit,
                time_zone: self.time_zone.clone(),
                time_format: self.time_format.clone(),
                columns,
            },
            dry_run: self.dry_run.unwrap_or(false),
            max_bad_percent: self.max_bad_percent,
            fingerprint: self.fingerprint.clone(),
        })
    }
}

/// `speed:v,time:When` as field → column.
fn columns(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let pair = |pair: &str| {
        let (field, column) = pair.split_once(':').ok_or_else(|| {
            Problem::invalid("columns", format!("columns has {pair:?}; write FIELD:COLUMN, separated by commas"))
        })?;
        Ok((field.trim().to_owned(), column.trim().to_owned()))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// Send a file of telemetry: CSV, NDJSON, GPX, GTFS-Realtime or Parquet, plain or packed with gzip or zstd, as the body
/// or as the file of a form. Answered when the file and its job are durable; the rows are taken afterwards.
#[utoipa::path(
    post, path = "/api/v1/imports", tag = "imports", params(Said),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file"),
    responses((status = 202, body = Job, description = "the file is durable and will be worked on"), SendProblems)
)]
async fn import_file(
    Here(imports): Here<Imports>,
    said: Result<Query<Said>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(mut said) = said?;
    let job = if is_form(&request) {
        let form = Multipart::from_request(request, &()).await.map_err(|rejection| malformed(rejection.body_text()))?;
        take_form(&imports, form, &mut said).await?
    } else {
        let parts = request.into_body().into_data_stream().map(|part| part.map_err(|error| error.to_string()));
        take(&imports, &said, parts).await?
    };
    let location = format!("/api/v1/imports/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// Fields of a form stand before its file.
async fn take_form(imports: &Imports, mut form: Multipart, said: &mut Said) -> Result<Job, Problem> {
    while let Some(field) = form.next_field().await.map_err(|error| form_problem(&error))? {
        if let Some(name) = field.file_name() {
            said.name.get_or_insert_with(|| name.to_owned());
            let parts = field.map(|part| part.map_err(|error| error.body_text()));
            return take(imports, said, parts).await;
        }
        let name = field.name().unwrap_or_default().to_owned();
        said.set(&name, short_text(field).await?)?;
    }
    Err(malformed("the form has no file; its options stand before the file".into()))
}

async fn short_text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(part) = field.chunk().await.map_err(|error| form_problem(&error))? {
        text.extend_from_slice(&part);
        if text.len() > FORM_FIELD_MAX_BYTES {
            return Err(malformed(format!("a field of the form is longer than {FORM_FIELD_MAX_BYTES} bytes")));
        }
    }
    String::from_utf8(text).map_err(|_| malformed("a field of the form is not UTF-8".into()))
}

fn form_problem(error: &MultipartError) -> Problem {
    malformed(error.body_text())
}

fn malformed(message: String) -> Problem {
    Problem::new(ProblemKind::Malformed, "malformed", message, "send the file as the body, or as the file of a form")
}

/// From the wire to the disk, with a few parts between them, so that neither waits for the other.
async fn take(
    imports: &Imports,
    said: &Said,
    parts: impl Stream<Item = Result<Bytes, String>>,
) -> Result<Job, Problem> {
    let options = said.options()?;
    imports.check(&options)?;
    let name = said.name.clone().unwrap_or_else(|| "upload".into());
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    let writing = tokio::task::spawn_blocking({
        let imports = imports.clone();
        move || write(&imports, receiver, &name, options)
    });
    let mut parts = pin!(parts);
    let broken = loop {
        match timeout(PART_PATIENCE, parts.next()).await {
            Ok(Some(Ok(part))) => {
                if sender.send(Some(part)).await.is_err() {
                    break None; // the writer has its own say
                }
            }
            Ok(Some(Err(error))) => break Some(malformed(format!("the file did not come whole: {error}"))),
            Ok(None) => {
                let _ = sender.send(None).await;
                break None;
            }
            Err(_) => break Some(malformed(format!("nothing came for {} s", PART_PATIENCE.as_secs()))),
        }
    };
    drop(sender);
    let written = writing.await.map_err(|error| internal(error.to_string()))?;
    match (broken, written) {
        (Some(problem), _) => Err(problem),
        (None, Ok(Some(job))) => Ok(job),
        (None, Ok(None)) => Err(malformed("the file did not come whole".into())),
        (None, Err(error)) => Err(error.into()),
    }
}

/// Writes the parts; only `None` says that the file is whole.
fn write(
    imports: &Imports,
    mut parts: mpsc::Receiver<Option<Bytes>>,
    name: &str,
    options: Options,
) -> Result<Option<Job>, LandingError> {
    let mut coming = imports.begin()?;
    while let Some(part) = parts.blocking_recv() {
        match part {
            Some(part) => imports.more(&mut coming, &part)?,
            None if coming.bytes() == 0 => return Err(LandingError::Options("the file is empty".into())),
            None => return imports.land(coming, name, options).map(Some),
        }
    }
    Ok(None)
}

impl From<LandingError> for Problem {
    fn from(error: LandingError) -> Problem {
        let message = error.to_string();
        let unavailable = |code, help| Problem::new(ProblemKind::Unavailable, code, message.clone(), help);
        match error {
            LandingError::Options(_) => Problem::invalid("options", message),
            LandingError::TooLarge { .. } => {
                Problem::new(ProblemKind::TooLarge, "too_large", message, "cut the file, or raise import_max_mib")
            }
            LandingError::Busy => unavailable("overloaded", "wait until some are over").retry_after(30),
            LandingError::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
                unavailable("disk_full", "free space on the node's data disk, then send the file again").retry_after(60)
            }
            LandingError::Disk(_) | LandingError::Store(_) | LandingError::Place(_) => {
                unavailable("storage_failed", "look at the node's log and disk, then send the file again")
                    .retry_after(30)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let help = "look at the node's log and disk";
        Problem::new(ProblemKind::Unavailable, "storage_failed", error.to_string(), help).retry_after(30)
    }
}

fn internal(message: String) -> Problem {
    Problem::new(ProblemKind::Internal, "internal", message, "look at the node's log")
}

/// Which jobs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// First job to list.
    from: Option<JobId>,
    /// At most so many, up to 1,000; default 100.
    limit: Option<usize>,
    /// Only the job that is not over and has this mark.
    fingerprint: Option<String>,
}

/// Imports, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct ImportsPage {
    /// The jobs.
    imports: Vec<Job>,
    /// Give this as `from` for the next page; none at the end.
    next: Option<JobId>,
}

/// List imports.
#[utoipa::path(
    get, path = "/api/v1/imports", tag = "imports", params(Page),
    responses((status = 200, body = ImportsPage, description = "a page of imports"), ReadProblems)
)]
async fn list_imports(
    Here(imports): Here<Imports>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<ImportsPage>, Problem> {
    let Query(page) = page?;
    let limit = Problem::page_limit(page.limit, 100, 1000)?;
    let mut jobs = blocking(move || imports.list(page.from, limit)).await??;
    let next = (jobs.len() == limit).then(|| jobs[limit - 1].id - 1).filter(|next| *next > 0);
    if let Some(mark) = page.fingerprint {
        jobs.retain(|job| !job.state.is_over() && job.options.fingerprint.as_ref() == Some(&mark));
    }
    Ok(Json(ImportsPage { imports: jobs, next }))
}

/// See how far an import is.
#[utoipa::path(
    get, path = "/api/v1/imports/{id}", tag = "imports", params(("id" = u64, Path, description = "the job's number")),
    responses((status = 200, body = Job, description = "the job as it is now"), ReadProblems)
)]
async fn show_import(
    Here(imports): Here<Imports>,
    path: Result<Path<JobId>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let id = job_id(path)?;
    blocking(move || imports.get(id)).await??.map(Json).ok_or_else(|| not_found(id))
}

/// Stop an import. What it accepted stays; the answer counts it.
#[utoipa::path(
    delete, path = "/api/v1/imports/{id}", tag = "imports",
    params(("id" = u64, Path, description = "the job's number")),
    responses((status = 200, body = Job, description = "the job as it is now"), ReadProblems)
)]
async fn stop_import(
    Here(imports): Here<Imports>,
    path: Result<Path<JobId>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let id = job_id(path)?;
    blocking(move || imports.stop(id)).await??.map(Json).ok_or_else(|| not_found(id))
}

/// Get the rejected rows of an import with their reasons, as CSV: row, field, value, rule, message.
#[utoipa::path(
    get, path = "/api/v1/imports/{id}/rejects", tag = "imports",
    params(("id" = u64, Path, description = "the job's number")),
    responses((status = 200, body = String, content_type = "text/csv", description = "one line for each row"), ReadProblems)
)]
async fn rejected_rows(
    Here(imports): Here<Imports>,
    path: Result<Path<JobId>, PathRejection>,
) -> Result<Response, Problem> {
    let id = job_id(path)?;
    let opened = blocking(move || {
        let Some(job) = imports.get(id)? else { return Ok(None) };
        let list = File::open(imports.list_of_rejected(id)).ok();
        Ok::<_, StoreError>(Some((job, list)))
    });
    let (job, list) = opened.await??.ok_or_else(|| not_found(id))?;
    let body = match list {
        Some(list) => Body::from_stream(parts_of(list.take(job.rejects_bytes))),
        None => Body::from("row,field,value,rule,message\n"),
    };
    let file = format!("attachment; filename=\"import-{id}-rejected.csv\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, body).into_response())
}

fn parts_of(list: io::Take<File>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(list, |mut list| async {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::with_capacity(LIST_PART_BYTES);
            list.by_ref().take(LIST_PART_BYTES as u64).read_to_end(&mut part).map(|_| (part, list))
        });
        let (part, list) = read.await.map_err(io::Error::other)??;
        Ok((!part.is_empty()).then(|| (Bytes::from(part), list)))
    })
}

fn job_id(path: Result<Path<JobId>, PathRejection>) -> Result<JobId, Problem> {
    // What is no number names no job.
    path.map(|Path(id)| id).map_err(|_| {
        Problem::new(ProblemKind::NotFound, "not_found", "imports have numbers", "GET /api/v1/imports lists them")
    })
}

fn not_found(id: JobId) -> Problem {
    let message = format!("there is no import {id}");
    Problem::new(ProblemKind::NotFound, "not_found", message, "GET /api/v1/imports lists them")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(error.to_string()))
}
