//! Act 4: the primary is killed under load.

use std::time::Duration;

use anyhow::ensure;
use understudy_tests::try_eventually;

use super::Figures;
use crate::{
    demo::{Demo, RefusedIds},
    flights::INDEX,
    screen::{number, seconds},
    verdict::Written,
    writers::Writers,
};

/// Within this the gateways notice that the primary is gone.
const NOTICE: Duration = Duration::from_secs(10);

/// Searches through the load balancer, as an application does, and shows who answers.
async fn search(demo: &Demo<'_>) -> anyhow::Result<()> {
    let waiting = demo.screen.wait("the backup answers a search");
    let path = format!("/{INDEX}/_search?size=0&track_total_hits=true");
    let answered = try_eventually(NOTICE, async || {
        let reply = demo.lb.request("GET", &path).send().await.map_err(anyhow::Error::msg)?;
        let lag = reply.header("understudy-lag-seconds").to_owned();
        ensure!(reply.status == 200 && !["", "unknown"].contains(&&*lag), "{reply}, lag {lag:?}");
        Ok((reply, lag))
    });
    let (reply, lag) =
        answered.await.map_err(|last| anyhow::anyhow!("no search is answered within {NOTICE:?}: {last}"))?;
    drop(waiting);
    let cluster = reply.header("understudy-cluster");
    ensure!(cluster == "backup", "a search was answered by {cluster:?}: {reply}");
    let found = reply.json()["hits"]["total"]["value"].as_u64().unwrap_or_default();
    ensure!(found > 0, "the backup found nothing: {reply}");
    demo.screen.seen(&format!("a search is answered by {cluster}, {lag} s behind: {} documents", number(found)));
    Ok(())
}

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
    search(demo).await?;
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
