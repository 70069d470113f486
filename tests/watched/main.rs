//! Who watches: a real Prometheus scrapes real processes by `deploy/prometheus`, and everything that rules and dashboard ask is
//! asked of it. Servers die here; one test after another where they do.

mod dashboard;
mod expression;
mod faults;
mod files;
mod prometheus;
mod questions;

use std::time::Duration;

use understudy_tests::Process;

/// How long something may take to show.
const SOON: Duration = Duration::from_secs(40);

/// The name of a process as Prometheus has it.
fn instance(process: &Process) -> String {
    process.admin().base().replace("http://", "")
}
