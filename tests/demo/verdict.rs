//! The end of an act: the writers pause, everything comes to rest, and both sides are compared.

use std::time::{Duration, Instant};

use anyhow::ensure;
use understudy_tests::try_eventually;

use crate::{
    acts::Figures,
    demo::Demo,
    intents,
    screen::{number, seconds},
    writers::{Tally, Writers},
};

/// How long everything may take to come to rest: linger times are part of it.
const REST: Duration = Duration::from_secs(90);
/// Longer than a gateway takes for any answer.
const ANSWERED: Duration = Duration::from_secs(20);
/// Between two looks at all intents.
const LOOK: Duration = Duration::from_millis(300);

/// What an act writes, from its beginning.
pub struct Written {
    before: Tally,
    began: Instant,
}

impl Written {
    pub fn begin(writers: &Writers) -> anyhow::Result<Self> {
        Ok(Self { before: writers.tally()?, began: Instant::now() })
    }

    /// What became of the writes since the act began.
    pub fn so_far(&self, writers: &Writers) -> anyhow::Result<Tally> {
        Ok(writers.tally()?.since(&self.before))
    }

    /// Waits until the writers have met a refusal, as everybody does now, and answers what became of their writes.
    pub async fn when_refused(&self, demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Tally> {
        let _waiting = demo.screen.wait("writers are refused");
        let refused = try_eventually(ANSWERED, async || {
            let written = self.so_far(writers)?;
            ensure!(written.refused > 0, "{written}");
            anyhow::Ok(written)
        });
        refused.await.map_err(|last| anyhow::anyhow!("no writer was refused within {ANSWERED:?}: {last}"))
    }

    /// Pauses the writers, awaits rest, and compares.
    pub async fn verdict(self, demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
        let waiting = demo.screen.wait("the writers have their last answers");
        let paused = writers.pause().await;
        drop(waiting);
        let (written, paused_at) = (self.so_far(writers)?, Instant::now());
        demo.screen.seen(&format!("writers, in {}: {written}", seconds(self.began.elapsed())));
        settled(demo).await?;
        demo.drained().await?;
        let rested = paused_at.elapsed();
        demo.screen.seen(&format!("the backup had everything {} after the last write", seconds(rested)));
        let verified = demo.verify().await?;
        drop(paused);
        Ok(Figures { documents: verified.documents, written, lag: None, rested })
    }
}

/// Waits until no intent is open. While Kafka or a gateway was away some stayed so, and the reconciler settles them.
async fn settled(demo: &Demo<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    let open = async || anyhow::Ok(intents::all(demo.kafka()).await?.iter().filter(|intent| intent.is_open()).count());
    let at_first = open().await?;
    let waiting = demo.screen.wait("every intent is settled");
    let settled = try_eventually(REST, async || {
        let open = open().await?;
        waiting.say(format!("intents are settled; {} are open", number(open as u64)));
        if open > 0 {
            tokio::time::sleep(LOOK).await;
        }
        ensure!(open == 0, "{open} are open");
        anyhow::Ok(())
    });
    let settled = settled.await;
    drop(waiting);
    settled.map_err(|last| anyhow::anyhow!("not every intent is settled {REST:?} after the last write: {last}"))?;
    if at_first > 0 {
        let (intents, time) = (number(at_first as u64), seconds(began.elapsed()));
        demo.screen.seen(&format!("{intents} intents were open, all of them are settled {time} later"));
    }
    Ok(())
}
