//! `drover dlq`: dead letters of a running node. Looks at them, has them retried, drops them.

use crate::node::{NodeArgs, answered, encoded};
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use drover_model::format_time;
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Letters that the node lists or retries in one answer.
const PAGE_LETTERS: usize = 1000;
/// Characters of an error in a line of the list; `show` has all of it.
const ERROR_CHARS: usize = 120;

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List letters, newest first: number, source, tries, last failure, what it is about, why it failed
    List(ListArgs),
    /// Show all that is known of a letter
    Show(ShowArgs),
    /// Do the work of letters again; those that succeed leave the list
    Retry(RetryArgs),
    /// Drop letters for good
    Drop(DropArgs),
}

/// A dead letter is work that Drover accepted and could not do. It is kept with the reason, for 14 days by default. Next:
/// `drover dlq show ID` for one of them, `drover dlq retry ID` when the cause is mended.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only letters of this source: import, history
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Letters at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    node: NodeArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// The error says why the work failed the last time, the context where: file and row, asset, position in the log.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The letter's number
    id: u64,
    /// Print what was being processed instead, byte by byte; to a file by >
    #[arg(long, conflicts_with = "json")]
    original: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the letter as JSON
    #[arg(long)]
    json: bool,
}

/// Mend the cause first: free the disk, correct the profile, install the new version. To retry what was done already
/// does no harm. Ends with an error when a letter fails again.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Numbers of letters
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<u64>,
    /// Retry all that are there now, oldest first; one that fails again holds up no other
    #[arg(long)]
    all: bool,
    /// With --all: only letters of this source
    #[arg(long, value_name = "NAME", requires = "all", conflicts_with = "ids")]
    source: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    /// Print what came of it as JSON, one object per letter, or one for --all
    #[arg(long)]
    json: bool,
}

/// A dropped letter is gone with its original and is not done. An imported file stays in the node's archive, and a report
/// in the log for as long as that is kept.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Numbers of letters
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<u64>,
    /// Drop all letters of one source
    #[arg(long, requires = "source")]
    all: bool,
    /// With --all: whose letters
    #[arg(long, value_name = "NAME", requires = "all", conflicts_with = "ids")]
    source: Option<String>,
    /// With --all: yes, for good
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// Looks at dead letters, has them retried, drops them.
pub async fn dlq(command: DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List(args) => list(args).await,
        DlqCommand::Show(args) => show(args).await,
        DlqCommand::Retry(args) if args.all => retry_all(args).await,
        DlqCommand::Retry(args) => retry(args).await,
        DlqCommand::Drop(args) => match args.source.clone().filter(|_| args.all) {
            Some(source) => drop_all(&source, &args).await,
            None => drop_some(&args).await,
        },
    }
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let mut node = args.node.open().await?.connect().await?;
    let source = of_source(args.source.as_deref());
    let (mut left, mut before) = (args.limit, String::new());
    let now = now_ms();
    while left > 0 {
        let limit = left.min(PAGE_LETTERS);
        let page = answered(node.get(&format!("/api/v1/dead-letters?limit={limit}{source}{before}")).await?)?;
        let letters = page["dead_letters"].as_array().context("the node's answer lists no letters")?;
        if left == args.limit && !args.json {
            println!("{}", if letters.is_empty() { "no dead letters".into() } else { heading() });
        }
        for letter in letters {
            println!("{}", if args.json { letter.to_string() } else { line(letter, now) });
        }
        left = left.saturating_sub(letters.len());
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => return Ok(()),
        }
    }
    eprintln!("there are more; list them with a larger --limit");
    Ok(())
}

fn of_source(source: Option<&str>) -> String {
    source.map_or(String::new(), |source| format!("&source={}", encoded(source)))
}

fn heading() -> String {
    format!("{:>8}  {:<9}  {:>5}  {:<9}  {:<20}  {:<16}  error", "id", "source", "tries", "failed", "key", "stage")
}

fn line(letter: &Value, now_ms: i64) -> String {
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| letter[name].as_i64().unwrap_or_default();
    let error = text("error");
    let error: String = error.lines().next().unwrap_or_default().chars().take(ERROR_CHARS).collect();
    format!(
        "{:>8}  {:<9}  {:>5}  {:<9}  {:<20}  {:<16}  {error}",
        number("id"),
        text("source"),
        number("attempts"),
        ago(now_ms - number("last_failed_ms")),
        text("key"),
        text("stage")
    )
}

/// How long ago, in the largest unit of which there are two.
fn ago(ms: i64) -> String {
    match ms.max(0) / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

async fn show(args: ShowArgs) -> anyhow::Result<()> {
    let mut node = args.node.open().await?.connect().await?;
    let address = format!("/api/v1/dead-letters/{}", args.id);
    if args.original {
        let answer = node.get(&format!("{address}/original")).await?;
        if answer.status != 200 {
            return answered(answer).map(drop);
        }
        let mut out = std::io::stdout().lock();
        return out.write_all(&answer.body).and_then(|()| out.flush()).context("cannot print the original");
    }
    let letter = answered(node.get(&address).await?)?;
    println!("{}", if args.json { letter.to_string() } else { described(&letter) });
    Ok(())
}

fn described(letter: &Value) -> String {
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| {
        let mut time = String::new();
        format_time(letter[name].as_i64().unwrap_or_default(), &mut time);
        time
    };
    let original = match letter["original_kept"].as_bool() {
        Some(true) => format!("{} bytes; --original prints them", letter["original_bytes"]),
        _ => format!("{} bytes, not kept", letter["original_bytes"]),
    };
    let rows = [
        ("letter", letter["id"].to_string()),
        ("source", text("source")),
        ("key", text("key")),
        ("stage", text("stage")),
        ("error", text("error")),
        ("tries", letter["attempts"].to_string()),
        ("failed", format!("first {}, last {}", time("first_failed_ms"), time("last_failed_ms"))),
        ("original", original),
        ("state", text("state")),
    ];
    let rows = rows.into_iter().map(|(name, value)| format!("{name:<9} {value}"));
    let context = letter["context"].as_object().into_iter().flatten();
    let context = context.enumerate().map(|(n, (name, value))| {
        let label = if n == 0 { "context" } else { "" };
        format!("{label:<9} {name} = {value}")
    });
    rows.chain(context).collect::<Vec<_>>().join("\n")
}

/// Goes on past letters that fail again, or that are not there any more.
async fn retry(args: RetryArgs) -> anyhow::Result<()> {
    let mut node = args.node.open().await?.connect().await?;
    let mut failed = 0;
    for id in &args.ids {
        let answer = node.post(&format!("/api/v1/dead-letters/{id}/retry"), "application/json", b"").await?;
        match answered(answer) {
            Ok(came) => {
                failed += usize::from(came["done"] != true);
                println!("{}", if args.json { came.to_string() } else { outcome(*id, &came) });
            }
            Err(error) => {
                failed += 1;
                eprintln!("letter {id}: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} not done; `drover dlq show ID` says why", args.ids.len());
    Ok(())
}

fn outcome(id: u64, came: &Value) -> String {
    let text = |name: &str| came[name].as_str().unwrap_or_default();
    match came["done"] == true {
        true => format!("letter {id}: done: {}", text("what")),
        false => format!("letter {id}: failed again, after {} tries: {}", came["attempts"], text("error")),
    }
}

/// What came of all letters.
#[derive(Debug, Default, Serialize)]
struct Summary {
    tried: u64,
    done: u64,
    failed: u64,
    skipped: u64,
}

impl Summary {
    fn add(&mut self, batch: &Value) {
        let number = |name: &str| batch[name].as_u64().unwrap_or_default();
        self.tried += number("tried");
        self.done += number("done");
        self.failed += number("failed");
        self.skipped += number("skipped");
    }
}

async fn retry_all(args: RetryArgs) -> anyhow::Result<()> {
    let mut node = args.node.open().await?.connect().await?;
    let source = of_source(args.source.as_deref());
    let newest = answered(node.get(&format!("/api/v1/dead-letters?limit=1{source}")).await?)?;
    let mut summary = Summary::default();
    if let Some(newest) = newest["dead_letters"][0]["id"].as_u64() {
        // Letters that come meanwhile, as from work that fails once more, are for the next time.
        let which = format!("limit={PAGE_LETTERS}&before={}{source}", newest + 1);
        let mut after = String::new();
        loop {
            let address = format!("/api/v1/dead-letters/retry?{which}{after}");
            let batch = answered(node.post(&address, "application/json", b"").await?)?;
            summary.add(&batch);
            match batch["next"].as_u64() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
    }
    let Summary { tried, done, failed, skipped } = summary;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{tried} retried: {done} done, {failed} failed again");
    }
    ensure!(failed == 0, "{failed} failed again; `drover dlq list` says why");
    ensure!(
        skipped == 0,
        "{skipped} passed over: they are being retried already, or this node cannot retry their source; \
         `drover dlq retry ID` says which"
    );
    Ok(())
}

/// Goes on past letters that are not there any more.
async fn drop_some(args: &DropArgs) -> anyhow::Result<()> {
    let mut node = args.node.open().await?.connect().await?;
    let mut failed = 0;
    for id in &args.ids {
        match answered(node.delete(&format!("/api/v1/dead-letters/{id}")).await?) {
            Ok(_) => println!("letter {id}: dropped"),
            Err(error) => {
                failed += 1;
                eprintln!("letter {id}: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} not dropped", args.ids.len());
    Ok(())
}

async fn drop_all(source: &str, args: &DropArgs) -> anyhow::Result<()> {
    ensure!(args.yes, "this drops all letters of {source} for good; look at them first, then add --yes");
    let mut node = args.node.open().await?.connect().await?;
    let answer = node.delete(&format!("/api/v1/dead-letters?source={}", encoded(source))).await?;
    println!("{} letters of {source} dropped", answered(answer)?["dropped"]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json as value;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: DlqCommand,
    }

    fn understood(flags: &[&str]) -> bool {
        Line::try_parse_from([&["drover"], flags].concat()).is_ok()
    }

    #[test]
    fn letters_are_named_by_number_or_all_are_meant() {
        assert!(understood(&["list", "--source", "import", "--limit", "7", "--json"]));
        assert!(understood(&["show", "17", "--original"]));
        assert!(understood(&["retry", "17", "18"]));
        assert!(understood(&["retry", "--all"]));
        assert!(understood(&["retry", "--all", "--source", "history"]));
        assert!(understood(&["drop", "17"]));
        assert!(understood(&["drop", "--all", "--source", "history", "--yes"]));
        for wrong in [
            &["show"][..],
            &["show", "17", "--original", "--json"],
            &["retry"],
            &["retry", "17", "--all"],
            &["retry", "17", "--source", "import"],
            &["drop"],
            &["drop", "--all"],
            &["drop", "--all", "--yes"],
            &["drop", "17", "--all", "--source", "import"],
        ] {
            assert!(!understood(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_line_has_the_first_line_of_the_error_and_the_age_of_the_failure() {
        let letter = value!({"id": 17, "source": "import", "attempts": 4, "last_failed_ms": 1_000_000, "key": "job 12",
            "stage": "read file", "error": "broken\nat the disk"});
        let line = line(&letter, 1_000_000 + 3 * 3_600_000);
        assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), "17 import 4 3 h job 12 read file broken");
        assert_eq!(line.find("broken"), heading().find("error"), "columns stand below their names");
    }

    #[test]
    fn ages_have_the_unit_that_says_most() {
        let ages = [-5, 0, 119_000, 120_000, 7_199_000, 7_200_000, 172_799_000, 172_800_000].map(ago);
        assert_eq!(ages, ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }

    #[test]
    fn a_letter_is_described_with_its_context() {
        let letter = value!({"id": 17, "source": "import", "key": "job 12", "stage": "read file", "error": "broken",
            "context": {"file": "day.csv", "row": 3}, "attempts": 4, "first_failed_ms": 0, "last_failed_ms": 1500,
            "original_bytes": 6, "original_kept": false, "state": "waiting"});
        let described = described(&letter);
        for part in [
            "letter    17",
            "failed    first 1970-01-01T00:00:00Z, last 1970-01-01T00:00:01.500Z",
            "original  6 bytes, not kept",
            "context   file = \"day.csv\"\n          row = 3",
        ] {
            assert!(described.contains(part), "{part} in {described}");
        }
    }
}
