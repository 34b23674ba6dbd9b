//! The part all CSV files share: header, row numbers, and one item per row even where a row is broken.

use std::io;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::{Fix, Row, RowError, Source};
use crate::report::Report;

/// Rows of a CSV file, each turned into a report by `understand`.
pub(super) struct CsvRows<U> {
    reader: Reader<Source>,
    cells: StringRecord,
    row: u64,
    ended: bool,
    understand: U,
}

impl<U: Fn(&StringRecord) -> Result<Report, String>> CsvRows<U> {
    /// Reads the header and lets `prepare` make the function that understands rows under it.
    pub(super) fn new(source: Source, prepare: impl FnOnce(&StringRecord) -> Result<U, String>) -> io::Result<Self> {
        // Rows of the wrong length are the row's error, said by `understand`, not the end of the file.
        let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(source);
        let header = reader.headers().map_err(io::Error::from)?;
        let understand = prepare(header).map_err(|message| io::Error::new(io::ErrorKind::InvalidData, message))?;
        Ok(CsvRows { reader, cells: StringRecord::new(), row: 0, ended: false, understand })
    }

    fn read(&mut self) -> Result<bool, String> {
        self.reader.read_record(&mut self.cells).map_err(|error| {
            self.ended = matches!(error.kind(), ErrorKind::Io(_));
            error.to_string()
        })
    }
}

impl<U: Fn(&StringRecord) -> Result<Report, String>> Iterator for CsvRows<U> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.ended {
            return None;
        }
        self.row += 1;
        let report = match self.read() {
            Ok(false) => return None,
            Ok(true) => (self.understand)(&self.cells),
            Err(message) => Err(message),
        };
        let row = self.row;
        Some(report.map(|report| Fix { row, report, original: None }).map_err(|message| RowError { row, message }))
    }
}

/// The cell as text; missing and empty are the same.
pub(super) fn text(cells: &StringRecord, column: usize) -> Option<&str> {
    cells.get(column).filter(|cell| !cell.is_empty())
}

/// The cell as a number. `name` is for the message when it is none.
pub(super) fn number(cells: &StringRecord, column: usize, name: &str) -> Result<Option<f64>, String> {
    let parse = |cell: &str| {
        let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| format!("{name} is not a number: '{cell}'"))
    };
    text(cells, column).map(parse).transpose()
}
