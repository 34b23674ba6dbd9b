//! Who and what: the vault, the registry, the audit, the authority for devices and the identities, opened in this order
//! and joined; and the way of every change from the registry's outbox to the audit and to the log's `changes` stream.

use crate::config::Config;
use crate::erasures::Forgotten;
use crate::outbox::{Follower, KEPT_CHANGES, newest_heard};
use anyhow::Context;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use drover_access::{Caller, Directory, Watching};
use drover_answer::{Problem, ProblemKind, now_ms};
use drover_api::{Extra, write_asset};
use drover_auth::{Auth, FirstAdmin, Limits, OidcSettings, PersonKind, Rate};
use drover_certs::Authority;
use drover_database::Database;
use drover_history::History;
use drover_ledger::Ledger;
use drover_live::Live;
use drover_log::Log;
use drover_model::{Erased, Kind};
use drover_mqtt::{Ended, Hello, Refusal};
use drover_registry::{Hooks, Registry, Resource};
use drover_tracking::Tracking;
use drover_vault::Vault;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use utoipa_axum::router::OpenApiRouter;

/// How often it is told that the registry's database is waited for.
const WAITING_TOLD_EVERY: Duration = Duration::from_secs(5);
/// How often entries of the audit may leave.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);
/// A day, ms.
const DAY_MS: i64 = 86_400_000;
/// How long the registry's connections have to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// How long an erasure is waited for; it goes on beyond that.
const ERASE_PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a node knows of who and what.
pub struct Identity {
    pub auth: Auth,
    pub registry: Registry,
    pub ledger: Ledger,
    pub authority: Authority,
    pub access: Access,
    /// The administrator whom this start made.
    pub first: Option<FirstAdmin>,
    changes: Log,
    tasks: Vec<JoinHandle<()>>,
}

impl Identity {
    /// Opens everything and begins to follow the registry. `changes` is the stream that its changes go to.
    pub async fn open(config: &Config, changes: Log) -> anyhow::Result<Identity> {
        drover_ledger::describe();
        let vault =
            drover_vault::Settings { folder: config.data.join("vault"), root_key_file: config.root_key_file.clone() };
        let vault = Vault::open_with(&vault).context("the vault of personal data")?;
        let directory = Directory::default();
        let ledger = Ledger::open(&config.data.join("audit.db")).await.context("audit")?;
        let heard = newest_heard(&ledger, &changes).await?;
        let (database, registry) = open_registry(config, heard, &vault, &directory).await?;
        let authority = Authority::open(&config.data.join("authority"), config.device_ca.as_deref())
            .context("authority for devices")?;
        let settings = auth_settings(config)?;
        let (auth, first) = Auth::open(settings, database, vault, ledger.clone(), authority.clone(), directory.clone())
            .await
            .context("identities")?;
        let follower = follower(&registry, &ledger, &changes, &auth);
        let following = registry.clone();
        let mut tasks = vec![
            tokio::spawn(async move { following.follow_changes().await }),
            tokio::spawn(follower.run()),
            authority.follow(),
        ];
        if let Some(days) = config.audit_keep_days {
            tasks.push(tokio::spawn(let_old_entries_leave(ledger.clone(), days)));
        }
        let access = Access { auth: auth.clone(), directory, dev: config.dev };
        Ok(Identity { auth, registry, ledger, authority, access, first, changes, tasks })
    }

    /// The routes of identities, of business records and of the audit.
    pub fn routes(&self, live: &Live, erasing: Erasing) -> OpenApiRouter {
        let (latest, reporting, known) = (live.clone(), live.clone(), live.clone());
        let (auth, directory) = (self.auth.clone(), self.access.directory.clone());
        let database = self.registry.database().clone();
        let hooks = Hooks {
            latest_station: Arc::new(move |id| {
                let body = latest.get(Kind::Station, id, |seen| {
                    let mut body = Vec::with_capacity(512);
                    write_asset(seen, Extra::default(), &mut body);
                    body
                });
                serde_json::from_slice(&body?).ok()
            }),
            reporting_stations: Arc::new(move || stations_of(&reporting)),
            erase: Arc::new(move |caller, resource, id| {
                let doors = (auth.clone(), database.clone(), erasing.clone());
                Box::pin(erase(doors, (caller, directory.clone()), resource, id))
            }),
            has_reported: Arc::new(move |kind, id| known.get(kind, id, |_| ()).is_some()),
        };
        self.auth
            .routes()
            .merge(drover_registry::routes(self.registry.clone(), hooks))
            .merge(drover_ledger::routes(self.ledger.clone()))
    }

    /// What customers and fleet clients follow.
    pub fn tracking(&self, live: &Live) -> Tracking {
        let (by_token, standing) = (self.auth.clone(), self.auth.clone());
        Tracking::new(
            self.registry.clone(),
            live.clone(),
            self.access.directory.clone(),
            Arc::new(move |token| by_token.connect(None, Some(token.as_bytes()), None).ok()),
            Arc::new(move |caller| !standing.is_live(caller)),
        )
    }

    /// The router behind the guard: nothing is asked of it that its caller may not ask.
    pub fn guarded(&self, router: Router) -> Router {
        router
            .layer(from_fn_with_state(self.auth.clone(), drover_auth::guard))
            // Outermost: what the guard refuses has a body that nobody read, too.
            .layer(from_fn(drover_answer::mind_unread_bodies))
    }

    /// Stops following, brings what was changed lately to the audit and the log, and closes them.
    pub async fn close(self) {
        for task in &self.tasks {
            task.abort();
        }
        let follower = follower(&self.registry, &self.ledger, &self.changes, &self.auth);
        if let Err(error) = follower.catch_up().await {
            tracing::warn!(error = format!("{error:#}"), "changes of the registry wait for the next start");
        }
        // A server that is away does not hold up the end; a file has then been brought to its end by whoever is last.
        let _late = tokio::time::timeout(CLOSE_PATIENCE, self.registry.database().close()).await;
        self.ledger.close().await;
        self.changes.close();
    }
}

fn stations_of(live: &Live) -> Vec<String> {
    let mut stations = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        from = live.page(at, 1_000, |seen| {
            if seen.report.kind == Kind::Station {
                stations.push(seen.report.id.to_string());
            }
        });
    }
    stations
}

/// Where a person's reports are, besides the log.
#[derive(Clone)]
pub struct Erasing {
    pub forgotten: Forgotten,
    pub live: Live,
    pub history: History,
}

/// Erases a person outside of the registry's records: logins, what the database's file still has of both, reports of the driver, or of the rider who has a customer's id.
/// Another fleet may have a rider of that id who is somebody else: what the caller does not reach is left as it is. Says
/// what remains.
async fn erase(
    (auth, database, erasing): (Auth, Database, Erasing),
    (caller, directory): (Caller, Directory),
    resource: &'static Resource,
    id: String,
) -> Result<Value, Problem> {
    let is_customer = resource.name == "customers";
    let kind = if is_customer { PersonKind::Customer } else { PersonKind::Driver };
    let users = auth.forget_person("erasure", kind, &id).await?;
    database.compact().await.map_err(|error| not_erased(&error.into()))?;
    let asset = if is_customer { Kind::Rider } else { Kind::Driver };
    if !caller.reaches_asset(&directory, asset, &id) {
        return Ok(json!({
            "users": users,
            "live": "out of reach",
            "history": "out of reach",
            "remains": [format!(
                "reports of {asset}/{id}, if there are any: they are not of a fleet within your reach; where they are this \
                 person's, an administrator of all fleets erases them by the same request"
            )],
        }));
    }
    let whole = erasing.forget(asset, &id).await.map_err(|error| not_erased(&error))?;
    Ok(json!({
        "users": users,
        "live": "erased",
        "history": if whole { "erased" } else { "under way" },
        "remains": [
            "reports in the log, refused ones too, until it lets them go by age or size",
            "imported files in the archive, as they came",
            "entries of the audit: ids, times, and from which network address somebody came; nothing private in the clear",
        ],
    }))
}

fn not_erased(error: &anyhow::Error) -> Problem {
    let help = "check the disk of the node's data folder, then erase again";
    Problem::new(ProblemKind::Unavailable, "storage_failed", format!("{error:#}"), help).retry_after(30)
}

impl Erasing {
    /// Forgets what was received of an asset up to now. On `Ok` nothing brings it back; true when files are rid of it.
    async fn forget(&self, kind: Kind, id: &str) -> anyhow::Result<bool> {
        let erased = Erased { kind, id: id.into(), until_ms: now_ms() };
        let (forgotten, listed) = (self.forgotten.clone(), erased.clone());
        tokio::task::spawn_blocking(move || forgotten.add(&listed)).await??;
        self.forgotten.list.add(erased.clone());
        self.live.forget_erased();
        Ok(self.history.erase(&self.forgotten.list, erased, ERASE_PATIENCE).await)
    }
}

fn follower(registry: &Registry, ledger: &Ledger, changes: &Log, auth: &Auth) -> Follower {
    let (registry, ledger, changes) = (registry.clone(), ledger.clone(), changes.clone());
    Follower { registry, ledger, changes, auth: Some(auth.clone()), kept_changes: KEPT_CHANGES }
}

/// Whole days of the audit leave, the oldest first.
async fn let_old_entries_leave(ledger: Ledger, keep_days: u32) {
    loop {
        let today = now_ms() / DAY_MS;
        let before_ms = (today - i64::from(keep_days)) * DAY_MS;
        loop {
            match ledger.let_leave(before_ms).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "old entries of the audit could not leave");
                    break;
                }
            }
        }
        tokio::time::sleep(RETENTION_EVERY).await;
    }
}

/// Opens the registry. A server that is away is waited for: without it nobody can be told from anybody, so no door opens.
async fn open_registry(
    config: &Config,
    heard: i64,
    vault: &Vault,
    directory: &Directory,
) -> anyhow::Result<(Database, Registry)> {
    let (began, mut told) = (Instant::now(), None::<Instant>);
    loop {
        let error = match try_registry(config, heard, vault, directory).await {
            Err(error) if config.registry.is_some() && is_away(&error) => error,
            opened => return opened,
        };
        let (waited_s, wait_s) = (began.elapsed().as_secs(), config.registry_wait_s);
        if waited_s >= u64::from(wait_s) {
            return Err(error.context(format!(
                "the registry's database did not answer for {waited_s} s: start it, or correct `registry` in the \
                 configuration, then start the node again (`registry_wait_s`, now {wait_s}, is how long a node waits)"
            )));
        }
        if told.is_none_or(|told| told.elapsed() >= WAITING_TOLD_EVERY) {
            let why = format!("{error:#}");
            tracing::warn!(waited_s, wait_s, why, "waiting for the registry's database; no door is open until then");
            told = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn try_registry(
    config: &Config,
    heard: i64,
    vault: &Vault,
    directory: &Directory,
) -> anyhow::Result<(Database, Registry)> {
    let database = open_database(config).await?;
    database.claim().await.context("registry")?;
    let registry = Registry::open_after(heard, database.clone(), vault.clone(), directory.clone()).await;
    let registry = registry.context("registry")?;
    Ok((database, registry))
}

fn is_away(error: &anyhow::Error) -> bool {
    let database = error.downcast_ref::<drover_database::Error>();
    let registry = error.downcast_ref::<drover_registry::Error>();
    database.is_some_and(|error| error.away()) || registry.is_some_and(|error| error.away())
}

async fn open_database(config: &Config) -> anyhow::Result<Database> {
    let Some(url) = &config.registry else {
        let path = config.data.join("registry.db");
        return Database::open_file(&path).await.with_context(|| format!("registry in {}", path.display()));
    };
    let url = match &config.registry_password_file {
        Some(path) => with_password(url, &secret(path)?)?,
        None => url.clone(),
    };
    // The address may hold a password: it is not repeated.
    Database::open(&url).await.context("registry")
}

/// Puts the password into an address that names a user.
fn with_password(url: &str, password: &str) -> anyhow::Result<String> {
    let (scheme, rest) =
        url.split_once("://").context("registry is no address of the form postgres://USER@HOST/NAME")?;
    let (user, place) = rest.split_once('@').context("registry names no user, and registry_password_file is set")?;
    let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    Ok(format!("{scheme}://{user}:{encoded}@{place}"))
}

/// The text of a file that holds a secret.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("secret in {}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn auth_settings(config: &Config) -> anyhow::Result<drover_auth::Settings> {
    let rate = |per_second, burst| Rate { per_second, burst };
    let limits = Limits {
        device: rate(config.device_requests_per_s, config.device_burst_requests),
        caller: rate(config.caller_requests_per_s, config.caller_burst_requests),
        address: rate(config.address_requests_per_s, config.address_burst_requests),
    };
    Ok(drover_auth::Settings {
        dev: config.dev,
        admin_email: config.admin_email.clone(),
        secure_cookies: config.http_tls() || config.public_url.as_deref().is_some_and(|url| url.starts_with("https:")),
        limits: (!config.dev).then_some(limits),
        trusted_proxies: config.proxies()?,
        oidc: oidc(config)?,
        ..drover_auth::Settings::new(config.data.join("keys"))
    })
}

fn oidc(config: &Config) -> anyhow::Result<Option<OidcSettings>> {
    let (Some(issuer), Some(client_id), Some(public_url)) =
        (&config.oidc_issuer, &config.oidc_client_id, &config.public_url)
    else {
        return Ok(None);
    };
    let client_secret = config.oidc_client_secret_file.as_deref().map(secret).transpose()?;
    let provider = drover_oidc::Settings {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret,
        redirect_url: format!("{}/api/v1/auth/oidc/callback", public_url.trim_end_matches('/')),
        scopes: vec!["email".into(), "profile".into()],
        ca: config.oidc_ca.clone(),
        allow_http: issuer.starts_with("http://"),
    };
    Ok(Some(OidcSettings { provider, label: config.oidc_name.clone(), newcomers: None }))
}

/// Who may come in by MQTT, and for how long.
#[derive(Clone)]
pub struct Access {
    auth: Auth,
    directory: Directory,
    dev: bool,
}

/// Somebody who was let in.
pub struct Admitted {
    pub caller: Caller,
    /// Whose sessions he takes up.
    pub owner: Box<str>,
    /// Resolves when he may not stay.
    pub until: Option<Ended>,
    /// Tells the audit whom he listens to.
    pub watching: Watching,
}

impl Access {
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Takes a publish out of what a device may send: none if it may, else the seconds to wait. Others have no such limit.
    pub fn take_report(&self, caller: &Caller) -> Option<u32> {
        self.auth.take_report(caller)
    }

    /// Who connects by MQTT.
    pub fn mqtt(&self, hello: &Hello<'_>) -> Result<Admitted, Refusal> {
        if self.dev {
            return Ok(Admitted {
                caller: Caller::dev(),
                owner: "".into(),
                until: None,
                watching: Watching::default(),
            });
        }
        let caller = self.auth.connect(hello.client.username.as_deref(), hello.password, hello.certificate);
        // MQTT 5: bad user name or password.
        let caller = caller.map_err(|refused| Refusal::new(0x86, refused.to_string()))?;
        let wait_s = if caller.reaches_whole_node() { None } else { self.auth.take_connect(&caller) };
        if let Some(wait_s) = wait_s {
            let reason = format!("{} connects more often than it may; try again in {wait_s} s", caller.name);
            return Err(Refusal::new(Refusal::TOO_FAST, reason));
        }
        let owner = caller.subject.as_str().into();
        let until = self.auth.until(&caller).ended();
        let address = hello.client.address.map(|address| address.ip());
        let watching = Watching::new(self.auth.noter(), self.directory.clone(), Some(&caller), address);
        Ok(Admitted { caller, owner, until: Some(until), watching })
    }
}
