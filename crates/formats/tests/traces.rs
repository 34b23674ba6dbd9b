//! Every real trace file of the shared data reads to its end, with one item per row. Rows are counted independently.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use drover_formats::{Format, Profile, Telemetry};
use drover_model::{Draft, Reading, Readings, Reject};
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

/// A draft that outlives its row.
fn kept(draft: &Draft<'_>) -> Draft<'static> {
    let mut readings = Readings::default();
    draft.readings.iter().for_each(|(name, value)| readings.push(name, value).unwrap());
    let id = draft.id.as_ref().map(|id| id.to_string().into());
    Draft { id, readings, status: None, order_id: None, city: None, ..draft.clone() }
}

fn read(path: &Path) -> (Format, Vec<Draft<'static>>, Vec<Reject>) {
    let mut rows = Telemetry::open_path(path, &Profile::default()).unwrap();
    let (mut drafts, mut rejects) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next_row().unwrap() {
        assert_eq!(row.number as usize, drafts.len() + rejects.len() + 1);
        match row.draft {
            Ok(draft) => drafts.push(kept(&draft)),
            Err(reject) => rejects.push(reject),
        }
    }
    (rows.format(), drafts, rejects)
}

/// Lines that are not blank, without the header.
fn lines(path: &Path, header: usize) -> usize {
    text(path).lines().filter(|line| !line.trim().is_empty()).count() - header
}

#[test]
fn austin_on_7_march_2015_is_44_564_fixes_of_known_values() {
    let (format, fixes, errors) = read(&traces().join("austin-buses/2015-03-07.csv.gz"));
    assert_eq!((format, fixes.len(), errors.len()), (Format::Csv, 44_564, 0));
    let first = &fixes[0];
    assert_eq!((first.id.as_deref(), first.event_time), (Some("2010"), Some(1_425_744_214_000)));
    assert_eq!((first.latitude, first.longitude, first.speed_kmh), (Some(30.231535), Some(-97.73347), Some(0.0)));
    let readings: Vec<_> = first.readings.iter().collect();
    assert_eq!(readings[0], ("route_id", Reading::Text("320")));
    assert_eq!(readings[2], ("trip_headsign", Reading::Text("NORTHBOUND")));
    let ids: BTreeSet<&str> = fixes.iter().filter_map(|fix| fix.id.as_deref()).collect();
    assert!((130..=330).contains(&ids.len()), "{}", ids.len());
}

#[test]
fn every_austin_day_reads_whole_with_speeds_of_a_bus() {
    for path in files("austin-buses") {
        let (_, fixes, errors) = read(&path);
        assert_eq!((fixes.len(), errors.len()), (lines(&path, 1), 0), "{}", path.display());
        let mut speeds: Vec<f64> = fixes.iter().map(|fix| fix.speed_kmh.unwrap()).collect();
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
        assert_eq!((format, fixes.len() + errors.len()), (Format::Csv, lines(&path, 1)), "{}", path.display());
        impossible += errors.len();
        assert!(errors.iter().all(|error| error.message.starts_with("time is not understood")), "{:?}", errors.first());
        assert!(fixes.iter().all(|fix| fix.battery_pct.is_some_and(|charge| (0.0..=100.0).contains(&charge))));
        assert!(fixes[0].id.as_deref().unwrap().starts_with("twizy-T"));
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
    assert!(without_times.iter().all(|fix| fix.event_time.is_none()));
    let first = &gpx("issue-13.gpx")[0];
    assert_eq!(
        (first.latitude, first.longitude, first.event_time),
        (Some(41.0119089), Some(29.08910865), Some(1_420_112_102_000))
    );
    assert_eq!(first.id.as_deref(), Some("issue-13"));
}

#[test]
fn tables_of_any_origin_are_found_by_their_headers() {
    let paths = ["e-bike", "e-scooter", "osm-gps-berlin"].into_iter().flat_map(files);
    let single = ["aracaju-car-bus/points.csv.gz", "hof-floating-car/points.csv.gz"].map(|name| traces().join(name));
    for path in paths.chain(single) {
        let (format, fixes, errors) = read(&path);
        assert_eq!((format, fixes.len() + errors.len()), (Format::Csv, lines(&path, 1)), "{}", path.display());
        // One scooter row really has the latitude 53.3x85817.
        let spoilt = usize::from(path.ends_with("e-scooter/trip_18.csv.gz"));
        assert_eq!(errors.len(), spoilt, "{} {errors:?}", path.display());
        assert!(fixes.iter().all(|fix| fix.latitude.is_some() == fix.longitude.is_some()));
        // Bicycles report before they have a position.
        let placed = fixes.iter().filter(|fix| fix.latitude.is_some()).count();
        assert!(placed * 10 > fixes.len() * 7, "{} {placed} of {}", path.display(), fixes.len());
        let has_times = !path.to_string_lossy().contains("berlin");
        assert!(fixes.iter().all(|fix| fix.event_time.is_some() == has_times), "{}", path.display());
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
fn a_torn_gzip_gives_its_rows_and_then_an_error() {
    let whole = fs::read(traces().join("austin-buses/2015-03-18.csv.gz")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let torn = folder.path().join("torn.csv.gz");
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let mut rows = Telemetry::open_path(&torn, &Profile::default()).unwrap();
    let read = std::iter::from_fn(|| matches!(rows.next_row(), Ok(Some(_))).then_some(())).count();
    assert!(read > 5000, "{read}");
    assert!(rows.next_row().unwrap().is_none(), "after the error it has ended");
}

#[test]
fn zstd_is_unpacked_whatever_the_name_says() {
    let plain = text(&traces().join("austin-buses/2015-03-18.csv.gz"));
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("day.csv");
    fs::write(&packed, zstd::encode_all(plain.as_bytes(), 3).unwrap()).unwrap();
    let (_, fixes, rejects) = read(&packed);
    assert_eq!((fixes.len(), rejects.len()), (plain.lines().count() - 1, 0));
}

#[test]
fn vehicle_positions_of_gtfs_realtime_are_rows() {
    let feeds = traces().join("../gtfs-realtime");
    let (format, seq, rejects) = read(&feeds.join("seq-vehicle-positions.pb"));
    assert_eq!((format, seq.len(), rejects.len()), (Format::GtfsRealtime, 920, 0));
    let day = 1_646_611_200_000..1_646_784_000_000; // 7 and 8 March 2022, UTC
    assert!(seq.iter().all(|fix| fix.event_time.is_some_and(|time| day.contains(&time))));
    assert!(seq.iter().all(|fix| (-29.0..=-25.0).contains(&fix.latitude.unwrap())), "South East Queensland");
    let (_, king, rejects) = read(&feeds.join("king-county-vehicle-positions-1.pb"));
    assert_eq!((king.len(), rejects.len()), (627, 0));
    assert!(king.iter().all(|fix| (46.0..=49.0).contains(&fix.latitude.unwrap())), "King County");
    assert!(king[0].readings.iter().any(|(name, _)| name == "route_id" || name == "trip_id"));
}

#[test]
fn parquet_reads_as_the_same_table_in_csv_does() {
    use arrow::array::{Float64Array, StringArray, TimestampMillisecondArray};
    let (_, fixes, _) = read(&traces().join("austin-buses/2015-03-18.csv.gz"));
    let columns: [(&str, arrow::array::ArrayRef); 5] = [
        ("vehicle_id", std::sync::Arc::new(fixes.iter().map(|f| f.id.as_deref()).collect::<StringArray>())),
        (
            "time",
            std::sync::Arc::new(
                fixes.iter().map(|f| f.event_time).collect::<TimestampMillisecondArray>().with_timezone_utc(),
            ),
        ),
        ("lat", std::sync::Arc::new(fixes.iter().map(|f| f.latitude).collect::<Float64Array>())),
        ("lon", std::sync::Arc::new(fixes.iter().map(|f| f.longitude).collect::<Float64Array>())),
        ("speed_kmh", std::sync::Arc::new(fixes.iter().map(|f| f.speed_kmh).collect::<Float64Array>())),
    ];
    let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let (format, read, rejects) = read(&path);
    assert_eq!((format, read.len(), rejects.len()), (Format::Parquet, fixes.len(), 0));
    for (was, is) in fixes.into_iter().zip(read) {
        let is = Draft { readings: was.readings.clone(), ..is };
        assert_eq!(was, is);
    }
}
