//! Act 4: the primary is killed.

use std::time::Duration;

use anyhow::ensure;

use super::Figures;
use crate::{
    demo::{Demo, RefusedIds},
    screen::seconds,
};

pub async fn play(demo: &Demo<'_>) -> anyhow::Result<Figures> {
    demo.drained().await?;
    let pid = demo.system.kill("primary").await?;
    demo.screen.done(&format!("writers pause and have their last answer; kill -9 of the primary (pid {pid})"));
    let gone = demo.primary.request("GET", "/").within(Duration::from_secs(2)).send().await;
    ensure!(gone.is_err(), "the fault did not take place: the primary still answers");
    demo.screen.seen("its process is gone, and nobody answers at its address");

    let refused = RefusedIds::new("primary");
    demo.writes_are_refused(&refused).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("the documents are not on the backup");

    let started = demo.system.start("primary").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    let recovered = demo.writes_again("after-primary").await?;
    demo.screen.seen(&format!("a write is acknowledged {} later", seconds(recovered)));
    let drained = demo.drained().await?;
    demo.are_absent(&refused, "primary", &demo.primary).await?;
    demo.are_absent(&refused, "backup", &demo.backup).await?;
    demo.screen.seen("what was refused is on neither side");
    let verified = demo.verify().await?;
    Ok(Figures { documents: verified.documents, drained: Some(drained), ..Figures::default() })
}
