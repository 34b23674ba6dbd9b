//! Every real trace file of the shared data reads to its end, with one item per row. Rows are counted independently.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use drover_sim::report::Reading;
use drover_sim::traces::{Fix, Format, RowError, Trace};
use flate2::read::MultiGzDecoder;

/// `DROVER_SHARED`, or the folder beside the repository. Missing data fails the tests: they say nothing without it.
fn traces() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DROVER_SHARED").map_or(beside, PathBuf::from);
    let traces = shared.join("data/traces");
    assert!(traces.is_dir(), "{} is missing; set DROVER_SHARED to the shared folder", traces.display());
    traces
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(traces().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    text
}

fn read(path: &Path) -> (Format, Vec<Fix>, Vec<RowError>) {
    let trace = Trace::open(path).unwrap();
    let format = trace.format();
    let (mut fixes, mut errors) = (Vec::new(), Vec::new());
    for (row, item) in (1..).zip(trace) {
        match item {
            Ok(fix) => {
                assert_eq!(fix.row, row);
                fixes.push(fix);
            }
            Err(error) => {
                assert_eq!(error.row, row);
                errors.push(error);
            }
        }
    }
    (format, fixes, errors)
}

/// Lines that are not blank, without the header.
fn lines(path: &Path, header: usize) -> usize {
    text(path).lines().filter(|line| !line.trim().is_empty()).count() - header
}

#[test]
fn austin_on_7_march_2015_is_44_564_fixes_of_known_values() {
    let (format, fixes, errors) = read(&traces().join("austin-buses/2015-03-07.csv.gz"));
    assert_eq!((format, fixes.len(), errors.len()), (Format::TransitCsv, 44_564, 0));
    let first = &fixes[0].report;
    assert_eq!((&*first.id, first.event_time_ms), ("2010", Some(1_425_744_214_000)));
    assert_eq!((first.latitude, first.longitude, first.speed_kmh), (Some(30.231535), Some(-97.73347), Some(0.0)));
    assert_eq!(first.readings[0], ("route_id".into(), Reading::Text("320".into())));
    assert_eq!(first.readings[2], ("trip_headsign".into(), Reading::Text("NORTHBOUND".into())));
    let ids: BTreeSet<&str> = fixes.iter().map(|fix| &*fix.report.id).collect();
    assert!((130..=330).contains(&ids.len()), "{}", ids.len());
}

#[test]
fn every_austin_day_reads_whole_with_speeds_of_a_bus() {
    for path in files("austin-buses") {
        let (_, fixes, errors) = read(&path);
        assert_eq!((fixes.len(), errors.len()), (lines(&path, 1), 0), "{}", path.display());
        let mut speeds: Vec<f64> = fixes.iter().map(|fix| fix.report.speed_kmh.unwrap()).collect();
        speeds.sort_by(f64::total_cmp);
        let fast = speeds[speeds.len() * 98 / 100];
        // With the other unit this would be 120 km/h in 2015 and 28 later.
        assert!((50.0..80.0).contains(&fast), "{} {fast}", path.display());
    }
}

#[test]
fn every_twizy_drive_reads_whole_and_impossible_dates_are_row_errors() {
    let mut impossible = 0;
    for path in files("twizy-ev") {
        let (format, fixes, errors) = read(&path);
        assert_eq!((format, fixes.len() + errors.len()), (Format::TwizyCsv, lines(&path, 1)), "{}", path.display());
        impossible += errors.len();
        assert!(errors.iter().all(|error| error.message.starts_with("date is not valid")), "{:?}", errors.first());
        assert!(fixes.iter().all(|fix| fix.report.battery_pct.is_some_and(|charge| (0.0..=100.0).contains(&charge))));
        assert!(fixes[0].report.id.starts_with("twizy-T"));
    }
    assert_eq!(impossible, 13 + 25 + 32 + 10);
}

#[test]
fn every_gpx_file_gives_its_track_points_and_nothing_else() {
    for path in files("gpx") {
        let (format, fixes, errors) = read(&path);
        let points = text(&path).matches("<trkpt").count();
        assert_eq!((format, fixes.len(), errors.len()), (Format::Gpx, points, 0), "{}", path.display());
    }
}

#[test]
fn odd_gpx_files_are_read_for_what_they_have() {
    let gpx = |name: &str| read(&traces().join("gpx").join(name)).1;
    assert!(gpx("no_trk.gpx").is_empty() && gpx("no_trkpt.gpx").is_empty());
    let without_times = gpx("andorra_for_map_matching.gpx");
    assert!(without_times.iter().all(|fix| fix.report.event_time_ms.is_none()));
    let first = &gpx("issue-13.gpx")[0].report;
    assert_eq!(
        (first.latitude, first.longitude, first.event_time_ms),
        (Some(41.0119089), Some(29.08910865), Some(1_420_112_102_000))
    );
    assert_eq!(&*first.id, "issue-13");
}

#[test]
fn tables_of_any_origin_are_found_by_their_headers() {
    let paths = ["e-bike", "e-scooter", "osm-gps-berlin"].into_iter().flat_map(files);
    let single = ["aracaju-car-bus/points.csv.gz", "hof-floating-car/points.csv.gz"].map(|name| traces().join(name));
    for path in paths.chain(single) {
        let (format, fixes, errors) = read(&path);
        assert_eq!((format, fixes.len() + errors.len()), (Format::TableCsv, lines(&path, 1)), "{}", path.display());
        // One scooter row really has the latitude 53.3x85817.
        let spoilt = usize::from(path.ends_with("e-scooter/trip_18.csv.gz"));
        assert_eq!(errors.len(), spoilt, "{} {errors:?}", path.display());
        assert!(fixes.iter().all(|fix| fix.report.latitude.is_some() == fix.report.longitude.is_some()));
        // Bicycles report before they have a position.
        let placed = fixes.iter().filter(|fix| fix.report.latitude.is_some()).count();
        assert!(placed * 10 > fixes.len() * 7, "{} {placed} of {}", path.display(), fixes.len());
        let has_times = !path.to_string_lossy().contains("berlin");
        assert!(fixes.iter().all(|fix| fix.report.event_time_ms.is_some() == has_times), "{}", path.display());
    }
}

#[test]
fn map_matching_tracks_read_whole() {
    for folder in files("map-matching-100") {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let path = folder.join(format!("{name}.track.gz"));
        let (format, fixes, errors) = read(&path);
        assert_eq!((format, fixes.len(), errors.len()), (Format::Track, lines(&path, 0), 0), "{name}");
    }
}

#[test]
fn a_torn_gzip_ends_with_one_error() {
    let whole = fs::read(traces().join("austin-buses/2015-03-18.csv.gz")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let torn = folder.path().join("torn.csv.gz");
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let (_, fixes, errors) = read(&torn);
    assert!(fixes.len() > 5000 && errors.len() == 1, "{} {errors:?}", fixes.len());
}
