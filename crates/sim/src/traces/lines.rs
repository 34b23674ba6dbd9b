//! Formats of one row per line: NDJSON with one report object each, and bare `longitude latitude seconds`.
//! Blank lines are no rows.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::{Fix, Row, RowError, Source, time};
use crate::report::{Kind, Report};

/// Longer lines are refused without being kept: no report is that long.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Rows of a text file, each turned into a report (and what to send as it is) by `understand`.
pub(super) struct LineRows<U> {
    source: Source,
    line: Vec<u8>,
    row: u64,
    ended: bool,
    understand: U,
}

type Understood = Result<(Report, Option<Box<str>>), String>;

impl<U: Fn(&str) -> Understood> LineRows<U> {
    pub(super) fn new(source: Source, understand: U) -> Self {
        LineRows { source, line: Vec::new(), row: 0, ended: false, understand }
    }

    /// The next line that is not blank, or `None` at the end.
    fn read(&mut self) -> Result<Option<&str>, String> {
        loop {
            self.line.clear();
            let length = read_line(&mut self.source, &mut self.line).map_err(|error| {
                self.ended = true;
                error.to_string()
            })?;
            if length > MAX_LINE_BYTES {
                return Err(format!("a line of {length} bytes, at most {MAX_LINE_BYTES} are read"));
            }
            if length == 0 {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        std::str::from_utf8(self.line.trim_ascii()).map(Some).map_err(|error| error.to_string())
    }
}

impl<U: Fn(&str) -> Understood> Iterator for LineRows<U> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.ended {
            return None;
        }
        let line = self.read().transpose()?.map(str::to_owned);
        self.row += 1;
        let row = self.row;
        let understood = line.and_then(|line| (self.understand)(&line));
        let fix = |(report, original)| Fix { row, report, original };
        Some(understood.map(fix).map_err(|message| RowError { row, message }))
    }
}

/// Reads to the end of the line, keeping no more than the bound of it; gives the line's whole length in bytes.
fn read_line(source: &mut Source, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut length = 0;
    loop {
        let ready = source.fill_buf()?;
        let end = memchr::memchr(b'\n', ready);
        let used = end.map_or(ready.len(), |at| at + 1);
        if length + used <= MAX_LINE_BYTES {
            line.extend_from_slice(&ready[..used]);
        }
        length += used;
        source.consume(used);
        if end.is_some() || used == 0 {
            return Ok(length);
        }
    }
}

/// A report object, kept as it is; only kind, id and time are looked at, and what they lack the server will say.
pub(super) fn ndjson(line: &str) -> Understood {
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let field = |name: &str| object.get(name);
    let kind = field("kind").and_then(Value::as_str).and_then(Kind::from_name).unwrap_or(Kind::Other);
    let id = match field("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    let mut report = Report::new(kind, id);
    report.event_time_ms = match field("timestamp") {
        Some(Value::String(text)) => time::parse(text).unwrap_or(None),
        Some(Value::Number(number)) => number.as_f64().and_then(time::from_number),
        _ => None,
    };
    let coordinate = |names: [&str; 3]| names.iter().find_map(|name| field(name)?.as_f64());
    report.latitude = coordinate(["latitude", "lat", "lat"]);
    report.longitude = coordinate(["longitude", "lng", "lon"]);
    Ok((report, Some(line.into())))
}

/// `longitude latitude seconds`, as the map-matching benchmark of Kubička et al. has them.
pub(super) fn track(id: &str, line: &str) -> Understood {
    let numbers: Option<Vec<f64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
    let Some(&[longitude, latitude, seconds]) = numbers.as_deref() else {
        return Err(format!("not longitude, latitude and seconds: '{line}'"));
    };
    let mut report = Report::new(Kind::Vehicle, id.to_owned());
    report.event_time_ms = time::from_number(seconds);
    (report.latitude, report.longitude) = (Some(latitude), Some(longitude));
    Ok((report, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        LineRows::new(Box::new(std::io::Cursor::new(text.to_owned())), ndjson).collect()
    }

    #[test]
    fn every_line_that_is_not_blank_is_one_row() {
        let rows = rows("{\"kind\":\"driver\",\"id\":7,\"timestamp\":1425744214000}\n\n[1]\r\n{\"id\":\"x\"}");
        let fix = rows[0].as_ref().unwrap();
        assert_eq!(
            (fix.report.kind, &*fix.report.id, fix.report.event_time_ms),
            (Kind::Driver, "7", Some(1_425_744_214_000))
        );
        assert_eq!(rows[1].as_ref().unwrap_err().row, 2);
        assert_eq!(rows[2].as_ref().unwrap().original.as_deref(), Some("{\"id\":\"x\"}"));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn an_endless_line_is_one_error_and_reading_goes_on() {
        let text = format!("{}\n{{\"id\":\"x\"}}\n", "x".repeat(MAX_LINE_BYTES + 1));
        let rows = rows(&text);
        assert_eq!(rows.len(), 2);
        assert!(rows[0].is_err() && rows[1].is_ok());
    }
}
