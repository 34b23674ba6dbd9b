//! Commands that talk to a running node from outside, over its public doors.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use drover_sim::replay::{ReplayOptions, replay as play};
use drover_sim::send::Via;
use drover_sim::simulate::{SimulateOptions, simulate as load};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::door::{Chosen, DoorArgs};
use crate::node::{Client, NodeArgs, Refusal, answered};

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// For terminals.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Sends over HTTP if nothing else is said. Every row ends up in one count: accepted, duplicate, rejected by reason, or
/// not understood; over MQTT, which does not tell duplicates, acknowledged is one count.
/// Files are told apart by name and header: CSV (also .gz), NDJSON, GPX.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Trace files; several are merged by time
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    door: DoorArgs,
    /// Trace seconds per second; 0 sends as fast as the node takes
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// Send event times as recorded instead of shifting them to now
    #[arg(long)]
    keep_times: bool,
    /// Most reports per request or frame; over MQTT, most publishes under way
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Paced by default: each driver reports every interval, and latency counts from the moment a report
/// was due. With --closed-loop every connection sends its next report when the last is acknowledged. Sends over
/// WebSockets if nothing else is said. One connection per driver: give --connections as many as --drivers.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    door: DoorArgs,
    /// Where watchers connect, http://HOST:PORT [default: --url, or the usual node if that is an mqtt:// one]
    #[arg(long, value_name = "URL")]
    watch_url: Option<String>,
    /// Drivers
    #[arg(long, default_value_t = 1000)]
    drivers: usize,
    /// Battery-swap stations
    #[arg(long, default_value_t = 0)]
    stations: usize,
    /// Seconds between two reports of one driver; 0 is the same as --closed-loop
    #[arg(long, default_value_t = 5.0)]
    interval: f64,
    /// Seconds to run
    #[arg(long, default_value_t = 30.0)]
    duration: f64,
    /// Connections that share the drivers
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Reports per request or frame; over MQTT each publish is one report
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Send the next report as soon as the last one is acknowledged
    #[arg(long)]
    closed_loop: bool,
    /// Most frames or publishes under way on one connection [default: 1 with --closed-loop, else 256]
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,
    /// Watch everything over so many WebSockets and measure the time from device to watcher
    #[arg(long, default_value_t = 0)]
    watchers: usize,
    /// Each watcher watches one driver only: the first the first, and so on
    #[arg(long)]
    watch_one: bool,
    /// Lines KIND/ID TOKEN: each device shows its own token (give --connections as many as devices)
    #[arg(long, value_name = "FILE")]
    device_tokens: Option<PathBuf>,
    /// Tokens of watchers, one a line, taken in turn
    #[arg(long, value_name = "FILE")]
    watch_tokens: Option<PathBuf>,
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

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Parquet,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Table => "text/plain",
            Format::Csv => "text/csv",
            Format::Json => "application/json",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// One table: reports (kind, id, event_time, receive_time, latitude, longitude, accuracy_m, speed_kmh, heading_deg,
/// battery_pct, status, order_id, city, flags, readings, region, position). Read-only; docs/sql.md has the functions.
/// Example: drover sql "SELECT id, max(speed_kmh) FROM reports WHERE event_time > now() - INTERVAL '1 hour' GROUP BY id"
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// One SELECT, WITH, EXPLAIN, SHOW TABLES or DESCRIBE
    sql: String,
    #[command(flatten)]
    node: NodeArgs,
    /// How to print the rows; Parquet goes to a file by >
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Rows at most
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    /// Seconds at most
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
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
    #[command(flatten)]
    node: NodeArgs,
    /// First position to show
    #[arg(long, default_value_t = 1)]
    from: u64,
}

/// Plays traces.
pub async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    ensure!(args.speed >= 0.0 && args.speed.is_finite(), "--speed is {}; allowed is 0 or more", args.speed);
    let Chosen { via, url, mqtt } = args.door.choose(Via::Http)?;
    let token = args.door.who.credential(&url).await?;
    let mut options = ReplayOptions::new(args.files, url);
    (options.via, options.mqtt) = (via, mqtt);
    (options.token, options.ca) = (token, args.door.who.ca);
    options.speed = args.speed;
    options.keep_times = args.keep_times;
    options.batch = args.batch;
    print(&play(options).await?, args.json)
}

/// Loads a node.
pub async fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let Chosen { via, url, mqtt } = args.door.choose(Via::WebSocket)?;
    let token = args.door.who.credential(&url).await?;
    let mut options = SimulateOptions::new(url);
    (options.via, options.mqtt) = (via, mqtt);
    (options.token, options.ca) = (token, args.door.who.ca);
    options.watch_url = args.watch_url;
    options.drivers = args.drivers;
    options.stations = args.stations;
    let closed_loop = args.closed_loop || args.interval == 0.0;
    if args.interval != 0.0 {
        options.interval = seconds("--interval", args.interval)?;
    }
    options.duration = seconds("--duration", args.duration)?;
    options.connections = args.connections;
    options.batch = args.batch;
    options.closed_loop = closed_loop;
    options.in_flight = args.in_flight;
    options.watchers = args.watchers;
    options.watch_one = args.watch_one;
    options.device_tokens = args.device_tokens;
    options.watch_tokens = args.watch_tokens;
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

/// Asks history in SQL and prints the rows.
pub async fn sql(args: SqlArgs) -> anyhow::Result<()> {
    let client = args.node.open().await?;
    let mut node = client.connect().await?;
    let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse::<usize>().ok());
    let body = json!({"sql": args.sql, "limit": args.limit, "timeout_s": args.timeout, "width": width}).to_string();
    let accept = args.format.content_type();
    let answer = node.post_for("/api/v1/sql", accept, "application/json", body.as_bytes());
    let answer = tokio::select! {
        answer = answer => answer?,
        never = show_progress(&client, &args.sql) => match never {},
    };
    if std::io::stderr().is_terminal() {
        eprint!("{CLEAR_LINE}");
    }
    if answer.status != 200 {
        return Err(Refusal::of(&answer).into());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&answer.body).and_then(|()| out.flush()).context("cannot print the rows")
}

/// Shows on a terminal how far the query is, until dropped.
async fn show_progress(client: &Client, sql: &str) -> Infallible {
    if !std::io::stderr().is_terminal() {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        // What is wrong with the node, the query itself will say.
        if let Ok(Some(line)) = progress(client, sql).await {
            eprint!("{CLEAR_LINE}{line}");
        }
    }
}

async fn progress(client: &Client, sql: &str) -> anyhow::Result<Option<String>> {
    let running = client.get("/api/v1/sql").await?;
    let mine = running["queries"].as_array().and_then(|queries| queries.iter().rev().find(|query| query["sql"] == sql));
    Ok(mine.map(|query| {
        let number = |name: &str| query[name].as_f64().unwrap_or_default();
        let (seen, all) = (number("rows_scanned"), number("rows_total"));
        let share = if all > 0.0 { 100.0 * seen / all } else { 0.0 };
        let (seconds, mib) = (number("elapsed_ms") / 1e3, number("bytes_read") / f64::from(1 << 20));
        format!("{share:3.0} % of {all} rows, {mib:.0} MiB read, {seconds:.0} s")
    }))
}

/// Lists or exports refusals, page by page.
pub async fn rejects(command: RejectsCommand) -> anyhow::Result<()> {
    let (args, export) = match command {
        RejectsCommand::List(args) => (args, false),
        RejectsCommand::Export(args) => (args, true),
    };
    let mut node = args.node.open().await?.connect().await?;
    let mut from = args.from;
    loop {
        let answer = answered(node.get(&format!("/api/v1/rejects?from={from}&limit=1000")).await?)?;
        let page: RejectsPage = serde_json::from_value(answer).context("the node's answer")?;
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
