//! A lake for tests and measurements: reports made here, files written with the lake's encodings, and a view of both,
//! without a log or a catalogue.
#![allow(dead_code, reason = "each test uses its part")]

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use drover_history::{Key, LakeFile, ReadingColumn, Rows, Tail, View, report_schema, sort_by_key};
use drover_model::{Draft, Kind, Readings, Report, Rules};
use drover_query::{Asker, Engine, Limits, Settings, SqlError};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// 2026-05-28T00:00:00Z, ms.
pub const DAY: i64 = 1_779_926_400_000;
pub const MS_PER_DAY: i64 = 86_400_000;

/// One report as a test writes it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub position: u64,
    pub kind: Kind,
    pub id: String,
    pub event_time: i64,
    pub receive_time: i64,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub speed: Option<f64>,
    pub city: Option<&'static str>,
    pub status: Option<&'static str>,
    pub readings: Readings<'static>,
}

impl Sent {
    pub fn new(position: u64, kind: Kind, id: &str, event_time: i64) -> Sent {
        Sent {
            position,
            kind,
            id: id.to_owned(),
            event_time,
            receive_time: event_time + 500,
            latitude: None,
            longitude: None,
            speed: None,
            city: None,
            status: None,
            readings: Readings::default(),
        }
    }

    pub fn report(&self) -> Report<'_> {
        let draft = Draft {
            kind: Some(self.kind),
            id: Some(self.id.as_str().into()),
            event_time: Some(self.event_time),
            latitude: self.latitude,
            longitude: self.longitude,
            speed_kmh: self.speed,
            city: self.city.map(Into::into),
            status: self.status.map(Into::into),
            readings: self.readings.clone(),
            ..Draft::default()
        };
        draft.check(&Rules::default(), self.receive_time).expect("a test sends good reports")
    }
}

/// A folder with files, and reports in memory.
pub struct Lake {
    folder: Arc<TempDir>,
    pub files: Vec<Arc<LakeFile>>,
    tail: Vec<Sent>,
    schema: SchemaRef,
}

impl Lake {
    pub fn new() -> Lake {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Lake { folder, files: Vec::new(), tail: Vec::new(), schema: report_schema(&[]) }
    }

    /// Adds columns, which files from now on have.
    pub fn add_columns(&mut self, columns: &[ReadingColumn]) {
        let before = drover_history::reading_columns(&self.schema);
        self.schema = report_schema(&[before, columns.to_vec()].concat());
    }

    /// Writes the reports of one day into one file.
    pub fn file(&mut self, sent: &[Sent]) -> Arc<LakeFile> {
        let mut rows = Rows::new(self.schema.clone());
        sent.iter().for_each(|sent| rows.push(sent.position, &sent.report(), "local"));
        let batch = sort_by_key(&rows.finish());
        let path = self.folder.path().join(format!("{}.parquet", self.files.len()));
        let mut writer = writer(&path, &self.schema);
        writer.write(&batch).expect("written");
        self.known(path, writer, sent.iter().map(|sent| (sent.kind, sent.id.as_str(), sent.event_time, sent.position)))
    }

    /// Ends a file and makes it part of the lake.
    pub fn known<'a>(
        &mut self,
        path: PathBuf,
        writer: ArrowWriter<File>,
        rows: impl Iterator<Item = (Kind, &'a str, i64, u64)> + Clone,
    ) -> Arc<LakeFile> {
        writer.close().expect("closed");
        let kinds = rows.clone().map(|row| row.0);
        let ids = rows.clone().map(|row| row.1);
        let times = rows.clone().map(|row| row.2);
        let positions = rows.clone().map(|row| row.3);
        let key = |kind: Option<Kind>, id: Option<&str>| Key { kind: kind.unwrap(), id: id.unwrap().into() };
        let file = Arc::new(LakeFile {
            id: self.files.len() as i64 + 1,
            bytes: std::fs::metadata(&path).expect("there").len(),
            path,
            stored: None,
            rows: rows.clone().count() as u64,
            footer_bytes: 0,
            day: times.clone().next().unwrap().div_euclid(MS_PER_DAY) as i32,
            first: key(kinds.clone().min_by_key(|kind| kind.name()), ids.clone().min()),
            last: key(kinds.max_by_key(|kind| kind.name()), ids.max()),
            event_time: times.clone().min().unwrap()..=times.max().unwrap(),
            position: positions.clone().min().unwrap()..=positions.max().unwrap(),
        });
        self.files.push(file.clone());
        file
    }

    /// Adds reports that are in no file.
    pub fn tail(&mut self, sent: &[Sent]) {
        self.tail.extend_from_slice(sent);
    }

    pub fn view(&self) -> Arc<View> {
        let records: Vec<(u64, Vec<u8>)> = self.tail.iter().map(|sent| (sent.position, encoded(sent))).collect();
        let cursor = self.files.iter().map(|file| *file.position.end()).max().unwrap_or(0);
        Arc::new(View {
            snapshot: 1,
            files: self.files.clone().into(),
            tail: Tail::of_records(&self.schema, "local", records.iter().map(|(at, bytes)| (*at, bytes.as_slice()))),
            cursor,
            position: self.tail.last().map_or(cursor, |sent| sent.position),
            schema: self.schema.clone(),
            data_path: self.folder.path().into(),
        })
    }
}

fn encoded(sent: &Sent) -> Vec<u8> {
    let mut bytes = Vec::new();
    sent.report().encode(&mut bytes);
    bytes
}

/// A writer with the encodings of the lake's files.
pub fn writer(path: &PathBuf, schema: &SchemaRef) -> ArrowWriter<File> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::try_new(3).unwrap()))
        .set_max_row_group_row_count(Some(131_072))
        .set_data_page_row_count_limit(4_096)
        .set_write_batch_size(4_096)
        .set_dictionary_page_size_limit(256 << 10)
        .set_statistics_truncate_length(None);
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        if matches!(
            field.data_type(),
            DataType::Timestamp(..) | DataType::Decimal128(..) | DataType::Int32 | DataType::Int64
        ) {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(File::create(path).expect("a new file"), schema.clone(), options)
        .expect("a writer")
}

/// An engine over the lake as it is now, which keeps the lake's folder.
pub fn engine(lake: &Lake) -> Engine {
    engine_with(lake, Settings { threads: 2, ..Settings::default() })
}

pub fn engine_with(lake: &Lake, settings: Settings) -> Engine {
    let (view, folder) = (lake.view(), lake.folder.clone());
    let look = move || {
        let _kept = &folder;
        view.clone()
    };
    Engine::over(look, settings).expect("threads")
}

/// Every row of an answer as texts; NULL is `∅`.
pub async fn ask(engine: &Engine, sql: &str) -> Vec<Vec<String>> {
    let mut answer =
        engine.run(sql, Asker::default(), Limits::default()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batches = answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(!answer.truncated(), "{sql}");
    texts(&batches)
}

pub fn texts(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("shown")).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()));
    }
    rows
}

/// The error that a query ends with, whether at once or half way.
pub async fn error(engine: &Engine, sql: &str, limits: Limits) -> SqlError {
    match engine.run(sql, Asker::default(), limits).await {
        Err(error) => error,
        Ok(mut answer) => answer.collect().await.expect_err(sql),
    }
}
