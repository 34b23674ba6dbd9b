//! Foreign formats in, drafts out: JSON bodies of the doors, and files of telemetry row by row. A reader only reads: a
//! row that cannot be understood is that row's reject, a row that is understood but absurd is a draft, since judging
//! is admission's work. However large a file is, a reader holds one row or one block of it.

mod csv;
mod detect;
mod gpx;
mod gtfs;
mod json;
mod lines;
mod parquet;
mod profile;
mod source;
mod table;
mod time;

pub use detect::Format;
pub use json::{Parsed, parse_report, parse_reports};
pub use profile::{Profile, ProfileError, SpeedUnit};

use profile::Plan;
use std::fs::File;
use std::io;
use std::path::Path;

/// One data row of a file.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// What it says, or why nobody can tell.
    pub draft: Parsed<'a>,
    /// The row as found, where the format is one of texts that can be sent as they are (NDJSON).
    pub original: Option<&'a str>,
}

/// A format's way through a file: [`Rows::advance`] goes to the next row, [`Rows::row`] tells what it says.
trait Rows: Send {
    /// Goes to the next row; false at the end of the file. After an error the file has ended too: it broke off there.
    fn advance(&mut self) -> io::Result<bool>;

    /// The row gone to, without its number.
    fn draft(&self) -> Parsed<'_>;

    /// The row as found, see [`Row::original`].
    fn original(&self) -> Option<&str> {
        None
    }
}

/// A file being read: exactly one [`Row`] for each data row.
pub struct Telemetry {
    format: Format,
    number: u64,
    ended: bool,
    rows: Box<dyn Rows>,
}

impl Telemetry {
    /// Opens a file. Its compression and, unless the profile says more, its format and columns are recognised from its
    /// first bytes; `name` is its name, which decides where the bytes do not, and names assets where the rows do not.
    ///
    /// # Errors
    /// When it cannot be read, or its header is none of telemetry.
    pub fn open(file: File, name: &str, profile: &Profile) -> io::Result<Telemetry> {
        let plan = Plan::of(profile, name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (format, rows) = detect::open(file, name, plan)?;
        Ok(Telemetry { format, number: 0, ended: false, rows })
    }

    /// Opens a file under its own name, as [`Telemetry::open`] does; errors name the file.
    pub fn open_path(path: &Path, profile: &Profile) -> io::Result<Telemetry> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        File::open(path).and_then(|file| Telemetry::open(file, &name, profile)).map_err(named)
    }

    /// What the file was recognised as.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The next row, or `None` at the end. An error means that the file breaks off behind the last row; afterwards it
    /// has ended.
    pub fn next_row(&mut self) -> io::Result<Option<Row<'_>>> {
        if !self.advance()? {
            return Ok(None);
        }
        Ok(Some(Row { number: self.number, draft: self.rows.draft(), original: self.rows.original() }))
    }

    fn advance(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let more = self.rows.advance();
        self.ended = !matches!(more, Ok(true));
        self.number += u64::from(!self.ended);
        more
    }
}
