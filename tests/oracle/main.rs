//! The short oracle: from a seed, writes of all kinds and faults of all parts; then a judge who knows every write and what
//! became of it.
//!
//! ```text
//! settings ─► run ─┬─► writers (kinds, world) ─► ledger        what was sent, what was told
//!                  ├─► faults                                   who was killed and frozen
//!                  ├─► settle, look ─► seen                     what both clusters and Kafka hold
//!                  └─► judge (history) ─► report                what cannot be
//! ```
//!
//! ```sh
//! tests/run --test oracle                           # seed 1, 60 s of load
//! SEEDS="1 2 3" SECONDS_OF_LOAD=20 tests/run --test oracle
//! KINDS=index,delete FAULTS=consumer-killed tests/run --test oracle
//! BROKERS=3 MINUTES=2 tests/run --test oracle -- acknowledged   # Kafka has three brokers, of which some die
//! PLANTED=all tests/run --test oracle -- planted    # bugs in gateways and consumers; each must be found
//! TAMPER=stale FAULTS=none tests/run --test oracle  # the judge must find it, and the test fails
//! JUDGE=target/oracle/seed-1 cargo test -p understudy-tests --test oracle -- acknowledged
//! ```

mod aside;
mod dice;
mod fakes;
mod faults;
mod history;
mod judge;
mod kinds;
mod ledger;
mod links;
mod look;
mod named;
mod operation;
mod outcome;
mod planted;
mod report;
mod run;
mod scene;
mod seen;
mod settings;
mod settle;
mod tamper;
mod world;
mod writers;

use std::time::{Duration, Instant};

use understudy_tests::Servers;

use crate::{judge::Rule, report::say, run::Run, settings::Settings};

/// The seed of runs with a planted bug.
const PLANTED_SEED: u64 = 1_000;
/// The seed of runs whose log is applied again.
const APPLIED_AGAIN_SEED: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_whatever_failed() {
    let settings = Settings::from_environment();
    if let Some(folder) = &settings.judge {
        let verdict = run::judge_again(folder, settings.reconciled).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(verdict.violations.is_empty(), "{}", verdict.text);
        return say(&verdict.text);
    }
    let servers = Servers::take().await;
    for &seed in &settings.seeds {
        let mut run = Run::of(seed, &settings, &settings.faults, &servers).await;
        run.redrive().await;
        run.write_fresh().await;
        if let Some(tamper) = settings.tamper {
            run.tamper(tamper).await;
        }
        let verdict = run.judge().await;
        run.end(&verdict).await;
    }
}

/// Documents were written, changed and deleted; the backup was restarted and knows of no delete; consumers apply the log from
/// its beginning; a gateway that stood still publishes what it had in hand, when it counts no more.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_back_when_the_log_is_applied_again() {
    let Some(settings) = settings_of_a_scene() else { return };
    let servers = Servers::take().await;
    let mut run = Run::of(APPLIED_AGAIN_SEED, &settings, &[], &servers).await;
    run.apply_again(&servers).await;
    let verdict = run.judge().await;
    run.end(&verdict).await;
}

/// The same, and what the stopped gateway publishes would still count: nothing but the window stands in its way. With a
/// window all is well; without, what was deleted is back, and the judge says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_window_the_log_applied_again_brings_back_what_was_deleted() {
    let Some(mut settings) = settings_of_a_scene() else { return };
    let servers = Servers::take().await;
    settings.ticket_lifetime = Duration::from_secs(90);
    let bug = planted::named("no-window").expect("it is in the table")[0];
    for planted in [None, Some(&bug.without_scene())] {
        let mut run = Run::with(APPLIED_AGAIN_SEED, &settings, &[], &servers, planted).await;
        run.apply_again(&servers).await;
        let verdict = run.judge().await;
        if planted.is_none() {
            run.end(&verdict).await;
            continue;
        }
        let back = verdict.violations.iter().find(|violation| {
            violation.rule == Rule::Different
                && violation.document.as_ref().is_some_and(|document| document.id == "late")
        });
        assert!(back.is_some(), "without a window nothing came back\n{}", verdict.text);
        run.leave().await;
    }
}

/// Little load, of what a log applied again could bring back; no settings where only files are judged.
fn settings_of_a_scene() -> Option<Settings> {
    let mut settings = Settings::from_environment();
    if settings.judge.is_some() || settings.tamper.is_some() {
        return None;
    }
    settings.load = Duration::from_secs(5);
    settings.fakes = false;
    settings.three_brokers = false;
    settings.kinds =
        kinds::named("index,create,delete,routing,update-doc,update-script-delete,external-mixed,bulk-mixed")
            .expect("they are in the table");
    Some(settings)
}

/// An oracle that never found anything proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_judge_finds_what_was_done_behind_its_back() {
    let mut settings = Settings::from_environment();
    if settings.judge.is_some() || settings.tamper.is_some() {
        return;
    }
    let servers = Servers::take().await;
    settings.load = Duration::from_secs(3);
    settings.three_brokers = false;
    settings.kinds = kinds::named("index,create,delete,routing,bulk").expect("they are in the table");
    let mut run = Run::of(0, &settings, &[], &servers).await;
    let clean = run.judge().await;
    assert!(clean.violations.is_empty(), "{}", clean.text);
    for (name, tamper) in tamper::ALL {
        let id = run.tamper(tamper).await;
        let verdict = run.judge().await;
        for rule in tamper.breaks() {
            let found = verdict.violations.iter().find(|violation| {
                violation.rule == *rule && violation.document.as_ref().is_some_and(|document| document.id == id)
            });
            assert!(found.is_some(), "{name}: {rule:?} of {id} is not in\n{}", verdict.text);
        }
    }
    run.end(&clean).await;
}

/// Bugs that look harmless in a review: each is found within the time that its row says. `PLANTED=all` tries all of them.
#[tokio::test(flavor = "multi_thread")]
async fn bugs_that_are_planted_are_found() {
    let settings = Settings::from_environment();
    if settings.judge.is_some() || settings.tamper.is_some() {
        return;
    }
    let short = || planted::named("update-from-request,guessed-mapping").expect("they are in the table");
    let rows = if settings.planted.is_empty() { short() } else { settings.planted.clone() };
    let servers = Servers::take().await;
    let mut missed = Vec::new();
    for row in rows {
        let begun = Instant::now();
        let settings = row.settings(&settings);
        let mut run = Run::with(PLANTED_SEED, &settings, &settings.faults, &servers, Some(row)).await;
        let verdict = run.judge().await;
        // That it does not come to rest shows something, and not what.
        let found = verdict.violations.iter().find(|violation| violation.rule != Rule::Stuck);
        let took = begun.elapsed().as_secs();
        match found {
            Some(violation) => say(&format!("  found    {:24} {took:>3} s  {violation}", row.bug)),
            None => {
                say(&format!("  MISSED   {:24} {took:>3} s\n{}", row.bug, verdict.text));
                missed.push(row.bug);
            }
        }
        run.leave().await;
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
