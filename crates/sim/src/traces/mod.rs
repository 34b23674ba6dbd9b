//! Recorded traces: a file in, one item per data row out, so that rows = fixes + errors for every file. A reader only
//! reads: a row that cannot be understood is an error with its number, a row that is understood but absurd is a fix,
//! since judging is the server's work. Gzip is recognised by its first bytes, the format by name and header.

mod csv_rows;
mod format;
mod gpx;
mod lines;
mod table;
mod time;
mod transit;
mod twizy;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

pub use format::Format;

use crate::report::Report;

/// One understood row.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// Number of the data row in its file, from 1.
    pub row: u64,
    /// What the row says. The event time is missing where the source has none.
    pub report: Report,
    /// The row as found, where the file already holds reports (NDJSON) and they are to be sent as they are.
    pub original: Option<Box<str>>,
}

/// One row that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {message}")]
pub struct RowError {
    /// Number of the data row in its file, from 1.
    pub row: u64,
    /// What is wrong with it.
    pub message: String,
}

type Row = Result<Fix, RowError>;
type Source = Box<dyn BufRead + Send>;

/// A file being read; iterating gives exactly one item per data row.
///
/// A file that breaks off (a torn gzip, say) ends with one error for the row at which it broke.
pub struct Trace {
    format: Format,
    rows: Box<dyn Iterator<Item = Row> + Send>,
}

impl Trace {
    /// Opens a trace file and recognises its format.
    ///
    /// # Errors
    /// When the file cannot be opened, or its first bytes or its header cannot be read.
    pub fn open(path: &Path) -> io::Result<Trace> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut source = unpacked(File::open(path).map_err(named)?).map_err(named)?;
        let name = file_id(path);
        let format = format::recognise(path, &mut source).map_err(named)?;
        let rows = format::rows(format, source, &name).map_err(named)?;
        Ok(Trace { format, rows })
    }

    /// What the file was recognised as.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl Iterator for Trace {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.rows.next()
    }
}

/// The file as plain bytes, whatever its name says.
fn unpacked(file: File) -> io::Result<Source> {
    let mut plain = BufReader::with_capacity(64 << 10, file);
    if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(plain))));
    }
    Ok(Box::new(plain))
}

/// The id for assets of a file that names none: the file's name up to its first dot.
fn file_id(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
