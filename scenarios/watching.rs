//! Watching over WebSocket and over server-sent events: the state in pages, then changes, as fast as
//! the watcher reads them.

mod harness;

use harness::{Node, PATIENCE, Socket, folder, now_ms, report, texts, wait_for};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Assets that take three pages.
const MANY: usize = 2_500;
const PAGE: usize = 1_000;
/// When nothing may come, so long is waited to see that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

struct World {
    node: Node,
    _folder: tempfile::TempDir,
}

impl World {
    fn start() -> World {
        let folder = folder();
        World { node: Node::start(&folder.path().join("data")), _folder: folder }
    }

    /// A world with `count` drivers on a line to the north.
    fn with_drivers(count: usize) -> World {
        let world = World::start();
        let now = now_ms();
        let reports: Vec<Value> =
            (0..count).map(|i| report("driver", &format!("d{i}"), now, i as f64 / 100.0, 5.0)).collect();
        world.tell(&reports);
        world
    }

    /// Sends reports and waits until the live state has them; gives their position.
    fn tell(&self, reports: &[Value]) -> u64 {
        let position = self.node.report(reports)["position"].as_u64().expect("a position");
        self.node.checksum();
        position
    }

    fn put(&self, kind: &str, id: &str, latitude: f64, longitude: f64) -> u64 {
        self.tell(&[report(kind, id, now_ms(), latitude, longitude)])
    }

    /// A watcher that has had its greeting.
    fn watch(&self, query: &str) -> Socket {
        let mut socket = self.node.socket(&format!("/api/v1/live{query}"));
        assert_eq!(socket.next()["type"], "hello");
        socket
    }
}

/// Reads the pages of a snapshot, checking their numbers; gives all assets and the last page.
fn pages(socket: &mut Socket) -> (Vec<Value>, Value) {
    let mut assets = Vec::new();
    for number in 1.. {
        let page = socket.next();
        assert_eq!((&page["type"], &page["page"]), (&json!("snapshot"), &json!(number)), "{}", head(&page));
        assets.extend(page["assets"].as_array().expect("assets").clone());
        if page["last"] == true {
            return (assets, page);
        }
    }
    unreachable!("a snapshot ends")
}

/// A message without its assets.
fn head(message: &Value) -> Value {
    let mut head = message.clone();
    head["assets"] = json!(message["assets"].as_array().map(Vec::len));
    head
}

fn ids(message: &Value) -> Vec<String> {
    texts(&message["assets"], "id")
}

/// Reads changes until this asset is at this latitude; gives how often it was shown and every id that was shown.
fn changes_until(socket: &mut Socket, id: &str, latitude: f64) -> (usize, HashSet<String>) {
    let (mut shown, mut seen) = (0, HashSet::new());
    loop {
        let message = socket.next();
        assert_eq!(message["type"], "changes", "{}", head(&message));
        seen.extend(ids(&message));
        for asset in message["assets"].as_array().expect("assets").iter().filter(|asset| asset["id"] == id) {
            shown += 1;
            if asset["latitude"] == latitude {
                return (shown, seen);
            }
        }
    }
}

fn check_quiet(socket: &mut Socket) {
    let message = socket.next_within(QUIET);
    assert!(message.is_none(), "nothing was to come: {}", head(&message.unwrap_or_default()));
}

#[test]
fn a_watcher_is_greeted_and_gets_the_state_in_pages() {
    let world = World::with_drivers(MANY);
    let mut socket = world.node.socket("/api/v1/live");
    let hello = socket.next();
    let info = world.node.get("/api/v1/info").expect(200);
    assert_eq!(
        (&hello["type"], &hello["epoch"], &hello["freshness"]),
        (&json!("hello"), &info["epoch"], &info["freshness"])
    );
    assert!(hello["server_time"].is_string(), "{hello}");
    let mut all = HashSet::new();
    for (page, (count, last)) in [(PAGE, false), (PAGE, false), (MANY - 2 * PAGE, true)].into_iter().enumerate() {
        let message = socket.next();
        let expected = json!({"type": "snapshot", "page": page + 1, "last": last, "total": MANY, "resumed": false, "position": MANY, "assets": count});
        assert_eq!(head(&message), expected);
        all.extend(ids(&message));
    }
    assert_eq!(all.len(), MANY, "every asset once");
    check_quiet(&mut socket);
}

#[test]
fn an_asset_in_a_stream_is_the_asset_that_reads_show() {
    let world = World::with_drivers(1);
    let (assets, _) = pages(&mut world.watch(""));
    let mut read = world.node.get("/api/v1/drivers/d0/location").expect(200);
    for only_in_reads in ["freshness", "driver_id"] {
        read.as_object_mut().expect("an object").remove(only_in_reads);
    }
    assert_eq!(assets, [read]);
}

#[test]
fn a_watcher_of_an_empty_node_gets_an_empty_last_page() {
    let (assets, page) = pages(&mut World::start().watch(""));
    assert_eq!((assets.len(), &page["total"]), (0, &json!(0)));
}

#[test]
fn changes_follow_the_snapshot() {
    let world = World::with_drivers(3);
    let mut socket = world.watch("");
    pages(&mut socket);
    let position = world.put("driver", "d1", 50.0, 6.0);
    let change = socket.next();
    assert_eq!(head(&change), json!({"type": "changes", "position": position, "assets": 1}));
    assert_eq!((&change["assets"][0]["id"], &change["assets"][0]["latitude"]), (&json!("d1"), &json!(50.0)));
    world.put("rider", "new", 1.0, 1.0);
    assert_eq!(ids(&socket.next()), ["new"], "an asset never heard before is a change");
    let late = report("driver", "d1", now_ms() - 3_600_000, 0.0, 0.0);
    world.tell(&[late]);
    check_quiet(&mut socket);
}

#[test]
fn what_changes_while_pages_are_read_is_not_lost() {
    let world = World::with_drivers(MANY);
    let mut socket = world.watch("");
    let first = socket.next();
    assert_eq!(first["page"], 1);
    world.put("driver", "d0", 70.0, 6.0);
    world.put("driver", "d2400", 71.0, 6.0);
    let mut state: HashMap<String, Value> = HashMap::new();
    let is_new = |state: &HashMap<String, Value>| {
        let at = |id: &str| state.get(id).map(|asset| asset["latitude"].clone());
        at("d0") == Some(json!(70.0)) && at("d2400") == Some(json!(71.0))
    };
    while !is_new(&state) {
        let message = socket.next();
        for asset in message["assets"].as_array().expect("assets") {
            state.insert(asset["id"].as_str().expect("an id").into(), asset.clone());
        }
    }
}

#[test]
fn a_wish_for_kinds_shows_no_others() {
    let world = World::with_drivers(3);
    world.put("vehicle", "v", 1.0, 1.0);
    world.put("station", "s", 1.0, 1.0);
    let mut socket = world.watch("?kinds=vehicle,stations");
    let (assets, _) = pages(&mut socket);
    assert_eq!(texts(&json!(assets), "id"), ["v", "s"]);
    world.put("driver", "d1", 9.0, 9.0);
    world.put("station", "s", 2.0, 2.0);
    assert_eq!(changes_until(&mut socket, "s", 2.0), (1, HashSet::from(["s".to_owned()])));
}

#[test]
fn a_wish_for_assets_shows_no_others() {
    let world = World::with_drivers(5);
    world.put("vehicle", "d1", 1.0, 1.0);
    let mut socket = world.watch("?assets=driver/d1,driver/d3,driver/unknown");
    let (assets, _) = pages(&mut socket);
    assert_eq!(texts(&json!(assets), "id"), ["d1", "d3"]);
    assert!(assets.iter().all(|asset| asset["kind"] == "driver"));
    world.put("driver", "d2", 9.0, 9.0);
    world.put("vehicle", "d1", 9.0, 9.0);
    world.put("driver", "unknown", 9.0, 9.0);
    assert_eq!(changes_until(&mut socket, "unknown", 9.0), (1, HashSet::from(["unknown".to_owned()])));
}

#[test]
fn an_asset_that_leaves_the_viewport_is_shown_once_more() {
    let world = World::with_drivers(10);
    let mut socket = world.watch("?viewport=4,0.015,6,0.045");
    let (assets, _) = pages(&mut socket);
    assert_eq!(texts(&json!(assets), "id"), ["d2", "d3", "d4"]);
    world.put("driver", "d3", 60.0, 5.0);
    let left = socket.next();
    assert_eq!((ids(&left), &left["assets"][0]["latitude"]), (vec!["d3".to_owned()], &json!(60.0)));
    world.put("driver", "d3", 61.0, 5.0);
    check_quiet(&mut socket);
    world.put("driver", "d3", 0.02, 5.0);
    assert_eq!(ids(&socket.next()), ["d3"], "and again when it comes back");
}

#[test]
fn a_viewport_across_the_date_line_shows_both_sides() {
    let world = World::with_drivers(3);
    world
        .tell(&[report("vehicle", "east", now_ms(), -17.0, 179.9), report("vehicle", "west", now_ms(), -17.0, -179.9)]);
    let (assets, _) = pages(&mut world.watch("?viewport=179,-18,-179,-16"));
    assert_eq!(texts(&json!(assets), "id"), ["east", "west"]);
}

#[test]
fn a_watcher_that_comes_back_gets_only_what_changed() {
    let world = World::with_drivers(MANY);
    let position = world.node.log_position();
    world.put("driver", "d7", 80.0, 5.0);
    world.put("driver", "d2300", 81.0, 5.0);
    let mut socket = world.watch(&format!("?since={position}"));
    let (assets, page) = pages(&mut socket);
    assert_eq!(texts(&json!(assets), "id"), ["d7", "d2300"]);
    assert_eq!((&page["resumed"], &page["page"]), (&json!(true), &json!(1)));
    world.put("driver", "d8", 82.0, 5.0);
    assert_eq!(ids(&socket.next()), ["d8"]);
}

#[test]
fn a_watcher_that_comes_back_after_a_restart_gets_only_what_changed() {
    let World { node, _folder: folder } = World::with_drivers(MANY);
    let position = node.log_position();
    node.stop();
    let world = World { node: Node::start(&folder.path().join("data")), _folder: folder };
    world.put("driver", "d7", 80.0, 5.0);
    let (assets, page) = pages(&mut world.watch(&format!("?since={position}")));
    assert_eq!((texts(&json!(assets), "id"), &page["resumed"]), (vec!["d7".to_owned()], &json!(true)));
}

#[test]
fn a_position_that_this_node_never_had_gives_the_whole_state() {
    let world = World::with_drivers(3);
    let (assets, page) = pages(&mut world.watch("?since=1000000"));
    assert_eq!((assets.len(), &page["resumed"]), (3, &json!(false)));
    let (assets, page) = pages(&mut world.watch("?since=3&viewport=-180,-90,180,90"));
    assert_eq!((assets.len(), &page["resumed"]), (3, &json!(false)), "nobody knows what left a viewport meanwhile");
}

#[test]
fn a_new_wish_replaces_the_old_one_in_the_middle_of_its_pages() {
    let world = World::with_drivers(MANY);
    let mut socket = world.watch("");
    assert_eq!(socket.next()["page"], 1);
    socket.send(json!({"action": "subscribe", "assets": ["driver/d42"]}));
    let answer = loop {
        let message = socket.next();
        if message["page"] == 1 {
            break message;
        }
        assert_eq!(message["type"], "snapshot", "{}", head(&message));
    };
    assert_eq!((ids(&answer), &answer["last"]), (vec!["d42".to_owned()], &json!(true)));
    world.put("driver", "d43", 50.0, 5.0);
    world.put("driver", "d42", 50.0, 5.0);
    assert_eq!(changes_until(&mut socket, "d42", 50.0), (1, HashSet::from(["d42".to_owned()])));
    socket.send(json!({"action": "subscribe", "kinds": ["driver"]}));
    assert_eq!(pages(&mut socket).0.len(), MANY);
}

#[test]
fn a_bad_wish_is_answered_and_the_socket_stays_usable() {
    let world = World::with_drivers(3);
    let mut socket = world.watch("?assets=driver/d1");
    pages(&mut socket);
    for (wish, code, says) in [
        (json!({"action": "subscribe", "kinds": ["ship"]}), "unknown_value", "ship"),
        (json!({"action": "subscribe", "assets": ["d1"]}), "wrong_type", "d1"),
        (json!({"action": "subscribe", "assets": ["driver/a b"]}), "out_of_range", "id"),
        (json!({"action": "subscribe", "viewport": [0, 2, 1, 1]}), "out_of_range", "south"),
        (json!({"action": "subscribe", "viewport": [0, 0, 200, 1]}), "out_of_range", "200"),
        (json!({"action": "subscribe", "viewport": [0, 0]}), "malformed", "array of length 4"),
        (json!({"action": "subscribe", "kind": "driver"}), "malformed", "kind"),
        (json!({"action": "dance"}), "malformed", "dance"),
        (json!({"action": "subscribe", "since": -1}), "malformed", "-1"),
        (json!([]), "malformed", ""),
        (json!("subscribe"), "malformed", ""),
    ] {
        let answer = socket.ask(&wish);
        assert_eq!((&answer["type"], &answer["error"]["code"]), (&json!("error"), &json!(code)), "{wish}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(says), "{wish}: {message:?} does not name {says:?}");
        assert!(answer["error"]["help"].is_string(), "{answer}");
    }
    assert_eq!(socket.ask("{")["error"]["code"], "malformed");
    socket.send_binary(vec![1, 2, 3]).expect("the node takes a frame");
    assert_eq!(socket.next()["error"]["code"], "malformed");
    world.put("driver", "d1", 50.0, 5.0);
    assert_eq!(ids(&socket.next()), ["d1"], "the old wish is still in force");
}

#[test]
fn a_bad_wish_in_the_address_is_refused_before_anything_is_sent() {
    let World { node, .. } = &World::start();
    for (query, code, says) in [
        ("kinds=ship", "unknown_value", "ship"),
        ("assets=d1", "wrong_type", "d1"),
        ("viewport=1,2,3", "out_of_range", "west,south,east,north"),
        ("viewport=0,2,1,1", "out_of_range", "south"),
        ("viewport=0,0,NaN,1", "out_of_range", "NaN"),
        ("since=soon", "wrong_type", "since"),
    ] {
        let error = node.get(&format!("/api/v1/live?{query}")).expect(422);
        assert_eq!(error["error"]["code"], code, "{error}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains(says)), "{error}");
    }
    assert_eq!(node.metric("drover_watchers"), 0.0, "none of them counts as a watcher");
}

#[test]
fn one_watcher_more_than_allowed_is_turned_away_until_another_leaves() {
    let folder = folder();
    let node = Node::start_with(&folder.path().join("data"), "127.0.0.1:0", &[("DROVER_MAX_WATCHERS", "2")]);
    let first = node.socket("/api/v1/live");
    let _second = node.socket("/api/v1/live");
    let refusal = node.get("/api/v1/live");
    assert_eq!(refusal.expect(503)["error"]["code"], "too_many_watchers");
    assert!(refusal.retry_after_s.is_some());
    drop(first);
    wait_for("a free place", || Some(()).filter(|()| node.metric("drover_watchers") == 1.0));
    assert_eq!(node.socket("/api/v1/live").next()["type"], "hello");
}

#[test]
fn an_asset_that_changes_often_between_reads_is_shown_seldom_and_ends_on_its_newest() {
    let world = World::with_drivers(3);
    let mut socket = world.watch("");
    pages(&mut socket);
    let now = now_ms();
    for batch in 0..10 {
        let updates: Vec<Value> =
            (0..100).map(|i| batch * 100 + i).map(|i| report("driver", "d1", now + i, i as f64 / 100.0, 6.0)).collect();
        world.node.report(&updates);
    }
    let (shown, _) = changes_until(&mut socket, "d1", 9.99);
    assert!(shown <= 100, "1,000 updates were shown as {shown}");
    check_quiet(&mut socket);
}

/// Sends so many rounds of updates of all drivers, from round `first` on; gives the latitude at which
/// every driver ends.
fn load(world: &World, drivers: usize, first: usize, rounds: usize) -> f64 {
    let start_ms = now_ms() - 10_000;
    for round in first..first + rounds {
        let report = |i| report("driver", &format!("d{i}"), start_ms + round as i64, round as f64 / 1000.0, 6.0);
        world.node.report(&(0..drivers).map(report).collect::<Vec<_>>());
    }
    world.node.checksum();
    (first + rounds - 1) as f64 / 1000.0
}

/// Reads until every driver is at this latitude; gives how many updates that took.
fn read_until_all_are_at(socket: &mut Socket, drivers: usize, latitude: f64) -> usize {
    let (mut shown, mut arrived) = (0, HashSet::new());
    while arrived.len() < drivers {
        let message = socket.next();
        let assets = message["assets"].as_array().expect("assets");
        shown += assets.len();
        let there = assets.iter().filter(|asset| asset["latitude"] == latitude);
        arrived.extend(there.map(|asset| asset["id"].as_str().expect("an id").to_owned()));
    }
    shown
}

#[test]
fn a_slow_reader_gets_the_newest_of_everything_and_the_node_stays_small() {
    const DRIVERS: usize = 2_000;
    const READERS: usize = 20;
    /// Far more than the system's own buffers between node and reader hold.
    const ROUNDS: usize = 200;
    let world = World::start();
    // The first load warms up what any load needs: buffers of the log, of connections, of the allocator.
    load(&world, DRIVERS, 1, 100);
    let before = world.node.memory_mib();
    let mut sockets: Vec<Socket> = (0..READERS).map(|_| world.watch("")).collect();
    let latitude = load(&world, DRIVERS, 1_000, ROUNDS);
    let grown = world.node.memory_mib().saturating_sub(before);
    assert!(grown < 100, "{READERS} readers that do not read cost {grown} MiB");
    for socket in &mut sockets {
        let shown = read_until_all_are_at(socket, DRIVERS, latitude);
        assert!(shown < DRIVERS * ROUNDS / 4, "{shown} updates were shown to a reader that did not read");
    }
}

/// Server-sent events of a node.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(node: &Node, query: &str) -> Events {
        let mut stream = node.connect();
        let request = format!(
            "GET /api/v1/live{query} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n",
            node.address()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut events = Events(BufReader::new(stream));
        let head = events.lines_until_empty().join("\n").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("a line within the patience");
        assert!(bytes > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    fn lines_until_empty(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty())).collect()
    }

    /// The next event's data; lengths of chunks and comments stand between.
    fn next(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(data) = self.line().strip_prefix("data:") {
                return harness::parse(data.trim().as_bytes());
            }
        }
        panic!("no event within {PATIENCE:?}")
    }
}

#[test]
fn server_sent_events_carry_the_same_messages() {
    let world = World::with_drivers(MANY);
    let mut events = Events::open(&world.node, "");
    assert_eq!(events.next()["type"], "hello");
    let all: Vec<Value> = (0..3).map(|_| events.next()).collect();
    let heads: Vec<_> = all.iter().map(|page| (page["page"].clone(), page["last"].clone(), ids(page).len())).collect();
    assert_eq!(
        heads,
        [(json!(1), json!(false), PAGE), (json!(2), json!(false), PAGE), (json!(3), json!(true), MANY - 2 * PAGE)]
    );
    let position = world.put("driver", "d1", 50.0, 6.0);
    let change = events.next();
    assert_eq!(
        (head(&change), ids(&change)),
        (json!({"type": "changes", "position": position, "assets": 1}), vec!["d1".to_owned()])
    );
}

#[test]
fn server_sent_events_keep_to_the_wish_in_the_address() {
    let world = World::with_drivers(10);
    let position = world.node.log_position();
    world.put("driver", "d2", 0.021, 5.0);
    world.put("vehicle", "v", 0.021, 5.0);
    let mut events = Events::open(&world.node, &format!("?kinds=driver&since={position}"));
    assert_eq!(events.next()["type"], "hello");
    let page = events.next();
    assert_eq!((ids(&page), &page["resumed"]), (vec!["d2".to_owned()], &json!(true)));
    world.put("vehicle", "v", 0.022, 5.0);
    world.put("driver", "d3", 0.031, 5.0);
    assert_eq!(ids(&events.next()), ["d3"]);
    drop(events);
    wait_for("end of the watcher", || Some(()).filter(|()| world.node.metric("drover_watchers") == 0.0));
}
