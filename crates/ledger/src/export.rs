//! The ledger as lines of JSON: first what it is an export of, then the entries, oldest first, with their hashes.

use crate::Error;
use crate::head::{Head, Written};
use crate::store::{Filter, Store, readable};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    /// The version of this form.
    audit_export: u32,
    /// The end of the ledger when the export began.
    head: Written,
    /// Whether all entries up to there follow, or only those of a filter.
    complete: bool,
}

impl Header {
    /// The end of the ledger, and whether all entries follow.
    pub(crate) fn parse(line: &str) -> Result<(Head, bool), String> {
        let header: Header =
            serde_json::from_str(line).map_err(|error| format!("the first line is not that of an export: {error}"))?;
        match header.audit_export {
            1 => Ok((header.head.head()?, header.complete)),
            other => Err(format!("it has form {other}, this version knows 1")),
        }
    }
}

/// An export that is under way. It ends where the ledger ended when it began.
pub struct Export {
    store: Store,
    head: Head,
    filter: Filter,
    complete: bool,
    begun: bool,
    last: u64,
}

impl Export {
    pub(crate) fn new(store: Store, head: Head, filter: Filter) -> Export {
        let complete = Filter { limit: 0, ..filter.clone() } == Filter::default();
        let end = head.seq + 1;
        let cursor = Some(filter.cursor.map_or(end, |cursor| cursor.min(end)));
        Export { store, head, filter: Filter { cursor, ..filter }, complete, begun: false, last: 0 }
    }

    /// The next lines; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut lines = Vec::new();
        if !self.begun {
            let header = Header { audit_export: 1, head: self.head.written(), complete: self.complete };
            line(&mut lines, &header)?;
        }
        let entries = readable(self.store.oldest_first(&self.filter, self.last).await?)?;
        for entry in &entries {
            line(&mut lines, entry)?;
            self.last = entry.seq;
        }
        self.begun = true;
        Ok(Some(Bytes::from(lines)).filter(|lines| !lines.is_empty()))
    }
}

fn line(lines: &mut Vec<u8>, of: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *lines, of).map_err(std::io::Error::from)?;
    lines.push(b'\n');
    Ok(())
}
