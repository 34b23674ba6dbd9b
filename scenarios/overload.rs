//! More than the node can take: whoever is turned away is told when to come again, what was acknowledged is there once,
//! and neither those who move nor those who stand go without.

mod harness;

use harness::{Node, folder, report, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// 2 May 2026, 10:00 UTC.
const MORNING_MS: i64 = 1_777_716_000_000;
/// Senders of each lane, requests of each, reports of a request: more at once than may be under way.
const SENDERS: usize = 10;
const REQUESTS: usize = 8;
const REPORTS: usize = 6_000;

fn batch(status: &str, sender: usize, request: usize) -> String {
    let one = |n: usize| {
        let at = (request * REPORTS + n) as i64;
        let mut one =
            report("driver", &format!("{status}-{sender}"), MORNING_MS + at * 1000, 41.0 + at as f64 * 1e-6, -8.6);
        one["status"] = json!(status);
        one
    };
    Value::from((0..REPORTS).map(one).collect::<Vec<_>>()).to_string()
}

/// Sends all batches, each until it is taken. Gives how often one was turned away.
fn send(node: &Node, status: &str, sender: usize) -> usize {
    let mut turned_away = 0;
    for request in 0..REQUESTS {
        let body = batch(status, sender, request);
        loop {
            let answer = node.post("/api/v1/reports", &body);
            match answer.status {
                202 => break,
                503 => {
                    let again = answer.retry_after_s.expect("Retry-After");
                    assert!((1..=60).contains(&again), "{again}");
                    assert_eq!(answer.json()["error"]["code"], "overloaded", "{}", answer.text());
                    turned_away += 1;
                    std::thread::sleep(Duration::from_secs(again));
                }
                other => panic!("{other}: {}", answer.text()),
            }
        }
    }
    turned_away
}

#[test]
fn under_more_load_than_it_can_take_a_node_keeps_what_it_acknowledged() {
    let folder = folder();
    let node = Node::start(folder.path());
    let turned_away: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = ["moving", "idle"]
            .into_iter()
            .flat_map(|status| (0..SENDERS).map(move |sender| (status, sender)))
            .map(|(status, sender)| {
                scope.spawn({
                    let node = &node;
                    move || send(node, status, sender)
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).sum()
    });
    let waited = |lane: &str| node.metric(&format!("drover_lane_wait_seconds_count{{lane=\"{lane}\"}}"));
    let all = waited("moving") + waited("idle");
    assert!(all > 0.0, "nobody waited: this was no overload ({turned_away} turned away)");
    let sql = json!({"sql": "SELECT status, count(*), count(DISTINCT concat(id, event_time)) FROM reports \
                             GROUP BY status ORDER BY status"});
    let sent = SENDERS * REQUESTS * REPORTS;
    let counts = wait_for("history", || {
        let answer = node.post("/api/v1/sql", sql.to_string()).expect(200);
        (answer["rows"][1][1] == sent).then_some(answer)
    });
    assert_eq!(counts["rows"], json!([["active", sent, sent], ["idle", sent, sent]]));
}

#[test]
fn a_node_takes_no_more_than_its_ceiling_and_says_when_to_come_again() {
    let folder = folder();
    let node = Node::start_with(folder.path(), "127.0.0.1:0", &[("DROVER_NODE_REPORTS_PER_S", "100")]);
    let began = Instant::now();
    let taken: usize = std::thread::scope(|scope| {
        let sender = |sender: usize| {
            let node = &node;
            move || {
                let one = |n: usize| report("driver", &format!("c-{sender}-{n}"), MORNING_MS, 41.0, -8.6);
                let taken = (0..4).map(|request| {
                    let body = Value::from((0..25).map(|n| one(request * 25 + n)).collect::<Vec<_>>()).to_string();
                    let answer = node.post("/api/v1/reports", body);
                    match answer.status {
                        202 => 25,
                        503 => {
                            assert_eq!(answer.json()["error"]["code"], "overloaded", "{}", answer.text());
                            assert!(answer.retry_after_s.is_some());
                            0
                        }
                        other => panic!("{other}: {}", answer.text()),
                    }
                });
                taken.sum::<usize>()
            }
        };
        let senders: Vec<_> = (0..16).map(|n| scope.spawn(sender(n))).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).sum()
    });
    let most = 100.0 * began.elapsed().as_secs_f64() + 10.0 + 25.0;
    assert!(taken as f64 <= most, "{taken} taken, {most} allowed");
    assert!((100..1_600).contains(&taken), "{taken} of 1,600 taken");
}
