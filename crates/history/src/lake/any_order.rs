//! Whatever is appended, flushed, merged, expired and opened again, in whatever order: the lake holds the same rows.
//! The threads are left out here, so that every order can be tried.

use super::merge;
use super::store::{Step, Store};
use super::{flush, sources};
use crate::View;
use crate::chunk::Chunk;
use crate::history::{Settings, State};
use crate::schema::sort_by_key;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use drover_model::{Draft, Kind, Rules};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_779_962_400_000;

#[derive(Debug, Clone)]
enum Action {
    /// (kind, asset, day, ms of the day) of each report.
    Append(Vec<(u8, u8, i64, i64)>),
    Flush,
    /// Merges what is due; true: as if every day were over.
    Merge(bool),
    Expire,
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    let report = (0..5_u8, 0..6_u8, -2..2_i64, 0..5_000_i64);
    prop_oneof![
        4 => prop::collection::vec(report, 1..60).prop_map(Action::Append),
        4 => Just(Action::Flush),
        2 => any::<bool>().prop_map(Action::Merge),
        1 => Just(Action::Expire),
        1 => Just(Action::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_steps_keeps_every_row_once(actions in prop::collection::vec(action(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut lake = Lake::open(folder.path());
        for action in actions {
            lake.act(action, folder.path());
            lake.check();
        }
    }
}

struct Lake {
    store: Store,
    /// Every record so far; the first has position 1.
    records: Vec<Vec<u8>>,
}

impl Lake {
    fn open(folder: &Path) -> Lake {
        Lake { store: store(folder), records: Vec::new() }
    }

    fn act(&mut self, action: Action, folder: &Path) {
        match action {
            Action::Append(reports) => self.append(&reports),
            Action::Flush => self.flush(),
            Action::Merge(quiet) => self.merge(quiet),
            Action::Expire => drop(self.store.expire(i64::MAX).unwrap()),
            Action::Reopen => self.reopen(folder),
        }
    }

    fn append(&mut self, reports: &[(u8, u8, i64, i64)]) {
        let first = self.records.len();
        self.records.extend(reports.iter().map(|report| record(*report)));
        self.take(first);
    }

    /// As the follower does: records after the first so many become chunks.
    fn take(&self, after: usize) {
        let numbered = self.records[after..].iter().zip(after as u64 + 1..);
        let shape = self.store.shared.state.lock().shape.clone();
        let numbered = numbered.map(|(record, position)| (position, record.as_slice()));
        let chunks = Chunk::of_records(&shape, numbered, &mut |_, _, error| panic!("{error}"));
        self.store.shared.change(|state| {
            chunks.into_iter().for_each(|chunk| state.tail.push(Arc::new(chunk)));
            state.position = self.records.len() as u64;
        });
        let pair = self.store.shared.state.lock().tail.mergeable();
        if let Some((before, last)) = pair {
            let merged = Arc::new(before.merged(&last));
            self.store.shared.change(|state| state.tail.exchange(&before, &last, merged));
        }
    }

    fn flush(&self) {
        let (chunks, cursor, schema) = {
            let mut state = self.store.shared.state.lock();
            (state.tail.freeze(), state.position, state.shape.schema.clone())
        };
        let files = flush::write(&self.store.table, &schema, &chunks, &self.store.layout).unwrap();
        let step = Step { add: &files, progress: Some((cursor, 0)), message: "reports", ..Step::default() };
        let then = |state: &mut State| {
            state.tail.forget(chunks.len());
            state.cursor = cursor;
        };
        self.store.commit(&step, then).unwrap();
    }

    fn merge(&self, quiet: bool) {
        let (files, schema) = {
            let state = self.store.shared.state.lock();
            (state.files.clone(), state.shape.schema.clone())
        };
        let Some(chosen) = merge::plan(&files, |_| quiet) else { return };
        let merged = merge::run(&self.store.table, &schema, &chosen, &self.store.layout, &|| true).unwrap().unwrap();
        let step = Step { add: &[merged], end: &chosen, message: "merged files", ..Step::default() };
        self.store.commit(&step, |_| ()).unwrap();
    }

    /// Memory is gone, the log gives again what is after the cursor.
    fn reopen(&mut self, folder: &Path) {
        self.store = store(folder);
        let cursor = self.store.shared.state.lock().cursor;
        self.take(cursor as usize);
    }

    fn check(&self) {
        let view = crate::History(self.store.shared.clone()).view();
        let mut found = rows(&view);
        found.sort_unstable();
        let wanted: Vec<u64> = (1..=self.records.len() as u64).collect();
        assert_eq!(found, wanted);
        assert_eq!(view.position, self.records.len() as u64);
    }
}

fn store(folder: &Path) -> Store {
    Store::open(Settings { snapshot_keep: Duration::ZERO, ..Settings::new(folder.join("lake")) }).unwrap()
}

fn record((kind, asset, day, ms): (u8, u8, i64, i64)) -> Vec<u8> {
    let event_time = START_MS + day * DAY_MS + ms;
    let draft = Draft {
        kind: Some(Kind::ALL[usize::from(kind)]),
        // Some are alike in their first fifteen bytes.
        id: Some(format!("{}{asset}", if asset % 2 == 0 { "asset-of-a-long-name-" } else { "a" }).into()),
        event_time: Some(event_time),
        ..Draft::default()
    };
    let mut record = Vec::new();
    draft.check(&Rules::default(), event_time).unwrap().encode(&mut record);
    record
}

/// Positions of all rows. Each batch of files and tail is sorted, and a file's rows lie within its bounds.
fn rows(view: &View) -> Vec<u64> {
    let mut batches = view.tail.batches();
    for file in view.files.iter() {
        let opened = std::fs::File::open(&file.path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).unwrap().build().unwrap();
        let of_file: Vec<_> = reader.map(|batch| sources::adapt(batch.unwrap(), &view.schema).unwrap()).collect();
        let whole = arrow::compute::concat_batches(&view.schema, &of_file).unwrap();
        assert_eq!(whole.num_rows() as u64, file.rows);
        for position in whole.column(16).as_primitive::<Int64Type>().values() {
            assert!(file.position.contains(&(*position as u64)));
        }
        batches.push(whole);
    }
    let mut found = Vec::new();
    for batch in batches {
        assert_eq!(sort_by_key(&batch), batch);
        found.extend(batch.column(16).as_primitive::<Int64Type>().values().iter().map(|position| *position as u64));
    }
    found
}
