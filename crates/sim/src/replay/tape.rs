//! All fixes of some files, as report text ready to be sent, in the order of their event times. Text lies in one
//! block, so that a fix costs its own length and 32 bytes: Austin's day of 44,564 fixes takes about 9 MB.

use std::path::PathBuf;

use serde_json::{Map, Value};

use drover_formats::{Profile, Row, Telemetry};

use crate::error::{Error, Result};
use crate::report::Report;

/// Most report text that one replay holds; bigger collections belong into `import`, which streams.
pub const MAX_TAPE_BYTES: usize = 1 << 30;

/// One fix: where its text lies and when it happened.
struct Entry {
    /// Sorting time: its own, or of the fix before it in its file.
    order_ms: i64,
    event_time_ms: Option<i64>,
    start: usize,
    length: u32,
}

/// Fixes in the order of their times. Texts lack the event time and the closing brace unless times are kept.
pub(super) struct Tape {
    text: Vec<u8>,
    entries: Vec<Entry>,
    keep_times: bool,
}

impl Tape {
    /// Reads all files; what is wrong with a row, or with the end of a file that breaks off, goes to `note`.
    pub(super) fn read(files: &[PathBuf], keep_times: bool, note: &mut impl FnMut(String)) -> Result<Tape> {
        let mut tape = Tape { text: Vec::new(), entries: Vec::new(), keep_times };
        for path in files {
            let open = Telemetry::open_path(path, &Profile::default());
            let mut rows = open.map_err(|source| Error::File { path: path.clone(), source })?;
            let mut last_ms = None;
            loop {
                match rows.next_row() {
                    Ok(Some(row)) => tape.take(row, &mut last_ms, note)?,
                    Ok(None) => break,
                    Err(error) => {
                        note(format!("the file breaks off: {error}"));
                        break;
                    }
                }
            }
        }
        tape.order();
        Ok(tape)
    }

    fn take(&mut self, row: Row<'_>, last_ms: &mut Option<i64>, note: &mut impl FnMut(String)) -> Result<()> {
        let draft = match row.draft {
            Ok(draft) => draft,
            Err(reject) => {
                note(format!("row {}: {}", row.number, reject.message));
                return Ok(());
            }
        };
        *last_ms = draft.event_time.or(*last_ms);
        let start = self.text.len();
        let event_time_ms = draft.event_time;
        match row.original {
            Some(original) => self.append_original(original, event_time_ms),
            None => self.append_report(Report::of(&draft)),
        }
        self.close_entry(start, event_time_ms, *last_ms)
    }

    /// Fixes without any time before them wait for the start of the tape, which is known only at the end.
    fn order(&mut self) {
        let first_ms = self.entries.iter().filter_map(|entry| entry.event_time_ms).min().unwrap_or(0);
        for entry in self.entries.iter_mut().filter(|entry| entry.order_ms == i64::MIN) {
            entry.order_ms = first_ms;
        }
        // Stable: rows of one moment keep the order of their files.
        self.entries.sort_by_key(|entry| entry.order_ms);
    }

    fn close_entry(&mut self, start: usize, event_time_ms: Option<i64>, order_ms: Option<i64>) -> Result<()> {
        if self.text.len() > MAX_TAPE_BYTES {
            return Err(Error::TooLarge(format!(
                "the traces hold more than {} MiB of reports; replay fewer files, or use import",
                MAX_TAPE_BYTES >> 20
            )));
        }
        let length = (self.text.len() - start) as u32;
        self.entries.push(Entry { order_ms: order_ms.unwrap_or(i64::MIN), event_time_ms, start, length });
        Ok(())
    }

    fn append_original(&mut self, original: &str, event_time_ms: Option<i64>) {
        if self.keep_times || event_time_ms.is_none() {
            self.text.extend_from_slice(original.as_bytes());
        } else {
            self.text.extend_from_slice(&without_time(original));
        }
    }

    fn append_report(&mut self, mut report: Report) {
        let timed = report.event_time_ms.is_some();
        if !self.keep_times {
            report.event_time_ms = None;
        }
        report.append_json(&mut self.text);
        if timed && !self.keep_times {
            self.text.pop();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// First and last sorting time.
    pub(super) fn span_ms(&self) -> (i64, i64) {
        let at = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.order_ms);
        (at(self.entries.first()), at(self.entries.last()))
    }

    pub(super) fn order_ms(&self, at: usize) -> i64 {
        self.entries[at].order_ms
    }

    pub(super) fn event_time_ms(&self, at: usize) -> Option<i64> {
        self.entries[at].event_time_ms
    }

    /// Appends the report of a fix. `time_ms` must be given exactly if the fix has a time and times are not kept.
    pub(super) fn append(&self, at: usize, time_ms: Option<i64>, line: &mut Vec<u8>) {
        let Entry { start, length, .. } = self.entries[at];
        line.extend_from_slice(&self.text[start..start + length as usize]);
        if let Some(time_ms) = time_ms {
            let comma = if line.ends_with(b"{") { "" } else { "," };
            line.extend_from_slice(format!("{comma}\"timestamp\":{time_ms}}}").as_bytes());
        }
    }
}

/// The object without its event time and without the closing brace.
fn without_time(original: &str) -> Vec<u8> {
    let mut object: Map<String, Value> =
        serde_json::from_str(original).expect("the reader has parsed this line before");
    for name in ["timestamp", "time", "event_time", "eventTime"] {
        object.remove(name);
    }
    let mut text = serde_json::to_vec(&object).expect("a parsed object can be written");
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(files: &[(&str, &str)], keep_times: bool) -> (Tape, u64) {
        let folder = tempfile::tempdir().unwrap();
        let write = |(name, text): &(&str, &str)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let paths: Vec<PathBuf> = files.iter().map(write).collect();
        let mut errors = 0;
        (Tape::read(&paths, keep_times, &mut |_| errors += 1).unwrap(), errors)
    }

    fn lines(tape: &Tape, time_ms: Option<i64>) -> Vec<String> {
        let line = |at| {
            let mut line = Vec::new();
            tape.append(at, tape.event_time_ms(at).and(time_ms), &mut line);
            String::from_utf8(line).unwrap()
        };
        (0..tape.len()).map(line).collect()
    }

    const FILES: [(&str, &str); 2] = [
        ("a.csv", "id,lat,lon,time\na,1,2,2000\nb,1,2,\nc,north,2,1000\n"),
        ("b.ndjson", "{\"id\":\"d\",\"timestamp\":1000000,\"x\":[1]}\n"),
    ];

    #[test]
    fn files_are_merged_by_time_and_times_replaced() {
        let (tape, errors) = tape(&FILES, false);
        assert_eq!(errors, 1);
        assert_eq!(tape.span_ms(), (1_000_000, 2_000_000));
        assert_eq!(
            lines(&tape, Some(7)),
            [
                r#"{"id":"d","x":[1],"timestamp":7}"#,
                r#"{"kind":"vehicle","id":"a","latitude":1.0,"longitude":2.0,"timestamp":7}"#,
                r#"{"kind":"vehicle","id":"b","latitude":1.0,"longitude":2.0}"#,
            ]
        );
    }

    #[test]
    fn kept_times_are_sent_as_they_are() {
        let (tape, _) = tape(&FILES, true);
        let lines = lines(&tape, None);
        assert_eq!(lines[0], r#"{"id":"d","timestamp":1000000,"x":[1]}"#);
        assert!(lines[1].contains("\"timestamp\":2000000"), "{}", lines[1]);
    }
}
