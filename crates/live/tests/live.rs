//! The live state against its rules: newest wins, replays are equal byte for byte, searches agree
//! with a brute-force twin, watchers miss nothing.

use drover_geo::{BoundingBox, Point, distance_m};
use drover_live::{Area, Filter, Frame, Freshness, Live, Running, Settings, TooManyWatchers, Watcher, Wish};
use drover_log::{Log, MemoryEngine};
use drover_model::{AssetRef, Draft, Erased, Erasures, Kind, RecordMut, Rules, Sees, Sight};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NOW: i64 = 1_790_000_000_000;

fn log() -> Log {
    Log::open(MemoryEngine::new(1 << 30), drover_log::Settings::default())
}

fn start(log: &Log, folder: &Path) -> (Live, Running) {
    let encode = |seen: &drover_live::Seen<'_>, out: &mut Vec<u8>| {
        out.extend_from_slice(format!("{}@{}", seen.report.id, seen.report.event_time - NOW).as_bytes());
    };
    Live::follow(log, folder, Settings::default(), Box::new(encode)).unwrap()
}

#[derive(Debug, Clone)]
struct Said {
    kind: Kind,
    id: u8,
    time: i64,
    at: Option<(f64, f64)>,
}

impl Said {
    fn append(&self, log: &Log) -> u64 {
        let draft = Draft {
            kind: Some(self.kind),
            id: Some(self.id.to_string().into()),
            event_time: Some(NOW + self.time),
            latitude: self.at.map(|at| at.0),
            longitude: self.at.map(|at| at.1),
            ..Draft::default()
        };
        let report = draft.check(&Rules { max_clock_ahead_ms: i64::MAX, ..Rules::default() }, NOW).unwrap();
        let mut record = Vec::new();
        report.encode(&mut record);
        log.append(RecordMut::new(&mut record).bytes()).unwrap()
    }
}

/// Appends without caring for the position.
fn say(log: &Log, said: &Said) {
    let _position = said.append(log);
}

fn car(id: u8, time: i64, lat: f64, lon: f64) -> Said {
    Said { kind: Kind::Vehicle, id, time, at: Some((lat, lon)) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Waits until live has applied the whole log.
fn catch_up(log: &Log, live: &Live) {
    let end = log.next_position() - 1;
    assert!(runtime().block_on(live.wait_applied(end, Duration::from_secs(20))), "live did not reach {end}");
}

fn event_time(live: &Live, id: &str) -> i64 {
    live.get(Kind::Vehicle, id, |seen| seen.report.event_time).unwrap() - NOW
}

#[test]
fn late_report_does_not_move_the_live_position() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    car(1, 10, 41.0, -8.0).append(&log);
    car(1, 5, 50.0, 8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(event_time(&live, "1"), 10);
    let fix = live.fix(&AssetRef::parse("vehicle/1").unwrap()).unwrap().unwrap();
    assert_eq!((fix.at.lat(), fix.at.lon()), (41.0, -8.0));
    running.stop();
}

#[test]
fn a_heartbeat_without_a_place_keeps_the_last_known_one() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    car(1, 1, 41.0, -8.0).append(&log);
    Said { at: None, ..car(1, 2, 0.0, 0.0) }.append(&log);
    catch_up(&log, &live);
    assert_eq!(event_time(&live, "1"), 2);
    let fix = live.fix(&AssetRef::parse("vehicle/1").unwrap()).unwrap().unwrap();
    assert_eq!((fix.at.lat(), fix.time - NOW), (41.0, 1));
    running.stop();
}

#[test]
fn a_record_that_is_no_report_is_passed_over() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    log.append(b"junk").unwrap();
    car(1, 1, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(live.len(), 1);
    running.stop();
}

#[test]
fn freshness_follows_the_age_of_the_last_report() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    assert_eq!(live.freshness(NOW, NOW + 60_000), Freshness::Live);
    assert_eq!(live.freshness(NOW, NOW + 60_001), Freshness::Stale);
    assert_eq!(live.freshness(NOW, NOW + 300_001), Freshness::Offline);
    running.stop();
}

#[test]
fn a_torn_snapshot_is_passed_over_for_the_log() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    (0..100).for_each(|i| say(&log, &car(i, 1, 41.0, f64::from(i))));
    catch_up(&log, &live);
    let before = live.checksum();
    running.stop();
    let snapshot = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let (live, running) = start(&log, folder.path());
    catch_up(&log, &live);
    assert_eq!(live.checksum(), before);
    running.stop();
}

/// `id@time` of the assets of a frame, and whether more of a snapshot follows.
fn items(frame: &Frame) -> Vec<String> {
    let (Frame::Snapshot { assets, .. } | Frame::Changes { assets, .. }) = frame;
    assets.iter().map(|asset| String::from_utf8(asset.to_vec()).unwrap()).collect()
}

fn next(watcher: &mut Watcher) -> Vec<String> {
    let frame = runtime().block_on(async { tokio::time::timeout(Duration::from_secs(20), watcher.next()).await });
    items(&frame.expect("a frame within the deadline").expect("live goes on"))
}

#[test]
fn the_end_of_the_log_is_the_end_of_following() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    say(&log, &car(1, 1, 41.0, -8.0));
    catch_up(&log, &live);
    log.close();
    // Nobody has told it to stop: it ends by itself, with its last snapshot, instead of asking again and again.
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while std::fs::read_dir(folder.path()).unwrap().next().is_none() {
        assert!(std::time::Instant::now() < deadline, "it goes on reading a log that has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.stop();
}

#[test]
fn a_watcher_gets_the_state_and_then_the_newest_of_what_changed() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    car(1, 1, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    let mut watcher = live.watch(Wish::default()).unwrap();
    assert_eq!(next(&mut watcher), ["1@1"]);
    (2..500).for_each(|t| say(&log, &car(1, t, 41.0, -8.0)));
    car(2, 1, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["1@499", "2@1"], "changes of one asset travel as one");
    running.stop();
}

#[test]
fn a_watcher_that_comes_back_gets_only_what_changed() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    let left_at = car(1, 1, 41.0, -8.0).append(&log);
    car(2, 7, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    let mut watcher = live.watch(Wish { since: Some(left_at), ..Wish::default() }).unwrap();
    assert_eq!(next(&mut watcher), ["2@7"]);
    running.stop();
}

#[test]
fn a_watcher_further_behind_than_the_ring_still_ends_on_the_newest_state() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    car(1, 1, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    let mut watcher = live.watch(Wish::default()).unwrap();
    assert_eq!(next(&mut watcher), ["1@1"]);
    (2..70_000).for_each(|t| say(&log, &car((t % 200) as u8, t, 41.0, -8.0)));
    catch_up(&log, &live);
    let got = next(&mut watcher);
    assert_eq!(got.len(), 200);
    assert!(got.contains(&"199@69999".to_owned()), "{got:?}");
    running.stop();
}

#[test]
fn whoever_leaves_the_viewport_is_shown_once_more() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    car(1, 1, 41.0, -8.0).append(&log);
    car(2, 1, 10.0, 10.0).append(&log);
    catch_up(&log, &live);
    let viewport = Some(BoundingBox { west: -9.0, south: 40.0, east: -7.0, north: 42.0 });
    let mut watcher = live.watch(Wish { viewport, ..Wish::default() }).unwrap();
    assert_eq!(next(&mut watcher), ["1@1"]);
    car(1, 2, 50.0, -8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["1@2"]);
    car(1, 3, 51.0, -8.0).append(&log);
    car(2, 2, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["2@2"], "what happens outside is not shown");
    running.stop();
}

/// Sees cars with an even number.
struct Even;

impl Sees for Even {
    fn sees(&self, _: Kind, id: &str) -> bool {
        id.parse::<u32>().is_ok_and(|id| id % 2 == 0)
    }
}

#[test]
fn what_somebody_may_not_see_is_in_no_frame_and_no_search() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    (1..=4).for_each(|id| say(&log, &car(id, 1, 41.0, -8.0)));
    catch_up(&log, &live);
    let sight = Sight::Some(Arc::new(Even));
    let mut watcher = live.watch(Wish { sight: sight.clone(), ..Wish::default() }).unwrap();
    let frame = runtime().block_on(watcher.next()).expect("a frame");
    assert!(matches!(frame, Frame::Snapshot { total: 2, .. }), "{frame:?}");
    assert_eq!(items(&frame), ["2@1", "4@1"]);
    (1..=4).for_each(|id| say(&log, &car(id, 2, 41.0, -8.0)));
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["2@2", "4@2"]);
    let area = Area::Circle { centre: Point { lat: 41.0, lon: -8.0 }, radius_m: f64::INFINITY };
    let filter = Filter { sight, ..Filter::default() };
    let (_, _, found) = live.search(&area, &filter, 10, 1, |found| found.seen.report.id.to_string());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|id| Even.sees(Kind::Vehicle, id)), "{found:?}");
    running.stop();
}

fn named(assets: &[&str]) -> Wish {
    Wish { assets: assets.iter().map(|name| AssetRef::parse(name).unwrap()).collect(), ..Wish::default() }
}

#[test]
fn who_named_an_asset_hears_of_it_and_of_nothing_else() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    (1..=3).for_each(|id| say(&log, &car(id, 1, 41.0, -8.0)));
    catch_up(&log, &live);
    let mut watcher = live.watch(named(&["vehicle/2", "vehicle/9"])).unwrap();
    assert_eq!(next(&mut watcher), ["2@1"], "what is not known yet is no error");
    (1..=3).step_by(2).for_each(|id| say(&log, &car(id, 2, 41.0, -8.0)));
    catch_up(&log, &live);
    let silence = async { tokio::time::timeout(Duration::from_millis(100), watcher.next()).await };
    assert!(runtime().block_on(silence).is_err());
    say(&log, &car(2, 2, 41.0, -8.0));
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["2@2"]);
    say(&log, &car(9, 1, 41.0, -8.0));
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["9@1"]);
    watcher.change_wish(named(&["vehicle/1"]));
    assert_eq!(next(&mut watcher), ["1@2"]);
    (1..=2).for_each(|id| say(&log, &car(id, 3, 41.0, -8.0)));
    catch_up(&log, &live);
    assert_eq!(next(&mut watcher), ["1@3"], "the old wish is forgotten");
    live.end_watchers();
    assert!(runtime().block_on(watcher.next()).is_none());
    running.stop();
}

#[test]
fn many_who_follow_one_each_all_end_on_its_newest_state() {
    const CARS: u8 = 40;
    const LAST: i64 = 300;
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let (live, running) = start(&log, folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let followers: Vec<_> = (0..CARS * 2)
        .map(|at| {
            let id = at % CARS;
            let mut watcher = live.watch(named(&[&format!("vehicle/{id}")])).unwrap();
            let until = format!("{id}@{LAST}");
            runtime.spawn(async move {
                while let Some(frame) = watcher.next().await {
                    let seen = items(&frame);
                    assert!(seen.iter().all(|item| item.starts_with(&format!("{id}@"))), "{id} got {seen:?}");
                    if seen.contains(&until) {
                        break;
                    }
                }
            })
        })
        .collect();
    for time in 1..=LAST {
        (0..CARS).for_each(|id| say(&log, &car(id, time, 41.0, f64::from(id))));
    }
    for follower in followers {
        let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), follower).await });
        ended.expect("no change was missed").unwrap();
    }
    running.stop();
}

#[test]
fn an_erased_asset_is_in_no_answer_no_snapshot_and_no_replay() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let erasures = Erasures::default();
    let settings = Settings { erasures: erasures.clone(), ..Settings::default() };
    let encode = || -> drover_live::Encode { Box::new(|_, _| {}) };
    let (live, running) = Live::follow(&log, folder.path(), settings.clone(), encode()).unwrap();
    (1..=3).for_each(|id| say(&log, &car(id, 1, 41.0, -8.0)));
    catch_up(&log, &live);
    running.stop();
    let (live, running) = Live::follow(&log, folder.path(), settings.clone(), encode()).unwrap();
    erasures.add(Erased { kind: Kind::Vehicle, id: "2".into(), until_ms: i64::MAX });
    live.forget_erased();
    assert!(live.get(Kind::Vehicle, "2", |_| ()).is_none());
    assert_eq!((live.len(), live.get(Kind::Vehicle, "3", |seen| seen.report.id.to_string())), (2, Some("3".into())));
    // What comes of it in the log again is passed over, and reading goes on.
    car(2, 5, 41.0, -8.0).append(&log);
    car(1, 5, 41.0, -8.0).append(&log);
    catch_up(&log, &live);
    assert_eq!(live.len(), 2);
    running.stop();
    // The snapshot itself has it no more: this start knows of no erasures.
    let (live, running) = Live::follow(&log, folder.path(), Settings::default(), encode()).unwrap();
    assert_eq!(live.len(), 2);
    running.stop();
}

#[test]
fn watchers_beyond_the_limit_are_refused_and_a_leaver_makes_room() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let settings = Settings { max_watchers: 2, ..Settings::default() };
    let (live, running) = Live::follow(&log, folder.path(), settings, Box::new(|_, _| {})).unwrap();
    let first = live.watch(Wish::default()).unwrap();
    let _second = live.watch(Wish::default()).unwrap();
    assert!(live.watch(Wish::default()).is_err());
    drop(first);
    assert!(live.watch(Wish::default()).is_ok());
    running.stop();
}

#[test]
fn an_owner_has_a_bound_of_his_own_and_takes_no_place_of_others() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let settings = Settings { max_watchers: 5, max_watchers_of_owner: 2, ..Settings::default() };
    let (live, running) = Live::follow(&log, folder.path(), settings, Box::new(|_, _| {})).unwrap();
    let first = live.watch_as(Some("user/a"), Wish::default()).unwrap();
    let _second = live.watch_as(Some("user/a"), Wish::default()).unwrap();
    let refused = live.watch_as(Some("user/a"), Wish::default()).unwrap_err();
    assert_eq!(refused, TooManyWatchers::OfOwner(2));
    assert_eq!(live.watchers(), 2, "who was refused takes no place");
    let _other = live.watch_as(Some("user/b"), Wish::default()).unwrap();
    let _nobodys = live.watch(Wish::default()).unwrap();
    drop(first);
    let _again = live.watch_as(Some("user/a"), Wish::default()).unwrap();
    let _whole = live.watch(Wish::default()).unwrap();
    assert_eq!(live.watch_as(Some("user/b"), Wish::default()).unwrap_err(), TooManyWatchers::InAll(5));
    running.stop();
}

fn anywhere() -> impl Strategy<Value = (f64, f64)> {
    let pole = prop_oneof![Just(90.0), Just(-90.0), 89.0..90.0, -90.0..-89.0];
    let seam = prop_oneof![Just(180.0), Just(-180.0), 179.0..180.0, -180.0..-179.0];
    prop_oneof![(-90.0..=90.0, -180.0..=180.0), (41.0..41.2, -8.7..-8.5), (pole, -180.0..=180.0), (-10.0..10.0, seam),]
}

fn said() -> impl Strategy<Value = Said> {
    let kind = prop_oneof![Just(Kind::Vehicle), Just(Kind::Driver)];
    (kind, 0u8..60, 0i64..50, proptest::option::weighted(0.9, anywhere())).prop_map(|(kind, id, time, at)| Said {
        kind,
        id,
        time,
        at,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn replays_from_any_snapshot_are_equal_byte_for_byte(said in proptest::collection::vec(said(), 1..200), cut in 0usize..200) {
        let (log, folder, fresh) = (log(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (live, running) = start(&log, folder.path());
        let cut = cut.min(said.len());
        said[..cut].iter().for_each(|s| say(&log, s));
        catch_up(&log, &live);
        running.stop(); // writes a snapshot
        said[cut..].iter().for_each(|s| say(&log, s));
        let (resumed, running) = start(&log, folder.path());
        let (replayed, running_fresh) = start(&log, fresh.path());
        catch_up(&log, &resumed);
        catch_up(&log, &replayed);
        prop_assert_eq!(resumed.checksum(), replayed.checksum());
        running.stop();
        running_fresh.stop();
    }

    #[test]
    fn searches_agree_with_a_brute_force_twin(
        said in proptest::collection::vec(said(), 1..200),
        centre in anywhere(),
        radius_m in prop_oneof![Just(f64::INFINITY), 0.0..2e7],
        limit in 1usize..80,
    ) {
        let (log, folder) = (log(), tempfile::tempdir().unwrap());
        let (live, running) = start(&log, folder.path());
        said.iter().for_each(|s| say(&log, s));
        catch_up(&log, &live);
        let centre = Point { lat: centre.0, lon: centre.1 };
        let filter = Filter { kinds: vec![Kind::Vehicle], ..Filter::default() };
        let found = live.search(&Area::Circle { centre, radius_m }, &filter, limit, NOW, |found| {
            (found.distance_m.unwrap(), found.seen.report.id.parse::<u8>().unwrap())
        }).2;

        let mut twin = Vec::new();
        for id in 0..60u8 {
            // The newest report that has a place: late ones never count.
            let mut newest = i64::MIN;
            let mut place = None;
            for s in said.iter().filter(|s| s.kind == Kind::Vehicle && s.id == id) {
                if s.time > newest {
                    newest = s.time;
                    place = s.at.or(place);
                }
            }
            if let Some((lat, lon)) = place {
                twin.push(distance_m(centre, Point { lat, lon }));
            }
        }
        twin.retain(|d| *d <= radius_m);
        twin.sort_by(f64::total_cmp);
        twin.truncate(limit);
        // Places are kept to 1e-7 degree, about a centimetre.
        prop_assert!(found.len() == twin.len() || (radius_m.is_finite() && found.len().abs_diff(twin.len()) <= 1));
        for (found, twin) in found.iter().zip(&twin) {
            prop_assert!((found.0 - twin).abs() < 0.05, "{} and {}", found.0, twin);
        }
        running.stop();
    }
}
