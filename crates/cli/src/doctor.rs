//! `drover doctor`: looks at a data folder and says what is wrong with it, and what can be done.

use anyhow::bail;
use clap::Args;
use drover_node::{Config, Finding, Flags, look_into};
use serde_json::json;
use std::path::PathBuf;

/// Reads only; the node may run meanwhile. Ends with an error when something is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Data folder; else as the configuration says
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration of the node; needed where files of history are in an object store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read every row of every file of history, not only their footers
    #[arg(long)]
    deep: bool,
    /// Print findings as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Checks logs, history, registry and audit of a data folder.
pub async fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    let flags = Flags { data: args.data.clone(), ..Flags::default() };
    let config = Config::read(args.config.as_deref(), &flags)?;
    if !config.data.is_dir() {
        bail!("{} is no data folder; name one with --data", config.data.display());
    }
    let findings = look_into(&config, args.deep).await?;
    for Finding { path, problem, advice } in &findings {
        let path = path.display();
        if args.json {
            println!("{}", json!({"path": path.to_string(), "problem": problem, "advice": advice}));
        } else {
            println!("{path}\n  problem: {problem}\n  advice:  {advice}");
        }
    }
    match findings.len() {
        0 if args.json => Ok(()),
        0 => {
            println!("logs, history, registry and audit in {} are as they should be", config.data.display());
            Ok(())
        }
        1 => bail!("1 thing is wrong"),
        n => bail!("{n} things are wrong"),
    }
}
