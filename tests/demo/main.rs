//! `make demo`: a story that a newcomer watches in a terminal. Everything in it is real: Kafka, two clusters, gateways,
//! consumers, `kill -9`.
//!
//! ```text
//! settings ─► program (what will happen) ─► system: up ─► flights: fetch, load ─► acts, each with a verdict ─► summary
//!                                           deadlines     writers: load from outside, through the load balancer
//!                                                         intents: writes that are not settled, as Kafka tells them
//!                                                         failpoint: the moment in which a gateway dies
//!                                                         verify: understudy's own comparison of both sides
//! ```

mod acts;
mod deadlines;
mod demo;
mod failpoint;
mod flights;
mod intents;
mod program;
mod screen;
mod settings;
mod system;
mod verdict;
mod verify;
mod writers;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::{screen::Screen, settings::Settings, system::System};

const INTERRUPTED: u8 = 130;

const HELP: &str = "\
Plays how a backup takes everything that is done to its primary, whatever dies in between. `make demo` builds and runs it.

  ACTS=1,3         these acts alone, of 1 to 5
  DOCUMENTS=20000  fewer flights than all 200,000
  KEEP=1           leave the stack up
  STACK_RUN=DIR    its run directory, wiped at the beginning; target/demo-run
  PORTS=free       free ports instead of 9200 and so on; PRIMARY=, BACKUP= and more: `deploy/local/stack help`
";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        let asked = ["-h", "--help"].contains(&argument.as_str());
        if asked {
            print!("{HELP}")
        } else {
            eprintln!("understudy-demo takes no arguments\n\n{HELP}")
        }
        return ExitCode::from(if asked { 0 } else { 64 });
    }
    let screen = Screen::new();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("understudy-demo: {error:#}");
            return ExitCode::from(64);
        }
    };
    let system = System::new(&settings, screen);
    let played = tokio::select! {
        played = program::play(&settings, &system, screen) => Some(played),
        () = interrupted() => None,
    };
    let code = match played {
        Some(Ok(true)) => ExitCode::SUCCESS,
        Some(Ok(false)) => ExitCode::FAILURE,
        Some(Err(error)) => {
            screen.trouble(&format!("{error:#}"));
            ExitCode::FAILURE
        }
        None => {
            screen.trouble("interrupted");
            ExitCode::from(INTERRUPTED)
        }
    };
    if settings.keep && played_to_the_end(code) {
        system.say_where_it_is()
    } else {
        system.stop().await
    }
    code
}

/// Whoever interrupts wants everything gone.
fn played_to_the_end(code: ExitCode) -> bool {
    code != ExitCode::from(INTERRUPTED)
}

async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
