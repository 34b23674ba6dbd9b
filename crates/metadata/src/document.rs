//! A document of metadata, read as a stream into a [`Table`]: a list of entries, an object with the list under
//! `vehicles`, or an object of entries by id. Only one entry is in memory beside the table at any time.

use crate::LoadError;
use crate::entry::Said;
use crate::status::Skipped;
use crate::table::Table;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufReader, Cursor, Read};

/// So many skipped entries are named.
const EXAMPLES_MAX: usize = 20;
/// Longest name or reason in an example, characters.
const EXAMPLE_MAX_CHARS: usize = 160;
/// The key that holds the entries, and therefore never an id.
const VEHICLES: &str = "vehicles";
/// Some programs write it at the start of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A whole document.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub table: Table,
    pub skipped: u64,
    pub examples: Vec<Skipped>,
    seen: usize,
    entries_max: usize,
    is_over: bool,
}

/// Reads a whole document. On error nothing of it is used.
pub(crate) fn read(input: impl Read, entries_max: usize) -> Result<Document, LoadError> {
    let mut document = Document { entries_max, ..Document::default() };
    let mut json = serde_json::Deserializer::from_reader(without_mark(input)?);
    let read = Top { document: &mut document, is_inner: false }.deserialize(&mut json).and_then(|()| json.end());
    if document.is_over {
        return Err(LoadError::TooMany(entries_max));
    }
    read.map_err(|error| match error.is_io() {
        true => LoadError::Io(error.into()),
        false => LoadError::NotJson(cut(&error.to_string())),
    })?;
    if let ([first, ..], 0) = (&*document.examples, document.table.len()) {
        return Err(LoadError::NothingUsable { count: document.skipped, first: first.to_string() });
    }
    document.table.finish();
    Ok(document)
}

/// JSON is read byte by byte, which only a `BufReader` itself makes cheap.
fn without_mark(mut input: impl Read) -> Result<BufReader<impl Read>, LoadError> {
    let mut start = Vec::with_capacity(3);
    input.by_ref().take(3).read_to_end(&mut start)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(BufReader::with_capacity(1 << 16, Cursor::new(start).chain(input)))
}

impl Document {
    fn add<E: Error>(&mut self, key: Option<&str>, said: &Said) -> Result<(), E> {
        self.seen += 1;
        if self.seen > self.entries_max {
            self.is_over = true;
            return Err(E::custom("too many entries"));
        }
        match said {
            Said::Other(what) => self.skip(key, format!("{what}, not an object")),
            Said::Fields(fields) => match fields.check(key) {
                Err(reason) => self.skip(fields.name(key).as_deref(), reason),
                Ok(believed) => {
                    if self.table.insert(&believed.entry()) {
                        self.skip(Some(&believed.id), "there twice; the last one counts".into());
                    }
                }
            },
        }
        Ok(())
    }

    fn skip(&mut self, name: Option<&str>, reason: String) {
        self.skipped += 1;
        if self.examples.len() < EXAMPLES_MAX {
            let entry = name.map_or_else(|| format!("entry {}", self.seen), cut);
            self.examples.push(Skipped { entry, reason: cut(&reason) });
        }
    }

    /// What stood before `vehicles` was no entry after all.
    fn restart(&mut self) {
        *self = Document { entries_max: self.entries_max, ..Document::default() };
    }
}

fn cut(text: &str) -> String {
    text.chars().take(EXAMPLE_MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The document, or what stands under `vehicles`.
struct Top<'a> {
    document: &'a mut Document,
    is_inner: bool,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(said) = seq.next_element()? {
            self.document.add(None, &said)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == VEHICLES && !self.is_inner {
                self.document.restart();
                map.next_value_seed(Top { document: self.document, is_inner: true })?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            self.document.add(Some(&key), &map.next_value()?)?;
        }
        Ok(())
    }
}
