//! Act 2: the backup is killed under load, and comes back.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use super::Figures;
use crate::{
    demo::{Demo, Lag},
    screen::{number, seconds},
    verdict::Written,
    writers::Writers,
};

const DEAD: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);
/// The lag that must be seen: a dead backup is behind by about as long as it is dead.
const LEAST_LAG: Lag = Lag { records: 100, seconds: 5.0 };

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let act = Written::begin(writers)?;
    demo.writers_go_on(writers).await?;
    let pid = demo.system.kill("backup").await?;
    demo.screen.done(&format!("kill -9 of the backup (pid {pid}) under load"));
    let gone = demo.backup.request("GET", "/").within(Duration::from_secs(2)).send().await;
    ensure!(gone.is_err(), "the fault did not take place: the backup still answers");
    demo.screen.seen("its process is gone, and nobody answers at its address");

    let at_death = writers.tally()?;
    let lag = watch_lag(demo, writers).await?;
    let in_kafka = demo.lag_in_kafka().await?;
    let meanwhile = writers.tally()?.since(&at_death);
    ensure!(meanwhile.acknowledged() > 0, "no write was acknowledged while the backup was dead");
    ensure!(
        lag.records >= LEAST_LAG.records && lag.seconds >= LEAST_LAG.seconds && in_kafka >= LEAST_LAG.records,
        "the fault did not show: the lag was {lag} at most, by Kafka's account {in_kafka} records at the end"
    );
    demo.screen.seen(&format!(
        "writes went on: {} documents acknowledged, none refused; the backup is behind by {lag}",
        number(meanwhile.acknowledged())
    ));

    let started = demo.system.start("backup").await?;
    let lag = lag.most(demo.lag().await?);
    demo.screen.done(&format!("started it again (ready after {}; behind by {lag} by then)", seconds(started)));
    demo.writers_go_on(writers).await?;
    let figures = act.verdict(demo, writers).await?;
    figures.ensure_all_answered()?;
    Ok(Figures { lag: Some(lag), ..figures })
}

async fn watch_lag(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Lag> {
    let began = Instant::now();
    let waiting = demo.screen.wait("writers go on");
    let mut most = Lag::default();
    while began.elapsed() < DEAD {
        tokio::time::sleep(LOOK).await;
        // A writer that got an unexpected answer ends the act at once.
        writers.tally()?;
        let lag = demo.lag().await?;
        most = most.most(lag);
        waiting.say(format!("writers go on, the backup is dead and behind by {lag}"));
    }
    Ok(most)
}
