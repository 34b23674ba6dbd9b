//! Rows of a table of text, one at a time. The state machine is csv-core's; here a row has a bound, which a file that
//! opens a quote and never closes it runs into, instead of into memory.

use crate::profile::Plan;
use crate::source::Source;
use crate::table::{Cells, Table};
use crate::{Parsed, Rows, detect::invalid};
use csv_core::ReadRecordResult;
use drover_model::{Readings, Reject, RejectCode};
use std::io;

/// Longest row, without separators and quotes. No report is that long.
const ROW_MAX_BYTES: usize = 256 << 10;
/// Most cells in a row.
const ROW_MAX_CELLS: usize = 1024;
/// What may stand between cells; the one that is most frequent in the header does.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A CSV file below its header.
pub(crate) struct CsvRows {
    lines: Lines,
    table: Table,
    readings: Readings<'static>,
    wrong: Option<Reject>,
}

impl CsvRows {
    /// Reads the header; `start` are the first bytes of `source`.
    pub(crate) fn new(source: Source, start: &[u8], plan: Plan) -> io::Result<CsvRows> {
        let mut lines = Lines::new(source, delimiter(start));
        if !lines.read()? {
            return Err(invalid("the file is empty"));
        }
        let header = lines.cells().map_err(|reject| invalid(format!("the header: {}", reject.message)))?;
        let table = Table::new(&header, plan).map_err(invalid)?;
        Ok(CsvRows { lines, table, readings: Readings::default(), wrong: None })
    }
}

impl Rows for CsvRows {
    fn advance(&mut self) -> io::Result<bool> {
        if !self.lines.read()? {
            return Ok(false);
        }
        self.readings.clear();
        let read = self.lines.cells().and_then(|cells| self.table.readings(&cells, &mut self.readings));
        self.wrong = read.err();
        Ok(true)
    }

    fn draft(&self) -> Parsed<'_> {
        if let Some(reject) = &self.wrong {
            return Err(reject.clone());
        }
        let mut draft = self.table.draft(self.lines.cells()?)?;
        draft.readings = Readings::from_bytes(self.readings.bytes());
        Ok(draft)
    }
}

/// The delimiter that stands in the header most often.
fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| header.iter().filter(|byte| *byte == delimiter).count();
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Rows cut into cells, which lie behind each other in one buffer.
struct Lines {
    source: Source,
    core: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    text_len: usize,
    cells: usize,
    too_long: bool,
}

impl Lines {
    fn new(source: Source, delimiter: u8) -> Lines {
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let (text, ends) = (vec![0; ROW_MAX_BYTES], vec![0; ROW_MAX_CELLS]);
        Lines { source, core, text, ends, text_len: 0, cells: 0, too_long: false }
    }

    /// Goes to the next row that is not blank; false at the end.
    fn read(&mut self) -> io::Result<bool> {
        (self.text_len, self.cells, self.too_long) = (0, 0, false);
        loop {
            let input = self.source.fill_buf()?;
            let (text, ends) = (&mut self.text[self.text_len..], &mut self.ends[self.cells..]);
            let (result, read, written, ended) = self.core.read_record(input, text, ends);
            self.source.consume(read);
            self.text_len += written;
            self.cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
                // What is too long is read to its end and thrown away, so that the next row is whole again.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (self.text_len, self.cells, self.too_long) = (0, 0, true);
                }
            }
        }
    }

    fn cells(&self) -> Result<Cells<'_>, Reject> {
        let malformed = |message| Reject::new(RejectCode::Malformed, "", message);
        if self.too_long {
            let message =
                format!("the row is longer than {ROW_MAX_BYTES} bytes or {ROW_MAX_CELLS} cells; is a quote left open?");
            return Err(malformed(message));
        }
        let text = std::str::from_utf8(&self.text[..self.text_len])
            .map_err(|error| malformed(format!("the row is not UTF-8 behind its byte {}", error.valid_up_to())))?;
        Ok(Cells { text, ends: &self.ends[..self.cells] })
    }
}
