//! What processes take, by `/proc`: time of the processor is theirs alone, whoever else is busy.

use std::{fs, process::Command, time::Duration};

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that there is.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of processes so far.
pub fn time(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| time_of(*pid)).sum()
}

fn time_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The name of the program, in parentheses, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u32>().expect("a number");
    TICK * (ticks(11) + ticks(12))
}

/// The most memory that a process had so far, in bytes.
pub fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Pins a process, with all its threads, to a processor. `false` where that cannot be done.
pub fn pin(pid: u32, processor: usize) -> bool {
    let pinned = Command::new("taskset").args(["-a", "-cp", &processor.to_string(), &pid.to_string()]).output();
    pinned.is_ok_and(|output| output.status.success())
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
