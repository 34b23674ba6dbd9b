//! The API's JSON: columns, types, rows as arrays, and at the end whether rows were left out.

use super::cell::{Cells, Kind};
use super::sql_type;
use crate::error::SqlError;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::time::Duration;

pub(super) struct Json {
    first: bool,
    cell: String,
}

impl Json {
    pub(super) fn begin(schema: &Schema, out: &mut Vec<u8>) -> Json {
        out.extend_from_slice(b"{\"columns\":[");
        texts(schema.fields().iter().map(|field| field.name().clone()), out);
        out.extend_from_slice(b"],\"types\":[");
        texts(schema.fields().iter().map(|field| sql_type(field.data_type())), out);
        out.extend_from_slice(b"],\"rows\":[");
        Json { first: true, cell: String::new() }
    }

    pub(super) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<Cells<'_>> = batch.columns().iter().map(Cells::of).collect();
        for row in 0..batch.num_rows() {
            out.extend_from_slice(if self.first { b"[" } else { b",[" });
            self.first = false;
            for (number, column) in columns.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                self.value(column, row, out);
            }
            out.push(b']');
        }
    }

    fn value(&mut self, column: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        if column.is_null(row) || (column.kind == Kind::Float && !column.is_finite(row)) {
            return out.extend_from_slice(b"null");
        }
        self.cell.clear();
        column.write(row, &mut self.cell);
        match column.kind {
            Kind::Text => text(&self.cell, out),
            Kind::Bare | Kind::Float => out.extend_from_slice(self.cell.as_bytes()),
        }
    }

    pub(super) fn end(&self, truncated: bool, elapsed: Duration, out: &mut Vec<u8>) {
        let ms = elapsed.as_millis();
        out.extend_from_slice(format!("],\"truncated\":{truncated},\"elapsed_ms\":{ms}}}").as_bytes());
    }

    pub(super) fn fail(&self, error: &SqlError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"error\":{\"code\":");
        text(error.code(), out);
        out.extend_from_slice(b",\"message\":");
        text(&error.to_string(), out);
        out.extend_from_slice(b"}}");
    }
}

fn texts(values: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (number, value) in values.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        text(&value, out);
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing to a Vec cannot fail");
}
