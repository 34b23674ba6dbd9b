//! `drover doctor`: looks at a data folder and says what is wrong with it, and what can be done.

use anyhow::bail;
use clap::Args;
use drover_node::{Finding, look_into};
use serde_json::json;
use std::path::PathBuf;

/// Reads only; the node may run meanwhile. Ends with an error when something is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Data folder
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Read every row of every file of history, not only their footers
    #[arg(long)]
    deep: bool,
    /// Print findings as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Checks logs and history of a data folder.
pub fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    if !args.data.is_dir() {
        bail!("{} is no data folder; name one with --data", args.data.display());
    }
    let findings = look_into(&args.data, args.deep)?;
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
            println!("logs and history in {} are as they should be", args.data.display());
            Ok(())
        }
        1 => bail!("1 thing is wrong"),
        n => bail!("{n} things are wrong"),
    }
}
