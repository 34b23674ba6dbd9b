//! One Parquet file of the lake, written under an unfinished name, synced, and only then given its own. Encodings and
//! sizes are chosen for point reads first and for little disk second; `examples/sizes` measures them against others.

use super::calendar::civil;
use super::stats::{ColumnStats, at, of_file};
use super::{Error, OURS, UNFINISHED};
use crate::Stored;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What a [`FileWriter`] may choose. The defaults are the lake's; others are for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Rows of a page: what a point read decodes at least, per column.
    pub page_rows: usize,
    /// Rows of a row group: what the writer holds in memory, compressed.
    pub group_rows: usize,
    /// Level of zstd.
    pub zstd_level: i32,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { page_rows: 4_096, group_rows: 131_072, zstd_level: 3 }
    }
}

/// A dictionary of texts that grows beyond this is given up, bytes.
const TEXTS_MAX_BYTES: usize = 256 << 10;
/// A dictionary of numbers that grows beyond this is given up for differences, bytes: 4,096 values, hence at most 12
/// bits of index, which differences of the measured columns hardly beat.
const NUMBERS_MAX_BYTES: usize = 16 << 10;
/// So much is written before it is forced to disk, so that the sync at the end, or that of the log meanwhile, does not
/// wait for all of a large file.
const SYNC_EVERY_BYTES: usize = 4 << 20;
/// The end of a Parquet file: the footer's length and the magic word.
pub(crate) const TRAILER_BYTES: u64 = 8;

/// A finished file that no catalogue knows yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// Day of its event times, days since 1970-01-01 UTC.
    pub day: i32,
    /// Rows in it.
    pub rows: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Size of the footer's metadata, bytes.
    pub footer_bytes: u64,
    /// The object, if it was taken to a store.
    pub(crate) stored: Option<Stored>,
    /// The file that was taken there, which stays until the catalogue knows the object.
    pub(crate) staged: Option<PathBuf>,
    pub(crate) columns: Vec<ColumnStats>,
}

impl Written {
    /// Compressed bytes of each column, in the schema's order.
    pub fn column_bytes(&self) -> Vec<u64> {
        self.columns.iter().map(|column| column.bytes).collect()
    }
}

/// Writes one file. Dropped before [`FileWriter::finish`], it leaves nothing.
pub struct FileWriter {
    parquet: Option<ArrowWriter<SyncingFile>>,
    schema: SchemaRef,
    unfinished: PathBuf,
    path: PathBuf,
    day: i32,
    rows: u64,
}

impl FileWriter {
    /// Begins a file with a name of its own for `day` (days since 1970-01-01) below the table's folder.
    pub fn create(table: &Path, day: i32, schema: &SchemaRef, layout: &Layout) -> Result<FileWriter, Error> {
        let (year, month, of_month) = civil(day);
        let folder = table.join(format!("year={year}/month={month}/day={of_month}"));
        make_folders(table, &folder)?;
        let path = folder.join(format!("{OURS}{}.parquet", Uuid::now_v7()));
        let unfinished = path.with_extension(format!("parquet{UNFINISHED}"));
        let file = File::options().read(true).write(true).create_new(true).open(&unfinished);
        let file = file.map_err(Error::file(&unfinished, "making the file"))?;
        let file = SyncingFile { file, unsynced_bytes: 0 };
        // Types come from the Parquet schema; Arrow's own copy of it would only make each footer larger.
        let options =
            ArrowWriterOptions::new().with_properties(properties(schema, layout)).with_skip_arrow_metadata(true);
        let parquet = ArrowWriter::try_new_with_options(file, schema.clone(), options);
        let parquet = Some(parquet.map_err(Error::parquet(&unfinished))?);
        Ok(FileWriter { parquet, schema: schema.clone(), unfinished, path, day, rows: 0 })
    }

    /// Adds rows, which the caller gives in the order of the table: kind, id, event_time, position.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let parquet = self.parquet.as_mut().expect("finish ends the writer");
        parquet.write(rows).map_err(Error::parquet(&self.unfinished))?;
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Ends the file. On Ok it is on stable storage under its own name; on Err it is gone.
    pub fn finish(mut self) -> Result<Written, Error> {
        let mut parquet = self.parquet.take().expect("finish ends the writer");
        let footer = parquet.finish().map_err(Error::parquet(&self.unfinished))?;
        let file = &parquet.inner().file;
        let (bytes, footer_bytes) =
            sync_and_measure(file).map_err(Error::file(&self.unfinished, "writing the file"))?;
        fs::rename(&self.unfinished, &self.path).map_err(Error::file(&self.unfinished, "naming the file"))?;
        sync_folder(self.path.parent().expect("the file is in a folder"))?;
        let columns = of_file(&footer, &self.schema);
        let (path, day, rows) = (self.path.clone(), self.day, self.rows);
        Ok(Written { path, day, rows, bytes, footer_bytes, stored: None, staged: None, columns })
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        // After `finish` there is no file of this name any more.
        let _ = fs::remove_file(&self.unfinished);
    }
}

fn sync_and_measure(file: &File) -> io::Result<(u64, u64)> {
    file.sync_all()?;
    let bytes = file.metadata()?.len();
    Ok((bytes, footer_bytes(file, bytes)?))
}

/// What the last bytes of a Parquet file of this size say of its footer.
fn footer_bytes(file: &File, bytes: u64) -> io::Result<u64> {
    let mut trailer = [0; TRAILER_BYTES as usize];
    let start = bytes.checked_sub(TRAILER_BYTES).ok_or(io::ErrorKind::UnexpectedEof)?;
    file.read_exact_at(&mut trailer, start)?;
    footer_bytes_of(&trailer)
}

/// The same of these last bytes.
pub(crate) fn footer_bytes_of(trailer: &[u8]) -> io::Result<u64> {
    let (length, magic) = trailer.split_at(4);
    if magic != b"PAR1" {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file does not end like a Parquet file"));
    }
    Ok(u32::from_le_bytes(length.try_into().expect("four bytes")).into())
}

/// Makes a folder and those above it, down from `known`, so that each survives a crash.
fn make_folders(known: &Path, folder: &Path) -> Result<(), Error> {
    if folder == known || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().expect("a folder below another has one above");
    make_folders(known, parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::file(folder, "making the folder")(error));
        }
        _ => {}
    }
    sync_folder(parent)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(Error::file(folder, "syncing the folder"))
}

fn properties(schema: &Schema, layout: &Layout) -> WriterProperties {
    let level = ZstdLevel::try_new(layout.zstd_level).unwrap_or_default();
    let sorted_by = [at::KIND, at::ID, at::EVENT_TIME, at::POSITION];
    let sorted_by =
        sorted_by.map(|column| SortingColumn { column_idx: column as i32, descending: false, nulls_first: false });
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("drover ", env!("CARGO_PKG_VERSION")).into())
        // The version with DELTA_BINARY_PACKED.
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(layout.group_rows))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows)
        .set_dictionary_page_size_limit(TEXTS_MAX_BYTES)
        .set_statistics_enabled(EnabledStatistics::Page)
        // Bounds in the catalogue come from here, and must be whole.
        .set_statistics_truncate_length(None)
        .set_sorting_columns(Some(sorted_by.to_vec()));
    for (column, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::from(field.name().as_str());
        properties = match field.data_type() {
            DataType::Timestamp(..) | DataType::Decimal128(_, 7) | DataType::Int64 => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            // Speeds, headings and the like take few values, and differ from one to the next like noise.
            DataType::Decimal128(..) | DataType::Int32 => properties
                .set_column_dictionary_page_size_limit(path.clone(), NUMBERS_MAX_BYTES)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            // Nobody asks for a range of JSON texts.
            DataType::Utf8 if column == at::READINGS => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            _ => properties,
        };
    }
    properties.build()
}

/// Forces what was written to disk piece by piece.
struct SyncingFile {
    file: File,
    unsynced_bytes: usize,
}

impl Write for SyncingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
