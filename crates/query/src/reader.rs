//! Reads files of the lake for the engine: plain reads at offsets, and footers parsed once and kept. Whatever a file
//! does wrong here is an error that names it.

use crate::error::SqlError;
use crate::progress::Watch;
use bytes::Bytes;
use datafusion::common::{DataFusionError, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use drover_history::{FileBytes, LakeFile, View};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The file of the lake that a part of a plan stands for.
pub(crate) struct Source(pub(crate) Arc<LakeFile>);

/// Opens the files of one query.
pub(crate) struct Files {
    /// Held so that no file is deleted while the query runs.
    _view: Arc<View>,
    footers: Arc<Footers>,
    watch: Arc<Watch>,
    opened: Mutex<Vec<Arc<LakeFile>>>,
}

impl Files {
    pub(crate) fn of(view: Arc<View>, footers: Arc<Footers>, watch: Arc<Watch>) -> Files {
        Files { _view: view, footers, watch, opened: Mutex::default() }
    }

    /// Files that the query has opened so far.
    pub(crate) fn opened(&self) -> Vec<Arc<LakeFile>> {
        self.opened.lock().clone()
    }

    fn note(&self, file: &Arc<LakeFile>) {
        let mut opened = self.opened.lock();
        if !opened.iter().any(|known| known.id == file.id) {
            opened.push(file.clone());
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files")
    }
}

impl ParquetFileReaderFactory for Files {
    fn create_reader(
        &self,
        _partition: usize,
        part: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        let Some(Source(source)) = part.extension() else { return exec_err!("a file from outside the lake") };
        self.note(source);
        let file =
            FileBytes::open(source).map_err(|error| DataFusionError::External(Box::new(unreadable(source, &error))))?;
        let (source, footers, watch) = (source.clone(), self.footers.clone(), self.watch.clone());
        Ok(Box::new(Reader { file, source, footers, watch }))
    }
}

pub(crate) fn unreadable(file: &LakeFile, why: &dyn fmt::Display) -> SqlError {
    SqlError::Damaged { file: file.path.clone(), why: why.to_string() }
}

/// One open file. Reads of files block the calling thread, which belongs to queries alone.
struct Reader {
    file: FileBytes,
    source: Arc<LakeFile>,
    footers: Arc<Footers>,
    watch: Arc<Watch>,
}

impl Reader {
    fn unreadable(&self, why: &dyn fmt::Display) -> ParquetError {
        ParquetError::External(Box::new(unreadable(&self.source, why)))
    }

    fn count(&self, bytes: &Bytes) {
        self.watch.bytes_read.fetch_add(bytes.len() as u64, Relaxed);
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = self.file.read(range).map_err(|error| self.unreadable(&error));
        ready(read.inspect(|bytes| self.count(bytes))).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let read = self.file.read_ranges(ranges).await.map_err(|error| self.unreadable(&error));
            read.inspect(|pieces| pieces.iter().for_each(|piece| self.count(piece)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let footer = self.footers.of(&self.source, &self.file);
        ready(footer.map_err(|error| ParquetError::External(Box::new(error)))).boxed()
    }
}

/// Parsed footers with their page indexes, the most recently used, bounded by bytes.
#[derive(Debug)]
pub(crate) struct Footers {
    max_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    footers: HashMap<Box<Path>, Footer>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Footer {
    parsed: Arc<ParquetMetaData>,
    bytes: usize,
    last_use: u64,
}

impl Footers {
    pub(crate) fn new(max_bytes: usize) -> Footers {
        Footers { max_bytes, kept: Mutex::default() }
    }

    /// The footer of an open file, parsed at the first use. Files never change, so that the path stands for the bytes.
    fn of(&self, source: &LakeFile, file: &FileBytes) -> Result<Arc<ParquetMetaData>, SqlError> {
        if let Some(known) = self.kept.lock().take(&source.path) {
            return Ok(known);
        }
        let parsed = Arc::new(parse(source, file)?);
        self.kept.lock().keep(&source.path, parsed.clone(), self.max_bytes);
        Ok(parsed)
    }
}

/// Reads a footer. Damaged bytes may make the parser panic or find another number of rows; both are told as damage.
pub(crate) fn parse(source: &LakeFile, file: &FileBytes) -> Result<ParquetMetaData, SqlError> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let parsed = catch_unwind(AssertUnwindSafe(|| reader.parse_and_finish(file)));
    let parsed = parsed.map_err(|_| unreadable(source, &"its footer makes no sense"))?;
    let parsed = parsed.map_err(|error| unreadable(source, &error))?;
    let rows = parsed.file_metadata().num_rows();
    if u64::try_from(rows) != Ok(source.rows) {
        return Err(unreadable(source, &format_args!("it has {rows} rows instead of {}", source.rows)));
    }
    Ok(parsed)
}

impl Kept {
    fn take(&mut self, path: &Path) -> Option<Arc<ParquetMetaData>> {
        self.uses += 1;
        let footer = self.footers.get_mut(path)?;
        footer.last_use = self.uses;
        Some(footer.parsed.clone())
    }

    fn keep(&mut self, path: &Path, parsed: Arc<ParquetMetaData>, max_bytes: usize) {
        let footer = Footer { bytes: parsed.memory_size(), last_use: self.uses, parsed };
        self.bytes += footer.bytes;
        if let Some(before) = self.footers.insert(path.into(), footer) {
            self.bytes -= before.bytes;
        }
        while self.bytes > max_bytes && self.footers.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.footers.iter().min_by_key(|(_, footer)| footer.last_use).map(|(path, _)| path.clone());
        if let Some(footer) = oldest.and_then(|path| self.footers.remove(&path)) {
            self.bytes -= footer.bytes;
        }
    }
}
