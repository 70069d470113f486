//! Act 3: Kafka is killed under load.

use anyhow::ensure;

use super::Figures;
use crate::{
    demo::{Demo, FIRST, RefusedIds},
    flights::INDEX,
    screen::{number, seconds},
    verdict::Written,
    writers::Writers,
};

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let act = Written::begin(writers)?;
    demo.writers_go_on(writers).await?;
    let pid = demo.system.kill("kafka").await?;
    demo.screen.done(&format!("kill -9 of Kafka (pid {pid}) under load; its process is gone"));

    let refused = RefusedIds::new("kafka");
    demo.writes_are_refused(&refused).await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("the documents are neither on the primary nor on the backup");
    let read = demo.lb.request("GET", &format!("/{INDEX}/_doc/{FIRST}")).send().await.map_err(anyhow::Error::msg)?;
    ensure!(read.status == 200, "a read was not answered: {read}");
    let written = act.when_refused(demo, writers).await?;
    demo.screen.seen(&format!(
        "reads are answered all the while; of the writers' documents {} are refused by now, and {} were on their way when Kafka died",
        number(written.refused),
        number(written.unknown)
    ));

    let started = demo.system.start("kafka").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    let recovered = demo.writes_again("after-kafka").await?;
    demo.writers_go_on(writers).await?;
    demo.screen.seen(&format!("a write is acknowledged {} later, and the writers go on", seconds(recovered)));
    let figures = act.verdict(demo, writers).await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("what was refused is still on neither side");
    Ok(figures)
}
