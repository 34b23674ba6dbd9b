//! Files of telemetry, brought in as their senders would: real days of buses, cars, phones and feeds through the command
//! and the doors, the same file twice, and a folder that is watched. What became of every row is counted apart.

mod harness;

use drover_objects::s3_server::S3Server;
use drover_objects::{Objects, Place};
use harness::{
    Answer, Node, PATIENCE, SmallDisk, clients, drover, folder, parse, python, shared, summary, tool, wait_for,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files of history every second, so that DuckDB sees them soon.
const OFTEN: [(&str, &str); 1] = [("DROVER_HISTORY_FLUSH_INTERVAL_S", "1")];

fn ask(node: &Node, sql: &str) -> Vec<Vec<Value>> {
    let answer = node.post("/api/v1/sql", json!({ "sql": sql }).to_string()).expect(200);
    assert_eq!(answer["error"], Value::Null, "{answer}");
    serde_json::from_value(answer["rows"].clone()).expect("rows")
}

fn count(node: &Node) -> u64 {
    ask(node, "SELECT count(*) FROM reports")[0][0].as_u64().expect("a number")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).expect("a file")).read_to_string(&mut text).expect("gzip");
    text
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(shared(folder)).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// `drover import` of these files.
fn import(node: &Node, files: &[PathBuf], flags: &[&str]) -> Value {
    let mut args = vec!["import"];
    args.extend(files.iter().map(|file| text(file)));
    let url = node.url();
    args.extend(["--url", &url, "--json"]);
    args.extend(flags);
    summary(&args)
}

/// Sends a body as a file and waits until its job is over.
fn send(node: &Node, query: &str, body: impl AsRef<[u8]>) -> Value {
    over(node, &node.post(&format!("/api/v1/imports?{query}"), body).expect(202))
}

fn over(node: &Node, job: &Value) -> Value {
    wait_for("end of the import", || {
        let job = node.get(&format!("/api/v1/imports/{}", job["id"])).expect(200);
        (!["waiting", "running"].contains(&job["state"].as_str()?)).then_some(job)
    })
}

#[track_caller]
fn add_up(job: &Value) {
    let number = |name: &str| job[name].as_u64().unwrap_or_else(|| panic!("{name} in {job}"));
    assert_eq!(number("rows"), number("accepted") + number("duplicates") + number("rejected_total"), "{job}");
    let by_reason: u64 = job["rejected"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
    assert_eq!(by_reason, number("rejected_total"), "{job}");
}

/// New rows, repeats, rows that contradict an earlier one, and rows above 200 km/h, counted with other means: a row is
/// its line, its key is vehicle and time.
fn recount(days: &[PathBuf]) -> [u64; 4] {
    let (mut lines, mut counts) = (HashMap::<String, String>::new(), [0; 4]);
    for day in days {
        for line in unpacked(day).lines().skip(1) {
            let mut cells = line.split(',');
            let (vehicle, time) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            let speed: f64 = cells.next().and_then(|cell| cell.parse().ok()).unwrap_or_default();
            let unit = if time < "2016" { 1.609_344 } else { 3.6 };
            let kind = match lines.get(&format!("{vehicle},{time}")) {
                _ if speed * unit > 200.0 => 3,
                Some(known) if known == line => 1,
                Some(_) => 2,
                None => 0,
            };
            counts[kind] += 1;
            if kind == 0 {
                lines.insert(format!("{vehicle},{time}"), line.to_owned());
            }
        }
    }
    counts
}

#[test]
fn all_days_of_austins_buses_come_in_once_however_often_they_are_sent() {
    let folder = folder();
    let node = Node::start(folder.path());
    let days = files("data/traces/austin-buses");
    let [new, repeated, contradicting, fast] = recount(&days);
    assert_eq!(new + repeated + contradicting + fast, 332_257);

    let first = import(&node, &days, &[]);
    add_up(&first);
    assert_eq!(first["rows"], 332_257);
    assert_eq!([&first["accepted"], &first["duplicates"]], [new, repeated], "{first}");
    assert_eq!(first["rejected"], json!({"conflict": contradicting, "out_of_range": fast}));
    assert_eq!(count(&node), new);

    let again = import(&node, &days, &[]);
    assert_eq!([&again["accepted"], &again["duplicates"]], [0, new + repeated], "{again}");
    assert_eq!(again["rejected"], first["rejected"]);
    assert_eq!(count(&node), new);
    assert_eq!(node.metric("drover_reports_accepted_total{door=\"import\"}"), new as f64);

    // Every file is archived as it came, with a checksum that the usual tool confirms.
    let raw = node.get("/api/v1/imports?limit=1").expect(200)["imports"][0].clone();
    let archived = folder.path().join(raw["raw"].as_str().expect("a path"));
    assert_eq!(fs::read(&archived).unwrap(), fs::read(&days[8]).unwrap());
    let sums = format!("cd {} && sha256sum -c *.sha256", text(archived.parent().unwrap()));
    assert_eq!(String::from_utf8(tool("sh", &["-c", &sums]).unwrap().stdout).unwrap().lines().count(), 18);
}

#[test]
fn cars_phones_tours_and_feeds_come_in_with_their_units_and_times() {
    let folder = folder();
    let node = Node::start(folder.path());

    let cars = import(&node, &files("data/traces/twizy-ev"), &[]);
    add_up(&cars);
    let rows: usize = files("data/traces/twizy-ev").iter().map(|file| unpacked(file).lines().count() - 1).sum();
    assert_eq!(cars["rows"], rows);
    // Rows whose date never was, and rows of a second that another row of the same second contradicts.
    assert_eq!(cars["rejected"]["wrong_type"], 80, "{cars}");
    let car = ask(
        &node,
        "SELECT min(event_time), max(speed_kmh) < 100, min(battery_pct) > 0, count(*) FROM reports WHERE id = 'twizy-T1'",
    );
    // 11:13:45 in Rabat, an hour ahead of UTC.
    assert_eq!(car[0][..3], [json!("2021-03-29T10:13:45.000Z"), json!(true), json!(true)], "{car:?}");

    let phones =
        import(&node, &[shared("data/traces/aracaju-car-bus/points.csv.gz")], &["--time-zone", "America/Maceio"]);
    assert_eq!((&phones["rows"], &phones["accepted"]), (&json!(8398), &json!(8397)), "{phones}");
    assert_eq!((&phones["duplicates"], &phones["rejected"]), (&json!(1), &json!({})));
    let first = ask(&node, "SELECT min(event_time) FROM reports WHERE id = '2'");
    assert_eq!(first[0][0], "2014-09-13T16:37:54.000Z", "13:37:54 in Aracaju, three hours behind UTC");

    for tour in files("data/traces/gpx") {
        let text = fs::read_to_string(&tour).expect("text");
        let points = text.matches("<trkpt").count();
        let job = import(&node, std::slice::from_ref(&tour), &["--kind", "other"]);
        add_up(&job);
        assert_eq!(job["rows"], points, "{}", tour.display());
        let timeless = job["rejected"]["missing_field"].as_u64().unwrap_or_default();
        let times = text.split("<trk>").skip(1).map(|track| track.matches("<time>").count()).sum::<usize>();
        assert_eq!(timeless as usize, points - times, "{} {job}", tour.display());
    }
    let tour = ask(&node, "SELECT min(event_time), max(event_time), count(*) FROM reports WHERE id = 'issue-70'");
    assert_eq!(tour[0][0], "2010-01-01T01:00:53.000Z");

    let feeds = import(&node, &files("data/gtfs-realtime"), &[]);
    add_up(&feeds);
    assert_eq!(feeds["rows"], 920 + 627, "{feeds}");
    let routes = ask(
        &node,
        "SELECT count(*) FROM reports WHERE readings LIKE '%route_id%' AND event_time >= TIMESTAMP '2021-09-02 00:00:00Z'",
    );
    assert!(routes[0][0].as_u64() > Some(1000), "{routes:?}");
}

#[test]
fn every_rejected_row_is_listed_with_its_reason() {
    let folder = folder();
    let node = Node::start(folder.path());
    let file = "vehicle_id;Zeit;lat;lon;Tempo;engine_status\n\
                a;02.05.2026 10:00:00;50,5;8,5;20;moving\n\
                a;02.05.2026 10:00:01;95;8,5;20;moving\n\
                a;soon;50,5;8,5;20;moving\n\
                a;02.05.2026 10:00:03;50,5;8,5;150;idle\n\
                a;02.05.2026 10:00:04;50,5;8,5;20;sideways\n\
                a b;02.05.2026 10:00:05;50,5;8,5;20;idle\n\
                a;02.05.2026 10:00:06;50,5;8,5\n\
                a;;50,5;8,5;20;idle\n\
                a;02.05.2026 10:00:00;50,5;8,5;20;moving\n\
                a;02.05.2026 10:00:00;50,5;8,6;20;moving\n";
    let said = "name=wagen.csv&columns=time:Zeit,speed:Tempo&speed_unit=mph&time_zone=Europe/Berlin&time_format=%25d.%25m.%25Y%20%25H:%25M:%25S";
    let dry = send(&node, &format!("{said}&dry_run=true"), file);
    assert_eq!((&dry["rows"], &dry["valid"], &dry["accepted"]), (&json!(10), &json!(3), &json!(0)), "{dry}");
    assert_eq!(count(&node), 0);

    let job = send(&node, said, file);
    add_up(&job);
    assert_eq!(
        (&job["state"], &job["format"], &job["accepted"], &job["duplicates"]),
        (&json!("done"), &json!("csv"), &json!(1), &json!(1)),
        "{job}"
    );
    let list = node.get(&format!("/api/v1/imports/{}/rejects", job["id"]));
    let list = list.text();
    let starts: Vec<String> =
        list.lines().map(|line| line.splitn(5, ',').take(4).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(
        starts,
        [
            "row,field,value,rule",
            "2,latitude,95,out_of_range",
            "3,timestamp,soon,wrong_type",
            "4,speed,241.4016,out_of_range",
            "5,status,sideways,unknown_value",
            "6,id,a b,out_of_range",
            "7,,,malformed",
            "8,timestamp,,missing_field",
            "10,timestamp,1777708800000,conflict",
        ],
        "{list}"
    );
    let kept = ask(&node, "SELECT event_time, round(speed_kmh, 2), status, latitude FROM reports");
    assert_eq!(kept, [[json!("2026-05-02T08:00:00.000Z"), json!(32.19), json!("active"), json!(50.5)]]);
}

#[test]
fn what_cannot_be_imported_says_why_and_harms_nothing() {
    let folder = folder();
    let node = Node::start_with(folder.path(), "127.0.0.1:0", &[("DROVER_IMPORT_MAX_MIB", "1")]);
    let refused = |query: &str, body: &str, status: u16| {
        let answer = node.post(&format!("/api/v1/imports?{query}"), body).expect(status);
        answer["error"]["message"].as_str().expect("a message").to_owned()
    };
    assert!(refused("time_zone=Mars/Olympus", "x", 422).contains("time_zone: \"Mars/Olympus\" is no zone"));
    assert!(refused("speed_unit=parsec", "x", 422).contains("km/h, mph, m/s, knots"));
    assert!(refused("profile=none", "x", 422).contains("there are capmetro, twizy"));
    assert!(refused("columns=colour:red", "x", 422).contains("there is no field \"colour\""));
    assert!(refused("colour=red", "x", 422).contains("colour"));
    assert!(refused("max_bad_percent=101", "x", 422).contains("0 to 100"));
    assert!(refused("", "", 422).contains("empty"));
    assert!(refused("", &"x".repeat(2 << 20), 413).contains("larger than 1 MiB"));
    for nowhere in ["/api/v1/imports/99", "/api/v1/imports/x", "/api/v1/imports/99/rejects"] {
        node.get(nowhere).expect(404);
    }
    node.delete("/api/v1/imports/99").expect(404);

    for (name, body, wanted) in [
        ("picture.png", &b"\x89PNG\r\n\x1a\n\0\0\0"[..], "no known format"),
        ("list.json", b"[{\"id\":1}]", "no file of rows"),
        ("names.csv", b"name,colour\na,b\n", "names no position"),
        ("torn.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0", ""),
        ("fake.parquet", b"PAR1....PAR1", ""),
    ] {
        let job = send(&node, &format!("name={name}"), body);
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["error"].as_str().is_some_and(|error| error.contains(wanted)), "{name}: {job}");
    }

    let good = "id,time,lat,lon\n";
    let half: String =
        (0..2000).map(|n| format!("a,{},{},8\n", 1_777_708_800 + n, if n % 2 == 0 { 50 } else { 99 })).collect();
    let job = send(&node, "max_bad_percent=10", format!("{good}{half}"));
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["error"].as_str().is_some_and(|error| error.contains("more than 10 of a hundred")), "{job}");
    add_up(&job);
    assert_eq!(count(&node), job["accepted"].as_u64().unwrap(), "what was accepted stays");
    assert_eq!(send(&node, "max_bad_percent=60", format!("{good}{half}"))["state"], "done");
    assert_eq!(count(&node), 1000);
    assert_eq!(node.get("/healthz").text(), "ok\n");
    let left = fs::read_dir(folder.path().join("imports/coming")).unwrap().count();
    assert_eq!(left, 0, "refused files leave nothing");
}

#[test]
fn a_form_of_a_browser_or_curl_carries_a_file_too() {
    let folder = folder();
    let node = Node::start(folder.path());
    let form = "--cut\r\ncontent-disposition: form-data; name=\"kind\"\r\n\r\ndriver\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"drives.csv\"\r\ncontent-type: text/csv\r\n\r\n\
                id,time,lat,lon\n7,2026-05-02T10:00:00Z,50,8\n\r\n--cut--\r\n";
    let answer = node.post_with("/api/v1/imports", &[("content-type", "multipart/form-data; boundary=cut")], form);
    let job = over(&node, &answer.expect(202));
    assert_eq!((&job["name"], &job["accepted"]), (&json!("drives.csv"), &json!(1)), "{job}");
    assert_eq!(node.get("/api/v1/drivers/7/location").expect(200)["latitude"], 50.0);
}

#[test]
fn a_file_in_the_watched_folder_is_taken_once_across_restarts() {
    let (data, inbox) = (folder(), folder());
    let row = |id: &str| format!("id,time,lat,lon\n{id},2026-05-02T10:00:00Z,50,8\n");
    fs::create_dir(inbox.path().join("north")).unwrap();
    fs::write(inbox.path().join("a.csv"), row("a")).unwrap();
    fs::write(inbox.path().join("north/b.csv"), row("b")).unwrap();
    fs::write(inbox.path().join("c.csv.part"), row("c")).unwrap();
    let settings = [("DROVER_IMPORT_FOLDER", text(inbox.path()))];
    let jobs = |node: &Node| node.get("/api/v1/imports").expect(200)["imports"].as_array().unwrap().len();
    let node = Node::start_with(data.path(), "127.0.0.1:0", &settings);
    wait_for("two files", || (count(&node) == 2).then_some(()));
    node.kill();
    let node = Node::start_with(data.path(), "127.0.0.1:0", &settings);
    fs::rename(inbox.path().join("c.csv.part"), inbox.path().join("c.csv")).unwrap();
    wait_for("the third file", || (count(&node) == 3).then_some(()));
    assert_eq!(jobs(&node), 3, "what was taken before the restart is not taken again");
    fs::write(inbox.path().join("a.csv"), row("a") + "a,2026-05-02T10:00:01Z,50,8\n").unwrap();
    wait_for("the changed file", || (count(&node) == 4).then_some(()));
    let sources: Vec<Value> = node.get("/api/v1/imports").expect(200)["imports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["source"].clone())
        .collect();
    assert!(sources.contains(&json!("folder north/b.csv")), "{sources:?}");
}

#[test]
fn a_stopped_import_keeps_what_it_took() {
    let (data, files) = (folder(), folder());
    let file = fleet(files.path(), 2_000_000);
    let node = Node::start(data.path());
    let sent = node.post("/api/v1/imports?name=fleet.csv", fs::read(&file).unwrap()).expect(202);
    let path = format!("/api/v1/imports/{}", sent["id"]);
    wait_for("some rows", || (node.get(&path).expect(200)["rows"].as_u64() > Some(1000)).then_some(()));
    let job = node.delete(&path).expect(200);
    assert_eq!(job["state"], "stopped", "{job}");
    add_up(&job);
    assert!(job["rows"].as_u64() < Some(2_000_000), "{job}");
    let all = wait_for("everything", || {
        let count = count(&node);
        (count >= job["accepted"].as_u64()?).then_some(count)
    });
    assert_eq!(all, job["accepted"].as_u64().unwrap());
}

/// A CSV with something of everything: rows in the order of time, repeats, contradictions and nonsense.
fn fleet(folder: &Path, rows: u64) -> PathBuf {
    let path = folder.join("fleet.csv");
    let mut out = std::io::BufWriter::new(fs::File::create(&path).expect("a file"));
    writeln!(out, "vehicle_id,timestamp,latitude,longitude,speed_kmh,engine_status,load").expect("written");
    let mut random = 7_u64;
    for row in 0..rows {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let odd = random >> 33;
        // One in fifty is the row of a little earlier again, one in ten of these with another load.
        let from = if odd.is_multiple_of(50) { row.saturating_sub(odd % 5000) } else { row };
        let load = if odd.is_multiple_of(500) { 999 } else { from % 7 };
        let latitude = if from % 777 == 0 { 95.0 } else { 41.0 + (from % 1000) as f64 / 1e3 };
        let status = if from % 3 == 0 { "idle" } else { "moving" };
        let time = 1_777_852_800_000 + from * 20;
        writeln!(out, "van-{},{time},{latitude},-8.{:03},{},{status},{load}", from % 997, from % 1000, from % 90)
            .expect("written");
    }
    out.flush().expect("written");
    path
}

/// What DuckDB finds in one lake and not in the other, without what only says when and where in the log a row came in.
fn difference(one: &Path, other: &Path) -> Value {
    let script = clients().join("duckdb_difference.py");
    let output =
        Command::new(python()).arg(script).arg(one.join("lake")).arg(other.join("lake")).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

/// Waits until the lake has everything, then stops.
fn settle(node: Node) {
    wait_for("flush", || {
        let status = node.get("/api/v1/history").expect(200);
        (status["flushed_position"] == node.log_position()).then_some(())
    });
    node.stop();
}

#[test]
fn a_file_that_is_killed_ten_times_and_sent_twice_gives_the_same_history() {
    let (clean, rough, files) = (folder(), folder(), folder());
    let file = fleet(files.path(), 3_000_000);
    let node = Node::start_with(clean.path(), "127.0.0.1:0", &OFTEN);
    let whole = import(&node, std::slice::from_ref(&file), &[]);
    add_up(&whole);
    assert!(whole["rejected"]["conflict"].as_u64() > Some(100), "{whole}");
    settle(node);

    let args = ["import", text(&file), "--data", text(rough.path()), "--json"];
    let (mut kills, mut random) = (0, 20_261_121_u64);
    while kills < 10 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut importing = drover(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("drover starts");
        std::thread::sleep(Duration::from_millis(150 + (random >> 33) % 450));
        assert!(
            importing.try_wait().expect("a child").is_none(),
            "the import was over after {kills} kills: too small a file"
        );
        importing.kill().expect("a child of ours");
        importing.wait().expect("a child of ours");
        kills += 1;
    }
    let resumed = summary(&args);
    add_up(&resumed);
    assert_eq!(resumed["rows"], 3_000_000, "{resumed}");
    assert_eq!(resumed["rejected"], whole["rejected"], "{resumed}");
    let again = summary(&args);
    assert_eq!((&again["rows"], &again["accepted"]), (&json!(3_000_000), &json!(0)), "{again}");

    let node = Node::start_with(rough.path(), "127.0.0.1:0", &OFTEN);
    assert_eq!(count(&node), whole["accepted"].as_u64().unwrap());
    settle(node);
    let difference = difference(clean.path(), rough.path());
    assert_eq!(difference, json!({"rows": whole["accepted"], "only_in_first": 0, "only_in_second": 0}));
}

#[test]
fn an_import_lets_reports_of_devices_pass() {
    let (data, files) = (folder(), folder());
    let file = fleet(files.path(), 2_000_000);
    let node = Node::start(data.path());
    let job = node.post("/api/v1/imports?name=fleet.csv", fs::read(&file).unwrap()).expect(202);
    let running = |node: &Node| node.get(&format!("/api/v1/imports/{}", job["id"])).expect(200)["state"] == "running";
    wait_for("start of the import", || running(&node).then_some(()));
    let (mut slowest, mut sent) = (Duration::ZERO, 0);
    let deadline = Instant::now() + PATIENCE;
    while running(&node) && Instant::now() < deadline {
        let before = Instant::now();
        let report = json!({"latitude": 41.0, "longitude": -8.0, "status": "moving"}).to_string();
        let receipt: Answer = node.post("/api/v1/drivers/d1/location", report);
        let position = receipt.expect(202)["position"].clone();
        node.get(&format!("/api/v1/drivers/d1/location?at_least={position}")).expect(200);
        slowest = slowest.max(before.elapsed());
        sent += 1;
    }
    assert!(sent > 5, "{sent} reports are too few to tell anything");
    // A bound for a busy machine; the figures are in bench/.
    assert!(slowest < Duration::from_secs(2), "{slowest:?} from device to live, with {sent} reports");
}

/// Room for the file and a part of its rows, but not for all of them.
#[test]
fn a_disk_that_fills_during_an_import_holds_it_up_and_costs_nothing() {
    const ROWS: u64 = 300_000;
    let folder = folder();
    let file = fleet(folder.path(), ROWS);
    let data = folder.path().join("data");
    let disk = SmallDisk::mount(&data, 110);
    let small = [("DROVER_LOG_SEGMENT_MIB", "1"), ("DROVER_HISTORY_FLUSH_INTERVAL_S", "1")];
    let node = Node::start_with(&data, "127.0.0.1:0", &small);
    let file_mib = fs::metadata(&file).expect("a file").len() as usize >> 20;
    fs::write(disk.ballast(), vec![0; (110 - file_mib - 16) << 20]).expect("room for it");
    let job = node.post("/api/v1/imports?name=fleet.csv", fs::read(&file).expect("read")).expect(202);
    let job = wait_for("trouble", || {
        let job = node.get(&format!("/api/v1/imports/{}", job["id"])).expect(200);
        assert!(job["state"] == "waiting" || job["state"] == "running", "it goes on by itself: {job}");
        job["problem"].is_string().then_some(job)
    });
    assert!(job["problem"].as_str().expect("a text").contains("disk is full"), "{job}");
    fs::remove_file(disk.ballast()).expect("the ballast");
    let job = over(&node, &job);
    add_up(&job);
    assert_eq!((&job["state"], &job["rows"]), (&json!("done"), &json!(ROWS)), "{job}");
    // What was taken and not yet counted when the disk was full came again, as duplicates: the history is the same.
    let clean = Node::start(&folder.path().join("clean"));
    let undisturbed = import(&clean, &[file], &[]);
    assert_eq!(job["rejected"], undisturbed["rejected"]);
    wait_for("all rows", || (count(&node) == count(&clean)).then_some(()));
}

#[test]
fn objects_of_a_watched_bucket_are_taken_once_across_restarts() {
    let (folder, bucket) = (folder(), folder());
    let server = S3Server::start(bucket.path(), &["inbox"]);
    let keys = server.s3();
    let [endpoint, key, hidden] = [keys.endpoint, keys.access_key_id, keys.secret_access_key].map(Option::unwrap);
    let secret = folder.path().join("secret");
    fs::write(&secret, hidden).expect("written");
    let settings = [
        ("DROVER_IMPORT_STORE", "s3://inbox/day"),
        ("DROVER_S3_ENDPOINT", endpoint.as_str()),
        ("DROVER_S3_ACCESS_KEY_ID", key.as_str()),
        ("DROVER_S3_SECRET_ACCESS_KEY_FILE", text(&secret)),
    ];
    let inbox = Objects::open(&Place::parse("s3://inbox/day").expect("a place"), &server.s3()).expect("open");
    let row = |id: &str, minute: u32| format!("id,time,lat,lon\n{id},2026-05-03T10:{minute:02}:00Z,41,-8.6\n");
    inbox.put("a.csv", row("7", 1).into()).expect("put");
    let data = folder.path().join("data");
    let node = Node::start_with(&data, "127.0.0.1:0", &settings);
    wait_for("the first object", || (count(&node) == 1).then_some(()));
    inbox.put("b.csv", row("8", 2).into()).expect("put");
    let announced = node.post("/api/v1/imports/announced", json!({"key": "day/b.csv"}).to_string());
    assert!((200..300).contains(&announced.status), "{}", announced.text());
    wait_for("the announced object", || (count(&node) == 2).then_some(()));
    node.stop();
    let node = Node::start_with(&data, "127.0.0.1:0", &settings);
    inbox.put("c.csv", row("9", 3).into()).expect("put");
    wait_for("the third object", || (count(&node) == 3).then_some(()));
    let jobs = node.get("/api/v1/imports").expect(200)["imports"].as_array().expect("a list").len();
    assert_eq!(jobs, 3, "each once");
    assert_eq!(inbox.list("", None, 10).expect("a list").len(), 3, "they stay where they are");
}
