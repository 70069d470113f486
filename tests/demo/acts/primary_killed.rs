//! Act 4: the primary is killed under load.

use std::time::Duration;

use anyhow::ensure;

use super::Figures;
use crate::{
    demo::{Demo, RefusedIds},
    screen::{number, seconds},
    verdict::Written,
    writers::Writers,
};

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let act = Written::begin(writers)?;
    demo.writers_go_on(writers).await?;
    let pid = demo.system.kill("primary").await?;
    demo.screen.done(&format!("kill -9 of the primary (pid {pid}) under load"));
    let gone = demo.primary.request("GET", "/").within(Duration::from_secs(2)).send().await;
    ensure!(gone.is_err(), "the fault did not take place: the primary still answers");
    demo.screen.seen("its process is gone, and nobody answers at its address");

    let refused = RefusedIds::new("primary");
    demo.writes_are_refused(&refused).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("the documents are not on the backup");
    let written = act.when_refused(demo, writers).await?;
    demo.screen.seen(&format!(
        "of the writers' documents {} are refused by now, and {} were on their way when the primary died",
        number(written.refused),
        number(written.unknown)
    ));

    let started = demo.system.start("primary").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    let recovered = demo.writes_again("after-primary").await?;
    demo.writers_go_on(writers).await?;
    demo.screen.seen(&format!("a write is acknowledged {} later, and the writers go on", seconds(recovered)));
    let figures = act.verdict(demo, writers).await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("what was refused is on neither side");
    Ok(figures)
}
