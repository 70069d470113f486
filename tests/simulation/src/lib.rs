//! A simulation of the whole: gateways, consumers and reconcilers run the product's own decisions, and sequences of
//! decisions, against a simulated primary, Kafka and targets. One seed is one schedule.
//!
//! ```text
//! seed ─► plan (writes, faults) ─┬─► gateways ──► replicate::course, decide, doubt, settle      (understudy-gateway)
//!                                ├─► consumers ─► Engine, Window, Offsets, start, verdict, force (understudy-consumer)
//!                                └─► reconcilers ► Open, Turn, work_off                          (understudy-consumer)
//!                                         │
//!              primary, Kafka, targets ◄──┘ ─► judge: equal, nothing acknowledged missing
//! ```
//!
//! No thread, no clock: time is a number that jumps to the next thing that happens (`executor`).

mod bulk;
mod consumer;
mod executor;
mod gateway;
mod judge;
mod kafka;
mod looks;
mod plan;
mod primary;
mod random;
mod reconciler;
mod rules;
mod run;
mod scenario;
mod shrink;
mod target;
mod text;
mod world;

pub use rules::{ABSENT, COVERED, Covered, Rule, Without};
pub use run::Outcome;
pub use scenario::{SCENARIOS, Scenario};
pub use shrink::{Small, shrink};

/// Runs the schedule of a seed.
#[must_use]
pub fn simulate(scenario: &Scenario, seed: u64, without: Without, trace: bool) -> Outcome {
    run::run(scenario, seed, 0, &plan::draw(scenario, seed), without, trace)
}
