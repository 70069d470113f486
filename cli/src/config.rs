//! `understudy config`: an example of a configuration, what is wrong with one, and what one counts as.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use understudy_common::config::{Config, ConfigErrors, EXIT_CONFIG};

/// The reference, with every key explained.
const EXAMPLE: &str = include_str!("../../deploy/understudy.toml");

const AFTER_HELP: &str = "\
One file configures gateways, consumers and this command. Variables of the environment stand over it: UNDERSTUDY_, then the
key in capitals with __ for each dot, such as UNDERSTUDY_GATEWAY__LISTEN=0.0.0.0:9200. What the processes see depends on
their environment, so check and show where they run, or with the same variables.

Exit status:
  0   done; the configuration is right
  64  the configuration is wrong, or the command line: every error is told at once, with its key and what would be right

Examples:
  understudy config example > understudy.toml
  understudy config check understudy.toml
  understudy config show understudy.toml | grep -A3 '^.protocol'";

/// Print an example of a configuration, check one, or show what one counts as
///
/// The example explains every key. What is shown has the defaults, and masks secrets.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = "`--help` tells how variables of the environment stand over the file, and the exit status.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print an example that runs as it stands on one machine, with every key and its default explained
    Example,
    /// Tell everything that is wrong with a configuration
    ///
    /// As gateways and consumers do when they start, with the files that it names (passwords, CAs). The certificate that a
    /// gateway shows is read by `understudy-gateway --check-config` alone.
    Check {
        /// The configuration file; UNDERSTUDY_… variables stand over it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what a configuration counts as: every key, with the environment and the defaults
    ///
    /// It is a configuration itself, but for secrets: *** stands in place of passwords, also of those in kafka.options.
    Show {
        /// The configuration file; UNDERSTUDY_… variables stand over it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does what is asked, and says it by the exit status.
pub fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Example => Ok(EXAMPLE.to_owned()),
        Command::Check { file } => Config::load(&file).map(|_| format!("{}: right\n", file.display())),
        Command::Show { file } => Config::load_effective(&file),
    };
    match result {
        Ok(text) => {
            // Whoever reads us may have closed the pipe.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(ConfigErrors(errors)) => {
            for error in errors {
                eprintln!("understudy config: {error}");
            }
            ExitCode::from(EXIT_CONFIG)
        }
    }
}
