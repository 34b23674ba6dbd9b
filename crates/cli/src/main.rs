//! The command line: reads arguments, starts a node or a client, prints what came of it. No logic of
//! its own beyond that.

mod admin;
mod client;
mod demo;
mod dlq;
mod doctor;
mod door;
mod import;
mod node;
mod serve;
mod vault;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Drover: a real-time location platform for fleets. Devices report; Drover answers where everything
/// is now, and loses nothing that it acknowledged.
#[derive(Debug, Parser)]
#[command(name = "drover", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(serve::ServeArgs),
    /// Run a node with a simulated city and demo users, to look at
    Demo(demo::DemoArgs),
    /// Bring files of telemetry (CSV, NDJSON, GPX, GTFS-Realtime, Parquet) into history
    Import(import::ImportArgs),
    /// Play recorded traces (CSV, NDJSON, GPX) into a node as if they happened now
    Replay(client::ReplayArgs),
    /// Load a node with simulated drivers and stations, and measure
    Simulate(client::SimulateArgs),
    /// Ask a node's history in SQL
    Sql(client::SqlArgs),
    /// Check a data folder and say what is wrong with it
    Doctor(doctor::DoctorArgs),
    /// Users of a node
    #[command(subcommand)]
    User(admin::UserCommand),
    /// Tokens of devices
    #[command(subcommand)]
    Token(admin::TokenCommand),
    /// Certificates of devices
    #[command(subcommand)]
    Cert(admin::CertCommand),
    /// API keys of other systems
    #[command(subcommand)]
    Key(admin::KeyCommand),
    /// Fleets
    #[command(subcommand)]
    Fleet(admin::FleetCommand),
    /// The node's own keys: of personal data, the root key, of access tokens
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Look at dead letters (accepted work that could not be done), retry or drop them
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// List what was refused, with its reasons
    #[command(subcommand)]
    Rejects(client::RejectsCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::serve(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Import(args) => import::import(args).await,
        Command::Replay(args) => client::replay(args).await,
        Command::Simulate(args) => client::simulate(args).await,
        Command::Sql(args) => client::sql(args).await,
        Command::Doctor(args) => doctor::doctor(&args).await,
        Command::User(command) => admin::user(command).await,
        Command::Token(command) => admin::token(command).await,
        Command::Cert(command) => admin::cert(command).await,
        Command::Key(command) => admin::key(command).await,
        Command::Fleet(command) => admin::fleet(command).await,
        Command::Vault(command) => vault::vault(command).await,
        Command::Dlq(command) => dlq::dlq(command).await,
        Command::Rejects(command) => client::rejects(command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drover: {}", node::told(&error));
            ExitCode::FAILURE
        }
    }
}
