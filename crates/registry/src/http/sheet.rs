//! Records as lines of a table of text: how a value is written into a cell and read back.

use super::body::{Fields, wrong};
use super::{nearest, problem};
use crate::schema::Resource;
use crate::{Record, SET_BY_DROVER};
use csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use drover_answer::{Problem, ProblemKind};
use serde_json::Value;

/// Cells that begin with one of these are formulas to a spreadsheet.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The columns of a resource's file.
pub(super) fn columns(resource: &'static Resource) -> Vec<&'static str> {
    let fields = resource.fields.iter().map(|field| field.name);
    ["id"].into_iter().chain(fields).chain(["version", "created_at", "updated_at"]).collect()
}

/// Lines of a file; `cells` are made into text already.
pub(super) fn lines<C: AsRef<[u8]>>(lines: impl IntoIterator<Item = Vec<C>>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for line in lines {
        // Writing into memory does not fail.
        let _written = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default()
}

/// A record's cells, in the order of [`columns`].
pub(super) fn cells(resource: &'static Resource, record: &Record) -> Vec<String> {
    let json = record.to_json();
    columns(resource).into_iter().map(|column| cell(json.get(column).unwrap_or(&Value::Null))).collect()
}

/// A text that a spreadsheet would take for a formula gets an apostrophe. Numbers do not: they are no text of anybody's.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(FORMULA) || text.starts_with('\'') => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Takes the apostrophe away again.
fn bare(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULA) || rest.starts_with('\'') => rest,
        _ => cell,
    }
}

/// A file that was sent: its columns by name, then its rows.
pub(super) struct Sheet {
    columns: Vec<String>,
    reader: csv::Reader<std::io::Cursor<Vec<u8>>>,
    line: ByteRecord,
    /// Bytes whose line ends were counted, and the line that begins behind them.
    counted: (usize, u64),
}

/// One row, as far as it could be read.
pub(super) struct Row {
    /// Its line in the file; the header is the first one.
    pub line: u64,
    /// What it says, or why it says nothing.
    pub said: Result<Said, Problem>,
}

/// What a row says.
pub(super) struct Said {
    /// The id, where there is one.
    pub id: Option<String>,
    /// Cells that hold something, as fields of a new record.
    pub fields: Fields,
    /// Columns whose cells are empty.
    pub empty: Vec<String>,
}

impl Sheet {
    /// Reads the header. A column that is no field refuses the file as a whole.
    pub fn open(resource: &'static Resource, file: Vec<u8>) -> Result<Sheet, Problem> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(file);
        let delimiter = delimiter(&file);
        let mut reader =
            ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(std::io::Cursor::new(file));
        let header = reader.headers().map_err(|error| malformed(format!("the header cannot be read: {error}")))?;
        let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if columns.iter().all(String::is_empty) {
            return Err(malformed("the file is empty; its first line names the fields".into()));
        }
        for (n, name) in columns.iter().enumerate() {
            let known = name == "id" || SET_BY_DROVER.contains(&name.as_str()) || resource.field(name).is_some();
            let shown: String = name.chars().take(64).collect();
            if !known {
                let near = nearest(resource, name);
                return Err(wrong(
                    &*shown,
                    "unknown_field",
                    format!("there is no field {shown:?}; the nearest is {near:?}"),
                ));
            }
            if columns[..n].contains(name) {
                return Err(wrong(&*shown, "out_of_range", format!("two columns are named {shown:?}")));
            }
        }
        Ok(Sheet { columns, reader, line: ByteRecord::new(), counted: (0, 1) })
    }

    /// The next row; none at the end.
    pub fn next(&mut self, resource: &'static Resource) -> Option<Row> {
        let before = self.reader.position().byte() as usize;
        let read = self.reader.read_byte_record(&mut self.line);
        let line = self.line_behind(before);
        match read {
            Ok(false) => None,
            Ok(true) => Some(Row { line, said: self.said(resource) }),
            Err(error) => Some(Row { line, said: Err(malformed(format!("the row cannot be read: {error}"))) }),
        }
    }

    /// The line of the next row behind byte `at`. The reader's own count is behind by one where lines end in CR LF.
    fn line_behind(&mut self, at: usize) -> u64 {
        let file = self.reader.get_ref().get_ref();
        let ends = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let start = at + file.get(at..).unwrap_or_default().iter().take_while(ends).count();
        let (counted, line) = self.counted;
        let passed = file.get(counted..start).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        self.counted = (start, line + passed as u64);
        self.counted.1
    }

    fn said(&self, resource: &'static Resource) -> Result<Said, Problem> {
        if self.line.len() != self.columns.len() {
            let (has, named) = (self.line.len(), self.columns.len());
            return Err(malformed(format!("the row has {has} cells; the header names {named}")));
        }
        let mut said = Said { id: None, fields: Fields::new(), empty: Vec::new() };
        for (name, cell) in self.columns.iter().zip(self.line.iter()) {
            let text = std::str::from_utf8(cell).map_err(|_| wrong(name, "out_of_range", "the cell is not UTF-8"))?;
            let text = bare(text.trim());
            if text.contains('\0') {
                return Err(wrong(name, "out_of_range", "the cell holds U+0000, which databases do not keep"));
            }
            match resource.field(name) {
                _ if text.is_empty() => said.empty.push(name.clone()),
                None if name == "id" => said.id = Some(text.to_owned()),
                // Versions and times are Drover's own.
                None => {}
                Some(field) => {
                    let value = field.value_from_text(text).map_err(problem)?;
                    said.fields.insert(name.clone(), value);
                }
            }
        }
        said.empty.retain(|name| resource.field(name).is_some());
        Ok(said)
    }
}

/// Comma, or what a spreadsheet writes where the comma is in numbers.
fn delimiter(file: &[u8]) -> u8 {
    let header = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    if count(b';') > count(b',') { b';' } else { b',' }
}

fn malformed(message: String) -> Problem {
    Problem::new(ProblemKind::Malformed, "malformed", message, "send CSV in UTF-8 whose first line names the fields")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_from_a_cell_as_it_was() {
        for text in ["=1+1", "+351 21", "-x", "@a", "'quoted", "'=x", "plain", "O'Neill"] {
            let written = cell(&text.into());
            assert!(!written.starts_with(FORMULA), "{written}");
            assert_eq!(bare(&written), text);
        }
        assert_eq!(cell(&Value::from(-9.1)), "-9.1", "a number is not a formula");
    }
}
