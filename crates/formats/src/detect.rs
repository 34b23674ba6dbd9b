//! What a file is: by its first bytes where they tell, else by its name.

use crate::profile::Plan;
use crate::source::{self, Source};
use crate::{Rows, csv, gpx, gtfs, lines, parquet};
use std::fs::File;
use std::io::{self, Seek};

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table with a header: comma, semicolon, tab or bar between cells.
    Csv,
    /// One report object per line.
    Ndjson,
    /// GPX 1.0 or 1.1; track points only.
    Gpx,
    /// Vehicle positions of a GTFS-Realtime feed message.
    GtfsRealtime,
    /// Parquet, columns named as in CSV.
    Parquet,
    /// Lines of `longitude latitude seconds` without a header.
    Track,
}

impl Format {
    /// The word in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Gpx => "gpx",
            Format::GtfsRealtime => "gtfs-realtime",
            Format::Parquet => "parquet",
            Format::Track => "track",
        }
    }
}

/// Recognises the file and starts to read it.
pub(crate) fn open(mut file: File, name: &str, plan: Plan) -> io::Result<(Format, Box<dyn Rows>)> {
    if parquet::is_parquet(&mut file)? {
        return Ok((Format::Parquet, Box::new(parquet::ParquetRows::new(file, plan)?)));
    }
    file.rewind()?;
    let (start, source) = source::start_of(source::unpacked(file)?)?;
    let format = recognise(name, &start)?;
    Ok((format, rows(format, source, &start, plan)?))
}

fn rows(format: Format, source: Source, start: &[u8], plan: Plan) -> io::Result<Box<dyn Rows>> {
    Ok(match format {
        Format::Csv => Box::new(csv::CsvRows::new(source, start, plan)?),
        Format::Ndjson => Box::new(lines::NdjsonRows::new(source)),
        Format::Track => Box::new(lines::TrackRows::new(source, plan)),
        Format::Gpx => Box::new(gpx::GpxRows::new(source, plan)),
        Format::GtfsRealtime => Box::new(gtfs::FeedRows::new(source)?),
        Format::Parquet => unreachable!("recognised before the file is unpacked"),
    })
}

fn recognise(name: &str, start: &[u8]) -> io::Result<Format> {
    let name = name.to_ascii_lowercase();
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    if gtfs::is_feed(start) {
        return Ok(Format::GtfsRealtime);
    }
    match (name.rsplit('.').next(), text.iter().find(|byte| !byte.is_ascii_whitespace())) {
        (_, Some(b'<')) | (Some("gpx"), _) => Ok(Format::Gpx),
        (_, Some(b'{')) | (Some("ndjson" | "jsonl"), _) => Ok(Format::Ndjson),
        (Some("track"), _) => Ok(Format::Track),
        (_, Some(b'[')) => Err(invalid("a JSON array is no file of rows; write one report object per line (NDJSON)")),
        (_, None) => Err(invalid("the file is empty")),
        _ if text.contains(&0) => Err(invalid(
            "the bytes are no text and no known format; CSV, NDJSON, GPX, GTFS-Realtime and Parquet are read, plain or \
             packed with gzip or zstd",
        )),
        _ => Ok(Format::Csv),
    }
}

/// An error that the file, not the disk, is to blame for.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
