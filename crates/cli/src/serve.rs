//! `drover serve`: runs a node until it is told to stop.

use anyhow::Context;
use clap::Args;
use drover_node::{Config, Flags, Node};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Prints one line `ready http=HOST:PORT mqtt=HOST:PORT …` (each open door) on standard output when the
/// node serves. Logs go to standard
/// error; DROVER_LOG sets their level (info, debug, drover_live=debug …).
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML); DROVER_… variables and flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Take reports from another broker as well: mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(long, value_name = "URL")]
    mqtt_upstream: Option<String>,
    /// Ask for no credentials; listens on loopback only
    #[arg(long)]
    dev: bool,
}

/// What `serve` and `demo` have in common.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Data folder [default: data; demo: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of HTTP and WebSocket; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Address of MQTT; port 0 picks a free one [default: 127.0.0.1:1883, if nothing else listens there]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<SocketAddr>,
    /// Address of MQTT over TLS [default: closed]
    #[arg(long, value_name = "ADDR")]
    mqtts: Option<SocketAddr>,
    /// Write logs as JSON, one object per line
    #[arg(long)]
    pub log_json: bool,
}

impl NodeArgs {
    /// As a configuration takes them.
    pub fn flags(&self) -> Flags {
        Flags { data: self.data.clone(), http: self.http, mqtt: self.mqtt, mqtts: self.mqtts, ..Flags::default() }
    }
}

/// Runs a node until SIGINT or SIGTERM.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    start_logging(args.node.log_json, "info");
    let mut flags = args.node.flags();
    flags.dev = args.dev.then_some(true);
    flags.mqtt_upstream = args.mqtt_upstream;
    let config = Config::load(args.config.as_deref(), &flags)?;
    let mut node = Node::start(&config, None).await?;
    if let Some(first) = node.first_admin().filter(|_| !config.dev) {
        // Kept nowhere else: whoever starts the node for the first time reads it here.
        eprintln!(
            "\nfirst administrator: {} {}\nLog in and choose a password of your own.\n",
            first.email, first.password
        );
    }
    announce(&node)?;
    node.serve(stop_signal()?).await
}

/// Prints the line that scripts wait for; returns the address of HTTP.
pub fn announce(node: &Node) -> anyhow::Result<SocketAddr> {
    let doors = node.doors()?;
    let mut out = std::io::stdout().lock();
    let words: Vec<_> = doors.iter().map(|(name, address)| format!(" {name}={address}")).collect();
    writeln!(out, "ready{}", words.concat()).and_then(|()| out.flush()).context("cannot print the ready line")?;
    Ok(doors[0].1)
}

/// Resolves at SIGINT or SIGTERM.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    })
}

pub fn start_logging(json: bool, default_level: &str) {
    let filter = EnvFilter::try_from_env("DROVER_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.init();
    }
}
