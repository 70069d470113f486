//! Every rule switched off, one after the other: where it is missed first.

use understudy_simulation::{ABSENT, COVERED, Covered, Rule, Scenario, Without};

use crate::many::first_that_fails;

/// Prints a table; whether every rule is missed, alone or with the one that covers it, or known to be covered.
pub(crate) fn necessary(scenarios: &[&'static Scenario], seeds: u64, jobs: usize) -> bool {
    println!("{:<17} {:<16} {:>6}  what shows", "without", "scenario", "seeds");
    let (mut shown, mut together, mut hidden, mut explained) = (0, 0, Vec::new(), true);
    for rule in Rule::ALL {
        if let Some((seed, scenario, outcome)) = first_that_fails(scenarios, seeds, Without::these(&[*rule]), jobs) {
            shown += 1;
            let error: String = outcome.errors[0].chars().take(60).collect();
            println!("{:<17} {:<16} {:>6}  {error}", rule.name(), scenario.name, seed + 1);
            continue;
        }
        let covered = COVERED.iter().find(|covered| covered.rule == *rule);
        if let Some((other, scenario, seed)) = covered.and_then(|covered| with_its_cover(*covered, seeds, jobs)) {
            together += 1;
            println!(
                "{:<17} {scenario:<16} {:>6}  once {} is off too, which alone is not missed there",
                rule.name(),
                seed + 1,
                other
            );
        } else {
            let why = covered.map_or("nobody knows why", |covered| covered.why);
            println!("{:<17} {:<16} {:>6}  not shown to be necessary: {why}", rule.name(), "-", "-");
            explained &= covered.is_some();
            hidden.push(rule.name());
        }
    }
    println!("\nnot in this build, or not simulated:");
    ABSENT.iter().for_each(|(name, why)| println!("  {name}: {why}"));
    println!(
        "\n{shown} rules are missed within {seeds} seeds of a scenario, {together} with the rule that covers them, {} not: {}",
        hidden.len(),
        hidden.join(", ")
    );
    explained
}

/// Where a rule is missed when the one that covers it is off: its name, the scenario and the seed. Nothing where that one is
/// missed alone, too.
fn with_its_cover(covered: Covered, seeds: u64, jobs: usize) -> Option<(&'static str, &'static str, u64)> {
    let (other, scenario) = covered.by?;
    let there = [Scenario::named(scenario)?];
    // A seed of one scenario is one schedule: so many of them are as quick as one seed of all.
    let seeds = seeds * 10;
    let (seed, ..) = first_that_fails(&there, seeds, Without::these(&[covered.rule, other]), jobs)?;
    let alone = first_that_fails(&there, seeds, Without::these(&[other]), jobs);
    alone.is_none().then_some((other.name(), scenario, seed))
}
