//! What processes take: memory, and handles of connections and files.

use std::{fmt, fs, time::Duration};

use tokio_util::sync::CancellationToken;
use understudy_tests::Process;

/// Handles that a process may have more of than before: connections to Kafka and clusters come and go.
pub const SPARE_HANDLES: usize = 12;
const EVERY: Duration = Duration::from_secs(1);
/// A part may be larger by so much than the one before and still count as equal: allocators keep pages back.
const TOLERATED: f64 = 1.10;
/// And by so many bytes.
const TOLERATED_BYTES: u64 = 8 << 20;

/// A process that is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    name: String,
    pid: u32,
}

impl Watch {
    /// Watches one.
    pub fn of(process: &Process) -> Self {
        Self { name: process.name().to_owned(), pid: process.pid() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Open handles: sockets and files.
    pub fn handles(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the process lives").count()
    }

    /// Resident memory in bytes.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes << 10
    }
}

/// Memory of each process, once a second.
pub async fn sample(watch: [Watch; 2], stop: CancellationToken) -> [Vec<u64>; 2] {
    let mut samples = [Vec::new(), Vec::new()];
    let mut pace = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return samples,
            _ = pace.tick() => {}
        }
        samples.iter_mut().zip(&watch).for_each(|(samples, watch)| samples.push(watch.memory()));
    }
}

/// The most memory in the four parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth([u64; 4]);

impl Growth {
    /// That of these samples.
    pub fn of(samples: &[u64]) -> Self {
        let part = samples.len().div_ceil(4).max(1);
        let mut parts = samples.chunks(part).map(|part| part.iter().copied().max().unwrap_or(0));
        Self(std::array::from_fn(|_| parts.next().unwrap_or(0)))
    }

    /// Whether it did not grow any more: in the first part it may.
    pub fn is_flat(&self) -> bool {
        let [_, second, _, last] = self.0;
        last as f64 <= second as f64 * TOLERATED || last <= second + TOLERATED_BYTES
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, last] = self.0.map(|bytes| bytes >> 20);
        write!(f, "at most {first}, {second}, {third}, {last} MiB in the four quarters")
    }
}

#[test]
fn memory_that_grows_is_not_flat() {
    const MIB: u64 = 1 << 20;
    let growth = |samples: &[u64]| Growth::of(&samples.iter().map(|mebibytes| mebibytes * MIB).collect::<Vec<_>>());
    assert!(growth(&[50, 90, 100, 101, 99, 102, 100, 101]).is_flat());
    assert!(!growth(&[50, 90, 100, 101, 120, 125, 130, 131]).is_flat());
    assert!(growth(&[10, 20, 20, 20, 21, 22, 24, 26]).is_flat(), "a few pages");
}
