//! Erasure: what the tail and the files hold of an asset goes, and with it the snapshots that still name it. Files are
//! written anew without the rows and exchanged in one transaction, so that a crash leaves either the old file or the new one;
//! after a restart, or a restored copy of the lake, the list of erasures is looked through again.

use crate::history::Shared;
use crate::lake::Error;
use crate::lake::catalog::now_ms;
use crate::lake::sources::Sources;
use crate::lake::stats::at;
use crate::lake::store::{Step, Store};
use crate::lake::writer::FileWriter;
use crate::{Key, LakeFile};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use drover_model::Erased;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An asset is done with when so many looks in a row have found nothing: a batch may be on its way into the tail.
const CLEAN_LOOKS: u32 = 2;

/// What this process has looked for, and how often in a row it found nothing.
#[derive(Debug, Default)]
pub(crate) struct Erasing {
    clean: BTreeMap<Key, (i64, u32)>,
}

impl Erasing {
    /// Looks for what was erased and lets it go. What fails is tried at the next look.
    pub(crate) fn look(&mut self, store: &Store) {
        if store.settings.erasures.is_empty() {
            return;
        }
        let mut problem = None;
        let mut open = 0;
        for erased in store.settings.erasures.list() {
            let key = Key { kind: erased.kind, id: erased.id.clone() };
            let looks =
                self.clean.get(&key).filter(|(until, _)| *until >= erased.until_ms).map_or(0, |(_, looks)| *looks);
            if looks >= CLEAN_LOOKS || store.shared.is_stopping() {
                continue;
            }
            open += 1;
            match erase(store, &erased) {
                Ok(found) => drop(self.clean.insert(key, (erased.until_ms, if found { 0 } else { looks + 1 }))),
                Err(error) => {
                    tracing::error!(%error, "an asset could not be erased from history; trying again");
                    metrics::counter!("drover_history_errors_total", "activity" => "erasure").increment(1);
                    problem = Some(format!("erasing from history: {error}"));
                }
            }
        }
        store.shared.state.lock().status.erasing = open;
        store.shared.set_problem("erasure", problem);
    }
}

/// True if there was something to erase.
fn erase(store: &Store, erased: &Erased) -> Result<bool, Error> {
    if in_tail(&store.shared, erased) {
        // It is written to files first, from where it goes at the next look.
        store.shared.state.lock().flush_wanted = true;
        store.shared.news.notify_all();
        return Ok(true);
    }
    let key = Key { kind: erased.kind, id: erased.id.clone() };
    let files = store.shared.state.lock().files.clone();
    let mut found = false;
    for file in files.iter().filter(|file| file.first <= key && key <= file.last) {
        found |= rewrite(store, file, erased)?;
    }
    if found {
        tracing::info!(kind = erased.kind.name(), "an asset was erased from files of history");
    }
    // Older snapshots still name the old files; whoever reads one holds its files until then.
    store.expire(now_ms() + 1)?;
    Ok(found)
}

fn in_tail(shared: &Shared, erased: &Erased) -> bool {
    let tail = shared.state.lock().tail.tail();
    let mut found = false;
    tail.each(&mut |_, report| {
        found |= report.kind == erased.kind && *report.id == *erased.id && report.receive_time <= erased.until_ms;
    });
    found
}

/// Exchanges the file for one without the rows; false if it has none of them.
fn rewrite(store: &Store, file: &Arc<LakeFile>, erased: &Erased) -> Result<bool, Error> {
    let schema = store.shared.state.lock().shape.schema.clone();
    let ended = std::slice::from_ref(file);
    let mut sources = Sources::open(ended, &schema)?;
    let mut written = FileWriter::create(&store.table, file.day, &schema, &store.layout)?;
    let (mut rows, mut kept) = (0, 0);
    while let Some(batch) = sources.next()? {
        rows += batch.num_rows() as u64;
        let rest = filter_record_batch(&batch, &remaining(&batch, erased)).expect("a mask of the batch's length");
        kept += rest.num_rows() as u64;
        if rest.num_rows() > 0 {
            written.write(&rest)?;
        }
        if store.shared.is_stopping() {
            return Ok(true);
        }
    }
    if kept == rows {
        return Ok(false);
    }
    if kept == 0 {
        drop(written);
        store.commit(&Step { end: ended, message: "erased", ..Step::default() }, |_| ())?;
        return Ok(true);
    }
    let written = written.finish()?;
    let brought = store.bring(&written);
    if brought.is_err() {
        store.withdraw(&[written]);
    }
    let add = [brought?];
    let step = Step { add: &add, end: ended, message: "erased", ..Step::default() };
    store.commit(&step, |_| ()).inspect_err(|_| store.withdraw(&add))?;
    Ok(true)
}

/// The rows that stay.
fn remaining(batch: &RecordBatch, erased: &Erased) -> BooleanArray {
    let kinds = batch.column(at::KIND).as_string::<i32>();
    let ids = batch.column(at::ID).as_string::<i32>();
    let received = batch.column_by_name("receive_time").expect("every lake has the column");
    let received = received.as_primitive::<TimestampMillisecondType>();
    let stays = |row: usize| {
        kinds.value(row) != erased.kind.name() || ids.value(row) != &*erased.id || received.value(row) > erased.until_ms
    };
    (0..batch.num_rows()).map(|row| Some(stays(row))).collect()
}
