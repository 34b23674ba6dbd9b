//! RFC 4180: commas, CRLF, quotes where they are needed. NULL is an empty field; an empty text is `""`.

use super::cell::Cells;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

pub(super) struct Csv {
    cell: String,
}

impl Csv {
    pub(super) fn begin(schema: &Schema, out: &mut Vec<u8>) -> Csv {
        for (number, field) in schema.fields().iter().enumerate() {
            separate(number, out);
            put(field.name(), out);
        }
        out.extend_from_slice(b"\r\n");
        Csv { cell: String::new() }
    }

    pub(super) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<Cells<'_>> = batch.columns().iter().map(Cells::of).collect();
        for row in 0..batch.num_rows() {
            for (number, column) in columns.iter().enumerate() {
                separate(number, out);
                if column.is_null(row) {
                    continue;
                }
                self.cell.clear();
                column.write(row, &mut self.cell);
                put(&self.cell, out);
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn separate(number: usize, out: &mut Vec<u8>) {
    if number > 0 {
        out.push(b',');
    }
}

fn put(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
