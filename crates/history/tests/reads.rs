//! Point reads against an independent twin: whatever lies in files of tiny pages and in the tail, routes, moments, maps
//! and days are what a plain search through all reports finds. And damaged files are named, never misread or panicked on.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, RangeInclusive};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use drover_history::read::{Footers, MapAt, ReadError, RouteQuery, coverage, coverage_of, each_fix, latest_before};
use drover_history::read::{map_at, route};
use drover_history::{FileWriter, Key, LakeFile, Layout, Rows, Tail, View, report_schema, sort_by_key};
use drover_model::{Draft, Kind, Rules, Sight};
use proptest::prelude::*;
use tempfile::TempDir;

use harness::{DAY, MORNING};

/// Ids that share beginnings, one of them as long as ids may be.
const IDS: [&str; 5] = ["1", "10", "2", "d", "d-01234567890123456789012345678901234567890123456789012345678901"];
const KINDS: [Kind; 2] = [Kind::Driver, Kind::Vehicle];
/// Half an hour before midnight UTC, so that the reports of an hour lie in two days.
const START: i64 = MORNING + 13 * 3_600_000 + 1_800_000;
/// Reports lie within so many milliseconds.
const SPAN: i64 = 3_600_000;

/// A report as the twin remembers it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    position: u64,
    kind: Kind,
    id: &'static str,
    event_time: i64,
    /// None: a report without a place.
    latitude: Option<f64>,
}

impl Known {
    fn key(&self) -> (i64, u64) {
        (self.event_time, self.position)
    }

    fn encoded(&self) -> Vec<u8> {
        let draft = Draft {
            kind: Some(self.kind),
            id: Some(self.id.into()),
            event_time: Some(self.event_time),
            latitude: self.latitude,
            longitude: self.latitude.map(|_| -8.61),
            ..Draft::default()
        };
        let mut bytes = Vec::new();
        draft.check(&Rules::default(), self.event_time + 500).unwrap().encode(&mut bytes);
        bytes
    }
}

fn reports(count: RangeInclusive<usize>) -> impl Strategy<Value = Vec<Known>> {
    // Few moments, so that several reports of an asset share one.
    let one = (0..KINDS.len(), 0..IDS.len(), 0..200_i64, proptest::option::weighted(0.9, 0..1000_i32));
    proptest::collection::vec(one, count).prop_map(|all| {
        let known = |(at, (kind, id, moment, latitude)): (usize, (usize, usize, i64, Option<i32>))| Known {
            position: at as u64 + 1,
            kind: KINDS[kind],
            id: IDS[id],
            event_time: START + moment * (SPAN / 200),
            latitude: latitude.map(|thousandths| 41.0 + f64::from(thousandths) / 1000.0),
        };
        all.into_iter().enumerate().map(known).collect()
    })
}

/// The first reports in files, flush after flush, each flush one file a day; the others in the tail.
fn view(folder: &TempDir, reports: &[Known], flushes: &[usize]) -> View {
    let schema = report_schema(&[]);
    let mut files = Vec::new();
    let mut cursor = 0;
    for &flush in flushes {
        let until = (cursor + flush).min(reports.len());
        let mut days: BTreeMap<i64, Vec<&Known>> = BTreeMap::new();
        for report in &reports[cursor..until] {
            days.entry(report.event_time.div_euclid(DAY)).or_default().push(report);
        }
        for (day, known) in days {
            files.push(Arc::new(file(folder, day as i32, &known, files.len() as i64 + 1)));
        }
        cursor = until;
    }
    files.sort_by_key(|file| (file.day, file.id));
    let rest: Vec<(u64, Vec<u8>)> = reports[cursor..].iter().map(|known| (known.position, known.encoded())).collect();
    let rest = rest.iter().map(|(position, bytes)| (*position, bytes.as_slice()));
    View {
        snapshot: 1,
        files: files.into(),
        tail: Tail::of_records(&schema, "local", rest),
        cursor: cursor as u64,
        position: reports.len() as u64,
        schema,
        data_path: folder.path().into(),
    }
}

fn file(folder: &TempDir, day: i32, known: &[&Known], id: i64) -> LakeFile {
    let schema = report_schema(&[]);
    let mut rows = Rows::new(schema.clone());
    for one in known {
        let bytes = one.encoded();
        rows.push(one.position, &drover_model::Report::decode(&bytes).unwrap(), "local");
    }
    // Small enough that a handful of reports spans pages and groups.
    let layout = Layout { page_rows: 3, group_rows: 10, ..Layout::default() };
    let mut writer = FileWriter::create(folder.path(), day, &schema, &layout).unwrap();
    writer.write(&sort_by_key(&rows.finish())).unwrap();
    let written = writer.finish().unwrap();
    let kinds = known.iter().map(|one| one.kind);
    let ids = known.iter().map(|one| one.id);
    let times = known.iter().map(|one| one.event_time);
    let bound = |kind: Option<Kind>, id: Option<&str>| Key { kind: kind.unwrap(), id: id.unwrap().into() };
    LakeFile {
        id,
        path: written.path.clone(),
        stored: None,
        rows: written.rows,
        bytes: written.bytes,
        footer_bytes: written.footer_bytes,
        day,
        first: bound(kinds.clone().min_by_key(|kind| kind.name()), ids.clone().min()),
        last: bound(kinds.max_by_key(|kind| kind.name()), ids.max()),
        event_time: times.clone().min().unwrap()..=times.max().unwrap(),
        position: known[0].position..=known[known.len() - 1].position,
    }
}

/// The asset's reports within the event times, oldest first.
fn twin(reports: &[Known], kind: Kind, id: &str, time: &RangeInclusive<i64>) -> Vec<(i64, u64)> {
    let mut found: Vec<_> = reports
        .iter()
        .filter(|one| one.kind == kind && one.id == id && time.contains(&one.event_time))
        .map(Known::key)
        .collect();
    found.sort_unstable();
    found
}

fn paged(
    view: &View,
    footers: &Footers,
    kind: Kind,
    id: &str,
    time: &RangeInclusive<i64>,
    limit: usize,
) -> Vec<(i64, u64)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = route(view, footers, &RouteQuery { kind, id, event_time: time.clone(), limit, after, noise: true })
            .unwrap();
        assert!(page.fixes.len() <= limit);
        all.extend(page.fixes.iter().map(|fix| (fix.event_time, fix.position)));
        // As a client gives it back: as text.
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return all;
        }
        assert_eq!(page.fixes.len(), limit, "only the last page is short");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_what_a_plain_search_finds(
        reports in reports(1..=120),
        flushes in proptest::collection::vec(1..60_usize, 0..4),
        (from, to) in (-5..205_i64, -5..205_i64),
        limit in 1..40_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let view = view(&folder, &reports, &flushes);
        let footers = Footers::new(1);
        let time = START + from * (SPAN / 200)..=START + to * (SPAN / 200);
        for (kind, id) in KINDS.into_iter().flat_map(|kind| IDS.map(|id| (kind, id))) {
            let expected = twin(&reports, kind, id, &time);
            prop_assert_eq!(&paged(&view, &footers, kind, id, &time, limit), &expected, "{:?} {}", kind, id);

            let at = *time.end();
            let placed: Vec<Known> = reports.iter().filter(|one| one.latitude.is_some()).cloned().collect();
            let last = twin(&placed, kind, id, &(i64::MIN..=at)).pop();
            let found = latest_before(&view, &footers, kind, id, at).unwrap();
            prop_assert_eq!(found.map(|fix| (fix.event_time, fix.position)), last);

            let days = coverage_of(&view, &footers, kind, id, time.clone()).unwrap();
            let found: Vec<_> = days.iter().map(|day| (day.day, day.reports, day.first, day.last)).collect();
            prop_assert_eq!(found, days_of(expected.iter().map(|(event_time, _)| *event_time)));
        }
    }

    #[test]
    fn the_map_at_a_moment_is_the_last_place_of_each_asset(
        reports in reports(1..=120),
        flushes in proptest::collection::vec(1..60_usize, 0..4),
        at in 0..200_i64,
        age in 0..200_i64,
        kind in proptest::option::of(0..KINDS.len()),
        limit in 1..12_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let view = view(&folder, &reports, &flushes);
        let (at_ms, max_age_ms) = (START + at * (SPAN / 200), age * (SPAN / 200));
        let kind = kind.map(|at| KINDS[at]);
        let mut expected: BTreeMap<(&str, &str), (i64, u64)> = BTreeMap::new();
        for one in reports.iter().filter(|one| one.latitude.is_some() && kind.is_none_or(|kind| kind == one.kind)) {
            if (at_ms - max_age_ms..=at_ms).contains(&one.event_time) {
                let newest = expected.entry((one.kind.name(), one.id)).or_insert(one.key());
                *newest = (*newest).max(one.key());
            }
        }
        let map = MapAt { at_ms, max_age_ms, kind, sight: Sight::All, limit };
        let (assets, truncated) = map_at(&view, &Footers::default(), &map).unwrap();
        prop_assert_eq!(truncated, expected.len() > limit);
        let found: Vec<_> = assets.iter().map(|(key, fix)| ((key.kind.name(), &*key.id), (fix.event_time, fix.position))).collect();
        prop_assert_eq!(found, expected.into_iter().take(limit).collect::<Vec<_>>());
        let whole = coverage(&view, i64::MIN..=i64::MAX);
        let whole: Vec<_> = whole.iter().map(|day| (day.day, day.reports, day.first, day.last)).collect();
        prop_assert_eq!(whole, days_of(reports.iter().map(|one| one.event_time)));
    }
}

/// Day, reports, first and last event time.
fn days_of(event_times: impl Iterator<Item = i64>) -> Vec<(i64, u64, i64, i64)> {
    let mut days: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    event_times.for_each(|time| days.entry(time.div_euclid(DAY)).or_default().push(time));
    let bounds = |times: &Vec<i64>| (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    days.iter().map(|(day, times)| (*day, times.len() as u64, bounds(times).0, bounds(times).1)).collect()
}

/// One day's file of two drivers with many pages, and a view of it.
fn two_drivers(folder: &TempDir) -> (Vec<Known>, View) {
    let known = |position: u64| Known {
        position,
        kind: Kind::Driver,
        id: IDS[position as usize % 2],
        event_time: MORNING + position as i64 * 1000,
        latitude: Some(41.0 + (position * 7919 % 1000) as f64 / 1000.0),
    };
    let reports: Vec<Known> = (1..=400).map(known).collect();
    let view = view(folder, &reports, &[400]);
    (reports, view)
}

#[test]
fn damaged_bytes_name_the_file_or_change_nothing_but_values() {
    let folder = tempfile::tempdir().unwrap();
    let (reports, view) = two_drivers(&folder);
    let file = &view.files[0];
    let whole = fs::read(&file.path).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file.path).unwrap();
    let mut named = 0;
    for at in (0..whole.len()).step_by(whole.len() / 400) {
        open.write_all_at(&[whole[at] ^ 0x5A], at as u64).unwrap();
        let mut fixes = 0;
        // New footers, so that nothing is known from before.
        let read = each_fix(&view, &Footers::default(), Kind::Driver, IDS[0], MORNING..=MORNING + DAY, &mut |_| {
            fixes += 1;
            ControlFlow::Continue(())
        });
        match read {
            // Pages carry no checksums: a flip within a value is a wrong value, perhaps of a key.
            Ok(()) => assert!(fixes <= reports.len(), "at {at}"),
            Err(ReadError::Damaged { file: name, .. }) => {
                assert_eq!(name, file.path, "at {at}");
                named += 1;
            }
        }
        let map = MapAt { at_ms: MORNING + DAY, max_age_ms: DAY, kind: None, sight: Sight::All, limit: 100 };
        if let Err(ReadError::Damaged { file: name, .. }) = map_at(&view, &Footers::default(), &map) {
            assert_eq!(name, file.path, "at {at}");
        }
        open.write_all_at(&whole, 0).unwrap();
    }
    assert!(named > 50, "{named}");
}

#[test]
fn a_file_that_is_gone_or_cut_fails_only_what_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let (reports, view) = two_drivers(&folder);
    let path = &view.files[0].path;
    let whole = fs::read(path).unwrap();
    let read = |time| {
        let query =
            RouteQuery { kind: Kind::Driver, id: IDS[1], event_time: time, limit: 1_000, after: None, noise: true };
        route(&view, &Footers::default(), &query)
    };
    for keep in [0, 7, 8, whole.len() / 2, whole.len() - 1] {
        fs::write(path, &whole[..keep]).unwrap();
        let error = read(MORNING..=MORNING + DAY).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("drover doctor"), "{error}");
        assert_eq!(read(MORNING + DAY..=MORNING + 2 * DAY).unwrap().fixes, [], "another day needs it not");
    }
    fs::remove_file(path).unwrap();
    assert!(matches!(read(MORNING..=MORNING + DAY), Err(ReadError::Damaged { file, .. }) if file == *path));
    fs::write(path, &whole).unwrap();
    let back = read(MORNING..=MORNING + DAY).unwrap();
    assert_eq!(back.fixes.len(), reports.len() / 2, "put back, it is read");
}
