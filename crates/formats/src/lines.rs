//! Formats of one row per line: NDJSON with one report object each, and bare `longitude latitude seconds`.
//! Blank lines are no rows.

use crate::profile::Plan;
use crate::source::Source;
use crate::time::shortened;
use crate::{Parsed, Rows, json, time};
use drover_model::{Draft, Kind, Reject, RejectCode};
use std::borrow::Cow;
use std::io::{self, BufRead};

/// Longer lines are refused without being kept: no report is that long.
const LINE_MAX_BYTES: usize = 1 << 20;

/// Lines of a text that are not blank.
struct Lines {
    source: Source,
    line: Vec<u8>,
    length: usize,
}

impl Lines {
    fn new(source: Source) -> Lines {
        Lines { source, line: Vec::new(), length: 0 }
    }

    /// Goes to the next line; false at the end.
    fn read(&mut self) -> io::Result<bool> {
        loop {
            self.line.clear();
            self.length = read_line(&mut self.source, &mut self.line)?;
            if self.length == 0 {
                return Ok(false);
            }
            if self.length > LINE_MAX_BYTES || !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn text(&self) -> Result<&str, Reject> {
        let malformed = |message| Reject::new(RejectCode::Malformed, "", message);
        if self.length > LINE_MAX_BYTES {
            return Err(malformed(format!("a line of {} bytes; at most {LINE_MAX_BYTES} are read", self.length)));
        }
        let line = self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line).trim_ascii();
        std::str::from_utf8(line).map_err(|error| malformed(format!("the line is not UTF-8: {error}")))
    }
}

/// Reads to the end of the line, keeping no more than the bound of it; gives the line's whole length in bytes.
fn read_line(source: &mut Source, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let ready = source.fill_buf()?;
        let end = ready.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(ready.len(), |at| at + 1);
        if length + used <= LINE_MAX_BYTES {
            line.extend_from_slice(&ready[..used]);
        }
        length += used;
        source.consume(used);
        if end.is_some() || used == 0 {
            return Ok(length);
        }
    }
}

/// One report object per line.
pub(crate) struct NdjsonRows(Lines);

impl NdjsonRows {
    pub(crate) fn new(source: Source) -> NdjsonRows {
        NdjsonRows(Lines::new(source))
    }
}

impl Rows for NdjsonRows {
    fn advance(&mut self) -> io::Result<bool> {
        self.0.read()
    }

    fn draft(&self) -> Parsed<'_> {
        json::parse_report(self.0.text()?.as_bytes())
    }

    fn original(&self) -> Option<&str> {
        self.0.text().ok()
    }
}

/// `longitude latitude seconds`, as the map-matching benchmark of Kubička et al. has them.
pub(crate) struct TrackRows {
    lines: Lines,
    kind: Kind,
    id: String,
}

impl TrackRows {
    pub(crate) fn new(source: Source, plan: Plan) -> TrackRows {
        TrackRows { lines: Lines::new(source), kind: plan.kind.unwrap_or(Kind::Vehicle), id: plan.id }
    }
}

impl Rows for TrackRows {
    fn advance(&mut self) -> io::Result<bool> {
        self.lines.read()
    }

    fn draft(&self) -> Parsed<'_> {
        let line = self.lines.text()?;
        let mut numbers = line.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(longitude)), Some(Ok(latitude)), Some(Ok(seconds)), None) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            let message = format!("the line is {:?}; longitude, latitude and seconds are expected", shortened(line));
            return Err(Reject::new(RejectCode::Malformed, "", message));
        };
        Ok(Draft {
            kind: Some(self.kind),
            id: Some(Cow::Borrowed(&*self.id)),
            event_time: time::from_number(seconds),
            latitude: Some(latitude),
            longitude: Some(longitude),
            ..Draft::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Result<Option<String>, String>> {
        let mut rows = NdjsonRows::new(Box::new(io::Cursor::new(text.to_owned())));
        let mut read = Vec::new();
        while rows.advance().unwrap() {
            read.push(rows.draft().map(|draft| draft.id.map(Into::into)).map_err(|reject| reject.message));
        }
        read
    }

    #[test]
    fn every_line_that_is_not_blank_is_one_row() {
        let rows = rows("{\"kind\":\"driver\",\"id\":7,\"timestamp\":1425744214000}\n\n[1]\r\n{\"id\":\"x\"}");
        assert_eq!(rows[0], Ok(Some("7".into())));
        assert!(rows[1].is_err());
        assert_eq!(rows[2], Ok(Some("x".into())));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn an_endless_line_is_one_error_and_reading_goes_on() {
        let rows = rows(&format!("{}\n{{\"id\":\"x\"}}\n", "x".repeat(LINE_MAX_BYTES + 1)));
        assert_eq!(rows.len(), 2);
        assert!(rows[0].is_err() && rows[1].is_ok());
    }
}
