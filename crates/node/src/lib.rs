//! Wiring: from a configuration to running tasks. Opens the log, starts what follows it, opens the
//! doors; on the way out closes them in the opposite order. The followers of the log are named here
//! and nowhere else: the live state, history, and the reading-back of seen reports at start.

mod acme;
mod config;
mod cors;
mod dead;
mod doctor;
mod erasures;
mod identity;
mod meters;
mod mqtt;
pub mod outbox;
mod stores;

pub use config::{Config, Flags};
pub use doctor::look_into;
pub use drover_api::DemoPlace;
pub use drover_auth::FirstAdmin;
pub use drover_history::Finding;

use anyhow::Context;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use cors::{Origins, let_pages_ask};
use drover_answer::now_ms;
use drover_api::{Extra, NodeFacts, Ops, Past, PastState, SqlState, write_asset};
use drover_auth::Auth;
use drover_certs::{Acme, Door, HttpDoor, Patience, Places, ServerCertificate, ServerTls, Visit, in_time};
use drover_dead::Dead;
use drover_history::{History, ReadingColumn};
use drover_imports::Imports;
use drover_ingest::{Admission, DeviceRate, Intake, Rejects};
use drover_live::{Live, Running};
use drover_log::{Log, ReadError, Retention, SegmentEngine, SegmentSettings, Stream};
use drover_metadata::Metadata;
use drover_model::{RecordRef, Rules};
use drover_query::Engine;
use drover_registry::Registry;
use erasures::Forgotten;
use identity::{Erasing, Identity};
use mqtt::Mqtt;
use std::fs::DirBuilder;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How long open requests may go on when the node stops.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
/// How often retention is looked at.
const RETENTION_INTERVAL: Duration = Duration::from_secs(30);

/// A node that is ready to serve.
pub struct Node {
    door: HttpDoor,
    /// Asked for a certificate once the door is open: it is looked at there.
    acme: Option<(Acme, ServerCertificate)>,
    router: axum::Router,
    identity: Identity,
    mqtt: Mqtt,
    reports: Log,
    live: Live,
    following: Running,
    historian: drover_history::Running,
    importing: drover_imports::Running,
    dead: Dead,
    knowing: Option<drover_metadata::Running>,
    upkeep: Upkeep,
}

impl Node {
    /// Opens the data folder, brings the live state up to the end of the log and binds the doors.
    /// On error nothing runs.
    pub async fn start(config: &Config, demo: Option<DemoPlace>) -> anyhow::Result<Node> {
        keep_private(&config.data)?;
        let render_metrics = meters::install()?;
        let listener =
            TcpListener::bind(config.http).await.with_context(|| format!("cannot listen on {}", config.http))?;
        let certificate = certificate(config)?;
        let door = http_door(config, listener, certificate.as_ref())?;
        let forgotten = Forgotten::open(&config.data.join("vault"))?;
        let identity = Identity::open(config, open_log(config, Stream::Changes)?).await?;
        let opened = Instant::now();
        let reports = open_log(config, Stream::Reports)?;
        let rejects = open_log(config, Stream::Rejects)?;
        let epoch = epoch(&config.data)?;
        let (live, running) = Live::follow(
            &reports,
            &config.data.join("live"),
            live_settings(config, &forgotten),
            Box::new(|seen, out| {
                write_asset(seen, Extra::default(), out);
            }),
        )?;
        let (metadata, knowing) = metadata(config)?.unzip();
        let admission = Arc::new(recover(config, metadata.clone(), &reports, &live).await?);
        tracing::info!(
            assets = live.len(),
            position = live.applied(),
            seconds = opened.elapsed().as_secs_f64(),
            "state is up to date"
        );
        let dead = dead::open(config)?;
        dead::Readmit(admission.clone()).register(&dead);
        let applied = {
            let live = live.clone();
            move || live.applied()
        };
        let rejected = Rejects::new(rejects.clone());
        let intake = Intake::new(admission.clone(), reports.clone(), rejected, applied, config.node_reports_per_s);
        let ops = Ops {
            live: live.clone(),
            node: Arc::new(NodeFacts {
                region: config.region.clone(),
                mode: if config.dev { "dev" } else { "secured" },
                epoch,
                demo,
            }),
            ready: readiness(&reports),
            metrics: acme::with_expiry(
                meters::with_gauges(
                    render_metrics,
                    &live,
                    metadata.clone(),
                    dead.clone(),
                    &[("reports", &reports), ("rejects", &rejects)],
                ),
                certificate.as_ref(),
            ),
            metadata,
        };
        let mqtt = Mqtt::open(config, &intake, &live, &identity, certificate.as_ref()).await?;
        let (history, historian) = drover_history::follow(&reports, history_settings(config, &dead, &forgotten)?)?;
        let erased_from = history.clone();
        let past = past(config, &reports, history)?;
        let (imports, importing) = imports(config, &admission, &dead, &live)?;
        let doors = drover_ingest::routes(intake)
            .merge(drover_imports::routes(imports))
            .merge(drover_dead::routes(dead.clone()))
            .merge(identity.routes(&live, Erasing { forgotten, live: live.clone(), history: erased_from }));
        let tracking = identity.tracking(&live);
        let doors = doors.merge(drover_tracking::routes(tracking.clone()));
        let router = drover_api::router(doors, mqtt.broker.clone(), past, ops, drover_auth::document)
            .layer(drover_tracking::socket_io(tracking));
        let router = asked_by_pages(identity.guarded(router), config.cors()?);
        let router = router.layer(from_fn(in_time));
        let upkeep = Upkeep::start(config, admission, dead.clone(), reports.clone(), rejects)?;
        Ok(Node {
            door,
            acme: config.acme().zip(certificate),
            router,
            identity,
            mqtt,
            reports,
            live,
            following: running,
            historian,
            importing,
            dead,
            knowing,
            upkeep,
        })
    }

    /// The open doors, HTTP first.
    pub fn doors(&self) -> anyhow::Result<Vec<(&'static str, SocketAddr)>> {
        let mut doors = vec![("http", self.door.address()?)];
        doors.extend(self.mqtt.doors()?);
        Ok(doors)
    }

    /// The administrator whom this start made, to be told once.
    pub fn first_admin(&mut self) -> Option<FirstAdmin> {
        self.identity.first.take()
    }

    /// Who may come in, for whoever runs the node in this process.
    pub fn auth(&self) -> &Auth {
        &self.identity.auth
    }

    /// What the business knows, the same.
    pub fn registry(&self) -> &Registry {
        &self.identity.registry
    }

    /// Serves until `stop` ends, then closes: doors first, then what follows the log, then the log.
    pub async fn serve(mut self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        self.mqtt.serve()?;
        let asking = self.acme.map(|(acme, certificate)| acme.follow(certificate));
        let live = self.live;
        let (closing, closed) = tokio::sync::oneshot::channel::<()>();
        let server = axum::serve(self.door, self.router.into_make_service_with_connect_info::<Visit>())
            .with_graceful_shutdown(async move {
                stop.await;
                live.end_watchers();
                drop(closing);
            });
        tokio::select! {
            served = async { server.await } => served?,
            () = async { let _ended = closed.await; tokio::time::sleep(CLOSING_PATIENCE).await } => {
                tracing::info!("closing connections that are still open");
            }
        }
        if let Some(asking) = asking {
            asking.abort();
        }
        self.mqtt.stop().await;
        self.identity.close().await;
        tokio::task::spawn_blocking(move || {
            self.importing.stop();
            // They hold the imports, which hold the letters.
            self.dead.forget_handlers();
            drop(self.knowing);
            self.upkeep.stop();
            self.following.stop();
            self.historian.stop();
            self.reports.close();
        })
        .await?;
        Ok(())
    }
}

/// Outside of everything else: a preflight has no credentials.
fn asked_by_pages(router: Router, origins: Origins) -> Router {
    if origins.is_empty() {
        return router;
    }
    router.layer(from_fn_with_state(Arc::new(origins), let_pages_ask))
}

/// The certificate of the doors that have TLS; none where no door has.
fn certificate(config: &Config) -> anyhow::Result<Option<ServerCertificate>> {
    if !config.http_tls() && config.mqtts.is_none() {
        return Ok(None);
    }
    let certificate = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => ServerCertificate::open(certificate, key)?,
        _ => {
            let host = config.public_url.as_deref().and_then(host_of).map(str::to_owned);
            let address = Some(config.http.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
            let names: Vec<String> = host.into_iter().chain(address).chain(config.acme_names.clone()).collect();
            ServerCertificate::made(&config.data.join("tls"), &names)?
        }
    };
    certificate.follow();
    Ok(Some(certificate))
}

/// The host in `https://host:port/…`.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => authority.split(':').next()?,
    };
    Some(host).filter(|host| !host.is_empty())
}

fn http_tls(config: &Config, certificate: Option<&ServerCertificate>) -> anyhow::Result<Option<ServerTls>> {
    let certificate = certificate.filter(|_| config.http_tls());
    Ok(certificate.map(ServerTls::for_http).transpose()?)
}

/// The HTTP door: whoever comes beyond its bounds is closed, whoever does not say in time what he wants, too. A proxy
/// that is trusted, and this machine, stand for many, and have no bound of their own.
fn http_door(
    config: &Config,
    listener: TcpListener,
    certificate: Option<&ServerCertificate>,
) -> anyhow::Result<HttpDoor> {
    let proxies = config.proxies()?;
    let excepted = move |from: IpAddr| from.is_loopback() || proxies.iter().any(|proxy| proxy.contains(from));
    let places = Places::new(config.http_max_connections, config.http_connections_per_address, Box::new(excepted));
    let door = Door::new(listener, http_tls(config, certificate)?).with_room(places);
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let patience = Patience {
        head: seconds(config.http_head_timeout_s),
        idle: seconds(config.http_idle_timeout_s),
        body: seconds(config.http_body_timeout_s),
    };
    Ok(HttpDoor::new(door, patience))
}

fn open_log(config: &Config, stream: Stream) -> anyhow::Result<Log> {
    let folder = stream.folder(&config.data.join("log"));
    // They are few: a small segment keeps an idle node's folder small.
    let is_small = matches!(stream, Stream::Rejects | Stream::Changes);
    let segment_mib = if is_small { config.log_segment_mib.min(4) } else { config.log_segment_mib };
    let settings = SegmentSettings { segment_bytes: u64::from(segment_mib) << 20, ..SegmentSettings::new(&folder) };
    let engine = SegmentEngine::open(settings).with_context(|| format!("log in {}", folder.display()))?;
    let settings = drover_log::Settings {
        name: stream.name().into(),
        ring_bytes: if is_small { 256 << 10 } else { 8 << 20 },
        on_commit: Some(meters::commit_hook(stream.name())),
        ..drover_log::Settings::default()
    };
    Ok(Log::open(engine, settings))
}

/// The identity of this folder's log, made once. Watchers compare it: a position of another epoch
/// means nothing.
fn epoch(data: &Path) -> anyhow::Result<Arc<str>> {
    let path = data.join("epoch");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(text.trim().into());
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let text = format!("{:x}-{:x}", now.as_nanos(), std::process::id());
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text.into())
}

fn live_settings(config: &Config, forgotten: &Forgotten) -> drover_live::Settings {
    drover_live::Settings {
        live_ms: i64::from(config.live_s) * 1000,
        offline_ms: i64::from(config.offline_s) * 1000,
        max_watchers: config.max_watchers,
        max_watchers_of_owner: config.max_watchers_per_caller,
        snapshot_interval: Duration::from_secs(config.snapshot_interval_s.into()),
        erasures: forgotten.list.clone(),
    }
}

fn history_settings(config: &Config, dead: &Dead, forgotten: &Forgotten) -> anyhow::Result<drover_history::Settings> {
    let columns = config.history_readings.iter().map(|text| ReadingColumn::parse(text));
    Ok(drover_history::Settings {
        region: config.region.clone(),
        reading_columns: columns.collect::<Result<_, _>>().context("history_readings")?,
        flush_interval: Duration::from_secs(config.history_flush_interval_s.into()),
        keep_days: config.history_keep_days,
        snapshot_keep: Duration::from_secs(config.history_snapshot_keep_s.into()),
        store: config.new_files()?,
        tiers: config.tiers()?,
        dry_run: config.tiers_dry_run,
        refused: Some(dead::of_history(dead)),
        erasures: forgotten.list.clone(),
        s3: config.s3()?,
        store_cache_bytes: (config.history_store_cache_mib as usize) << 20,
        ..drover_history::Settings::new(config.data.join("lake"))
    })
}

fn past(config: &Config, reports: &Log, history: History) -> anyhow::Result<Past> {
    let of_caller = config.sql_concurrent_per_caller.unwrap_or(config.sql_concurrent.saturating_sub(1));
    let queries = drover_query::Settings {
        queries: config.sql_concurrent as usize,
        queries_of_asker: of_caller as usize,
        ..drover_query::Settings::default()
    };
    let engine = Engine::new(history.clone(), queries)?;
    let limits = drover_query::Limits {
        time: Duration::from_secs(config.sql_timeout_s.into()),
        memory_bytes: (config.sql_memory_mib as usize) << 20,
        ..drover_query::Limits::default()
    };
    let reports = reports.clone();
    let past = PastState::new(history, move || reports.durable_position());
    Ok(Past { sql: SqlState { past: past.clone(), engine, limits }, reads: past })
}

fn imports(
    config: &Config,
    admission: &Arc<Admission>,
    dead: &Dead,
    live: &Live,
) -> anyhow::Result<(Imports, drover_imports::Running)> {
    let settings = drover_imports::Settings {
        data: config.data.clone(),
        at_once: config.imports_at_once as usize,
        file_max_bytes: config.import_max_mib << 20,
        profiles: config.import_profiles.clone(),
        watched: config.import_folder.clone().map(|folder| (folder, config.import_folder_profile.clone())),
        watched_store: config.watched_store()?,
        raw: config.raw_tier()?,
    };
    let (log, live) = (admission.log().clone(), live.clone());
    let live_lag = move || log.durable_position().saturating_sub(live.applied());
    drover_imports::start(settings, admission.clone(), dead.clone(), live_lag).context("imports")
}

/// What is known of assets beforehand, if the operator names a source.
fn metadata(config: &Config) -> anyhow::Result<Option<(Metadata, drover_metadata::Running)>> {
    let Some(source) = &config.metadata_source else { return Ok(None) };
    let settings = drover_metadata::Settings {
        ttl: Duration::from_secs(config.metadata_ttl_s.into()),
        keep: Some(config.data.join("metadata.kept")),
        ..drover_metadata::Settings::new(drover_metadata::Source::parse(source)?)
    };
    Ok(Some(Metadata::start(settings).context("metadata_source")?))
}

/// Opens admission and gives it back what it must know before the first report: the keys that are in
/// the log but in no run, and every asset's newest event time.
async fn recover(config: &Config, metadata: Option<Metadata>, reports: &Log, live: &Live) -> anyhow::Result<Admission> {
    let rules =
        Rules { max_speed_kmh: config.max_speed_kmh, max_clock_ahead_ms: i64::from(config.max_clock_ahead_s) * 1000 };
    let rate = match config.device_reports_per_s {
        Some(0.0) => None,
        None if config.dev => None,
        per_second => Some(DeviceRate { per_second: per_second.unwrap_or(100.0), burst: config.device_burst_reports }),
    };
    let folder = config.data.join("seen");
    let admission = Admission::open(reports.clone(), &folder, rules, rate)
        .with_context(|| format!("index of seen reports in {}", folder.display()))?
        .flagging_noise(config.noise_filter)
        .knowing(metadata)
        // As long as history has a report, it is known when it is sent again.
        .keeping(config.history_keep_days.map(|days| i64::from(days) * 86_400_000));
    let log = reports.clone();
    let admission = tokio::task::spawn_blocking(move || read_back(&log, admission)).await??;
    let end = reports.durable_position();
    while !live.wait_applied(end, Duration::from_secs(1)).await {
        tracing::info!(applied = live.applied(), end, "bringing the live state up to date");
    }
    live.each_newest(|kind, id, newest, fix| {
        admission.remember_newest(kind, id, newest, fix.map(|fix| (fix.at, fix.time)));
    });
    Ok(admission)
}

fn read_back(log: &Log, admission: Admission) -> anyhow::Result<Admission> {
    let end = log.durable_position();
    let mut follower = log.follow("seen", admission.recover_from());
    while follower.position() < end {
        match follower.next(Duration::ZERO) {
            Ok(Some(batch)) => {
                for (_, record) in batch.records() {
                    if let Some(record) = RecordRef::new(record) {
                        admission.remember(record);
                    }
                }
            }
            Ok(None) => break,
            Err(ReadError::Damaged(damage)) => {
                tracing::error!(%damage, "these reports cannot be recognised if they are sent again");
                follower.skip_to(damage.to + 1);
            }
            Err(ReadError::Trimmed { oldest }) => follower.skip_to(oldest),
            Err(error) => return Err(error).context("reading the log back"),
        }
    }
    Ok(admission)
}

fn readiness(reports: &Log) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
    let reports = reports.clone();
    Arc::new(move || {
        let stats = reports.stats();
        if stats.poisoned {
            return Err("the log stopped after a failed write: check the disk, then restart the node".into());
        }
        if stats.full {
            return Err("the data disk is full: reports are refused until there is space".into());
        }
        Ok(())
    })
}

/// The threads that keep the folders tidy.
struct Upkeep {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    fn start(
        config: &Config,
        admission: Arc<Admission>,
        dead: Dead,
        reports: Log,
        rejects: Log,
    ) -> anyhow::Result<Upkeep> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = {
            let stop = stop.clone();
            move || stop.load(Ordering::Relaxed)
        };
        let max_age_ms = i64::from(config.log_max_age_h) * 3_600_000;
        let of_reports = Retention { max_age_ms: Some(max_age_ms), max_bytes: Some(config.log_max_size_mib << 20) };
        let of_rejects =
            Retention { max_age_ms: Some(2 * max_age_ms), max_bytes: Some(config.rejects_max_size_mib << 20) };
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let seen = named("seen").spawn({
            let stopped = stopped.clone();
            move || admission.keep_tidy(stopped)
        })?;
        let retention = named("retention").spawn(move || {
            let mut due = Instant::now();
            while !stopped() {
                if Instant::now() >= due {
                    retain(&reports, &of_reports);
                    retain(&rejects, &of_rejects);
                    if let Err(error) = dead.tidy(now_ms()) {
                        tracing::error!(%error, "old dead letters could not be removed");
                    }
                    due = Instant::now() + RETENTION_INTERVAL;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        })?;
        Ok(Upkeep { stop, threads: vec![seen, retention] })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("an upkeep thread ended badly");
            }
        }
    }
}

fn retain(log: &Log, retention: &Retention) {
    if let Err(error) = log.retain(retention) {
        tracing::error!(%error, "old log segments could not be removed");
    }
}

/// Makes the data folder, for this user only: everything that anybody reported lies in there. One that is there already
/// stays as its owner made it, since he may want others to read the lake.
fn keep_private(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let parent = folder.parent().map_or(Ok(()), std::fs::create_dir_all);
    let made = parent.and_then(|()| DirBuilder::new().mode(0o700).create(folder));
    made.with_context(|| format!("data folder {}", folder.display()))
}
