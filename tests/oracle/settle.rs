//! After the faults: waiting until nothing moves any more, which is a condition and not a time.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use understudy_tests::{Stage, try_eventually};

use crate::{
    judge::differences,
    look,
    seen::{Seen, Shards},
};

/// How long it may take. Much longer than all times of the protocol together.
pub const WITHIN: Duration = Duration::from_secs(150);
/// How often it is looked at: a look reads everything.
const PACE: Duration = Duration::from_millis(700);

/// Waits `within` until no intent is open, consumers have committed everything and both sides are equal.
///
/// # Errors
/// What still moves at the deadline, or does not move any more.
pub async fn settled(
    stage: &Stage,
    shards: &Shards,
    ticket_lifetime: Duration,
    reconciled: bool,
    within: Duration,
) -> Result<(), String> {
    let mut pace = paced();
    try_eventually(within, async || {
        pace.tick().await;
        look_once(stage, shards, ticket_lifetime, reconciled).await
    })
    .await
}

async fn look_once(stage: &Stage, shards: &Shards, ticket_lifetime: Duration, reconciled: bool) -> Result<(), String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let open = look::open_intents(stage).await.map_err(text)?;
    if reconciled && !open.is_empty() {
        return Err(format!("{} intents are open: {open:?}", open.len()));
    }
    for (partition, (committed, end)) in look::offsets(stage).await.map_err(text)? {
        if committed != end {
            return Err(format!("partition {partition} is committed to {committed} and ends at {end}"));
        }
    }
    let dead = look::dead_letters(stage).await.map_err(text)?;
    // What a dead letter explains follows from the log, which is long: nobody else needs it here.
    let log = if dead.is_empty() { Vec::new() } else { look::log(stage, ticket_lifetime).await.map_err(text)?.0 };
    let seen = Seen { open, dead, log, shards: shards.clone(), ..look::sides(stage).await.map_err(text)? };
    match differences(&seen, reconciled).as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("both sides differ: {first}")),
    }
}

fn paced() -> Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
