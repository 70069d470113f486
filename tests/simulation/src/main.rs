//! `understudy-simulate`: schedules from seeds, judged. Exits 1 when one of them fails.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use understudy_simulation::{ABSENT, COVERED, Outcome, Rule, SCENARIOS, Scenario, Without, shrink, simulate};

/// Runs the product's decisions against a simulated primary, Kafka and targets.
#[derive(Parser)]
#[command(name = "understudy-simulate")]
struct Arguments {
    /// Schedules, over all scenarios.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell what happens, step by step.
    #[arg(long)]
    trace: bool,
    /// Scenarios, with commas; all that must pass where none is named.
    #[arg(long, default_value = "")]
    scenario: String,
    /// Rules that are switched off, with commas.
    #[arg(long, default_value = "")]
    without: String,
    /// Switch off every rule, one after the other, and tell how many seeds it takes to show.
    #[arg(long)]
    rules: bool,
    /// Print scenarios and rules.
    #[arg(long)]
    list: bool,
    /// Do not make failures small.
    #[arg(long)]
    whole: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(64)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    if arguments.list {
        list();
        return Ok(true);
    }
    let scenarios = scenarios(&arguments.scenario)?;
    if arguments.rules {
        return Ok(rules(&scenarios, arguments.seeds));
    }
    let without = Without::read(&arguments.without)?;
    if let Some(seed) = arguments.seed {
        return Ok(one(&scenarios, seed, without, arguments));
    }
    Ok(many(&scenarios, without, arguments))
}

fn scenarios(names: &str) -> Result<Vec<&'static Scenario>, String> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().filter(|scenario| scenario.known.is_none()).collect());
    }
    let named = |name| Scenario::named(name).ok_or_else(|| format!("no scenario is called {name}; --list names them"));
    names.split(',').map(str::trim).map(named).collect()
}

fn list() {
    println!("scenarios");
    for scenario in SCENARIOS {
        let known = scenario.known.map(|known| format!("  fails: {known}")).unwrap_or_default();
        println!("  {}{known}", scenario.name);
    }
    println!("rules");
    for rule in Rule::ALL {
        println!("  {:<17} {}", rule.name(), rule.says());
    }
}

/// Lines of a trace that are printed without being asked for.
const TOLD: usize = 120;

/// One seed, in each scenario.
fn one(scenarios: &[&'static Scenario], seed: u64, without: Without, arguments: &Arguments) -> bool {
    let mut passed = true;
    for scenario in scenarios {
        let outcome = simulate(scenario, seed, without, arguments.trace);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        if outcome.errors.is_empty() {
            println!("{} {seed}: passed, {} writes acknowledged", scenario.name, outcome.acknowledged);
        } else {
            passed = false;
            tell(scenario, seed, without, &outcome, arguments);
        }
    }
    passed
}

fn many(scenarios: &[&'static Scenario], without: Without, arguments: &Arguments) -> bool {
    let begun = Spent::now();
    let each = arguments.seeds.div_ceil(scenarios.len() as u64);
    let (mut schedules, mut failed, mut acknowledged) = (0u64, 0u64, 0usize);
    println!("{:<16} {:>9} {:>7} {:>13} {:>9}", "scenario", "schedules", "failed", "acknowledged", "a second");
    for scenario in scenarios {
        let (began, mut bad, mut acks) = (Spent::now(), 0u64, 0usize);
        for seed in arguments.first..arguments.first + each {
            let outcome = simulate(scenario, seed, without, false);
            acks += outcome.acknowledged;
            if !outcome.errors.is_empty() {
                bad += 1;
                if bad == 1 {
                    tell(scenario, seed, without, &outcome, arguments);
                }
            }
        }
        let rate = each as f64 / began.seconds();
        println!("{:<16} {each:>9} {bad:>7} {acks:>13} {rate:>9.0}", scenario.name);
        (schedules, failed, acknowledged) = (schedules + each, failed + bad, acknowledged + acks);
    }
    let rate = schedules as f64 / begun.seconds();
    println!("{:<16} {schedules:>9} {failed:>7} {acknowledged:>13} {rate:>9.0}", "all");
    println!("{} passed, {failed} failed; a second of its own CPU time, on one core", schedules - failed);
    failed == 0
}

/// CPU time of this process, by the kernel's count; time where it does not tell.
struct Spent {
    begun: Instant,
    cpu: Option<u64>,
}

impl Spent {
    fn now() -> Self {
        Self { begun: Instant::now(), cpu: Self::cpu() }
    }

    fn cpu() -> Option<u64> {
        std::fs::read_to_string("/proc/self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }

    fn seconds(&self) -> f64 {
        let cpu = self.cpu.zip(Self::cpu()).map(|(before, now)| (now - before) as f64 / 1e9);
        cpu.unwrap_or_else(|| self.begun.elapsed().as_secs_f64()).max(1e-9)
    }
}

/// What failed, and as little as it takes to fail.
fn tell(scenario: &Scenario, seed: u64, without: Without, outcome: &Outcome, arguments: &Arguments) {
    println!("{} seed {seed} FAILED", scenario.name);
    outcome.errors.iter().take(5).for_each(|error| println!("  {error}"));
    if arguments.whole {
        return;
    }
    if let Some(small) = shrink(scenario, seed, without) {
        let (writes, faults) = small.acts;
        let (from, runs) = (small.from, small.runs);
        println!("  made small: {writes} writes and {faults} faults of {from}, in {runs} runs");
        small.outcome.trace.iter().take(TOLD).for_each(|line| println!("    {line}"));
        if small.outcome.trace.len() > TOLD {
            println!("    … {} more", small.outcome.trace.len() - TOLD);
        }
        small.outcome.errors.iter().for_each(|error| println!("    {error}"));
    }
    let without = if arguments.without.is_empty() { String::new() } else { format!(" WITHOUT={}", arguments.without) };
    println!("  again: make simulate SCENARIO={} SEED={seed} TRACE=1{without}", scenario.name);
}

/// Every rule off, one after the other: where it shows first.
fn rules(scenarios: &[&'static Scenario], seeds: u64) -> bool {
    println!("{:<17} {:<16} {:>6}  what shows", "without", "scenario", "seeds");
    let (mut shown, mut hidden) = (0, Vec::new());
    for rule in Rule::ALL {
        let without = Without::these(&[*rule]);
        // The fewest seeds of all scenarios.
        let first = (0..seeds).find_map(|seed| {
            scenarios.iter().find_map(|scenario| {
                let error = simulate(scenario, seed, without, false).errors.into_iter().next()?;
                Some((seed + 1, scenario, error))
            })
        });
        match first {
            Some((after, scenario, error)) => {
                shown += 1;
                let error: String = error.chars().take(60).collect();
                println!("{:<17} {:<16} {after:>6}  {error}", rule.name(), scenario.name);
            }
            None => {
                let covered = COVERED.iter().find(|(known, _)| known == rule).map_or("", |(_, why)| why);
                println!("{:<17} {:<16} {:>6}  not shown to be necessary: {covered}", rule.name(), "-", "-");
                hidden.push(rule.name());
            }
        }
    }
    println!("\nnot in this build, or not simulated:");
    ABSENT.iter().for_each(|(name, why)| println!("  {name}: {why}"));
    println!(
        "\n{shown} rules shown to be necessary within {seeds} seeds of a scenario, {} not: {}",
        hidden.len(),
        hidden.join(", ")
    );
    shown > 0
}
