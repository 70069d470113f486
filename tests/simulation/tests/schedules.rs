//! Schedules that must pass, and bugs that must show.

use understudy_simulation::{COVERED, Rule, SCENARIOS, Scenario, Without, shrink, simulate};

/// Scenario, seed, the rule that it once showed to be missing, and how.
fn regressions() -> impl Iterator<Item = (&'static Scenario, u64, Without, &'static str)> {
    let lines = include_str!("../regressions.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let mut words = line.splitn(4, ' ');
        let scenario = words.next().and_then(Scenario::named).unwrap_or_else(|| panic!("no scenario: {line}"));
        let seed = words.next().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| panic!("no seed: {line}"));
        let rule = Without::read(words.next().unwrap_or_default()).unwrap_or_else(|error| panic!("{line}: {error}"));
        (scenario, seed, rule, words.next().unwrap_or_default())
    })
}

#[test]
fn what_once_failed_passes() {
    for (scenario, seed, _, showed) in regressions() {
        let errors = simulate(scenario, seed, Without::default(), false).errors;
        assert!(errors.is_empty(), "{} {seed} ({showed}): {errors:?}", scenario.name);
    }
}

/// A scenario that changed has other schedules: then another seed is to be found.
#[test]
fn what_once_failed_fails_without_its_rule() {
    for (scenario, seed, without, showed) in regressions() {
        let errors = simulate(scenario, seed, without, false).errors;
        assert!(!errors.is_empty(), "{} {seed} ({showed}) shows nothing any more: find another seed", scenario.name);
    }
}

#[test]
fn some_schedules_of_every_scenario_pass() {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.known.is_none()) {
        for seed in 0..10 {
            let outcome = simulate(scenario, seed, Without::default(), false);
            assert!(outcome.errors.is_empty(), "{} {seed}: {:?}", scenario.name, outcome.errors);
            assert!(outcome.acknowledged > 0, "{} {seed}: nothing was written", scenario.name);
        }
    }
}

#[test]
fn a_seed_is_one_schedule() {
    for scenario in [Scenario::named("everything").unwrap(), Scenario::named("zombie").unwrap()] {
        let [one, other] = [(); 2].map(|()| simulate(scenario, 7, Without::default(), true));
        assert!(one.trace.len() > 100);
        assert_eq!(one.trace, other.trace);
        assert_eq!(one.steps, other.steps);
    }
}

/// Rules that show within a few schedules; `make simulate-rules` tries all of them.
#[test]
fn a_rule_that_is_switched_off_shows() {
    for (rule, scenario) in [
        (Rule::Window, "skew"),
        (Rule::External, "slow_bulk"),
        (Rule::OneBatch, "slow_bulk"),
        (Rule::Guard, "schema"),
        (Rule::Linger, "unknown"),
        (Rule::Reconcile, "unknown"),
        (Rule::Intent, "unknown"),
        (Rule::SchemaFirst, "schema"),
        (Rule::RoutingKey, "routing"),
        (Rule::ClientCas, "client_versions"),
    ] {
        let (scenario, without) = (Scenario::named(scenario).unwrap(), Without::these(&[rule]));
        let shows = (0..200).any(|seed| !simulate(scenario, seed, without, false).errors.is_empty());
        assert!(shows, "{} is not missed in {}", rule.name(), scenario.name);
    }
}

/// Of two rules that cover each other one is enough, and none is not.
#[test]
fn a_rule_that_another_one_covers_shows_without_that_one() {
    for covered in COVERED {
        let Some((other, scenario)) = covered.by else { continue };
        let scenario = Scenario::named(scenario).unwrap();
        let fails = |rules: &[Rule], seed| !simulate(scenario, seed, Without::these(rules), false).errors.is_empty();
        let seed = (0..2_000).find(|seed| fails(&[covered.rule, other], *seed));
        let seed = seed.unwrap_or_else(|| panic!("{} is not missed without {}", covered.rule.name(), other.name()));
        for rule in [covered.rule, other] {
            assert!(!fails(&[rule], seed), "{} alone is missed in {} {seed}", rule.name(), scenario.name);
        }
    }
}

#[test]
fn a_failure_is_made_small() {
    let (scenario, without) = (Scenario::named("slow_bulk").unwrap(), Without::these(&[Rule::External]));
    let seed = (0..100).find(|seed| !simulate(scenario, *seed, without, false).errors.is_empty()).unwrap();
    let small = shrink(scenario, seed, without).unwrap();
    assert!(!small.outcome.errors.is_empty());
    assert!(small.acts.0 + small.acts.1 <= 8 && small.from > 30, "{:?} of {}", small.acts, small.from);
    assert!(shrink(scenario, seed, Without::default()).is_none());
}
