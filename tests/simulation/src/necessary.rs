//! Every rule switched off, one after the other: where it is missed first.

use understudy_simulation::{ABSENT, COVERED, Rule, Scenario, Without};

use crate::many::first_that_fails;

/// Prints a table; whether every rule is missed, or known to be covered by others.
pub(crate) fn necessary(scenarios: &[&'static Scenario], seeds: u64, jobs: usize) -> bool {
    println!("{:<17} {:<16} {:>6}  what shows", "without", "scenario", "seeds");
    let (mut shown, mut hidden) = (0, Vec::new());
    for rule in Rule::ALL {
        match first_that_fails(scenarios, seeds, Without::these(&[*rule]), jobs) {
            Some((seed, scenario, outcome)) => {
                shown += 1;
                let error: String = outcome.errors[0].chars().take(60).collect();
                println!("{:<17} {:<16} {:>6}  {error}", rule.name(), scenario.name, seed + 1);
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
