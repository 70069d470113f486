//! `understudy`: what operators do by hand. Thin: it reads the command line and hands over.

mod completions;
mod config;
mod dead_letters;
mod duration;
mod interrupt;
mod status;
mod text;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use understudy_common::config::EXIT_CONFIG;

const EXAMPLES: &str = "\
Examples:
  understudy config example > understudy.toml      # every key explained; then mend it and check it
  understudy config check understudy.toml
  understudy status --config understudy.toml       # is the standby ready, how far behind, what is wrong, what to do
  understudy verify --config understudy.toml       # are both sides equal, document by document
  understudy dead-letters list --config understudy.toml

Exit status of all of them: 0 when it is well or done, 1 when it is not, 2 when it could not be told or done, 64 when the
command line or the configuration is wrong, 130 when it was interrupted. `understudy help status` and so on tell more.";

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
    Status(status::Arguments),
    Verify(verify::Arguments),
    DeadLetters(dead_letters::Arguments),
    Config(config::Arguments),
    Completions(completions::Arguments),
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
            Command::Status(arguments) => status::run(arguments).await,
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
            Command::Config(arguments) => config::run(arguments),
            Command::Completions(arguments) => completions::run(&arguments, CommandLine::command()),
        }
    });
    // A question to Kafka that nobody waits for any more may still block a thread.
    runtime.shutdown_background();
    code
}
