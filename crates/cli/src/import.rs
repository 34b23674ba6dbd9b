//! `drover import`: hands files to a running node, or to one that it starts for them on a data folder, and follows
//! their jobs to the end. Interrupted, the same command finds the job of each file again and goes on.

use crate::node::{Client, NodeArgs, Refusal, answered, encoded};
use crate::serve::start_logging;
use anyhow::{Context, ensure};
use clap::Args;
use drover_node::{Config, Flags, Node};
use drover_sim::wire::http::HttpConnection;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::sync::oneshot;

/// How often the node is asked how far it is: soon for a small file, less often for a large one.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_LONGEST: Duration = Duration::from_millis(250);
/// So long a node may be away before the command gives up; its jobs go on when it is back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a file's start and end, for its mark.
const MARK_BYTES: u64 = 64 << 10;

/// The format (CSV with a header, NDJSON, GPX, GTFS-Realtime, Parquet; also .gz and .zst) is recognised by the file's
/// first bytes, columns by their names. Every row ends up in one count: accepted, duplicate, or rejected by reason.
/// Interrupted, the same command goes on where it was.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files; each is a job of its own
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Import into this data folder, without a running node
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "log_in_as", "ca"])]
    data: Option<PathBuf>,
    /// A profile to start from: capmetro, twizy, or one of the node's configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// What reports, where the file does not say: driver, vehicle, station, rider, other
    #[arg(long)]
    kind: Option<String>,
    /// Id of the one asset that the file is about
    #[arg(long)]
    id: Option<String>,
    /// Unit of the speed column: km/h, mph, m/s, knots
    #[arg(long, value_name = "UNIT")]
    speed_unit: Option<String>,
    /// Zone of times without an offset, as Europe/Lisbon [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How times are written, as '%d.%m.%Y %H:%M:%S'
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// A column that is not found by its name, as speed=v; an empty name means that there is none
    #[arg(long, value_name = "FIELD=NAME")]
    column: Vec<String>,
    /// Only report what would be rejected
    #[arg(long)]
    dry_run: bool,
    /// Stop a file when more than so many of a hundred rows are rejected
    #[arg(long, value_name = "PERCENT")]
    max_bad_percent: Option<f64>,
    /// Write the rejected rows to this CSV file: file, row, field, value, rule, message
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What became of the rows of all files: `rows = accepted + duplicates + rejected`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    files: usize,
    rows: u64,
    accepted: u64,
    duplicates: u64,
    late: u64,
    #[serde(skip_serializing_if = "is_zero")]
    valid: u64,
    rejected: BTreeMap<String, u64>,
    rejected_total: u64,
    /// A read with `at_least` of it sees every accepted row.
    position: u64,
    seconds: f64,
    rows_per_second: f64,
    jobs: Vec<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Imports.
pub async fn import(args: ImportArgs) -> anyhow::Result<()> {
    match args.data.clone() {
        None => import_into(&args.node.open().await?, &args).await,
        Some(data) => {
            start_logging(false, "warn");
            let local = LocalNode::start(data).await?;
            let done = import_into(&Client::anonymous(&local.url)?, &args).await;
            local.stop().await?;
            done
        }
    }
}

/// A node of our own, for a data folder that none serves.
struct LocalNode {
    url: String,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl LocalNode {
    async fn start(data: PathBuf) -> anyhow::Result<LocalNode> {
        let any = Some(([127, 0, 0, 1], 0).into());
        let flags = Flags { data: Some(data), http: any, mqtt: any, dev: Some(true), ..Flags::default() };
        let node = Node::start(&Config::load(None, &flags)?, None).await?;
        let url = format!("http://{}", node.doors()?[0].1);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(node.serve(async move {
            let _ = stopped.await;
        }));
        Ok(LocalNode { url, stop, serving })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.serving.await?
    }
}

async fn import_into(client: &Client, args: &ImportArgs) -> anyhow::Result<()> {
    let said = query(args)?;
    let started = Instant::now();
    let mut summary = Summary::default();
    let mut failed = Vec::new();
    let mut rejects = args.rejects.as_deref().map(RejectsFile::create).transpose()?;
    for file in &args.files {
        let job = import_file(client, file, &said).await.with_context(|| file.display().to_string())?;
        summary.add(&job);
        if job["state"] != "done" {
            failed.push(format!("{}: {}", file.display(), job["error"].as_str().unwrap_or("it was stopped")));
        }
        if let Some(rejects) = &mut rejects {
            rejects.add(client, file, &job).await?;
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    summary.rows_per_second = (summary.rows as f64 / summary.seconds).round();
    summary.print(args)?;
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// What is said of every file, as the query of the request.
fn query(args: &ImportArgs) -> anyhow::Result<String> {
    let columns = args.column.iter().map(|pair| {
        let (field, name) = pair.split_once('=').with_context(|| format!("--column {pair}: write FIELD=NAME"))?;
        ensure!(!name.contains(','), "--column {pair}: a name with a comma cannot be given");
        Ok(format!("{field}:{name}"))
    });
    let columns = columns.collect::<anyhow::Result<Vec<_>>>()?.join(",");
    let percent = args.max_bad_percent.map(|percent| percent.to_string());
    let said = [
        ("profile", args.profile.as_deref()),
        ("kind", args.kind.as_deref()),
        ("id", args.id.as_deref()),
        ("speed_unit", args.speed_unit.as_deref()),
        ("time_zone", args.time_zone.as_deref()),
        ("time_format", args.time_format.as_deref()),
        ("columns", Some(&*columns).filter(|columns| !columns.is_empty())),
        ("dry_run", args.dry_run.then_some("true")),
        ("max_bad_percent", percent.as_deref()),
    ];
    Ok(said.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value?)))).collect())
}

/// Finds the file's unfinished job, or sends the file; then follows the job to its end.
async fn import_file(client: &Client, path: &Path, said: &str) -> anyhow::Result<Value> {
    let mut file = File::open(path)?;
    ensure!(file.metadata()?.is_file(), "not a file");
    let mark = encoded(&mark(&mut file, said)?);
    let bar = progress();
    let mut connection = client.connect().await?;
    let known = answered(connection.get(&format!("/api/v1/imports?fingerprint={mark}&limit=1000")).await?)?;
    let job = match known["imports"].as_array().and_then(|jobs| jobs.last()) {
        Some(job) => job.clone(),
        None => send(&mut connection, &mut file, path, &format!("{said}&fingerprint={mark}"), &bar).await?,
    };
    let id = job["id"].as_u64().context("the node's answer names no job")?;
    let job = follow(client, id, &bar).await?;
    bar.finish_and_clear();
    Ok(job)
}

/// What tells this file from others, and this way to read it: size, time of change, start and end.
fn mark(file: &mut File, said: &str) -> anyhow::Result<String> {
    let facts = file.metadata()?;
    let changed = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = Vec::new();
    file.by_ref().take(MARK_BYTES).read_to_end(&mut bytes)?;
    file.seek(io::SeekFrom::Start(facts.len().saturating_sub(MARK_BYTES)))?;
    file.by_ref().take(MARK_BYTES).read_to_end(&mut bytes)?;
    file.rewind()?;
    bytes.extend_from_slice(said.as_bytes());
    // FNV-1a: it has to tell files of one sender apart, not to withstand anybody.
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    Ok(format!("{}-{}-{hash:016x}", facts.len(), changed.as_nanos()))
}

async fn send(
    connection: &mut HttpConnection,
    file: &mut File,
    path: &Path,
    said: &str,
    bar: &ProgressBar,
) -> anyhow::Result<Value> {
    let length = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    bar.set_length(length);
    bar.set_message("sending");
    let address = format!("/api/v1/imports?name={}{said}", encoded(&name));
    answered(connection.post_from(&address, file, length, |sent| bar.set_position(sent)).await?)
}

/// Asks how far the job is until it is over. A node that goes away is waited for.
async fn follow(client: &Client, id: u64, bar: &ProgressBar) -> anyhow::Result<Value> {
    let (mut look, mut seen) = (LOOK_FIRST, Instant::now());
    loop {
        match client.get(&format!("/api/v1/imports/{id}")).await {
            Ok(job) => {
                seen = Instant::now();
                bar.set_length(job["bytes"].as_u64().unwrap_or_default());
                bar.set_position(job["bytes_read"].as_u64().unwrap_or_default());
                let problem = job["problem"].as_str().map(|problem| format!(", waits: {problem}")).unwrap_or_default();
                bar.set_message(format!("{} rows{problem}", job["rows"]));
                if !matches!(job["state"].as_str(), Some("waiting" | "running")) {
                    return Ok(job);
                }
            }
            // The job belongs to the node: it goes on without who began it.
            Err(error) if error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == 401) => {
                return Err(error.context(format!("job {id} goes on in the node, and cannot be followed any more")));
            }
            Err(error) if seen.elapsed() > PATIENCE => {
                return Err(error.context(format!("the node is away; job {id} goes on when it is back")));
            }
            Err(_) => bar.set_message("the node is away, waiting for it"),
        }
        tokio::time::sleep(look).await;
        look = (look * 2).min(LOOK_LONGEST);
    }
}

/// On standard error, and only if that is a terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {elapsed} {msg}");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is constant and valid"));
    if !io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}

/// The rejected rows of all files in one.
struct RejectsFile(File);

impl RejectsFile {
    fn create(path: &Path) -> anyhow::Result<RejectsFile> {
        let mut file = File::create(path).with_context(|| path.display().to_string())?;
        io::Write::write_all(&mut file, b"file,row,field,value,rule,message\n")?;
        Ok(RejectsFile(file))
    }

    async fn add(&mut self, client: &Client, path: &Path, job: &Value) -> anyhow::Result<()> {
        let address = format!("/api/v1/imports/{}/rejects", job["id"]);
        let answer = client.connect().await?.get(&address).await?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('"', "\"\"");
        let mut lines = String::new();
        // Messages have no line ends: one line is one row.
        for line in String::from_utf8_lossy(&answer.body).lines().skip(1) {
            lines.push_str(&format!("\"{name}\",{line}\n"));
        }
        Ok(io::Write::write_all(&mut self.0, lines.as_bytes())?)
    }
}

impl Summary {
    fn add(&mut self, job: &Value) {
        let number = |name: &str| job[name].as_u64().unwrap_or_default();
        self.files += 1;
        self.rows += number("rows");
        self.accepted += number("accepted");
        self.duplicates += number("duplicates");
        self.late += number("late");
        self.valid += number("valid");
        self.rejected_total += number("rejected_total");
        self.position = self.position.max(number("position"));
        self.jobs.push(number("id"));
        for (reason, count) in job["rejected"].as_object().into_iter().flatten() {
            *self.rejected.entry(reason.clone()).or_default() += count.as_u64().unwrap_or_default();
        }
    }

    fn print(&self, args: &ImportArgs) -> anyhow::Result<()> {
        if args.json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let Summary {
            files, rows, accepted, duplicates, late, valid, rejected_total, seconds, rows_per_second, ..
        } = self;
        let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        if *valid > 0 {
            println!("{rows} rows of {files} in {seconds:.1} s: {valid} valid, {rejected_total} would be rejected");
        } else {
            println!(
                "{rows} rows of {files} in {seconds:.1} s ({rows_per_second}/s): {accepted} accepted ({late} late), \
                 {duplicates} duplicates, {rejected_total} rejected"
            );
        }
        for (reason, count) in &self.rejected {
            println!("  rejected {reason}: {count}");
        }
        if *rejected_total > 0 && args.rejects.is_none() {
            println!("  the same command with --rejects FILE writes each of them to a file, with its reason");
        }
        Ok(())
    }
}
