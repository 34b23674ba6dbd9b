//! Walking the chain: every entry's hash, every link, and the end. The first thing that does not fit is named.

use crate::chain::Hash;
use crate::entry::Recorded;
use crate::export::Header;
use crate::head::{self, Head};
use crate::store::{Filter, Store};
use crate::{Error, writer};
use serde::Serialize;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;
use utoipa::ToSchema;

/// What a walk over the chain found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AuditVerdict, example = json!({
    "sound": true, "ledger": "7f0d2c5b9a1e4c3d8b6a5f4e3d2c1b0a", "complete": true, "first": 1, "entries": 12840, "newest": 12840,
    "hash": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b", "fault": null, "seconds": 0.21
}))]
pub struct Verdict {
    /// Whether everything fits.
    pub sound: bool,
    /// The ledger's random name.
    pub ledger: String,
    /// Whether all entries were there to be checked; an export of some says nothing of what lies between them.
    pub complete: bool,
    /// The oldest entry that is there: more than 1 where older ones left by age, as a later entry tells; 0 where there is
    /// none.
    pub first: u64,
    /// Entries that were checked and fit.
    pub entries: u64,
    /// The newest of them; 0 where there is none.
    pub newest: u64,
    /// Its hash: whoever keeps it elsewhere can tell later that nothing before it was changed.
    pub hash: String,
    /// The first thing that does not fit.
    pub fault: Option<Fault>,
    /// How long it took.
    pub seconds: f64,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditFault)]
pub struct Fault {
    /// The first entry that does not fit.
    pub seq: u64,
    /// Why.
    pub kind: FaultKind,
    /// Why, as a sentence.
    pub message: String,
}

/// Why an entry does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditFaultKind)]
pub enum FaultKind {
    /// Its hash is not that of what it says.
    Changed,
    /// It does not follow the one before: one of the two was exchanged.
    Exchanged,
    /// It is not there, and later ones are.
    Missing,
    /// It and all later ones are not there.
    Cut,
    /// `audit.head` is missing or damaged, so that nobody can say whether the end was cut.
    NoHead,
}

/// A walk that is under way.
struct Walk {
    /// The end, as it was written down elsewhere.
    head: Option<Head>,
    complete: bool,
    newest: u64,
    /// The hash of the newest; none where it is not known yet.
    hash: Option<Hash>,
    entries: u64,
    /// An entry that tells that the ledger had lost its end.
    told: Option<u64>,
    /// The first entry.
    first: u64,
    /// What stood before the first entry, where that is not the very first: an entry must tell that it left.
    left: Option<(u64, Hash)>,
}

impl Walk {
    fn new(head: Option<Head>, first_before: Option<Hash>) -> Walk {
        Walk {
            head,
            complete: first_before.is_some(),
            newest: 0,
            hash: first_before,
            entries: 0,
            told: None,
            first: 0,
            left: None,
        }
    }

    fn step(&mut self, entry: &Recorded) -> Result<(), Fault> {
        if self.entries == 0 {
            self.begin_at(entry);
        }
        let (seq, next) = (entry.seq, self.newest + 1);
        let fault = |seq, kind, message: String| Err(Fault { seq, kind, message });
        if seq > next && self.complete {
            let last = seq - 1;
            return fault(next, FaultKind::Missing, format!("entries {next} to {last} are missing"));
        }
        let Some(previous) = Hash::parse(&entry.previous_hash) else {
            return fault(seq, FaultKind::Changed, format!("entry {seq} was changed: it names no entry before"));
        };
        let hash = entry.hash_after(previous);
        if hash.to_string() != entry.hash {
            return fault(seq, FaultKind::Changed, format!("entry {seq} was changed: its hash is of something else"));
        }
        if seq < next || (seq == next && self.hash.is_some_and(|hash| hash != previous)) {
            let message = format!("entry {seq} does not follow entry {}: one of them was exchanged", self.newest);
            return fault(seq, FaultKind::Exchanged, message);
        }
        if self.head.as_ref().is_some_and(|head| head.seq == seq && head.hash != hash) {
            let message = format!("entry {seq} is not the one whose hash was kept: the chain up to it was made anew");
            return fault(seq, FaultKind::Exchanged, message);
        }
        if entry.action == writer::CUT && self.told.is_none() {
            self.told = Some(seq);
        }
        if entry.action == writer::LEFT && self.left.is_some_and(|left| tells_of(entry, left)) {
            self.left = None;
        }
        (self.newest, self.hash) = (seq, Some(hash));
        self.entries += 1;
        Ok(())
    }

    /// A chain whose oldest entries left goes on from what the first one names as the one before it.
    fn begin_at(&mut self, entry: &Recorded) {
        self.first = entry.seq;
        let before = entry.seq.saturating_sub(1);
        if let Some(hash) = Hash::parse(&entry.previous_hash).filter(|_| self.complete && before > 0) {
            (self.newest, self.hash, self.left) = (before, Some(hash), Some((before, hash)));
        }
    }

    /// At the end of what is there.
    fn finish(&self) -> Result<(), Fault> {
        if let Some((last, _)) = self.left {
            let message = format!("entries 1 to {last} are missing, and no later one tells that they left by age");
            return Err(Fault { seq: 1, kind: FaultKind::Missing, message });
        }
        if let Some(seq) = self.told {
            let message = format!("entry {seq} tells that the ledger had lost its end when it was opened");
            return Err(Fault { seq, kind: FaultKind::Cut, message });
        }
        let next = self.newest + 1;
        if let Some(head) = self.head.as_ref().filter(|head| self.complete && head.seq > self.newest) {
            let message = format!("entries {next} to {} were cut off at the end", head.seq);
            return Err(Fault { seq: next, kind: FaultKind::Cut, message });
        }
        Ok(())
    }

    fn verdict(self, ledger: String, fault: Option<Fault>, began: Instant) -> Verdict {
        Verdict {
            sound: fault.is_none(),
            ledger,
            complete: self.complete,
            first: self.first,
            entries: self.entries,
            newest: self.newest,
            hash: self.hash.map_or_else(String::new, |hash| hash.to_string()),
            fault,
            seconds: began.elapsed().as_secs_f64(),
        }
    }
}

/// True for the entry that tells that this one, and all before it, left by age.
fn tells_of(entry: &Recorded, (last, hash): (u64, Hash)) -> bool {
    let after = entry.after.as_ref().and_then(|after| serde_json::from_str::<serde_json::Value>(after.get()).ok());
    after.is_some_and(|after| after["through"] == last && after["hash"] == hash.to_string())
}

/// Walks a ledger that no process writes at this moment, or one that is being written: it ends where the ledger ended when
/// the walk began.
///
/// # Errors
/// There is no ledger, or its database cannot be read.
pub async fn verify_file(path: &Path) -> Result<Verdict, Error> {
    let store = Store::open_there(path).await?;
    let verdict = verify_store(&store, path).await;
    store.database.close().await;
    verdict
}

pub(crate) async fn verify_store(store: &Store, path: &Path) -> Result<Verdict, Error> {
    let began = Instant::now();
    // First the file, which is never ahead.
    let written = head::read(path)?;
    let (head, why) = match written {
        Some(Ok(head)) if head.ledger == store.ledger => (Some(head), ""),
        Some(Ok(_)) => (None, "belongs to another ledger"),
        Some(Err(_)) => (None, "is damaged"),
        None => (None, "is missing"),
    };
    let no_head = head.is_none();
    let mut walk = Walk::new(head, Some(Hash::before_the_first(&store.ledger)));
    let mut fault = walk_store(store, &mut walk).await?;
    if fault.is_none() && no_head {
        let message = format!("audit.head {why}, so that nobody can say whether entries were cut off at the end");
        fault = Some(Fault { seq: walk.newest, kind: FaultKind::NoHead, message });
    }
    Ok(walk.verdict(store.ledger.clone(), fault, began))
}

async fn walk_store(store: &Store, walk: &mut Walk) -> Result<Option<Fault>, Error> {
    let newest = store.newest_seq().await?;
    let until = Filter { cursor: Some(newest + 1), ..Filter::default() };
    loop {
        let found = store.oldest_first(&until, walk.newest).await?;
        if found.is_empty() {
            return Ok(walk.finish().err());
        }
        for (seq, entry) in found {
            let stepped = match entry {
                Ok(entry) => walk.step(&entry),
                Err(why) => Err(unreadable(seq, &why)),
            };
            if let Err(fault) = stepped {
                return Ok(Some(fault));
            }
        }
    }
}

fn unreadable(seq: u64, why: &str) -> Fault {
    Fault { seq, kind: FaultKind::Changed, message: format!("entry {seq} was changed: it cannot be read: {why}") }
}

/// Checks what [`crate::Export`] wrote, without the ledger.
///
/// # Errors
/// It cannot be read, or does not begin as an export does.
pub fn verify_export(mut reader: impl BufRead) -> Result<Verdict, Error> {
    let began = Instant::now();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (head, complete) = Header::parse(&line).map_err(std::io::Error::other)?;
    let ledger = head.ledger.clone();
    let mut walk = Walk::new(Some(head), complete.then(|| Hash::before_the_first(&ledger)));
    let mut fault = None;
    for line in reader.lines() {
        let stepped = match serde_json::from_str::<Recorded>(&line?) {
            Ok(entry) => walk.step(&entry),
            Err(error) => Err(unreadable(walk.newest + 1, &error.to_string())),
        };
        if let Err(found) = stepped {
            fault = Some(found);
            break;
        }
    }
    let fault = fault.or_else(|| walk.finish().err());
    Ok(walk.verdict(ledger, fault, began))
}
