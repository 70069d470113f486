//! `understudy`: what operators do by hand. Thin: it reads the command line and hands over.

mod dead_letters;
mod duration;
mod interrupt;
mod text;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use understudy_common::config::EXIT_CONFIG;

const EXAMPLES: &str = "\
Examples:
  understudy verify --config deploy/understudy.toml
  understudy dead-letters list --config deploy/understudy.toml

`understudy help verify` tells what is compared and what the exit status means, `understudy help dead-letters` what
dead letters are and how they are mended.";

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
    DeadLetters(dead_letters::Arguments),
}

fn main() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(CommandLine { command }) => command,
        Err(error) => {
            let _ = error.print();
            // 2, which clap would exit with, means that it could not be done.
            return if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("understudy: {error}");
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(async {
        match command {
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        }
    });
    // A question to Kafka that nobody waits for any more may still block a thread.
    runtime.shutdown_background();
    code
}
