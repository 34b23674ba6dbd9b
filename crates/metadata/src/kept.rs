//! The last good table on disk, for a start while the source is down. The file is a line about the table and then a
//! document like any other, so that one reader reads both and a torn file is no whole JSON.

use crate::document::{self, Document};
use crate::table::{Entry, Table};
use crate::{LoadError, settings};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Longest first line, bytes.
const HEAD_MAX_BYTES: u64 = 64 << 10;
/// A kept table is written by us: it may be a little longer than what it was read from.
const MAX_BYTES: u64 = 4 * settings::MAX_BYTES;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    drover_metadata: u32,
    source: String,
    loaded_ms: i64,
    entries: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_speed_kmh: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depot: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
}

#[derive(Serialize)]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    latitude: f64,
    longitude: f64,
}

impl<'a> From<Entry<'a>> for Line<'a> {
    fn from(entry: Entry<'a>) -> Line<'a> {
        Line {
            kind: entry.kind.name(),
            id: entry.id,
            max_speed_kmh: entry.max_speed_kmh,
            depot: entry.depot.map(|(name, at)| Place { name, latitude: at.lat, longitude: at.lon }),
            class: entry.class,
        }
    }
}

/// Keeps a table. On success it is durable and whole; on error the one kept before is still there.
pub(crate) fn write(path: &Path, table: &Table, source: &str, loaded_ms: i64) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let partial = path.with_extension("partial");
    let mut out = BufWriter::with_capacity(1 << 18, File::create(&partial)?);
    let head = Head { drover_metadata: 1, source: source.into(), loaded_ms, entries: table.len() };
    write_all(&head, table, &mut out)?;
    out.into_inner()?.sync_all()?;
    fs::rename(&partial, path)?;
    File::open(folder)?.sync_all()
}

fn write_all(head: &Head, table: &Table, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, head)?;
    out.write_all(b"\n[")?;
    for (number, entry) in table.entries().enumerate() {
        out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &Line::from(entry))?;
    }
    out.write_all(b"\n]\n")
}

/// Reads a kept table and when it was loaded. None: there is none.
pub(crate) fn read(path: &Path, source: &str) -> Result<Option<(Table, i64)>, LoadError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut input = BufReader::new(file.take(MAX_BYTES));
    let mut line = Vec::new();
    input.by_ref().take(HEAD_MAX_BYTES).read_until(b'\n', &mut line)?;
    let head: Head = serde_json::from_slice(&line).map_err(|error| LoadError::NotJson(error.to_string()))?;
    if head.drover_metadata != 1 || head.source != source {
        return Err(LoadError::Kept("it comes from another source or version"));
    }
    let Document { table, .. } = document::read(input, settings::MAX_ENTRIES)?;
    if table.len() != head.entries {
        return Err(LoadError::Kept("entries are missing"));
    }
    Ok(Some((table, head.loaded_ms)))
}
