//! `make bench`: what Understudy costs, against nginx and against doing without it, within one run.
//!
//! ```text
//! a, f  a null cluster, bulks and reads: direct, through nginx, through a gateway
//! b, c  the real stack: what a write takes longer, how soon the backup has it
//! d, e  consumers: against a bulk of the same documents, alone and while more arrive
//! g, h  memory, start, size
//! ```
//!
//! `understudy-bench a d` measures some. Rounds are interleaved, so that whatever else the machine does meets all alike.

mod cpu;
mod documents;
mod load;
mod nginx;
mod null;
mod rows;
mod table;

use std::process::ExitCode;

use self::table::Table;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Interleaved repetitions.
    pub rounds: usize,
    /// Seconds of each.
    pub seconds: u64,
    /// Thousands of documents that consumers drain.
    pub thousands: u64,
}

const FULL: Size = Size { rounds: 5, seconds: 4, thousands: 1_000 };
const SHORT: Size = Size { rounds: 2, seconds: 1, thousands: 50 };

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let size = if std::env::var_os("SHORT").is_some_and(|short| !short.is_empty()) { SHORT } else { FULL };
    let wants = |letters: &str| wanted.is_empty() || wanted.iter().any(|one| letters.contains(one.as_str()));
    let mut table = Table::default();
    if wants("af") {
        rows::proxies::measure(&mut table, size).await;
    }
    if wants("bc") {
        rows::latency::measure(&mut table, size).await;
    }
    if wants("de") {
        rows::consumers::measure(&mut table, size).await;
    }
    if wants("gh") {
        rows::resources::measure(&mut table, size).await;
    }
    println!("{table}");
    if table.reached() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
