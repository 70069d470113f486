//! `understudy-simulate`: schedules from seeds, judged. Exits 1 when one of them fails.

mod many;
mod necessary;

use std::{num::NonZero, process::ExitCode, thread::available_parallelism};

use clap::Parser;
use many::many;
use necessary::necessary;
use understudy_simulation::{Outcome, Rule, SCENARIOS, Scenario, Without, shrink, simulate};

/// A schedule is made of many small things that do not live long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Schedules at one time; as many as there are processors where it is not said.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Do not make failures small.
    #[arg(long)]
    whole: bool,
}

impl Arguments {
    fn jobs(&self) -> usize {
        self.jobs.or_else(|| available_parallelism().ok()).map_or(1, NonZero::get)
    }
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
        return Ok(necessary(&scenarios, arguments.seeds, arguments.jobs()));
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
