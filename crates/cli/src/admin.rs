//! `drover user`, `token`, `cert`, `key` and `fleet`: a running node's people, devices and fleets, over its public API.
//! Who runs these commands proves who he is like everybody else.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::client::NODE;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records asked for at once.
const PAGE: u32 = 1000;

/// Where the node is, and who asks. Without a token, the e-mail address and password of a user are asked for.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node
    #[arg(long, default_value = NODE, value_name = "URL")]
    url: String,
    /// API key or access token
    #[arg(long, env = "DROVER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Log in as this user; the password comes from DROVER_PASSWORD or is asked for
    #[arg(long = "as", value_name = "EMAIL")]
    log_in_as: Option<String>,
    /// PEM file of the authority that vouches for the node, besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
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
        /// system_admin, fleet_manager, dispatcher, driver, customer, station_operator, auditor
        #[arg(long)]
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
        node: NodeArgs,
    },
    /// List users
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Give a user a new password that is good once; his sessions end
    ResetPassword {
        /// The user's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take a user's second factor away; his sessions end
    RemoveTotp {
        /// The user's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Keep a user out, without removing him
    Disable {
        /// The user's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Let a disabled user in again
    Enable {
        /// The user's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove a user
    Remove {
        /// The user's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
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
        node: NodeArgs,
    },
    /// List tokens
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make a token useless, at once
    Revoke {
        /// The token's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
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
        node: NodeArgs,
    },
    /// List certificates
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Revoke a certificate: it opens no door any more, and its connections end
    Revoke {
        /// Its serial number
        serial: String,
        #[command(flatten)]
        node: NodeArgs,
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
        node: NodeArgs,
    },
    /// List keys
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make a key useless, at once
    Remove {
        /// The key's id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
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
        node: NodeArgs,
    },
    /// List fleets
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove a fleet that nothing belongs to
    Remove {
        /// Its id
        id: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Users.
pub fn user(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { email, role, fleets, all_fleets, name, driver, customer, node } => {
            let mut body = Map::from_iter([("email".to_owned(), json!(email)), ("role".to_owned(), json!(role))]);
            let mut put = |key: &str, value: Option<Value>| value.map(|value| body.insert(key.to_owned(), value));
            put("fleets", (!fleets.is_empty()).then(|| json!(fleets)));
            put("all_fleets", all_fleets.then_some(json!(true)));
            put("name", name.map(Value::from));
            put("driver_id", driver.map(Value::from));
            put("customer_id", customer.map(Value::from));
            let made = Client::open(&node)?.call("POST", "/api/v1/users", Some(&body.into()))?;
            node.tell(&made, |made| {
                format!(
                    "{}  {}\npassword, good once: {}",
                    text(&made["user"], "id"),
                    email,
                    text(made, "one_time_password")
                )
            })
        }
        UserCommand::List { node } => node.list("/api/v1/users", &["id", "email", "role", "fleets", "disabled"]),
        UserCommand::ResetPassword { id, node } => {
            let made = Client::open(&node)?.call("POST", &format!("/api/v1/users/{id}/password"), Some(&json!({})))?;
            node.tell(&made, |made| format!("password, good once: {}", text(made, "one_time_password")))
        }
        UserCommand::RemoveTotp { id, node } => node.remove(&format!("/api/v1/users/{id}/totp")),
        UserCommand::Disable { id, node } => node.patch(&format!("/api/v1/users/{id}"), &json!({"disabled": true})),
        UserCommand::Enable { id, node } => node.patch(&format!("/api/v1/users/{id}"), &json!({"disabled": false})),
        UserCommand::Remove { id, node } => node.remove(&format!("/api/v1/users/{id}")),
    }
}

/// Tokens of devices.
pub fn token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Issue { asset, node } => {
            let (kind, id) = asset_of(&asset)?;
            let body = json!({"kind": kind, "id": id});
            let made = Client::open(&node)?.call("POST", "/api/v1/device-tokens", Some(&body))?;
            node.tell(&made, |made| text(made, "token"))
        }
        TokenCommand::List { node } => node.list("/api/v1/device-tokens", &["id", "kind", "device_id", "last_used_at"]),
        TokenCommand::Revoke { id, node } => node.remove(&format!("/api/v1/device-tokens/{id}")),
    }
}

/// Certificates of devices.
pub fn cert(command: CertCommand) -> anyhow::Result<()> {
    match command {
        CertCommand::Issue { asset, days, out, node } => {
            let (kind, id) = asset_of(&asset)?;
            let body = json!({"kind": kind, "id": id, "days": days});
            let made = Client::open(&node)?.call("POST", "/api/v1/certificates", Some(&body))?;
            let stem = format!("{kind}-{}", id.replace(':', "_"));
            let (certificate, key) = (out.join(format!("{stem}.pem")), out.join(format!("{stem}.key")));
            write(&certificate, &text(&made, "certificate"), 0o644)?;
            write(&key, &text(&made, "key"), 0o600)?;
            node.tell(&made, |made| format!("{}  {}  {}", text(made, "serial"), certificate.display(), key.display()))
        }
        CertCommand::List { node } => {
            node.list("/api/v1/certificates", &["serial", "kind", "id", "expires_at", "revoked_at"])
        }
        CertCommand::Revoke { serial, node } => node.remove(&format!("/api/v1/certificates/{serial}")),
    }
}

/// API keys.
pub fn key(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Add { name, scopes, fleets, node } => {
            let mut body = json!({"name": name, "scopes": scopes});
            match fleets.is_empty() {
                true => body["all_fleets"] = json!(true),
                false => body["fleets"] = json!(fleets),
            }
            let made = Client::open(&node)?.call("POST", "/api/v1/api-keys", Some(&body))?;
            node.tell(&made, |made| text(made, "secret"))
        }
        KeyCommand::List { node } => node.list("/api/v1/api-keys", &["id", "name", "scopes", "fleets", "last_used_at"]),
        KeyCommand::Remove { id, node } => node.remove(&format!("/api/v1/api-keys/{id}")),
    }
}

/// Fleets.
pub fn fleet(command: FleetCommand) -> anyhow::Result<()> {
    match command {
        FleetCommand::Add { name, id, node } => {
            let mut body = json!({"name": name});
            if let Some(id) = id {
                body["id"] = id.into();
            }
            let made = Client::open(&node)?.call("POST", "/api/v1/fleets", Some(&body))?;
            node.tell(&made, |made| text(made, "id"))
        }
        FleetCommand::List { node } => node.list("/api/v1/fleets", &["id", "name"]),
        FleetCommand::Remove { id, node } => node.remove(&format!("/api/v1/fleets/{id}")),
    }
}

impl NodeArgs {
    /// Prints what was made: as JSON, or in a line.
    pub(crate) fn tell(&self, made: &Value, line: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let said = if self.json { made.to_string() } else { line(made) };
        writeln!(std::io::stdout(), "{said}").context("cannot print")
    }

    /// Prints all records of a list, page by page.
    fn list(&self, path: &str, columns: &[&str]) -> anyhow::Result<()> {
        let client = Client::open(self)?;
        for page in 1.. {
            let records = client.call("GET", &format!("{path}?page={page}&limit={PAGE}"), None)?;
            let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
            for record in records {
                self.tell(record, |record| {
                    columns.iter().map(|column| text(record, column)).collect::<Vec<_>>().join("  ")
                })?;
            }
            if records.len() < PAGE as usize {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> anyhow::Result<()> {
        Client::open(self)?.call("DELETE", path, None).map(drop)
    }

    fn patch(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        Client::open(self)?.call("PATCH", path, Some(body)).map(drop)
    }

    /// The token that was given, or one for the user who logs in; none for a node that asks nobody.
    fn credential(&self, client: &Client) -> anyhow::Result<Option<String>> {
        let Some(email) = &self.log_in_as else { return Ok(self.token.clone()) };
        let password = match std::env::var("DROVER_PASSWORD") {
            Ok(password) => password,
            Err(_) => ask("password: ")?,
        };
        let mut proof = json!({"email": email, "password": password});
        let answer = match client.call("POST", "/api/v1/auth/login", Some(&proof)) {
            Err(error) if error.to_string().contains("totp_required") => {
                proof["totp"] = ask("code of your second factor: ")?.into();
                client.call("POST", "/api/v1/auth/login", Some(&proof))?
            }
            answer => answer?,
        };
        Ok(Some(text(&answer, "access_token")))
    }
}

/// A node as these commands see it.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn open(node: &NodeArgs) -> anyhow::Result<Client> {
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(roots(node.ca.as_deref())?)
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .tls_config(tls)
            .build();
        let base = node.url.trim_end_matches('/').to_owned();
        let mut client = Client { agent: ureq::Agent::new_with_config(config), base, token: None };
        client.token = node.credential(&client)?;
        Ok(client)
    }

    /// What the node answers, out of its envelope; what is wrong, in the node's own words.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(body).with_context(|| format!("{}{path} is no address", self.base))?;
        let mut answer =
            self.agent.run(request).with_context(|| format!("the node at {} cannot be reached", self.base))?;
        let text = answer.body_mut().read_to_string().context("the node's answer cannot be read")?;
        let mut envelope: Value = serde_json::from_str(&text).unwrap_or_default();
        if answer.status().is_success() {
            // Logins answer without the envelope of records.
            let whole = envelope.get("data").is_none();
            return Ok(if whole { envelope } else { envelope["data"].take() });
        }
        let error = &envelope["error"];
        let said = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        match error.is_object() {
            true => bail!("{} ({}): {}", said("message"), said("code"), said("help")),
            false => bail!("the node answered {}: {text}", answer.status()),
        }
    }
}

fn roots(ca: Option<&Path>) -> anyhow::Result<ureq::tls::RootCerts> {
    let mut trusted: Vec<ureq::tls::Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| ureq::tls::Certificate::from_der(certificate).to_owned())
        .collect();
    if let Some(path) = ca {
        let pem = std::fs::read(path).with_context(|| format!("certificates in {}", path.display()))?;
        for item in ureq::tls::parse_pem(&pem) {
            if let Ok(ureq::tls::PemItem::Certificate(certificate)) = item {
                trusted.push(certificate);
            }
        }
    }
    Ok(ureq::tls::RootCerts::from(trusted))
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

/// Writes a file that must not be there yet.
fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(content.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Asks at the terminal. What is typed is shown: pipe it, or set the variable, where somebody looks on.
fn ask(what: &str) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprint!("{what}");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the answer")?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    match line.is_empty() {
        true => bail!("nothing was given for {}", what.trim_end_matches(": ")),
        false => Ok(line),
    }
}
