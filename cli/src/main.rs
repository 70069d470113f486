//! `understudy`: what operators do by hand. Thin: it reads the command line and hands over.

mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use understudy_common::config::EXIT_CONFIG;

const EXAMPLES: &str = "\
Example:
  understudy verify --config deploy/understudy.toml

`understudy help verify` tells what is compared and what the exit status means.";

/// Disaster recovery for Elasticsearch and OpenSearch through Kafka: the operator's side.
///
/// The gateways (understudy-gateway) and consumers (understudy-consumer) keep a second cluster ready to take over; this
/// command looks after them. It reads the same configuration file as they do.
#[derive(Parser)]
#[command(name = "understudy", version, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::try_parse() {
        Ok(CommandLine { command: Command::Verify(arguments) }) => verify::run(arguments).await,
        Err(error) => {
            let _ = error.print();
            // 2, which clap would exit with, means "could not compare" here.
            if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS }
        }
    }
}
