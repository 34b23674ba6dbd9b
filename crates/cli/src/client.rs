//! Commands that talk to a running node from outside, over its public doors.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use drover_sim::replay::{ReplayOptions, replay as play};
use drover_sim::send::{MQTT, Via};
use drover_sim::simulate::{SimulateOptions, simulate as load};
use drover_sim::wire::http::HttpConnection;
use drover_sim::wire::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

const NODE: &str = "http://127.0.0.1:8080";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Door {
    Http,
    Websocket,
    Mqtt,
}

impl From<Door> for Via {
    fn from(door: Door) -> Via {
        match door {
            Door::Http => Via::Http,
            Door::Websocket => Via::WebSocket,
            Door::Mqtt => Via::Mqtt,
        }
    }
}

/// Every row ends up in one count: accepted, duplicate, rejected by reason, or not understood.
/// Files are told apart by name and header: CSV (also .gz), NDJSON, GPX.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Trace files; several are merged by time
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The node
    #[arg(long, default_value = NODE)]
    url: String,
    /// The node's MQTT door, for --via mqtt
    #[arg(long, default_value = MQTT, value_name = "HOST:PORT")]
    mqtt: String,
    /// Door to use
    #[arg(long, value_enum, default_value = "http")]
    via: Door,
    /// Trace seconds per second; 0 sends as fast as the node takes
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// Send event times as recorded instead of shifting them to now
    #[arg(long)]
    keep_times: bool,
    /// Most reports per request or frame
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Paced by default: each driver reports every interval, and latency counts from the moment a report
/// was due. With --closed-loop every connection sends its next report when the last is acknowledged.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The node
    #[arg(long, default_value = NODE)]
    url: String,
    /// The node's MQTT door, for --via mqtt
    #[arg(long, default_value = MQTT, value_name = "HOST:PORT")]
    mqtt: String,
    /// Door to use
    #[arg(long, value_enum, default_value = "websocket")]
    via: Door,
    /// Drivers
    #[arg(long, default_value_t = 1000)]
    drivers: usize,
    /// Battery-swap stations
    #[arg(long, default_value_t = 0)]
    stations: usize,
    /// Seconds between two reports of one driver
    #[arg(long, default_value_t = 5.0)]
    interval: f64,
    /// Seconds to run
    #[arg(long, default_value_t = 30.0)]
    duration: f64,
    /// Connections that share the drivers
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Reports per request or frame
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Send the next report as soon as the last one is acknowledged
    #[arg(long)]
    closed_loop: bool,
    /// With --closed-loop: frames or publishes under way on one connection
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Watch everything over so many WebSockets and measure the time from device to watcher
    #[arg(long, default_value_t = 0)]
    watchers: usize,
    /// The same seed gives the same drives
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Append every acknowledged report to this file
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RejectsCommand {
    /// Print kept refusals, one per line: position, door, reason, what is wrong
    List(RejectsArgs),
    /// Print every kept refusal as one JSON object per line, with what was sent
    Export(RejectsArgs),
}

#[derive(Debug, Args)]
pub struct RejectsArgs {
    /// The node
    #[arg(long, default_value = NODE)]
    url: String,
    /// First position to show
    #[arg(long, default_value_t = 1)]
    from: u64,
}

/// Plays traces.
pub async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    ensure!(args.speed >= 0.0 && args.speed.is_finite(), "--speed is {}; allowed is 0 or more", args.speed);
    let mut options = ReplayOptions::new(args.files, args.url);
    options.via = args.via.into();
    options.mqtt = args.mqtt;
    options.speed = args.speed;
    options.keep_times = args.keep_times;
    options.batch = args.batch;
    print(&play(options).await?, args.json)
}

/// Loads a node.
pub async fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let mut options = SimulateOptions::new(args.url);
    options.via = args.via.into();
    options.drivers = args.drivers;
    options.stations = args.stations;
    options.interval = seconds("--interval", args.interval)?;
    options.duration = seconds("--duration", args.duration)?;
    options.connections = args.connections;
    options.batch = args.batch;
    options.closed_loop = args.closed_loop;
    options.in_flight = args.in_flight;
    options.mqtt = args.mqtt;
    options.watchers = args.watchers;
    options.seed = args.seed;
    options.ledger = args.ledger;
    print(&load(options).await?, args.json)
}

fn seconds(flag: &str, value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|d| !d.is_zero())
        .with_context(|| format!("{flag} is {value}; a positive number of seconds is expected"))
}

fn print(summary: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(summary)?);
    } else {
        println!("{summary}");
    }
    Ok(())
}

/// Lists or exports refusals, page by page.
pub async fn rejects(command: RejectsCommand) -> anyhow::Result<()> {
    let (args, export) = match command {
        RejectsCommand::List(args) => (args, false),
        RejectsCommand::Export(args) => (args, true),
    };
    let target = Target::parse(&args.url, None)?;
    let mut node = HttpConnection::connect(&target).await?;
    let mut from = args.from;
    loop {
        let answer = node.get(&format!("/api/v1/rejects?from={from}&limit=1000")).await?;
        ensure!(answer.status == 200, "the node answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        let page: RejectsPage = serde_json::from_slice(&answer.body).context("the node's answer")?;
        if page.rejects.is_empty() {
            return Ok(());
        }
        for item in &page.rejects {
            println!("{}", if export { item.to_string() } else { reject_line(item) });
        }
        from = page.next;
    }
}

#[derive(Deserialize)]
struct RejectsPage {
    rejects: Vec<Value>,
    next: u64,
}

fn reject_line(item: &Value) -> String {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    format!("{:>8}  {:<9}  {:<13}  {}", item["position"], text("source"), text("code"), text("message"))
}
