//! Finds the file behind an error that does not name one: decoders say what is wrong, not where. Only asked after a
//! query failed, so it may be slow; it reads the files that the query had opened until one fails too.

use crate::error::SqlError;
use crate::reader::{parse, unreadable};
use drover_history::{FileBytes, LakeFile};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// The first of the files that cannot be read from end to end, looked for until `deadline`.
pub(crate) fn find(files: &[Arc<LakeFile>], deadline: Instant) -> Option<SqlError> {
    files.iter().find_map(|file| check(file, deadline).err())
}

/// Decodes every page. A decoder that panics on damaged bytes has found damage, too.
fn check(file: &LakeFile, deadline: Instant) -> Result<(), SqlError> {
    catch_unwind(AssertUnwindSafe(|| decode(file, deadline)))
        .unwrap_or_else(|_| Err(unreadable(file, &"its pages cannot be decoded")))
}

fn decode(file: &LakeFile, deadline: Instant) -> Result<(), SqlError> {
    let open = FileBytes::open(file).map_err(|error| unreadable(file, &error))?;
    parse(file, &open)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(open).map_err(|error| unreadable(file, &error))?;
    for batch in reader.build().map_err(|error| unreadable(file, &error))? {
        batch.map_err(|error| unreadable(file, &error))?;
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok(())
}
