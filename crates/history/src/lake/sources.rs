//! Reading several sorted files as one sorted stream of rows, with bounded memory: from each file one batch, of the
//! output one batch. A file of an older schema gets NULL in the columns that it lacks.

use super::Error;
use crate::lake::stats::at;
use crate::schema::UTC;
use crate::{FileBytes, LakeFile};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMillisecondType};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;

/// Rows read from a file at once.
const BATCH_ROWS: usize = 2_048;
/// Rows given out at once.
const OUT_ROWS: usize = 4_096;

/// Rows of several files in the order of the table.
pub(crate) struct Sources {
    schema: SchemaRef,
    readers: Vec<Reader>,
    heads: BinaryHeap<Reverse<Head>>,
}

struct Reader {
    path: PathBuf,
    parquet: ParquetRecordBatchReader,
    keys: Arc<Keys>,
}

/// The batch that a reader is in, and the columns that give its order.
struct Keys {
    batch: RecordBatch,
    kind: StringArray,
    id: StringArray,
    event_time: TimestampMillisecondArray,
    position: Int64Array,
}

/// The next row of a reader.
struct Head {
    keys: Arc<Keys>,
    row: usize,
    reader: usize,
}

impl Sources {
    /// Opens the files. On Err the text names the one that cannot be read.
    pub(crate) fn open(files: &[Arc<LakeFile>], schema: &SchemaRef) -> Result<Sources, Error> {
        let mut sources = Sources { schema: schema.clone(), readers: Vec::new(), heads: BinaryHeap::new() };
        for file in files {
            let opened = FileBytes::open(file).map_err(Error::file(&file.path, "opening the file"))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(Error::parquet(&file.path))?;
            let parquet = builder.with_batch_size(BATCH_ROWS).build().map_err(Error::parquet(&file.path))?;
            let empty = Keys::of(RecordBatch::new_empty(schema.clone()));
            let reader = Reader { path: file.path.clone(), parquet, keys: Arc::new(empty) };
            sources.readers.push(reader);
            sources.fill(sources.readers.len() - 1)?;
        }
        Ok(sources)
    }

    /// The next rows; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let mut batches: Vec<Arc<Keys>> = Vec::new();
        let mut batch_of_reader: Vec<Option<usize>> = vec![None; self.readers.len()];
        let mut rows = Vec::with_capacity(OUT_ROWS);
        while rows.len() < OUT_ROWS {
            let Some(mut top) = self.heads.peek_mut() else { break };
            let Head { row, reader, .. } = top.0;
            let batch = *batch_of_reader[reader].get_or_insert_with(|| {
                batches.push(top.0.keys.clone());
                batches.len() - 1
            });
            rows.push((batch, row));
            if row + 1 < top.0.keys.batch.num_rows() {
                top.0.row += 1;
                continue;
            }
            drop(std::collections::binary_heap::PeekMut::pop(top));
            batch_of_reader[reader] = None;
            self.fill(reader)?;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = batches.iter().map(|keys| &keys.batch).collect();
        Ok(Some(interleave_record_batch(&batches, &rows).expect("all batches have the table's schema")))
    }

    /// Reads the next batch of a reader and puts its first row among the heads.
    fn fill(&mut self, reader: usize) -> Result<(), Error> {
        let Reader { path, parquet, keys } = &mut self.readers[reader];
        let Some(batch) = parquet.next() else { return Ok(()) };
        let batch = batch.map_err(Error::parquet(path))?;
        *keys = Arc::new(Keys::of(adapt(batch, &self.schema).map_err(|problem| Error::unusable(path, problem))?));
        let head = Head { keys: keys.clone(), row: 0, reader };
        self.heads.push(Reverse(head));
        Ok(())
    }
}

/// The batch in the table's schema.
pub(crate) fn adapt(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        match batch.columns().get(at) {
            Some(column) if batch.schema().field(at).name() != field.name() => {
                return Err(format!(
                    "column {} stands where {} should ({})",
                    batch.schema().field(at).name(),
                    field.name(),
                    column.len()
                ));
            }
            Some(column) if column.data_type() == field.data_type() => columns.push(column.clone()),
            Some(column) if is_time(column.data_type()) && is_time(field.data_type()) => {
                columns.push(Arc::new(column.as_primitive::<TimestampMillisecondType>().clone().with_timezone(UTC)));
            }
            Some(column) => {
                return Err(format!(
                    "column {} is {} instead of {}",
                    field.name(),
                    column.data_type(),
                    field.data_type()
                ));
            }
            None => columns.push(new_null_array(field.data_type(), rows)),
        }
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _))
}

impl Keys {
    /// The batch has the table's schema.
    fn of(batch: RecordBatch) -> Keys {
        Keys {
            kind: batch.column(at::KIND).as_string().clone(),
            id: batch.column(at::ID).as_string().clone(),
            event_time: batch.column(at::EVENT_TIME).as_primitive::<TimestampMillisecondType>().clone(),
            position: batch.column(at::POSITION).as_primitive::<Int64Type>().clone(),
            batch,
        }
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.keys, &other.keys);
        let kind = || a.kind.value(self.row).cmp(b.kind.value(other.row));
        let time = || a.event_time.value(self.row).cmp(&b.event_time.value(other.row));
        let position = || a.position.value(self.row).cmp(&b.position.value(other.row));
        kind().then_with(|| a.id.value(self.row).cmp(b.id.value(other.row))).then_with(time).then_with(position)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
