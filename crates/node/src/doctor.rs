//! Is a data folder whole? Looks at every log, at history, at the registry with its keys, and at the audit; changes nothing,
//! and may run beside a node.

use crate::Config;
use anyhow::Context;
use drover_history::Finding;
use drover_ledger::Fault;
use drover_log::{Damage, Stream, verify};
use std::path::{Path, PathBuf};

/// Everything that is wrong in the data folder of this configuration, logs first. `deep` reads every row of history.
pub async fn look_into(config: &Config, deep: bool) -> anyhow::Result<Vec<Finding>> {
    let data = &config.data;
    anyhow::ensure!(
        data.join("epoch").is_file() || data.join("log").is_dir(),
        "{} holds no data of Drover; name a data folder with --data",
        data.display()
    );
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
    let registry = data.join("registry.db");
    if registry.is_file() {
        match drover_database::check_file(&registry).await {
            Ok(faults) => findings.extend(faults.iter().map(|fault| of_registry(&registry, fault))),
            Err(error) => findings.push(of_registry(&registry, &error.to_string())),
        }
        let keys = data.join("vault").join("keys.json");
        if std::fs::metadata(&keys).map_or(0, |keys| keys.len()) == 0 {
            findings.push(without_keys(keys));
        }
    }
    let audit = data.join("audit.db");
    if audit.is_file() {
        let verdict = drover_ledger::verify_file(&audit).await;
        let verdict = verdict.with_context(|| format!("audit in {}", audit.display()))?;
        findings.extend(verdict.fault.map(|fault| of_audit(audit, &fault)));
    } else if data.join("audit.head").exists() || data.join("registry.db").exists() {
        findings.push(without_audit(audit));
    }
    Ok(findings)
}

fn of_registry(path: &Path, fault: &str) -> Finding {
    Finding {
        path: path.into(),
        problem: fault.into(),
        advice: "stop the node, keep this file, and restore it from a backup, together with `vault`; without one, \
                 SQLite's `.recover` may save most of it"
            .into(),
    }
}

fn without_keys(path: PathBuf) -> Finding {
    Finding {
        path,
        problem: "the keys of personal data are not there, though the registry is".into(),
        advice: "restore the folder `vault` from a backup: without it nobody can read what is sealed, and a node does \
                 not start"
            .into(),
    }
}

fn without_audit(path: PathBuf) -> Finding {
    Finding {
        path,
        problem: "the audit is not there, though the folder was in use".into(),
        advice:
            "somebody or something has removed it. Restore it from a backup; a node that starts without it begins a \
                 new chain"
                .into(),
    }
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
