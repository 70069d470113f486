//! Act 1: all well.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use super::Figures;
use crate::{
    demo::{Demo, Lag},
    screen::number,
    verdict::Written,
    writers::Writers,
};

const PLAY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let act = Written::begin(writers)?;
    let (waiting, began) = (demo.screen.wait("four writers at work"), Instant::now());
    let mut lag = Lag::default();
    while began.elapsed() < PLAY {
        tokio::time::sleep(LOOK).await;
        let now = demo.lag().await?;
        lag = lag.most(now);
        // A writer that got an unexpected answer ends the act at once.
        writers.tally()?;
        waiting.say(format!("four writers at work; the backup is behind by {now}"));
    }
    drop(waiting);
    let written = act.so_far(writers)?;
    ensure!(
        written.indexed > 0 && written.created > 0 && written.deleted > 0,
        "not every action was seen: {written:?}"
    );
    demo.screen.done(&format!(
        "four writers, single requests and bulks: {} documents indexed, {} created, {} deleted; {} declined (already there, or not there), as it should be",
        number(written.indexed),
        number(written.created),
        number(written.deleted),
        number(written.declined)
    ));
    demo.screen.seen(&format!("the backup was behind by {lag} at most"));
    let figures = act.verdict(demo, writers).await?;
    figures.ensure_all_answered()?;
    Ok(Figures { lag: Some(lag), ..figures })
}
