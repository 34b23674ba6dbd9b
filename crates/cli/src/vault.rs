//! `drover vault`: a running node's own keys, over its public API. For system administrators. (Keys of other systems are
//! `drover key`, tokens of devices `drover token`.)

use crate::admin::{AdminArgs, text};
use crate::node::Client;
use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a node is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The node's own keys.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// Show the keys, without their secrets, and how far the sealing by a new one is
    Status {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Change a key; nothing stops meanwhile
    Rotate {
        /// Which
        key: OwnKey,
        /// With `data`: wait until everything is sealed by the new one
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Forget the data keys that nothing is sealed by any more; older backups cannot be read by them again
    Retire {
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// One of the node's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OwnKey {
    /// What seals personal data; everything is sealed anew by it in the background
    Data,
    /// What wraps the data keys; one in a `root_key_file` is taken from the file of its name with `.new` after it
    Root,
    /// What signs access tokens; those that are out stay good until they end
    Tokens,
}

impl OwnKey {
    fn word(self) -> &'static str {
        match self {
            OwnKey::Data => "data",
            OwnKey::Root => "root",
            OwnKey::Tokens => "tokens",
        }
    }
}

/// The node's own keys.
pub async fn vault(command: VaultCommand) -> anyhow::Result<()> {
    match command {
        VaultCommand::Status { node } => node.tell(&node.open().await?.get("/api/v1/vault").await?, status),
        VaultCommand::Rotate { key, wait, node } => {
            let client = node.open().await?;
            let body = json!({"key": key.word()});
            let mut keys = client.post("/api/v1/vault/rotate", Some(&body)).await?;
            if wait && key == OwnKey::Data {
                keys = wait_for_resealing(&client).await?;
            }
            node.tell(&keys, |keys| rotated(key, keys))
        }
        VaultCommand::Retire { node } => {
            let done = node.open().await?.post("/api/v1/vault/retire", None).await?;
            node.tell(&done, |done| {
                let (retired, stay) = (numbers(&done["retired"]), numbers(&done["in_use"]));
                format!("retired: {retired}; in use: {stay}")
            })
        }
    }
}

fn numbers(list: &Value) -> String {
    let words: Vec<String> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// What a change came to, and what is to be done next.
fn rotated(key: OwnKey, keys: &Value) -> String {
    match key {
        OwnKey::Data => format!("data key {} seals; {}", current(keys)["number"], progress(keys)),
        OwnKey::Tokens => {
            format!("key {} signs; tokens that are out stay good until they end", text(&keys["tokens"], "id"))
        }
        OwnKey::Root => root(&keys["root"]),
    }
}

fn current(keys: &Value) -> &Value {
    keys["data"].as_array().and_then(|data| data.last()).unwrap_or(&Value::Null)
}

fn status(keys: &Value) -> String {
    let mut lines: Vec<String> = keys["data"].as_array().into_iter().flatten().map(data_key).collect();
    lines.push(progress(keys));
    lines.push(root(&keys["root"]));
    let tokens = &keys["tokens"];
    lines.push(format!(
        "tokens: key {}, older ones that are still good: {}",
        text(tokens, "id"),
        text(tokens, "older")
    ));
    lines.join("\n")
}

fn data_key(key: &Value) -> String {
    let texts = key["texts"].as_u64().map_or_else(|| "not counted yet".into(), |texts| format!("{texts} texts"));
    format!("data key {}  {}  {texts}", key["number"], text(key, "created_at"))
}

fn progress(keys: &Value) -> String {
    let resealing = &keys["resealing"];
    let error = resealing["error"].as_str().map(|error| format!("; {error}; it is tried again")).unwrap_or_default();
    match (resealing["running"] == true, is_done(keys)) {
        (true, _) => format!("sealing anew: {} of {} rows{error}", resealing["looked_at"], resealing["rows"]),
        (false, true) => "everything is sealed by it".into(),
        (false, false) => format!("sealing anew has yet to begin{error}"),
    }
}

/// True if nothing is sealed by an older key, as far as that could be opened.
fn is_done(keys: &Value) -> bool {
    let data = keys["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some((_, older)) = data.split_last() else { return false };
    let left: Option<u64> = older.iter().map(|key| key["texts"].as_u64()).sum();
    let unreadable = keys["resealing"]["unreadable"].as_u64().unwrap_or(0);
    keys["resealing"]["running"] == false && left.is_some_and(|left| left <= unreadable)
}

fn root(root: &Value) -> String {
    match (root["file"].as_str(), root["pending"] == true) {
        (None, _) => "root key: the node's own, in its data folder".into(),
        (Some(file), false) => format!("root key: {file}"),
        (Some(file), true) => {
            let new = text(root, "new_file");
            format!("root key: both open the vault now; put the new one in place: mv {new} {file}")
        }
    }
}

async fn wait_for_resealing(client: &Client) -> anyhow::Result<Value> {
    let bar = indicatif::ProgressBar::new(0).with_message("sealing anew");
    loop {
        let keys = client.get("/api/v1/vault").await?;
        if is_done(&keys) {
            bar.finish_and_clear();
            return Ok(keys);
        }
        if let Some(error) = keys["resealing"]["error"].as_str() {
            bail!("{error}; the node tries again, `drover vault status` says how far it is");
        }
        bar.set_length(keys["resealing"]["rows"].as_u64().unwrap_or(0));
        bar.set_position(keys["resealing"]["looked_at"].as_u64().unwrap_or(0));
        tokio::time::sleep(ASK_EVERY).await;
    }
}
