//! The configuration of a node: a TOML file, then `DROVER_…` environment variables, then flags; later
//! wins. Every key has a unit in its name. An unknown key is an error that names the nearest one.

use crate::cors::Origins;
use anyhow::{Context, bail};
use drover_formats::Profile;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its data.
    pub data: PathBuf,
    /// Address of HTTP and WebSocket; port 0 picks a free one.
    pub http: SocketAddr,
    /// Address of MQTT; port 0 picks a free one. Not set: 127.0.0.1:1883 if it is free.
    pub mqtt: Option<SocketAddr>,
    /// Address of MQTT over TLS. Not set: closed.
    pub mqtts: Option<SocketAddr>,
    /// PEM file of the node's certificate chain. Not set: one is made for localhost.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of its private key. Both files are read again when they change.
    pub tls_key: Option<PathBuf>,
    /// Host names for which a certificate is got by ACME; whoever asks for one agrees to the terms of its directory. Empty:
    /// none is got.
    pub acme_names: Vec<String>,
    /// Address of the ACME directory. Not set: Let's Encrypt.
    pub acme_directory: Option<String>,
    /// E-mail address that the directory may write to.
    pub acme_contact: Option<String>,
    /// PEM file of the authority of the directory itself, where the system does not know it.
    pub acme_ca: Option<PathBuf>,
    /// Take TLS 1.2 as well from devices that cannot do 1.3 (MQTT over TLS only).
    pub mqtts_tls12: bool,
    /// PEM file of another authority for the certificates of devices, besides Drover's own.
    pub device_ca: Option<PathBuf>,
    /// Serve HTTP and MQTT without TLS where others reach them, because something in front does it. (On loopback
    /// addresses they always are without, unless `tls_certificate` or `acme_names` is set.)
    pub allow_plain: bool,
    /// Address of this node as its users write it (`https://fleet.example.com`), for links and logins elsewhere.
    pub public_url: Option<String>,
    /// Where users and business records are: `postgres://USER@HOST/DATABASE`. Not set: a file in the data folder.
    pub registry: Option<String>,
    /// File with the password there.
    pub registry_password_file: Option<PathBuf>,
    /// How long a node that starts waits for that database, seconds.
    pub registry_wait_s: u32,
    /// Days that entries of the audit are kept. Not set: for ever.
    pub audit_keep_days: Option<u32>,
    /// File with the root key (32 bytes, or 64 hexadecimal digits) that wraps the keys of personal data. Not set: one is
    /// made in the data folder.
    pub root_key_file: Option<PathBuf>,
    /// E-mail address of the first administrator.
    pub admin_email: String,
    /// Requests with reports per second of one device, sustained; 0 sets no limit.
    pub device_requests_per_s: u32,
    /// Requests that one device may send at once on top of that.
    pub device_burst_requests: u32,
    /// Requests per second of one user or key, sustained; 0 sets no limit.
    pub caller_requests_per_s: u32,
    /// Requests that one user or key may send at once on top of that.
    pub caller_burst_requests: u32,
    /// Requests per second of one address without credentials, sustained; 0 sets no limit.
    pub address_requests_per_s: u32,
    /// Requests that one address may send at once on top of that.
    pub address_burst_requests: u32,
    /// Proxies (addresses, or networks such as `10.0.0.0/8`) that are believed when they say from where a request comes:
    /// `X-Forwarded-For` or `Forwarded`, and `X-Forwarded-Proto`. Of anybody else those headers mean nothing.
    pub trusted_proxies: Vec<String>,
    /// Origins of pages, such as `https://shop.example.com`, that may ask this node from a browser, with a token of their
    /// own; `*` is any. Empty: none but the node's own page.
    pub cors_origins: Vec<String>,
    /// Issuer of OpenID logins, such as `https://login.example.com/realms/fleet`. Not set: none are offered.
    pub oidc_issuer: Option<String>,
    /// How it is called on the login page.
    pub oidc_name: String,
    /// This node's name there.
    pub oidc_client_id: Option<String>,
    /// File with this node's secret there.
    pub oidc_client_secret_file: Option<PathBuf>,
    /// PEM file of the authorities that vouch for it, besides the system's.
    pub oidc_ca: Option<PathBuf>,
    /// HTTP connections at once, WebSockets among them.
    pub http_max_connections: usize,
    /// Of these, connections from one address (of IPv6: one /64). Loopback and `trusted_proxies` have no such bound.
    pub http_connections_per_address: usize,
    /// How long the head of a request may take, seconds.
    pub http_head_timeout_s: u32,
    /// How long a connection may be silent between two requests, seconds.
    pub http_idle_timeout_s: u32,
    /// How long nothing of a request's body may come, seconds.
    pub http_body_timeout_s: u32,
    /// MQTT connections at once.
    pub mqtt_max_connections: usize,
    /// MQTT sessions, connected or not, of one device, driver or customer.
    pub mqtt_sessions_per_device: usize,
    /// MQTT sessions, connected or not, of one user or key. (Who reaches the whole node has no such bound.)
    pub mqtt_sessions_per_caller: usize,
    /// Another broker whose reports are taken as well: `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    pub mqtt_upstream: Option<String>,
    /// Start of the client ids there; nodes that share a broker need different ones.
    pub mqtt_upstream_client: String,
    /// Connections there, which share the messages.
    pub mqtt_upstream_connections: u16,
    /// Name of the shared subscription there.
    pub mqtt_upstream_group: String,
    /// What to subscribe to there; empty: every topic of reports.
    pub mqtt_upstream_filters: Vec<String>,
    /// User name there.
    pub mqtt_upstream_user: Option<String>,
    /// File with the password there.
    pub mqtt_upstream_password_file: Option<PathBuf>,
    /// PEM file of the authorities that vouch for it; not set: the system's.
    pub mqtt_upstream_ca: Option<PathBuf>,
    /// PEM file of this node's certificate there.
    pub mqtt_upstream_certificate: Option<PathBuf>,
    /// PEM file of the key to it.
    pub mqtt_upstream_key: Option<PathBuf>,
    /// Ask for no credentials; loopback only.
    pub dev: bool,
    /// Name of this node's region.
    pub region: String,
    /// Fastest plausible speed, km/h; faster reports are refused.
    pub max_speed_kmh: f64,
    /// How far an event time may lie ahead of the node's clock, seconds.
    pub max_clock_ahead_s: u32,
    /// Reports per second that the node takes from all devices together, files apart; 0 sets no ceiling.
    pub node_reports_per_s: u32,
    /// Sustained reports per second of one device; 0 sets no limit. Not set: 100, and no limit with `dev`.
    pub device_reports_per_s: Option<f32>,
    /// Reports that one device may send at once on top of that.
    pub device_burst_reports: f32,
    /// Flag places that are noise (jumps, drift while parked …): they stay in history and move nothing.
    pub noise_filter: bool,
    /// File or address of what is known of vehicles beforehand: top speed, depot, class. Not set: nothing is.
    pub metadata_source: Option<String>,
    /// What was not confirmed for so long is no longer fresh, seconds; an address is asked again before that.
    pub metadata_ttl_s: u32,
    /// Up to this age an asset is live, seconds.
    pub live_s: u32,
    /// Up to this age an asset is stale, beyond it offline, seconds.
    pub offline_s: u32,
    /// Watchers at once.
    pub max_watchers: usize,
    /// Of these, watchers of one user, key or device. (Who reaches the whole node has no such bound.)
    pub max_watchers_per_caller: usize,
    /// How often the live state is written to disk, seconds.
    pub snapshot_interval_s: u32,
    /// Size of one log segment, MiB.
    pub log_segment_mib: u32,
    /// Reports older than this leave the log, hours.
    pub log_max_age_h: u32,
    /// The oldest reports leave the log beyond this size, MiB.
    pub log_max_size_mib: u64,
    /// Kept rejects beyond this size leave, MiB.
    pub rejects_max_size_mib: u64,
    /// Reports go from the log to the lake at the latest after so many seconds.
    pub history_flush_interval_s: u32,
    /// Days of reports older than this leave the lake; not set: never.
    pub history_keep_days: Option<u32>,
    /// Where new files of the lake go: a folder or `s3://bucket/prefix`. Not set: the lake's own folder.
    pub history_store: Option<String>,
    /// Days of reports older than this go to the warm store.
    pub history_warm_days: Option<u32>,
    /// Where: a folder or `s3://bucket/prefix`.
    pub history_warm_store: Option<String>,
    /// Days of reports older than this go to the cold store.
    pub history_cold_days: Option<u32>,
    /// Where: a folder or `s3://bucket/prefix`.
    pub history_cold_store: Option<String>,
    /// Memory for pieces of files in stores that were read lately, MiB.
    pub history_store_cache_mib: u32,
    /// Only tell what would move on or leave for its age (`due` in `GET /api/v1/history`), and leave it where it is.
    pub tiers_dry_run: bool,
    /// Address of the S3-compatible store; not set: Amazon's, of the region.
    pub s3_endpoint: Option<String>,
    /// Its region.
    pub s3_region: String,
    /// Name of the key to it; not set: what the machine has (AWS_ACCESS_KEY_ID, a role).
    pub s3_access_key_id: Option<String>,
    /// File with the key itself.
    pub s3_secret_access_key_file: Option<PathBuf>,
    /// PEM file of the authorities that vouch for it, besides the system's.
    pub s3_ca: Option<PathBuf>,
    /// So long other readers of the lake may use a picture of it that has been replaced, seconds.
    pub history_snapshot_keep_s: u32,
    /// Readings that become columns of their own: `name:number`, `name:text` or `name:bool`.
    pub history_readings: Vec<String>,
    /// Dead letters leave so long after they failed last, days.
    pub dead_letters_keep_days: u32,
    /// Imported files that are worked on at once; others wait.
    pub imports_at_once: u32,
    /// Largest file that is imported, MiB.
    pub import_max_mib: u64,
    /// Files that are put into this folder are imported, each once. Not set: no folder is watched.
    pub import_folder: Option<PathBuf>,
    /// The profile by which they are read.
    pub import_folder_profile: Option<String>,
    /// Objects that appear below this place (`s3://bucket/prefix` or a folder) are imported, each once. Not set: none.
    pub import_store: Option<String>,
    /// The profile by which they are read.
    pub import_store_profile: Option<String>,
    /// Imported files as they came go to the cold store after so many days.
    pub raw_cold_days: Option<u32>,
    /// Where: a folder or `s3://bucket/prefix`.
    pub raw_cold_store: Option<String>,
    /// Imported files as they came leave after so many days; not set: never.
    pub raw_keep_days: Option<u32>,
    /// Ways to read files, by name: kind, id, speed_unit, time_zone, time_format, columns.
    pub import_profiles: BTreeMap<String, Profile>,
    /// Longest run of one SQL query, seconds.
    pub sql_timeout_s: u32,
    /// Most memory of one SQL query, MiB.
    pub sql_memory_mib: u32,
    /// SQL queries at once; others wait.
    pub sql_concurrent: u32,
    /// Of these, queries of one caller, at least one. Not set: one less than `sql_concurrent`. (Who reaches the whole node
    /// has no such bound.)
    pub sql_concurrent_per_caller: Option<u32>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: "data".into(),
            http: ([127, 0, 0, 1], 8080).into(),
            mqtt: None,
            mqtts: None,
            tls_certificate: None,
            tls_key: None,
            acme_names: Vec::new(),
            acme_directory: None,
            acme_contact: None,
            acme_ca: None,
            mqtts_tls12: false,
            device_ca: None,
            allow_plain: false,
            public_url: None,
            registry: None,
            registry_wait_s: 60,
            audit_keep_days: None,
            registry_password_file: None,
            root_key_file: None,
            admin_email: "admin@localhost".into(),
            device_requests_per_s: 2,
            device_burst_requests: 10,
            caller_requests_per_s: 50,
            caller_burst_requests: 200,
            address_requests_per_s: 20,
            address_burst_requests: 100,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            oidc_issuer: None,
            oidc_name: "OpenID".into(),
            oidc_client_id: None,
            oidc_client_secret_file: None,
            oidc_ca: None,
            http_max_connections: 50_000,
            http_connections_per_address: 5_000,
            http_head_timeout_s: 60,
            http_idle_timeout_s: 120,
            http_body_timeout_s: 30,
            mqtt_max_connections: 20_000,
            mqtt_sessions_per_device: 10,
            mqtt_sessions_per_caller: 1_000,
            mqtt_upstream: None,
            mqtt_upstream_client: "drover".into(),
            mqtt_upstream_connections: 2,
            mqtt_upstream_group: "drover".into(),
            mqtt_upstream_filters: Vec::new(),
            mqtt_upstream_user: None,
            mqtt_upstream_password_file: None,
            mqtt_upstream_ca: None,
            mqtt_upstream_certificate: None,
            mqtt_upstream_key: None,
            dev: false,
            region: "local".into(),
            max_speed_kmh: 200.0,
            max_clock_ahead_s: 60,
            node_reports_per_s: 0,
            device_reports_per_s: None,
            device_burst_reports: 10_000.0,
            noise_filter: true,
            metadata_source: None,
            metadata_ttl_s: 3600,
            live_s: 60,
            offline_s: 300,
            max_watchers: 20_000,
            max_watchers_per_caller: 100,
            snapshot_interval_s: 60,
            log_segment_mib: 64,
            log_max_age_h: 7 * 24,
            log_max_size_mib: 100 * 1024,
            rejects_max_size_mib: 256,
            history_flush_interval_s: 60,
            history_keep_days: None,
            history_store: None,
            history_warm_days: None,
            history_warm_store: None,
            history_cold_days: None,
            history_cold_store: None,
            history_store_cache_mib: 32,
            tiers_dry_run: false,
            s3_endpoint: None,
            s3_region: drover_objects::S3::default().region,
            s3_access_key_id: None,
            s3_secret_access_key_file: None,
            s3_ca: None,
            history_snapshot_keep_s: 3600,
            history_readings: Vec::new(),
            dead_letters_keep_days: 14,
            imports_at_once: 2,
            import_max_mib: 16 * 1024,
            import_folder: None,
            import_folder_profile: None,
            import_store: None,
            import_store_profile: None,
            raw_cold_days: None,
            raw_cold_store: None,
            raw_keep_days: None,
            import_profiles: BTreeMap::new(),
            sql_timeout_s: 30,
            sql_memory_mib: 256,
            sql_concurrent: 2,
            sql_concurrent_per_caller: None,
        }
    }
}

/// What the command line sets; `None` leaves it to the file and the environment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    /// See [`Config::data`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// See [`Config::http`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// See [`Config::mqtt`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<SocketAddr>,
    /// See [`Config::mqtts`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<SocketAddr>,
    /// See [`Config::mqtt_upstream`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_upstream: Option<String>,
    /// See [`Config::dev`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<bool>,
}

impl Config {
    /// Reads file, environment and flags, and checks them.
    pub fn load(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Config> {
        let config = Config::read(file, flags)?;
        config.check()?;
        Ok(config)
    }

    /// The same without the checks that only a node which serves must pass.
    pub fn read(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Config> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).with_context(|| format!("configuration {}", file.display()))?;
            figment = figment.merge(Toml::string(&text));
        }
        figment
            // Variables of the command line and of the tests, not settings of the node.
            .merge(Env::prefixed("DROVER_").ignore(&["log", "bin", "shared", "ci_cache", "token", "password"]))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| anyhow::anyhow!(explain(&error)))
    }

    /// True if HTTP is served over TLS: always, but on loopback and behind something that does it.
    pub fn http_tls(&self) -> bool {
        let has_own = self.tls_certificate.is_some() || !self.acme_names.is_empty();
        has_own || !(self.http.ip().is_loopback() || self.allow_plain)
    }

    /// The proxies that are believed.
    pub fn proxies(&self) -> anyhow::Result<Vec<drover_auth::Network>> {
        self.trusted_proxies.iter().map(|text| text.parse().context("trusted_proxies")).collect()
    }

    /// Whose pages may ask.
    pub fn cors(&self) -> anyhow::Result<Origins> {
        Origins::parse(&self.cors_origins)
    }

    fn check(&self) -> anyhow::Result<()> {
        for address in [Some(self.http), self.mqtt, self.mqtts].into_iter().flatten() {
            if self.dev && !address.ip().is_loopback() {
                bail!("--dev asks for no credentials and therefore only listens on loopback; {address} is not");
            }
        }
        if let Some(address) = self.mqtt.filter(|address| !address.ip().is_loopback() && !self.allow_plain) {
            bail!(
                "mqtt = {address} would carry credentials in the clear; use mqtts, \
                 or set allow_plain if something in front does TLS"
            );
        }
        if self.oidc_issuer.is_some() && (self.oidc_client_id.is_none() || self.public_url.is_none()) {
            bail!("oidc_issuer needs oidc_client_id and public_url beside it");
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            bail!("tls_certificate and tls_key go together; one of them is missing");
        }
        self.check_acme()?;
        for (key, value, range) in [
            ("metadata_ttl_s", u64::from(self.metadata_ttl_s), 1..=31_536_000),
            ("live_s", u64::from(self.live_s), 1..=86_400),
            ("offline_s", u64::from(self.offline_s), u64::from(self.live_s)..=31_536_000),
            ("log_segment_mib", u64::from(self.log_segment_mib), 1..=1024),
            ("log_max_age_h", u64::from(self.log_max_age_h), 1..=87_600),
            ("snapshot_interval_s", u64::from(self.snapshot_interval_s), 1..=86_400),
            ("history_flush_interval_s", u64::from(self.history_flush_interval_s), 1..=86_400),
            ("history_keep_days", u64::from(self.history_keep_days.unwrap_or(1)), 1..=36_500),
            ("history_warm_days", u64::from(self.history_warm_days.unwrap_or(1)), 1..=36_500),
            ("history_cold_days", u64::from(self.history_cold_days.unwrap_or(1)), 1..=36_500),
            ("history_store_cache_mib", u64::from(self.history_store_cache_mib), 4..=65_536),
            ("raw_cold_days", u64::from(self.raw_cold_days.unwrap_or(1)), 1..=36_500),
            ("raw_keep_days", u64::from(self.raw_keep_days.unwrap_or(1)), 1..=36_500),
            ("dead_letters_keep_days", u64::from(self.dead_letters_keep_days), 1..=36_500),
            ("imports_at_once", u64::from(self.imports_at_once), 1..=64),
            ("import_max_mib", self.import_max_mib, 1..=1_048_576),
            ("registry_wait_s", u64::from(self.registry_wait_s), 0..=86_400),
            ("audit_keep_days", u64::from(self.audit_keep_days.unwrap_or(1)), 1..=36_500),
            ("sql_timeout_s", u64::from(self.sql_timeout_s), 1..=3600),
            ("sql_memory_mib", u64::from(self.sql_memory_mib), 16..=65_536),
            ("sql_concurrent", u64::from(self.sql_concurrent), 1..=64),
            ("sql_concurrent_per_caller", u64::from(self.sql_concurrent_per_caller.unwrap_or(1)), 1..=64),
            ("http_max_connections", self.http_max_connections as u64, 1..=10_000_000),
            ("http_connections_per_address", self.http_connections_per_address as u64, 1..=10_000_000),
            ("http_head_timeout_s", u64::from(self.http_head_timeout_s), 1..=3_600),
            ("http_idle_timeout_s", u64::from(self.http_idle_timeout_s), 1..=86_400),
            ("http_body_timeout_s", u64::from(self.http_body_timeout_s), 1..=3_600),
            ("mqtt_sessions_per_device", self.mqtt_sessions_per_device as u64, 1..=200_000),
            ("mqtt_sessions_per_caller", self.mqtt_sessions_per_caller as u64, 1..=200_000),
            ("max_watchers_per_caller", self.max_watchers_per_caller as u64, 1..=10_000_000),
            ("node_reports_per_s", u64::from(self.node_reports_per_s), 0..=100_000_000),
            ("device_requests_per_s", u64::from(self.device_requests_per_s), 0..=1_000_000),
            ("device_burst_requests", u64::from(self.device_burst_requests), 1..=1_000_000),
            ("caller_requests_per_s", u64::from(self.caller_requests_per_s), 0..=1_000_000),
            ("caller_burst_requests", u64::from(self.caller_burst_requests), 1..=1_000_000),
            ("address_requests_per_s", u64::from(self.address_requests_per_s), 0..=1_000_000),
            ("address_burst_requests", u64::from(self.address_burst_requests), 1..=1_000_000),
            ("mqtt_upstream_connections", u64::from(self.mqtt_upstream_connections), 1..=64),
        ] {
            if !range.contains(&value) {
                bail!("{key} is {value}; allowed is {} to {}", range.start(), range.end());
            }
        }
        self.tiers()?;
        self.raw_tier()?;
        self.watched_store()?;
        self.new_files()?;
        self.proxies()?;
        self.cors()?;
        if let Some(source) = &self.metadata_source {
            drover_metadata::Source::parse(source)?;
        }
        for (name, profile) in &self.import_profiles {
            profile.check().with_context(|| format!("import_profiles.{name}"))?;
        }
        Ok(())
    }
}

/// Names the nearest key where an unknown one was set.
fn explain(error: &figment::Error) -> String {
    let figment::error::Kind::UnknownField(key, allowed) = &error.kind else {
        return format!("configuration: {error}");
    };
    let nearest = allowed.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
    format!("configuration: there is no key {key:?}; the nearest is {:?}", nearest.unwrap_or(&""))
}
