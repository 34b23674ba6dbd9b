//! `drover user`, `token`, `cert`, `key` and `fleet`: a running node's people, devices and fleets, over its public API.
//! Who runs these commands proves who he is like everybody else.

use crate::node::{Client, NodeArgs, encoded};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use drover_access::Role;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Records asked for at once.
const PAGE: usize = 1000;

/// The node, and how to print what it says.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Users of the node.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user; prints a password that is good once
    Add {
        /// E-mail address, by which he logs in
        email: String,
        #[arg(long, help = roles())]
        role: String,
        /// A fleet that he reaches; may be given several times
        #[arg(long = "fleet", value_name = "ID")]
        fleets: Vec<String>,
        /// All fleets
        #[arg(long)]
        all_fleets: bool,
        /// His name
        #[arg(long)]
        name: Option<String>,
        /// For a driver: which one
        #[arg(long, value_name = "ID")]
        driver: Option<String>,
        /// For a customer: which one
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// List users
    List {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Give a user a new password that is good once; his sessions end
    ResetPassword {
        /// His e-mail address, or his id
        user: String,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Take a user's second factor away; his sessions end
    RemoveTotp {
        /// His e-mail address, or his id
        user: String,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Keep a user out, without removing him
    Disable {
        /// His e-mail address, or his id
        user: String,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Let a disabled user in again
    Enable {
        /// His e-mail address, or his id
        user: String,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Remove a user
    Remove {
        /// His e-mail address, or his id
        user: String,
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// Tokens of devices: one for each, sent as a bearer token or as the MQTT password.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a device and print it; it is shown once
    Issue {
        /// The asset that the device reports for: driver/d-1, vehicle/v-1, station/s-1
        asset: String,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// List tokens
    List {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Make a token useless, at once
    Revoke {
        /// The token's id
        id: String,
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// Certificates of devices, from Drover's own authority, for MQTT over TLS.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Make a key and a certificate for a device; writes NAME.pem and NAME.key
    Issue {
        /// The asset that the device reports for: driver/d-1, vehicle/v-1, station/s-1
        asset: String,
        /// Days that it is valid
        #[arg(long, default_value_t = 365)]
        days: u32,
        /// Folder to write to
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// List certificates
    List {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Revoke a certificate: it opens no door any more, and its connections end
    Revoke {
        /// Its serial number
        serial: String,
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// API keys of other systems.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it; it is shown once
    Add {
        /// What to call it
        name: String,
        /// A permission; may be given several times
        #[arg(long = "scope", required = true, value_name = "PERMISSION")]
        scopes: Vec<String>,
        /// A fleet that it reaches; may be given several times. None: all fleets
        #[arg(long = "fleet", value_name = "ID")]
        fleets: Vec<String>,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// List keys
    List {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Make a key useless, at once
    Remove {
        /// The key's id
        id: String,
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// Fleets.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Make a fleet
    Add {
        /// Its name
        name: String,
        /// Its id; one is made otherwise
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        node: AdminArgs,
    },
    /// List fleets
    List {
        #[command(flatten)]
        node: AdminArgs,
    },
    /// Remove a fleet that nothing belongs to
    Remove {
        /// Its id
        id: String,
        #[command(flatten)]
        node: AdminArgs,
    },
}

/// Users.
pub async fn user(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { email, role, fleets, all_fleets, name, driver, customer, node } => {
            let mut body = Map::from_iter([("email".to_owned(), json!(email)), ("role".to_owned(), json!(role))]);
            let mut put = |key: &str, value: Option<Value>| value.map(|value| body.insert(key.to_owned(), value));
            put("fleets", (!fleets.is_empty()).then(|| json!(fleets)));
            put("all_fleets", all_fleets.then_some(json!(true)));
            put("name", name.map(Value::from));
            put("driver_id", driver.map(Value::from));
            put("customer_id", customer.map(Value::from));
            let made = node.open().await?.post("/api/v1/users", Some(&body.into())).await?;
            node.tell(&made, |made| {
                format!(
                    "{}  {}\npassword, good once: {}",
                    text(&made["user"], "id"),
                    email,
                    text(made, "one_time_password")
                )
            })
        }
        UserCommand::List { node } => node.list("/api/v1/users", &["id", "email", "role", "fleets", "disabled"]).await,
        UserCommand::ResetPassword { user, node } => {
            let client = node.open().await?;
            let path = format!("{}/password", path_of(&client, &user).await?);
            let made = client.post(&path, Some(&json!({}))).await?;
            node.tell(&made, |made| format!("password, good once: {}", text(made, "one_time_password")))
        }
        UserCommand::RemoveTotp { user, node } => {
            let client = node.open().await?;
            client.delete(&format!("{}/totp", path_of(&client, &user).await?)).await.map(drop)
        }
        UserCommand::Disable { user, node } => disable(&user, true, &node).await,
        UserCommand::Enable { user, node } => disable(&user, false, &node).await,
        UserCommand::Remove { user, node } => {
            let client = node.open().await?;
            client.delete(&path_of(&client, &user).await?).await.map(drop)
        }
    }
}

async fn disable(user: &str, disabled: bool, node: &AdminArgs) -> anyhow::Result<()> {
    let client = node.open().await?;
    let path = path_of(&client, user).await?;
    client.patch(&path, &json!({"disabled": disabled})).await.map(drop)
}

/// Where a user is, who is named by his e-mail address or by his id. Ids have no @.
async fn path_of(client: &Client, user: &str) -> anyhow::Result<String> {
    let id = match user.contains('@') {
        true => id_of(client, user).await?,
        false => user.to_owned(),
    };
    Ok(format!("/api/v1/users/{}", encoded(&id)))
}

async fn id_of(client: &Client, email: &str) -> anyhow::Result<String> {
    let mut page = 1;
    loop {
        let users = list_page(client, "/api/v1/users", page).await?;
        let is_it = |user: &&Value| text(user, "email").to_lowercase() == email.trim().to_lowercase();
        if let Some(user) = users.iter().find(is_it) {
            return Ok(text(user, "id"));
        }
        if users.len() < PAGE {
            bail!("there is no user {email} within your reach; `drover user list` shows who there is");
        }
        page += 1;
    }
}

async fn list_page(client: &Client, path: &str, page: u32) -> anyhow::Result<Vec<Value>> {
    match client.get(&format!("{path}?page={page}&limit={PAGE}")).await? {
        Value::Array(records) => Ok(records),
        _ => bail!("the node's answer is no list"),
    }
}

/// What people may be, for the help.
fn roles() -> String {
    let people = Role::ALL.into_iter().filter(|role| *role != Role::Device);
    people.map(Role::name).collect::<Vec<_>>().join(", ")
}

/// Tokens of devices.
pub async fn token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Issue { asset, node } => {
            let (kind, id) = asset_of(&asset)?;
            let body = json!({"kind": kind, "id": id});
            let made = node.open().await?.post("/api/v1/device-tokens", Some(&body)).await?;
            node.tell(&made, |made| text(made, "token"))
        }
        TokenCommand::List { node } => {
            node.list("/api/v1/device-tokens", &["id", "kind", "device_id", "last_used_at"]).await
        }
        TokenCommand::Revoke { id, node } => node.remove("/api/v1/device-tokens", &id).await,
    }
}

/// Certificates of devices.
pub async fn cert(command: CertCommand) -> anyhow::Result<()> {
    match command {
        CertCommand::Issue { asset, days, out, node } => issue(&asset, days, &out, &node).await,
        CertCommand::List { node } => {
            node.list("/api/v1/certificates", &["serial", "kind", "id", "expires_at", "revoked_at"]).await
        }
        CertCommand::Revoke { serial, node } => node.remove("/api/v1/certificates", &serial).await,
    }
}

/// The files come first: a certificate that could not be kept would open doors all the same.
async fn issue(asset: &str, days: u32, out: &Path, node: &AdminArgs) -> anyhow::Result<()> {
    let (kind, id) = asset_of(asset)?;
    let client = node.open().await?;
    let stem = format!("{kind}-{}", id.replace(':', "_"));
    let mut certificate = NewFile::make(out.join(format!("{stem}.pem")), 0o644)?;
    let mut key = NewFile::make(out.join(format!("{stem}.key")), 0o600)?;
    let body = json!({"kind": kind, "id": id, "days": days});
    let made = client.post("/api/v1/certificates", Some(&body)).await?;
    let serial = text(&made, "serial");
    let written = key.write(&text(&made, "key")).and_then(|()| certificate.write(&text(&made, "certificate")));
    written.with_context(|| format!("it was issued and is lost: `drover cert revoke {serial}` makes it useless"))?;
    let (certificate, key) = (certificate.keep(), key.keep());
    node.tell(&made, |_| format!("{serial}  {}  {}", certificate.display(), key.display()))
}

/// API keys.
pub async fn key(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Add { name, scopes, fleets, node } => {
            let mut body = json!({"name": name, "scopes": scopes});
            match fleets.is_empty() {
                true => body["all_fleets"] = json!(true),
                false => body["fleets"] = json!(fleets),
            }
            let made = node.open().await?.post("/api/v1/api-keys", Some(&body)).await?;
            node.tell(&made, |made| text(made, "secret"))
        }
        KeyCommand::List { node } => {
            node.list("/api/v1/api-keys", &["id", "name", "scopes", "fleets", "last_used_at"]).await
        }
        KeyCommand::Remove { id, node } => node.remove("/api/v1/api-keys", &id).await,
    }
}

/// Fleets.
pub async fn fleet(command: FleetCommand) -> anyhow::Result<()> {
    match command {
        FleetCommand::Add { name, id, node } => {
            let mut body = json!({"name": name});
            if let Some(id) = id {
                body["id"] = id.into();
            }
            let made = node.open().await?.post("/api/v1/fleets", Some(&body)).await?;
            node.tell(&made, |made| text(made, "id"))
        }
        FleetCommand::List { node } => node.list("/api/v1/fleets", &["id", "name"]).await,
        FleetCommand::Remove { id, node } => node.remove("/api/v1/fleets", &id).await,
    }
}

impl AdminArgs {
    /// Prints what was made: as JSON, or in a line.
    pub(crate) fn tell(&self, made: &Value, line: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let said = if self.json { made.to_string() } else { line(made) };
        writeln!(std::io::stdout(), "{said}").context("cannot print")
    }

    /// The node, asked by who proves himself here.
    pub(crate) async fn open(&self) -> anyhow::Result<Client> {
        self.node.open().await
    }

    /// Prints all records of a list, page by page.
    async fn list(&self, path: &str, columns: &[&str]) -> anyhow::Result<()> {
        let client = self.open().await?;
        for page in 1.. {
            let records = list_page(&client, path, page).await?;
            for record in &records {
                self.tell(record, |record| {
                    columns.iter().map(|column| text(record, column)).collect::<Vec<_>>().join("  ")
                })?;
            }
            if records.len() < PAGE {
                break;
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &str, id: &str) -> anyhow::Result<()> {
        self.open().await?.delete(&format!("{path}/{}", encoded(id))).await.map(drop)
    }
}

/// A field as a word.
pub(crate) fn text(record: &Value, field: &str) -> String {
    match &record[field] {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap_or("?")).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn asset_of(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('/')
        .filter(|(kind, id)| !kind.is_empty() && !id.is_empty())
        .with_context(|| format!("{text:?} is no asset; write kind/id, such as driver/d-1 or station/s-1"))
}

/// A file that was not there before, and goes away again unless it is kept.
struct NewFile {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl NewFile {
    fn make(path: PathBuf, mode: u32) -> anyhow::Result<NewFile> {
        let file = File::options().write(true).create_new(true).mode(mode).open(&path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(NewFile { path, file, is_kept: false })
    }

    fn write(&mut self, content: &str) -> anyhow::Result<()> {
        let written = self.file.write_all(content.as_bytes()).and_then(|()| self.file.sync_all());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // One that cannot be removed either is empty or half a file, and says so by itself.
            let _removed = std::fs::remove_file(&self.path);
        }
    }
}
