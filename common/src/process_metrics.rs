//! What every process says of itself: which build it is, its memory, its files, its time on the processor.

use std::{fs, time::SystemTime};

use prometheus::{Counter, Gauge, GaugeVec, Opts, Registry};

use crate::on_look;

/// Linux tells programs the time on the processor in hundredths of a second, whatever its own clock does (`proc(5)`).
const TICKS: f64 = 100.0;

/// Registers `understudy_build_info`, and what Prometheus calls `process_…` everywhere. What the system does not tell stays
/// at 0.
///
/// # Errors
/// When two metrics have one name.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let build = GaugeVec::new(Opts::new("understudy_build_info", "1, with the version of this build"), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    registry.register(Box::new(build))?;
    let started = Gauge::new("process_start_time_seconds", "When the process was started, in seconds since 1970")?;
    started.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    registry.register(Box::new(started))?;

    let resident = Gauge::new("process_resident_memory_bytes", "Memory of the process that is in RAM")?;
    let open = Gauge::new("process_open_fds", "Open files and sockets")?;
    let most = Gauge::new("process_max_fds", "How many files and sockets may be open")?;
    let threads = Gauge::new("process_threads", "Threads")?;
    let cpu = Counter::new("process_cpu_seconds_total", "Time on the processor")?;
    on_look::register(
        registry,
        vec![
            Box::new(resident.clone()),
            Box::new(open.clone()),
            Box::new(most.clone()),
            Box::new(threads.clone()),
            Box::new(cpu.clone()),
        ],
        move || {
            let status = read("status");
            resident.set(number_after(&status, "VmRSS:") * 1_024.0);
            threads.set(number_after(&status, "Threads:"));
            most.set(number_after(&read("limits"), "Max open files"));
            // One of them is the folder that is being read.
            open.set(fs::read_dir("/proc/self/fd").map_or(0.0, |files| files.count().saturating_sub(1) as f64));
            cpu.inc_by((seconds_on_processor(&read("stat")) - cpu.get()).max(0.0));
        },
    )
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default()
}

/// The first number behind a heading; 0 where there is none.
fn number_after(text: &str, heading: &str) -> f64 {
    let behind = text.lines().find_map(|line| line.strip_prefix(heading));
    behind.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// The program's name, in parentheses, may hold anything.
fn seconds_on_processor(stat: &str) -> f64 {
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // `utime` and `stime`, fields 14 and 15, of which the name is the second.
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_what_it_takes() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let metrics = crate::exposition::Metrics::parse(&text);
        for name in
            ["process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"]
        {
            assert!(metrics.sum(name, &[]) > 2.0, "{text}");
        }
        assert_eq!(metrics.sum("understudy_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
        let before = metrics.sum("process_open_fds", &[]);
        let held: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        // Other tests open and close files at the same time.
        assert!(crate::exposition::Metrics::parse(&text).sum("process_open_fds", &[]) > before + 20.0, "{text}");
        drop(held);
    }

    #[test]
    fn time_on_the_processor_is_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 1250 250 0 0";
        assert_eq!(seconds_on_processor(stat), 15.0);
        assert_eq!(number_after("Max open files            1024   4096  files", "Max open files"), 1024.0);
    }
}
