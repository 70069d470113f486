//! Act 3: Kafka is killed.

use super::Figures;
use crate::{
    demo::{Demo, FIRST, RefusedIds},
    flights::INDEX,
    screen::seconds,
};

pub async fn play(demo: &Demo<'_>) -> anyhow::Result<Figures> {
    demo.drained().await?;
    let pid = demo.system.kill("kafka").await?;
    demo.screen.done(&format!("writers pause and have their last answer; kill -9 of Kafka (pid {pid})"));
    demo.screen.seen("its process is gone");

    let refused = RefusedIds::new("kafka");
    demo.writes_are_refused(&refused).await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("the documents are neither on the primary nor on the backup");
    let read = demo.lb.request("GET", &format!("/{INDEX}/_doc/{FIRST}")).send().await.map_err(anyhow::Error::msg)?;
    anyhow::ensure!(read.status == 200, "a read was not answered: {read}");
    demo.screen.seen("reads are answered all the while");

    let started = demo.system.start("kafka").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    let recovered = demo.writes_again("after-kafka").await?;
    demo.screen.seen(&format!("a write is acknowledged {} later", seconds(recovered)));
    let drained = demo.drained().await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("what was refused is still on neither side");
    let verified = demo.verify().await?;
    Ok(Figures { documents: verified.documents, drained: Some(drained), ..Figures::default() })
}
