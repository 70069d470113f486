//! `understudy verify`: are primary and target equal?
//!
//! ```text
//! arguments, config ─► pairing ─► for each primary and target:
//!   indices   which there are on either side            (plan)
//!   documents each index, first from the primary's side, then from the target's:
//!   scan      every document of one side, page by page  (scroll; ids alone)
//!   lookup    the same documents on both sides          (mget, real-time; batch)
//!   compare   equal, or what differs                    (pure; json_text)
//!   suspects  what differed, and is looked at again     (pure; settle)
//!   report    what is left ─► table, or JSON
//! ```
//!
//! Memory is bounded by what is under way: two pages of ids, one batch of documents of each side, a list of suspects.

mod arguments;
mod batch;
mod compare;
mod comparison;
mod documents;
mod indices;
mod json_text;
mod lookup;
mod mget;
mod pairing;
mod progress;
mod report;
mod scan;
mod settle;
mod side;
mod suspects;
mod table;

use std::{io::Write, process::ExitCode};

pub use arguments::{Arguments, pattern};
use understudy_common::config::{Config, EXIT_CONFIG};

use self::{
    comparison::Comparison,
    report::{ComparisonReport, Outcome, Report},
    side::Side,
};
use crate::interrupt::{EXIT_INTERRUPTED, interrupted};

/// Compares, prints the result, and says it by the exit status.
pub async fn run(arguments: Arguments) -> ExitCode {
    let pairs = match Config::load(&arguments.config).map_err(|errors| errors.0).and_then(|config| {
        pairing::pairs(&config, arguments.placement.as_deref(), arguments.target.as_deref())
            .map_err(|error| vec![error])
    }) {
        Ok(pairs) => pairs,
        Err(errors) => {
            for error in errors {
                eprintln!("understudy verify: {error}");
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let mut comparisons = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let Some(comparison) = compare_pair(pair, &arguments).await else { return ExitCode::from(EXIT_INTERRUPTED) };
        comparisons.push(comparison);
    }
    let report = Report::new(comparisons);
    let text = if arguments.json { report.to_json() } else { table::render(&report) };
    // Whoever reads us may have closed the pipe; the exit status still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
    for error in report.errors().flat_map(str::lines) {
        eprintln!("understudy verify: {error}");
    }
    ExitCode::from(match report.result {
        Outcome::Equal => 0,
        Outcome::Different => 1,
        Outcome::Incomplete => 2,
    })
}

/// `None` when it was interrupted. Whatever way it ends, no scroll is left open.
async fn compare_pair(pair: &pairing::Pair, arguments: &Arguments) -> Option<ComparisonReport> {
    let primary = Side::new(&pair.primary, &pair.primary_config);
    let target = Side::new(&pair.target, &pair.target_config);
    let mut comparison = Comparison::new(pair, &primary, &target, arguments);
    let ended = tokio::select! {
        result = comparison.run() => Some(result),
        () = interrupted() => None,
    };
    tokio::join!(primary.clear_scroll(), target.clear_scroll());
    Some(comparison.into_report(ended?))
}
