//! Is a data folder whole? Looks at every log, at history and at the audit; changes nothing, and may run beside a node.

use crate::Config;
use anyhow::Context;
use drover_history::Finding;
use drover_ledger::Fault;
use drover_log::{Damage, Stream, verify};
use std::path::PathBuf;

/// Everything that is wrong in the data folder of this configuration, logs first. `deep` reads every row of history.
pub async fn look_into(config: &Config, deep: bool) -> anyhow::Result<Vec<Finding>> {
    let data = &config.data;
    let mut findings = Vec::new();
    for stream in Stream::ALL {
        let folder = stream.folder(&data.join("log"));
        if folder.is_dir() {
            let damages = verify(&folder).with_context(|| format!("log in {}", folder.display()))?;
            findings.extend(damages.iter().map(of_log));
        }
    }
    let lake = data.join("lake");
    if lake.is_dir() {
        let found = drover_history::check(&lake, None, deep, &config.s3()?);
        findings.extend(found.with_context(|| format!("history in {}", lake.display()))?);
    }
    let audit = data.join("audit.db");
    if audit.is_file() {
        let verdict = drover_ledger::verify_file(&audit).await;
        let verdict = verdict.with_context(|| format!("audit in {}", audit.display()))?;
        findings.extend(verdict.fault.map(|fault| of_audit(audit, &fault)));
    }
    Ok(findings)
}

fn of_audit(path: PathBuf, fault: &Fault) -> Finding {
    Finding {
        path,
        problem: format!("entry {}: {}", fault.seq, fault.message),
        advice:
            "somebody or something has changed the audit since it was written; entries before this one are as they \
                 were. Keep this file, and compare it with a backup or an export"
                .into(),
    }
}

fn of_log(damage: &Damage) -> Finding {
    Finding {
        path: damage.path.clone(),
        problem: damage.to_string(),
        advice: "these reports are lost to whatever has not read them yet; what follows them is not. Check the disk, \
                 and restore the file from a backup if there is one"
            .into(),
    }
}
