//! The load generator: many devices over a few connections, at a pace or as fast as the server acknowledges. It uses
//! the public doors only, and every figure it prints is measured here.
//!
//! Latency counts from the moment at which a report was *meant* to be sent, so a server that stalls the sender does not
//! hide the stall (no coordinated omission). `lag` is this tool's own share of it: from meant to handed to the socket.

mod clock;
mod crowd;
mod ledger;
mod schedule;
mod session;
mod summary;
mod tokens;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::error::Result;
use crate::send::{MQTT, Via};
use crate::wire::target::Target;
use clock::Clock;
use crowd::Crowd;
use ledger::Ledger;
use session::{Session, Shared};
use summary::Tally;
pub use summary::{Latency, SimulateSummary, WatchSummary};
use tokens::Tokens;
use watch::Sightings;

/// How many devices report, how often, how long and through what.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// The server, `http://`, `https://` or the same with `ws`.
    pub url: String,
    /// Its MQTT door, `HOST:PORT` or `mqtts://HOST:PORT`, for [`Via::Mqtt`].
    pub mqtt: String,
    /// Where watchers connect, if not at `url`.
    pub watch_url: Option<String>,
    /// Bearer token, if the server asks for one; over MQTT the password.
    pub token: Option<String>,
    /// PEM file of who vouches for a server with TLS, besides the system's authorities.
    pub ca: Option<PathBuf>,
    /// A file of lines `KIND/ID TOKEN`: each device shows its own, over a connection of its own.
    pub device_tokens: Option<PathBuf>,
    /// A file of tokens, one for each watcher, in turn.
    pub watch_tokens: Option<PathBuf>,
    /// The door.
    pub via: Via,
    /// Drivers, `d000001` and on, spread over 45 large cities.
    pub drivers: usize,
    /// Battery-swap stations, `s0001` and on.
    pub stations: usize,
    /// Time between two reports of one device. Start times are spread evenly over it.
    pub interval: Duration,
    /// How long to send.
    pub duration: Duration,
    /// Connections that the devices share.
    pub connections: usize,
    /// Most reports in one request or frame: exactly so many in a closed loop, what is due at a pace. Over MQTT each
    /// publish is one report whatever this says.
    pub batch: usize,
    /// Ignore the interval: each connection sends its next request or frame as soon as the last is acknowledged.
    pub closed_loop: bool,
    /// Most frames or publishes under way on one connection (always one request over HTTP, and never more over MQTT
    /// than the server takes); without it 1 in a closed loop and 256 at a pace.
    pub in_flight: Option<usize>,
    /// WebSockets on `/api/v1/live` that watch everything and measure device-to-watcher latency.
    pub watchers: usize,
    /// Each watcher watches one driver instead: the first the first, and so on.
    pub watch_one: bool,
    /// Same seed, same walks.
    pub seed: u64,
    /// Appends `kind id timestamp` here for each report once its acknowledgement has arrived, for crash tests.
    pub ledger: Option<PathBuf>,
}

impl SimulateOptions {
    /// 1,000 drivers, each once a second for ten seconds, over 8 WebSockets.
    pub fn new(url: impl Into<String>) -> SimulateOptions {
        SimulateOptions {
            url: url.into(),
            mqtt: MQTT.into(),
            watch_url: None,
            token: None,
            ca: None,
            device_tokens: None,
            watch_tokens: None,
            via: Via::WebSocket,
            drivers: 1000,
            stations: 0,
            interval: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            connections: 8,
            batch: 1,
            closed_loop: false,
            in_flight: None,
            watchers: 0,
            watch_one: false,
            seed: 1,
            ledger: None,
        }
    }

    fn reports_per_frame(&self) -> usize {
        if let Via::Mqtt(_) = self.via { 1 } else { self.batch.max(1) }
    }

    /// Where reports go.
    fn target(&self) -> Result<Target> {
        match self.via {
            Via::Mqtt(_) => Target::parse_mqtt(&self.mqtt, self.token.clone(), self.ca.as_deref()),
            Via::Http | Via::WebSocket => Target::parse(&self.url, self.token.clone(), self.ca.as_deref()),
        }
    }

    fn watch_target(&self) -> Result<Target> {
        Target::parse(self.watch_url.as_ref().unwrap_or(&self.url), self.token.clone(), self.ca.as_deref())
    }
}

/// Runs the load and gives its figures. A server that goes away is waited for, as devices would; what was not
/// acknowledged by then is sent again when it is back.
///
/// # Errors
/// When the address or the ledger cannot be used, the first watcher cannot subscribe, or the server refuses whole
/// requests.
pub async fn simulate(options: SimulateOptions) -> Result<SimulateSummary> {
    let target = options.target()?;
    let ledger = options.ledger.as_deref().map(Ledger::open).transpose()?;
    let devices = options.drivers + options.stations;
    let clock = Clock::start();
    let sightings = Arc::new(Sightings::new(options.drivers));
    let tokens = Tokens::read(&options)?;
    let watchers = watch::start(&options, &tokens, clock, &sightings).await?;
    let shared = Arc::new(Shared::new(target, tokens, &options, clock, ledger, sightings));
    let connections = options.connections.clamp(1, devices.max(1));
    let crowds = (0..connections).map(|member| Crowd::new(&options, member, connections));
    let sessions: Vec<_> = crowds.map(|crowd| tokio::spawn(Session::new(shared.clone(), crowd).run())).collect();
    let bar = tokio::spawn(show_progress(shared.clone(), options.duration));
    let mut tally = Tally::default();
    for session in sessions {
        tally.add(session.await.expect("a session does not panic")?);
    }
    bar.abort();
    let seconds = shared.seconds();
    let watched = watch::finish(watchers).await;
    Ok(SimulateSummary::new(&options, connections, seconds, tally, watched))
}

/// A bar on standard error, if that is a terminal.
async fn show_progress(shared: Arc<Shared>, duration: Duration) {
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} s {msg}").expect("the template is constant and valid");
    let bar = ProgressBar::new(duration.as_secs()).with_style(style).with_finish(ProgressFinish::AndClear);
    if bar.is_hidden() {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        bar.set_position(shared.seconds() as u64);
        bar.set_message(format!("{} acknowledged", shared.acknowledged.load(Ordering::Relaxed)));
    }
}
