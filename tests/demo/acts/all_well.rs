//! Act 1: all well.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use super::Figures;
use crate::{
    demo::{Demo, Lag},
    screen::{number, seconds},
    writers::Writers,
};

const PLAY: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(500);

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let (before, began) = (writers.tally()?, Instant::now());
    let waiting = demo.screen.wait("four writers at work");
    let mut lag = Lag::default();
    while began.elapsed() < PLAY {
        tokio::time::sleep(LOOK).await;
        let now = demo.lag().await?;
        lag = lag.most(now);
        let written = writers.tally()?.since(&before).acknowledged();
        waiting.say(format!("four writers at work: {} documents; the backup is behind by {now}", number(written)));
    }
    drop(waiting);
    let paused = writers.pause().await;
    let (written, time) = (writers.tally()?.since(&before), began.elapsed());
    ensure!(
        written.indexed > 0 && written.created > 0 && written.deleted > 0,
        "not every action was seen: {written:?}"
    );
    demo.screen.done(&format!(
        "four writers for {}, single requests and bulks: {} documents indexed, {} created, {} deleted; {} declined (already there, or not there), as it should be",
        seconds(time),
        number(written.indexed),
        number(written.created),
        number(written.deleted),
        number(written.declined)
    ));
    let drained = demo.drained().await?;
    demo.screen.seen(&format!(
        "the backup was behind by {lag} at most, and had everything {} after the last write",
        seconds(drained)
    ));
    let verified = demo.verify().await?;
    drop(paused);
    Ok(Figures {
        documents: verified.documents,
        written: Some((written.acknowledged(), time)),
        lag: Some(lag),
        drained: Some(drained),
    })
}
