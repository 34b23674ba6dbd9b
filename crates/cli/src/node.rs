//! The node that a command talks to: where it is, who asks and how he proves it, whom to take for the node, and what
//! the node says is wrong. The same for every command that asks a running node.

use anyhow::{Context, anyhow, bail};
use clap::Args;
use drover_sim::error::Error;
use drover_sim::wire::http::{HttpAnswer, HttpConnection};
use drover_sim::wire::target::Target;
use serde_json::{Value, json};
use std::fmt;
use std::io::{ErrorKind, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

/// The usual node.
pub const NODE: &str = "http://127.0.0.1:8080";
/// Longest wait for an answer about records.
const PATIENCE: Duration = Duration::from_secs(30);
const JSON: &str = "application/json";
/// What to do about a missing or useless credential.
const PROVE: &str = "give an API key or an access token by --token or in DROVER_TOKEN, or log in by --as EMAIL";

/// Where the node is, and who asks.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    /// The node: http://HOST:PORT, https://HOST:PORT where it speaks TLS
    #[arg(long, default_value = NODE, value_name = "URL")]
    url: String,
    #[command(flatten)]
    who: WhoArgs,
}

/// Who asks, and whom he takes for the node. Nobody is asked for anything by a node that asks for no credentials.
#[derive(Debug, Clone, Default, Args)]
pub struct WhoArgs {
    /// API key or access token
    #[arg(long, env = "DROVER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Log in as this user; the password comes from DROVER_PASSWORD or is asked for
    #[arg(long = "as", value_name = "EMAIL")]
    log_in_as: Option<String>,
    /// PEM file of the authority that vouches for a node with TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

impl NodeArgs {
    /// The node, asked by who proves himself here: nothing but a login has been sent.
    pub async fn open(&self) -> anyhow::Result<Client> {
        let token = self.who.credential(&self.url).await?;
        Ok(Client { target: Target::parse(&self.url, token, self.who.ca.as_deref())? })
    }
}

impl WhoArgs {
    /// True if a login comes before everything else.
    pub fn logs_in(&self) -> bool {
        self.log_in_as.is_some()
    }

    /// The token that was given, or one for the user who logs in at this node; none for a node that asks nobody.
    pub async fn credential(&self, url: &str) -> anyhow::Result<Option<String>> {
        let Some(email) = &self.log_in_as else {
            return Ok(self.token.clone().filter(|token| !token.is_empty()));
        };
        let client = Client { target: Target::parse(url, None, self.ca.as_deref())? };
        let password = match std::env::var("DROVER_PASSWORD") {
            Ok(password) => password,
            Err(_) => ask("password: ")?,
        };
        let mut proof = json!({"email": email, "password": password});
        let answer = match client.post("/api/v1/auth/login", Some(&proof)).await {
            Err(error) if error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == "totp_required") => {
                proof["totp"] = ask("code of your second factor: ")?.into();
                client.post("/api/v1/auth/login", Some(&proof)).await?
            }
            answer => answer?,
        };
        let token = answer["access_token"].as_str().context("the node's answer has no token")?;
        Ok(Some(token.to_owned()))
    }
}

/// Asks at the terminal. What is typed is shown: pipe it, or set the variable, where somebody looks on.
fn ask(what: &str) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprint!("{what}");
    }
    let mut line = String::new();
    tokio::task::block_in_place(|| std::io::stdin().read_line(&mut line)).context("cannot read the answer")?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    match line.is_empty() {
        true => bail!("nothing was given for {}", what.trim_end_matches(": ")),
        false => Ok(line),
    }
}

/// A node as these commands see it.
pub struct Client {
    target: Target,
}

impl Client {
    /// A node that asks for no credentials.
    pub fn anonymous(url: &str) -> anyhow::Result<Client> {
        Ok(Client { target: Target::parse(url, None, None)? })
    }

    /// A connection, for what takes its time.
    pub async fn connect(&self) -> anyhow::Result<HttpConnection> {
        Ok(HttpConnection::connect(&self.target).await?)
    }

    /// Reads; gives what stands in the envelope. In time, as the three below.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        content(async { HttpConnection::connect(&self.target).await?.get(path).await }).await
    }

    /// Makes something, or has something done.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        content(async { HttpConnection::connect(&self.target).await?.post(path, JSON, body.as_bytes()).await }).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        content(async { HttpConnection::connect(&self.target).await?.patch(path, JSON, body.as_bytes()).await }).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        content(async { HttpConnection::connect(&self.target).await?.delete(path).await }).await
    }
}

/// What the node answers, out of its envelope.
async fn content(answer: impl Future<Output = drover_sim::error::Result<HttpAnswer>>) -> anyhow::Result<Value> {
    let silent = |_| anyhow!("the node has not answered for {} s", PATIENCE.as_secs());
    let mut body = answered(tokio::time::timeout(PATIENCE, answer).await.map_err(silent)??)?;
    // Logins answer without the envelope of records.
    Ok(if body.get("data").is_some() { body["data"].take() } else { body })
}

/// The body of a good answer.
///
/// # Errors
/// A [`Refusal`], if that is what the node says.
pub fn answered(answer: HttpAnswer) -> anyhow::Result<Value> {
    match (200..300).contains(&answer.status) {
        true => Ok(serde_json::from_slice(&answer.body).unwrap_or_default()),
        false => Err(Refusal::of(&answer).into()),
    }
}

/// What the node says is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the HTTP answer.
    pub status: u16,
    /// The reason as a word.
    pub code: String,
    message: String,
    /// What to do, in words of the command line.
    help: Option<String>,
}

impl Refusal {
    /// Out of the error envelope; who answers without one is quoted.
    pub fn of(answer: &HttpAnswer) -> Refusal {
        let envelope: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = |name: &str| envelope["error"][name].as_str().filter(|word| !word.is_empty());
        let quoted =
            || format!("the node answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body).trim());
        let code = said("code").unwrap_or_default();
        Refusal {
            status: answer.status,
            code: code.into(),
            message: said("message").map_or_else(quoted, str::to_owned),
            help: help(code, said("help").unwrap_or_default()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.message)?;
        if !self.code.is_empty() {
            write!(out, " ({})", self.code)?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(out, "; {help}"))
    }
}

impl std::error::Error for Refusal {}

/// The node's help is for programs; who sits at a terminal is told the commands instead, or nothing.
fn help(code: &str, said: &str) -> Option<String> {
    match code {
        "unauthenticated" | "bad_credentials" | "unauthorized" => return Some(PROVE.into()),
        "password_change_required" => {
            return Some("log in on the node's page and choose a password of your own".into());
        }
        _ => {}
    }
    let lists = [
        ("/users ", "user"),
        ("/api-keys ", "key"),
        ("/device-tokens ", "token"),
        ("/certificates ", "cert"),
        ("/fleets ", "fleet"),
        ("/dead-letters ", "dlq"),
    ];
    let names_http = ["GET /", "POST /", "PUT /", "PATCH /", "DELETE /"].iter().any(|method| said.contains(method));
    match lists.iter().find(|(path, _)| said.contains(path)) {
        Some((_, command)) if names_http => Some(format!("`drover {command} list` shows what there is")),
        _ => Some(said.to_owned()).filter(|said| !said.is_empty() && !names_http),
    }
}

/// An error as it is printed: every reason once, and what can be done about it.
pub fn told(error: &anyhow::Error) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for reason in error.chain().map(ToString::to_string) {
        // Some say their reason's words as well.
        if !reasons.last().is_some_and(|outer| outer.ends_with(&reason)) {
            reasons.push(reason);
        }
    }
    let advice = error.chain().find_map(|reason| advice(reason.downcast_ref()?));
    reasons.join(": ") + &advice.map_or(String::new(), |advice| format!("; {advice}"))
}

fn advice(error: &Error) -> Option<&'static str> {
    match error {
        // Of HTTP and of both versions of MQTT.
        Error::Refused { status: 401 | 4 | 5 | 0x86 | 0x87, .. } => Some(PROVE),
        Error::Tls { .. } => Some(
            "--ca FILE names who vouches for the node (its own certificate is tls/certificate.pem in its data folder); \
             a node without TLS is asked by http://",
        ),
        Error::Connection { source, .. }
            if matches!(source.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
        {
            Some("if the node speaks TLS, its address begins with https://")
        }
        _ => None,
    }
}

/// Percent-encoded for a path or a query.
pub fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> String {
        Refusal::of(&HttpAnswer { status, retry_after_s: None, body: body.into() }).to_string()
    }

    #[test]
    fn a_refusal_is_told_in_words_of_the_command_line() {
        let nobody = refusal(
            401,
            r#"{"error":{"code":"unauthenticated","message":"this needs credentials","help":"POST /api/v1/auth/login"}}"#,
        );
        assert!(nobody.starts_with("this needs credentials (unauthenticated); give an API key"), "{nobody}");
        assert!(nobody.contains("DROVER_TOKEN") && nobody.contains("--as") && !nobody.contains("POST"), "{nobody}");
        let gone = refusal(
            404,
            r#"{"error":{"code":"not_found","message":"there is no user u1","help":"GET /api/v1/users lists them"}}"#,
        );
        assert_eq!(gone, "there is no user u1 (not_found); `drover user list` shows what there is");
        let other = refusal(404, r#"{"error":{"code":"x","message":"no","help":"GET /api/v1/more says it"}}"#);
        assert_eq!(other, "no (x)");
        let kept = refusal(422, r#"{"error":{"code":"x","message":"no","help":"write a number"}}"#);
        assert_eq!(kept, "no (x); write a number");
        assert_eq!(refusal(502, "<html>\n"), "the node answered 502: <html>");
    }

    #[test]
    fn an_error_says_each_reason_once_and_what_to_do() {
        let refused = || std::io::Error::new(ErrorKind::ConnectionRefused, "refused");
        let away = anyhow::Error::from(Error::Connection { peer: "a:1".into(), source: refused() }).context("day.csv");
        assert_eq!(told(&away), "day.csv: connection to a:1: refused");
        let ended = Error::Connection { peer: "a:1".into(), source: ErrorKind::UnexpectedEof.into() };
        assert!(told(&ended.into()).ends_with("begins with https://"));
        let stranger = Error::Refused { status: 401, message: "this needs credentials".into() };
        assert!(told(&stranger.into()).contains("--as EMAIL"));
    }
}
