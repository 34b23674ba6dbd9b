//! Parquet: columns by the names that CSV knows, one block of rows in memory at a time. A row goes the way of a CSV row,
//! cell by cell as text, so that the same names, units and zones hold; what that costs, files of this kind can bear.

use crate::detect::invalid;
use crate::profile::Plan;
use crate::table::{Cells, Table};
use crate::{Parsed, Rows};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use drover_model::{Readings, Reject};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read, Seek};

/// Rows in memory at once.
const BLOCK_ROWS: usize = 8192;
/// Row groups larger than this are refused: a reader needs about one column chunk of each column in memory.
const ROW_GROUP_MAX_BYTES: i64 = 1 << 30;

/// Whether the file is Parquet.
pub(crate) fn is_parquet(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 4];
    file.rewind()?;
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"PAR1"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Rows of a Parquet file.
pub(crate) struct ParquetRows {
    blocks: ParquetRecordBatchReader,
    table: Table,
    block: RecordBatch,
    at: usize,
    text: String,
    ends: Vec<usize>,
    readings: Readings<'static>,
    wrong: Option<Reject>,
}

impl ParquetRows {
    pub(crate) fn new(mut file: File, plan: Plan) -> io::Result<ParquetRows> {
        file.rewind()?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| invalid(error.to_string()))?;
        let groups = builder.metadata().row_groups();
        if let Some(group) = groups.iter().find(|group| group.total_byte_size() > ROW_GROUP_MAX_BYTES) {
            return Err(invalid(format!(
                "a row group of {} MiB; write the file with row groups of at most {} MiB",
                group.total_byte_size() >> 20,
                ROW_GROUP_MAX_BYTES >> 20
            )));
        }
        let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let schema = builder.schema().clone();
        let blocks = builder.with_batch_size(BLOCK_ROWS).build().map_err(|error| invalid(error.to_string()))?;
        Ok(ParquetRows {
            blocks,
            table: Table::of_names(names, plan).map_err(invalid)?,
            block: RecordBatch::new_empty(schema),
            at: 0,
            text: String::new(),
            ends: Vec::new(),
            readings: Readings::default(),
            wrong: None,
        })
    }

    fn cells(&self) -> Cells<'_> {
        Cells { text: &self.text, ends: &self.ends }
    }

    fn write_cells(&mut self) -> io::Result<()> {
        self.text.clear();
        self.ends.clear();
        for column in self.block.columns() {
            write_cell(column, self.at, &mut self.text)?;
            self.ends.push(self.text.len());
        }
        Ok(())
    }
}

impl Rows for ParquetRows {
    fn advance(&mut self) -> io::Result<bool> {
        self.at += 1;
        while self.at >= self.block.num_rows() {
            match self.blocks.next() {
                None => return Ok(false),
                Some(block) => self.block = block.map_err(|error| invalid(error.to_string()))?,
            }
            self.at = 0;
        }
        self.write_cells()?;
        self.readings.clear();
        let cells = Cells { text: &self.text, ends: &self.ends };
        self.wrong = self.table.readings(&cells, &mut self.readings).err();
        Ok(true)
    }

    fn draft(&self) -> Parsed<'_> {
        if let Some(reject) = &self.wrong {
            return Err(reject.clone());
        }
        let mut draft = self.table.draft(self.cells())?;
        draft.readings = Readings::from_bytes(self.readings.bytes());
        Ok(draft)
    }
}

/// Appends a cell as text. Times become epoch milliseconds, or a local date and time where they have no zone.
fn write_cell(column: &ArrayRef, row: usize, out: &mut String) -> io::Result<()> {
    if column.is_null(row) {
        return Ok(());
    }
    if let DataType::Timestamp(unit, Some(_)) = column.data_type() {
        let written = write!(out, "{}", epoch_ms(column, *unit, row));
        return written.map_err(io::Error::other);
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        out.push_str(texts.value(row));
        return Ok(());
    }
    let options = FormatOptions::default();
    let format = ArrayFormatter::try_new(column, &options).map_err(|error| invalid(error.to_string()))?;
    write!(out, "{}", format.value(row)).map_err(|_| invalid("a value cannot be written as text"))
}

fn epoch_ms(column: &ArrayRef, unit: TimeUnit, row: usize) -> i64 {
    use arrow::datatypes::{
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1000),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1000),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000),
    }
}
