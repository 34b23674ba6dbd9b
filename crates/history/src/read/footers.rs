//! Open files with their parsed footers and page indexes, kept for the next read, within a bound of bytes.

use super::ReadError;
use crate::{FileBytes, LakeFile, View};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Files that are open at most, whatever their footers weigh.
const FILES_MAX: usize = 512;
/// Bytes of parsed footers, unless told otherwise.
const BYTES_DEFAULT: usize = 64 << 20;
/// The columns by whose page bounds rows are found.
const SOUGHT_BY: [&str; 3] = ["kind", "id", "event_time"];

/// A file that is ready to be read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) reader: FileBytes,
    pub(super) metadata: ArrowReaderMetadata,
}

#[derive(Debug)]
struct Kept {
    opened: Arc<Opened>,
    bytes: usize,
    used: u64,
}

#[derive(Debug, Default)]
struct Files {
    kept: HashMap<i64, Kept>,
    bytes: usize,
    clock: u64,
}

/// Footers of files that were read lately. One for all readers of a lake.
#[derive(Debug)]
pub struct Footers {
    files: Mutex<Files>,
    max_bytes: usize,
}

impl Default for Footers {
    fn default() -> Footers {
        Footers::new(BYTES_DEFAULT)
    }
}

impl Footers {
    /// Keeps up to so many bytes.
    pub fn new(max_bytes: usize) -> Footers {
        Footers { files: Mutex::default(), max_bytes }
    }

    pub(super) fn open(&self, view: &View, file: &LakeFile) -> Result<Arc<Opened>, ReadError> {
        if let Some(opened) = self.files.lock().find(file.id) {
            return Ok(opened);
        }
        let opened = guarded(file, || open(file))?;
        let opened = Arc::new(opened);
        let mut files = self.files.lock();
        files.add(file.id, &opened);
        // Files that were merged or expired must not stay open: their space would stay taken.
        files.keep_only(view, self.max_bytes);
        Ok(opened)
    }
}

impl Files {
    fn find(&mut self, id: i64) -> Option<Arc<Opened>> {
        self.clock += 1;
        let kept = self.kept.get_mut(&id)?;
        kept.used = self.clock;
        Some(kept.opened.clone())
    }

    fn add(&mut self, id: i64, opened: &Arc<Opened>) {
        let bytes = opened.metadata.metadata().memory_size();
        let kept = Kept { opened: opened.clone(), bytes, used: self.clock };
        self.bytes += bytes;
        if let Some(twice) = self.kept.insert(id, kept) {
            self.bytes -= twice.bytes;
        }
    }

    fn keep_only(&mut self, view: &View, max_bytes: usize) {
        let known: std::collections::HashSet<i64> = view.files.iter().map(|file| file.id).collect();
        self.kept.retain(|id, _| known.contains(id));
        self.bytes = self.kept.values().map(|kept| kept.bytes).sum();
        while (self.bytes > max_bytes || self.kept.len() > FILES_MAX) && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id);
            if let Some(kept) = oldest.and_then(|id| self.kept.remove(&id)) {
                self.bytes -= kept.bytes;
            }
        }
    }
}

fn open(file: &LakeFile) -> Result<Opened, ParquetError> {
    let reader = FileBytes::open(file)?;
    if reader.size() != file.bytes {
        return Err(ParquetError::General(format!("it has {} bytes; {} were written", reader.size(), file.bytes)));
    }
    let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = lighter(metadata.parse_and_finish(&reader)?);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())?;
    Ok(Opened { reader, metadata })
}

/// Without the page bounds of columns that nobody seeks by: half of a footer's weight.
fn lighter(metadata: ParquetMetaData) -> ParquetMetaData {
    let sought: Vec<bool> = metadata
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| SOUGHT_BY.contains(&column.name()))
        .collect();
    let mut builder = metadata.into_builder();
    let bounds = builder.take_column_index().map(|groups| {
        let kept = |group: Vec<ColumnIndexMetaData>| {
            let columns = group.into_iter().zip(&sought);
            columns.map(|(bounds, sought)| if *sought { bounds } else { ColumnIndexMetaData::NONE }).collect()
        };
        groups.into_iter().map(kept).collect()
    });
    builder.set_column_index(bounds).build()
}

/// Runs what reads a file, and makes an error that names it of whatever goes wrong. The decoding library checks much,
/// not all: damaged bytes may make it panic, and that must not reach the reader's thread.
pub(super) fn guarded<T>(file: &LakeFile, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ReadError> {
    let damaged = |why: String| ReadError::Damaged { file: file.path.clone(), why };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("its bytes make no sense".into())),
    }
}
