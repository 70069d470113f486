//! Many schedules, over all processors. What they come to does not depend on how many there are.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use understudy_simulation::{Outcome, Scenario, Without, simulate};

use crate::{Arguments, tell};

/// What came of a range of seeds.
#[derive(Default)]
struct Tally {
    schedules: u64,
    failed: u64,
    acknowledged: u64,
    steps: u64,
    /// Changes when any schedule does.
    fingerprint: u64,
    /// CPU time, in s.
    seconds: f64,
    /// The first seed that failed.
    first: Option<(u64, Outcome)>,
}

impl Tally {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.schedules += 1;
        self.acknowledged += outcome.acknowledged as u64;
        self.steps += outcome.steps;
        let schedule = outcome.steps << 24 ^ (outcome.acknowledged as u64) << 4 ^ outcome.errors.len() as u64;
        let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ schedule.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.fingerprint = self.fingerprint.wrapping_add((mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb));
        if !outcome.errors.is_empty() {
            self.failed += 1;
            self.failure(seed, outcome);
        }
    }

    fn failure(&mut self, seed: u64, outcome: Outcome) {
        if self.first.as_ref().is_none_or(|(known, _)| seed < *known) {
            self.first = Some((seed, outcome));
        }
    }

    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.failed += other.failed;
        self.acknowledged += other.acknowledged;
        self.steps += other.steps;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        self.seconds += other.seconds;
        if let Some((seed, outcome)) = other.first {
            self.failure(seed, outcome);
        }
    }

    fn print(&self, name: &str) {
        let Self { schedules, failed, acknowledged, steps, seconds, .. } = self;
        let rate = *schedules as f64 / seconds;
        println!("{name:<16} {schedules:>9} {failed:>7} {acknowledged:>13} {steps:>11} {rate:>9.0}");
    }
}

/// Runs the seeds of each scenario; whether all passed.
pub(crate) fn many(scenarios: &[&'static Scenario], without: Without, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let each = arguments.seeds.div_ceil(scenarios.len() as u64);
    let seeds = arguments.first..arguments.first + each;
    println!(
        "{:<16} {:>9} {:>7} {:>13} {:>11} {:>9}",
        "scenario", "schedules", "failed", "acknowledged", "steps", "a second"
    );
    let mut all = Tally::default();
    for scenario in scenarios {
        let next = AtomicU64::new(seeds.start);
        let run = || {
            let (began, mut tally) = (cpu(), Tally::default());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    break;
                }
                tally.add(seed, simulate(scenario, seed, without, false));
            }
            tally.seconds = cpu() - began;
            tally
        };
        let mut tally = Tally::default();
        together(arguments.jobs(), &run).into_iter().for_each(|part| tally.merge(part));
        if let Some((seed, outcome)) = &tally.first {
            tell(scenario, *seed, without, outcome, arguments);
        }
        tally.print(scenario.name);
        tally.first = None;
        all.merge(tally);
    }
    all.print("all");
    println!(
        "{} passed, {} failed, in {:.1} s; a second of CPU time, on one core; fingerprint {:016x}",
        all.schedules - all.failed,
        all.failed,
        begun.elapsed().as_secs_f64(),
        all.fingerprint
    );
    all.failed == 0
}

/// The first seed that fails in any scenario, with the first scenario in which it does.
pub(crate) fn first_that_fails(
    scenarios: &[&'static Scenario],
    seeds: u64,
    without: Without,
    jobs: usize,
) -> Option<(u64, &'static Scenario, Outcome)> {
    let (next, best) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let many = scenarios.len() as u64;
    let run = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= (seeds * many).min(best.load(Ordering::Relaxed)) {
                return None;
            }
            let (seed, scenario) = (number / many, scenarios[(number % many) as usize]);
            let outcome = simulate(scenario, seed, without, false);
            if !outcome.errors.is_empty() {
                best.fetch_min(number, Ordering::Relaxed);
                return Some((number, seed, scenario, outcome));
            }
        }
    };
    let found = together(jobs, &run).into_iter().flatten().min_by_key(|(number, ..)| *number);
    found.map(|(_, seed, scenario, outcome)| (seed, scenario, outcome))
}

/// Runs work in so many threads.
fn together<T: Send>(jobs: usize, run: &(impl Fn() -> T + Sync)) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(run)).collect();
        // A schedule that panics is a bug: it ends the whole run.
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// CPU time of this thread in s, by the kernel's count; time where it does not tell.
fn cpu() -> f64 {
    thread_local!(static BEGUN: Instant = Instant::now());
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| BEGUN.with(|begun| begun.elapsed().as_secs_f64()), |spent| spent / 1e9)
}
