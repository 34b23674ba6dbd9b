//! Which reader a file needs: by extension where that decides (GPX, NDJSON, TRACK), else by the first character, and
//! for CSV by the header.

use std::io;
use std::path::Path;

use super::{Row, Source, csv_rows, gpx, lines, table, transit, twizy};

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// City bus positions as Capital Metro of Austin published them.
    TransitCsv,
    /// The Renault Twizy data set of Rabat.
    TwizyCsv,
    /// Any CSV with a header of known names.
    TableCsv,
    /// GPX 1.0 or 1.1; track points only.
    Gpx,
    /// One report object per line.
    Ndjson,
    /// Lines of `longitude latitude seconds` without a header.
    Track,
}

/// Looks at the name, then at the first bytes without consuming them.
pub(super) fn recognise(path: &Path, source: &mut Source) -> io::Result<Format> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Ok(match name.rsplit('.').next() {
        Some("gpx") => Format::Gpx,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        Some("track") => Format::Track,
        _ => by_content(source.fill_buf()?),
    })
}

fn by_content(start: &[u8]) -> Format {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'<') => Format::Gpx,
        Some(b'{') => Format::Ndjson,
        _ if header.starts_with(b"vehicle_id,timestamp,speed,route_id,trip_id,") => Format::TransitCsv,
        _ if header.starts_with(b"Date,Time,Soc,Speed,Mode,LAT,LON,") => Format::TwizyCsv,
        _ => Format::TableCsv,
    }
}

/// The rows of a source of this format; `name` is the id of assets where the rows have none.
pub(super) fn rows(format: Format, source: Source, name: &str) -> io::Result<Box<dyn Iterator<Item = Row> + Send>> {
    Ok(match format {
        Format::TransitCsv => Box::new(csv_rows::CsvRows::new(source, |_| Ok(transit::report))?),
        Format::TwizyCsv => {
            let id = twizy::vehicle_id(name);
            Box::new(csv_rows::CsvRows::new(source, |_| Ok(move |cells: &_| twizy::report(&id, cells)))?)
        }
        Format::TableCsv => {
            let table = |header: &_| table::Table::new(header, name);
            Box::new(csv_rows::CsvRows::new(source, |header| {
                table(header).map(|table| move |cells: &_| table.report(cells))
            })?)
        }
        Format::Gpx => Box::new(gpx::GpxRows::new(source, name)),
        Format::Ndjson => Box::new(lines::LineRows::new(source, lines::ndjson)),
        Format::Track => {
            let id = name.to_owned();
            Box::new(lines::LineRows::new(source, move |line| lines::track(&id, line)))
        }
    })
}
