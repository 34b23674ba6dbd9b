//! A table for terminals: numbers to the right, texts to the left, cut where the line ends. The first rows decide the
//! widths, so that a long answer flows.

use super::cell::{Cells, Kind};
use crate::error::SqlError;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::time::Duration;

/// A column is never narrower than its name up to this.
const NAME_WIDTH: usize = 8;
const GAP: usize = 2;

pub(super) struct Table {
    names: Vec<String>,
    line_width: usize,
    widths: Vec<usize>,
    right: Vec<bool>,
    cell: String,
}

impl Table {
    pub(super) fn begin(schema: &Schema, line_width: usize) -> Table {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        Table { right: vec![false; names.len()], names, line_width, widths: Vec::new(), cell: String::new() }
    }

    pub(super) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<Cells<'_>> = batch.columns().iter().map(Cells::of).collect();
        if self.widths.is_empty() {
            self.head(&columns, batch.num_rows(), out);
        }
        for row in 0..batch.num_rows() {
            for (number, column) in columns.iter().enumerate() {
                self.cell.clear();
                column.write(row, &mut self.cell);
                let cell = std::mem::take(&mut self.cell);
                self.put(number, &cell, out);
                self.cell = cell;
            }
            newline(out);
        }
    }

    fn head(&mut self, columns: &[Cells<'_>], rows: usize, out: &mut Vec<u8>) {
        self.right = columns.iter().map(|column| column.kind != Kind::Text).collect();
        let widest = |column: &Cells<'_>| {
            let mut cell = String::new();
            let width = |row| {
                cell.clear();
                column.write(row, &mut cell);
                cell.chars().count()
            };
            (0..rows).map(width).max().unwrap_or(0)
        };
        let wanted = columns.iter().map(widest).zip(&self.names).map(|(width, name)| width.max(name.chars().count()));
        self.widths = fit(wanted.collect(), self.line_width);
        self.heading(out);
    }

    fn heading(&mut self, out: &mut Vec<u8>) {
        for (number, name) in self.names.iter().enumerate() {
            self.put(number, name, out);
        }
        newline(out);
        for number in 0..self.names.len() {
            self.put(number, &"─".repeat(self.widths[number]), out);
        }
        newline(out);
    }

    fn put(&self, number: usize, text: &str, out: &mut Vec<u8>) {
        let width = self.widths[number];
        let text = clip(text, width);
        let padding = " ".repeat(width - text.chars().count());
        let gap = " ".repeat(if number == 0 { 0 } else { GAP });
        let (before, after) = if self.right[number] { (padding.as_str(), "") } else { ("", padding.as_str()) };
        [&gap, before, &text, after].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }

    pub(super) fn end(&mut self, rows: u64, truncated: bool, elapsed: Duration, out: &mut Vec<u8>) {
        if self.widths.is_empty() {
            self.widths = fit(self.names.iter().map(|name| name.chars().count()).collect(), self.line_width);
            self.heading(out);
        }
        let more = if truncated { "; there are more (--limit)" } else { "" };
        let plural = if rows == 1 { "" } else { "s" };
        out.extend_from_slice(format!("({rows} row{plural}, {} ms{more})\n", elapsed.as_millis()).as_bytes());
    }

    pub(super) fn fail(&mut self, error: &SqlError, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("(stopped here: {error})\n").as_bytes());
    }
}

fn newline(out: &mut Vec<u8>) {
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out.push(b'\n');
}

/// Takes from the widest columns until the line fits, but leaves each enough to be known by.
fn fit(mut widths: Vec<usize>, line: usize) -> Vec<usize> {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > line {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > NAME_WIDTH) else { break };
        *widest -= 1;
    }
    widths
}

/// One line of at most `width` characters; what is cut or would break the line is told by a sign.
fn clip(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '·' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    clean.take(width.saturating_sub(1)).chain(['…']).take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_gets_wider_than_the_terminal_while_columns_can_shrink() {
        assert_eq!(fit(vec![40, 10], 30), vec![18, 10]);
        assert_eq!(fit(vec![8, 8, 8], 10), vec![8, 8, 8]);
    }

    #[test]
    fn what_is_cut_shows_it() {
        assert_eq!(clip("a driver", 5), "a dr…");
        assert_eq!(clip("two\nlines", 9), "two·lines");
    }
}
