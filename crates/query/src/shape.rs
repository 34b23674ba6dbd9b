//! Answers as bytes: JSON for the API, CSV and Parquet for files, a table for terminals. Batch by batch, so that an
//! answer of any length needs little memory.

mod cell;
mod csv;
mod json;
mod table;
mod time;

use crate::answer::Answer;
use crate::error::SqlError;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::Write;

/// How an answer is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"columns":[…],"types":[…],"rows":[[…],…],"truncated":false,"elapsed_ms":12}`. Decimals and integers are numbers
    /// with all their digits, times RFC 3339 with milliseconds.
    Json,
    /// RFC 4180 with a header line; NULL is an empty field, an empty text is `""`.
    Csv,
    /// Aligned columns, at most so many characters wide.
    Table {
        /// Most characters of a line.
        width: usize,
    },
    /// A Parquet file, zstd.
    Parquet,
}

/// Why an answer was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] SqlError),
    /// The writer refused the bytes.
    #[error("the answer cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// A type that Parquet has no place for.
    #[error("the answer cannot be written as Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

/// Writes one answer into a buffer that the caller empties as it goes. Call [`Encoder::rows`] for each batch, then
/// either [`Encoder::end`] or [`Encoder::fail`].
pub struct Encoder {
    buffer: Vec<u8>,
    form: Form,
}

enum Form {
    Json(json::Json),
    Csv(csv::Csv),
    Table(Box<table::Table>),
    /// `None` after the end.
    Parquet(Option<Box<ArrowWriter<Vec<u8>>>>),
}

impl Encoder {
    /// Begins an answer with these columns. On error the shape has no place for one of the types.
    pub fn new(shape: Shape, schema: &SchemaRef) -> Result<Encoder, ShapeError> {
        let mut buffer = Vec::new();
        let form = match shape {
            Shape::Json => Form::Json(json::Json::begin(schema, &mut buffer)),
            Shape::Csv => Form::Csv(csv::Csv::begin(schema, &mut buffer)),
            Shape::Table { width } => Form::Table(Box::new(table::Table::begin(schema, width))),
            Shape::Parquet => Form::Parquet(Some(Box::new(parquet_writer(schema)?))),
        };
        Ok(Encoder { buffer, form })
    }

    /// Adds rows.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<(), ShapeError> {
        match &mut self.form {
            Form::Json(json) => json.rows(batch, &mut self.buffer),
            Form::Csv(csv) => csv.rows(batch, &mut self.buffer),
            Form::Table(table) => table.rows(batch, &mut self.buffer),
            Form::Parquet(writer) => {
                if let Some(writer) = writer {
                    writer.write(batch)?;
                    self.buffer.append(writer.inner_mut());
                }
            }
        }
        Ok(())
    }

    /// Ends a whole answer.
    pub fn end(&mut self, answer: &Answer) -> Result<(), ShapeError> {
        let (truncated, elapsed) = (answer.truncated(), answer.elapsed());
        match &mut self.form {
            Form::Json(json) => json.end(truncated, elapsed, &mut self.buffer),
            Form::Csv(_) => {}
            Form::Table(table) => table.end(answer.rows(), truncated, elapsed, &mut self.buffer),
            Form::Parquet(writer) => {
                if let Some(writer) = writer.take() {
                    self.buffer.append(&mut writer.into_inner()?);
                }
            }
        }
        Ok(())
    }

    /// Ends an answer whose query failed half way: JSON gets a member `error`, a table a line; CSV breaks off, and a
    /// Parquet file stays without its footer, so that nobody takes it for whole.
    pub fn fail(&mut self, error: &SqlError) {
        match &mut self.form {
            Form::Json(json) => json.fail(error, &mut self.buffer),
            Form::Table(table) => table.fail(error, &mut self.buffer),
            Form::Csv(_) | Form::Parquet(_) => {}
        }
    }

    /// The bytes since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn drain(&mut self, out: &mut impl Write) -> Result<(), ShapeError> {
        out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn parquet_writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))
}

/// The name of a type in SQL, such as `VARCHAR` or `DECIMAL(6,2)`.
pub fn sql_type(kind: &DataType) -> String {
    let name = match kind {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "UTINYINT",
        DataType::UInt16 => "USMALLINT",
        DataType::UInt32 => "UINTEGER",
        DataType::UInt64 => "UBIGINT",
        DataType::Float16 | DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BLOB",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => return format!("DECIMAL({p},{s})"),
        DataType::List(of) | DataType::LargeList(of) | DataType::ListView(of) | DataType::FixedSizeList(of, _) => {
            return format!("{}[]", sql_type(of.data_type()));
        }
        DataType::Dictionary(_, of) => return sql_type(of),
        other => return other.to_string(),
    };
    name.to_owned()
}
