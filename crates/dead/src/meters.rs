//! How many letters there are and what became of the others, for operators and alarms.

use crate::index::Entry;
use crate::letter::{LetterId, Source};
use crate::shelf::Put;
use crate::{Dead, now_ms};
use metrics::counter;
use std::collections::BTreeMap;

const LETTERS: &str = "drover_dead_letters";
const OLDEST: &str = "drover_dead_letter_oldest_seconds";
const BYTES: &str = "drover_dead_letter_original_bytes";
const PUT: &str = "drover_dead_letters_total";
const CUT: &str = "drover_dead_letters_without_original_total";
const RETRIED: &str = "drover_dead_letters_retried_total";
const DROPPED: &str = "drover_dead_letters_dropped_total";
const EXPIRED: &str = "drover_dead_letters_expired_total";

/// Tells the recorder what each metric is. Once per process, after the recorder is installed.
pub fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge};
    gauge!(LETTERS, "Dead letters that wait, by source");
    gauge!(OLDEST, "Since the first failure of the oldest dead letter, by source; 0 without letters");
    gauge!(BYTES, "Bytes of originals kept with dead letters");
    counter!(PUT, "New dead letters, by source");
    counter!(CUT, "Dead letters kept without their original, by source");
    counter!(RETRIED, "Retries of dead letters, by source and result");
    counter!(DROPPED, "Dead letters that somebody dropped, by source");
    counter!(EXPIRED, "Dead letters that left by themselves, by source and reason (too old, too many)");
}

/// All letters in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// How many there are.
    pub letters: u64,
    /// Bytes of their originals.
    pub bytes: u64,
    /// Of each source that has letters, by name.
    pub by_source: Vec<SourceStatus>,
}

/// The letters of one source in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Which.
    pub source: Source,
    /// How many there are.
    pub letters: u64,
    /// First failure of the oldest, ms UTC.
    pub oldest_ms: i64,
}

impl Dead {
    /// All letters in figures, without the disk.
    pub fn status(&self) -> Status {
        let shelf = self.0.shelf.read();
        let mut by_source = BTreeMap::<Source, SourceStatus>::new();
        for Entry { source, first_failed_ms, .. } in shelf.index().entries() {
            match by_source.get_mut(source) {
                Some(status) => {
                    status.letters += 1;
                    status.oldest_ms = status.oldest_ms.min(*first_failed_ms);
                }
                None => {
                    let status = SourceStatus { source: source.clone(), letters: 1, oldest_ms: *first_failed_ms };
                    by_source.insert(source.clone(), status);
                }
            }
        }
        Status {
            letters: shelf.index().len() as u64,
            bytes: shelf.index().kept_bytes(),
            by_source: by_source.into_values().collect(),
        }
    }

    /// Brings the gauges up to date. It may wait for a letter that is being written, so it is for a thread that may.
    pub fn publish(&self) {
        let Status { bytes, by_source, .. } = self.status();
        let now_ms = now_ms();
        // A source whose letters have all left shows none, rather than its last number for ever.
        let known = self.0.desk.lock().know(by_source.iter().map(|status| status.source.clone()));
        for source in known {
            let status = by_source.iter().find(|status| status.source == source);
            let (letters, oldest_ms) = status.map_or((0, now_ms), |status| (status.letters, status.oldest_ms));
            metrics::gauge!(LETTERS, "source" => source.name().to_owned()).set(letters as f64);
            metrics::gauge!(OLDEST, "source" => source.name().to_owned()).set((now_ms - oldest_ms).max(0) as f64 / 1e3);
        }
        metrics::gauge!(BYTES).set(bytes as f64);
    }
}

/// Begins the counters of a source, so that an alarm sees their first step.
pub(crate) fn begin(source: &Source) {
    let source = source.name().to_owned();
    for name in [PUT, CUT, DROPPED] {
        counter!(name, "source" => source.clone()).increment(0);
    }
    for result in ["done", "failed"] {
        counter!(RETRIED, "source" => source.clone(), "result" => result).increment(0);
    }
    for reason in ["age", "number"] {
        counter!(EXPIRED, "source" => source.clone(), "reason" => reason).increment(0);
    }
}

pub(crate) fn count_put(put: &Put) {
    let source = put.letter.source.name().to_owned();
    counter!(PUT, "source" => source.clone()).increment(u64::from(put.is_new));
    counter!(CUT, "source" => source).increment(u64::from(!put.letter.original_kept));
    count_left(&put.left, "number");
}

pub(crate) fn count_expired(left: &[(LetterId, Entry)]) {
    count_left(left, "age");
}

fn count_left(left: &[(LetterId, Entry)], reason: &'static str) {
    for (_, Entry { source, .. }) in left {
        counter!(EXPIRED, "source" => source.name().to_owned(), "reason" => reason).increment(1);
    }
}

pub(crate) fn count_dropped(dropped: &[(LetterId, Entry)]) {
    for (_, Entry { source, .. }) in dropped {
        counter!(DROPPED, "source" => source.name().to_owned()).increment(1);
    }
}

pub(crate) fn count_retried(source: &Source, done: bool) {
    let result = if done { "done" } else { "failed" };
    counter!(RETRIED, "source" => source.name().to_owned(), "result" => result).increment(1);
}
