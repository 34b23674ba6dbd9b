//! `drover demo`: a node as it would be run, which asks for credentials, with a city that lives on it. Its records,
//! users and keys are made by the node's own ways of making them, its fleet reports from outside with a key. Nothing of
//! it has a default password.

mod deliveries;
mod people;
mod records;

use crate::serve::{NodeArgs, announce, start_logging, stop_signal};
use anyhow::{Context, ensure};
use clap::Args;
use deliveries::Deliveries;
use drover_access::{Caller, Principal};
use drover_node::{Config, DemoPlace, Flags, Node};
use drover_sim::fleet::{DriveOptions, Fleet, FleetPlan, drive};
use people::People;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The fleet has been under way for so long when it begins to report: somebody is delivering from the first moment.
const UNDER_WAY: Duration = Duration::from_secs(12 * 60);

/// Runs a node on this machine with a company in Porto on it: vans and couriers that drive the real streets,
/// battery-swap stations, orders that are delivered, and a user of each role, whose passwords are made anew at each
/// start and printed. Open the printed address in a browser. Ctrl-C stops it.
#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The same seed gives the same drives
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs a node and the demo city until SIGINT or SIGTERM.
pub async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    start_logging(args.node.log_json, "warn");
    let temporary = tempfile::Builder::new().prefix("drover-demo-").tempdir().context("a temporary folder")?;
    let mut flags = args.node.flags();
    flags.data.get_or_insert_with(|| temporary.path().to_owned());
    let config = configuration(&flags)?;
    let signal = stop_signal()?;
    let seed = args.seed;
    let fleet = tokio::task::spawn_blocking(move || fleet_under_way(seed));
    let node = Node::start(&config, Some(porto())).await?;
    let mut fleet = fleet.await?;
    let (auth, registry, caller) = (node.auth().clone(), node.registry().clone(), by_demo());
    let people = People::new(auth, caller.clone());
    people.refuse_others(&config.data)?;
    records::make(&registry, &caller, &fleet).await.context("the demo's records")?;
    let mut deliveries = Deliveries::open(registry, caller).await.context("the demo's deliveries")?;
    fleet.count_orders_from(deliveries.next_number());
    let jobs = fleet.jobs();
    let (users, keys, ()) =
        tokio::try_join!(people.users(), people.keys(), async { Ok(deliveries.follow(&jobs).await?) })
            .context("the demo's users, keys and orders")?;
    let address = announce(&node)?;
    eprint!("{}", people::welcome(&url(address), &users, &keys));
    let (stopper, stopped) = watch::channel(());
    let options = DriveOptions { token: Some(keys.fleet), ..DriveOptions::new(format!("http://{address}")) };
    let following = tokio::spawn(deliveries.run(options.jobs.subscribe(), stopped.clone()));
    let driving = tokio::spawn(run_fleet(fleet, options, stopped));
    node.serve(async move {
        signal.await;
        drop(stopper);
    })
    .await?;
    following.await?;
    Ok(driving.await?)
}

/// What `serve` would run with, on loopback and over plain HTTP: the fleet speaks no TLS, and what is printed is not
/// for others.
fn configuration(flags: &Flags) -> anyhow::Result<Config> {
    let mut config = Config::load(None, &Flags { dev: Some(false), ..flags.clone() })?;
    config.admin_email = people::ADMIN.into();
    let is_local = config.http.ip().is_loopback() && !config.http_tls();
    ensure!(is_local, "the demo is served over plain HTTP on loopback only, and {} is not that", config.http);
    Ok(config)
}

/// In whose name the demo's records are made, for the audit: a system administrator.
fn by_demo() -> Caller {
    Caller::new(Principal { subject: "demo".into(), name: "the demo".into(), ..(*Caller::dev()).clone() })
}

/// Takes a moment of a core.
fn fleet_under_way(seed: u64) -> Fleet {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or_default();
    let mut fleet = Fleet::new(&FleetPlan { seed, ..FleetPlan::default() }, ms(now.saturating_sub(UNDER_WAY)));
    // What it would have said on the way is nobody's.
    drop(fleet.step(ms(now)));
    fleet
}

async fn run_fleet(fleet: Fleet, options: DriveOptions, mut stopped: watch::Receiver<()>) {
    let stop = async move { while stopped.changed().await.is_ok() {} };
    if let Err(error) = drive(fleet, options, stop).await {
        tracing::error!(
            error = format!("{:#}", anyhow::Error::new(error)),
            "the demo's fleet does not report any more"
        );
    }
}

fn porto() -> DemoPlace {
    DemoPlace { title: "Porto".into(), center: [-8.6205, 41.1535], zoom: 13.2 }
}

/// As a browser on this machine opens it.
fn url(address: SocketAddr) -> String {
    match address.ip() == Ipv4Addr::LOCALHOST {
        true => format!("http://localhost:{}", address.port()),
        false => format!("http://{address}"),
    }
}
