//! Act 5: gateways are killed, in the middle of bulks, and between the primary's answer and the publish.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::future::join_all;
use understudy_tests::{Http, try_eventually};

use super::Figures;
use crate::{
    demo::Demo,
    failpoint::Held,
    flights::INDEX,
    intents::{self, Intent},
    screen::{number, seconds},
    verdict::Written,
    writers::Writers,
};

/// Documents of a bulk that is under way when its gateway dies.
const BULK: usize = 500;
/// Bulks under way at once.
const LANES: usize = 3;
/// How long they run before the kill.
const RUN_UP: Duration = Duration::from_millis(500);
/// The write that is held.
const HELD: &str = "between-answer-and-publish";
const SOURCE: &str = r#"{"delay":5}"#;
const SOON: Duration = Duration::from_secs(10);
/// Within this the reconciler settles: linger times are part of it.
const SETTLED: Duration = Duration::from_secs(60);

pub async fn play(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
    let act = Written::begin(writers)?;
    in_the_middle_of_bulks(demo, writers).await?;
    let (intent, killed) = between_answer_and_publish(demo, writers).await?;
    reconciled(demo, &intent, killed).await?;
    act.verdict(demo, writers).await
}

async fn in_the_middle_of_bulks(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<()> {
    let gateway = Http::new(&demo.system.address("gateway-2")?);
    let lanes = join_all((0..LANES).map(|lane| bulks_until_it_dies(&gateway, lane)));
    let killed = async {
        tokio::time::sleep(RUN_UP).await;
        demo.system.kill("gateway-2").await
    };
    let (answered, pid) = tokio::join!(lanes, killed);
    demo.screen.done(&format!(
        "{LANES} applications send bulks of {BULK} to gateway-2; kill -9 of it (pid {}) under them: bulks answered {}, not answered {LANES}",
        pid?,
        answered.into_iter().sum::<anyhow::Result<usize>>()?,
    ));
    let open = intents::all(demo.kafka()).await?;
    let open = open.iter().filter(|intent| intent.is_open() && intent.is_of("gateway-2")).count();
    demo.screen.seen(&format!("{} intents of gateway-2 are open", number(open as u64)));
    demo.writers_go_on(writers).await?;
    demo.screen.seen("the load balancer turns to gateway-1, and the writers go on");
    let started = demo.system.start("gateway-2").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    Ok(())
}

/// Answers how many bulks were answered before the gateway died.
async fn bulks_until_it_dies(gateway: &Http, lane: usize) -> anyhow::Result<usize> {
    for round in 0.. {
        let mut body = String::new();
        for place in 0..BULK {
            body.push_str(&format!("{{\"index\":{{\"_id\":\"bulk-{lane}-{place}\"}}}}\n{{\"delay\":{round}}}\n"));
        }
        let call = gateway.request("POST", &format!("/{INDEX}/_bulk?filter_path=errors,items.*.error")).body(body);
        match call.within(Duration::from_secs(30)).send().await {
            Ok(reply) => ensure!(reply.status == 200 && reply.text().contains("\"errors\":false"), "{reply}"),
            Err(_) => return Ok(round),
        }
    }
    Ok(0)
}

/// Answers the intent that its gateway did not live to settle, and when that died.
async fn between_answer_and_publish(demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<(Intent, Instant)> {
    let gateway = Http::new(&demo.system.address("gateway-1")?);
    let held = Held::new(demo.system.stack.run(), "gateway-1")?;
    let path = format!("/{INDEX}/_doc/{HELD}");
    let write = tokio::spawn(gateway.request("PUT", &path).body(SOURCE).within(Duration::from_secs(30)).send());
    let stands = try_eventually(SOON, async || {
        ensure!(held.holds(), "no write is held");
        let reply = demo.primary.request("GET", &path).send().await.map_err(anyhow::Error::msg)?;
        ensure!(reply.status == 200, "the write is not on the primary: {reply}");
        anyhow::Ok(())
    });
    if let Err(last) = stands.await {
        if write.is_finished() {
            bail!(
                "gateway-1 holds no write: it must be built with --features understudy-gateway/failpoints, as `make demo` does"
            );
        }
        bail!("the write did not get to where it is held: {last}");
    }
    let intent = intents::all(demo.kafka()).await?.into_iter().find(|intent| intent.names(HELD));
    let intent = intent.context("the write has no intent")?;
    ensure!(intent.is_open(), "the intent is settled, and its effect is not published");
    let reply = demo.backup.request("GET", &path).send().await.map_err(anyhow::Error::msg)?;
    ensure!(reply.status == 404, "what was not published is on the backup: {reply}");
    demo.screen.done(&format!("gateway-1 is held between the primary's answer and the publish of a write ({HELD})"));
    demo.screen.seen(&format!("it is on the primary and not on the backup; its intent {} is open", intent.request));

    let pid = demo.system.kill("gateway-1").await?;
    let killed = Instant::now();
    drop(held);
    let reply = write.await?;
    ensure!(reply.is_err(), "a dead gateway answered: {reply:?}");
    demo.screen.done(&format!("kill -9 of gateway-1 (pid {pid}); its client has no answer"));
    demo.writers_go_on(writers).await?;
    demo.screen.seen("the load balancer turns to gateway-2, and the writers go on");
    let started = demo.system.start("gateway-1").await?;
    demo.screen.done(&format!("started it again (ready after {})", seconds(started)));
    Ok((intent, killed))
}

/// The first observation makes the backup fresh; the intent is settled when the request can no longer be on its way.
async fn reconciled(demo: &Demo<'_>, intent: &Intent, killed: Instant) -> anyhow::Result<()> {
    let path = format!("/{INDEX}/_doc/{HELD}");
    let waiting = demo.screen.wait("the reconciler reads the document from the primary, and publishes it");
    let there = try_eventually(SETTLED, async || {
        let reply = demo.backup.request("GET", &path).send().await.map_err(anyhow::Error::msg)?;
        ensure!(reply.status == 200 && reply.text().contains(SOURCE), "{reply}");
        anyhow::Ok(())
    });
    there.await.map_err(|last| anyhow::anyhow!("the write did not get to the backup within {SETTLED:?}: {last}"))?;
    drop(waiting);
    demo.screen.seen(&format!(
        "the reconciler has brought the write to the backup within {} of the kill",
        seconds(killed.elapsed())
    ));

    let waiting = demo.screen.wait("the reconciler settles the intent");
    let settled = try_eventually(SETTLED, async || {
        let all = intents::all(demo.kafka()).await?;
        let now = all.iter().find(|one| one.request == intent.request).context("compaction has removed it")?;
        now.was_open().context("it is open")
    });
    let was_open = settled.await.map_err(|last| anyhow::anyhow!("the intent is not settled: {last}"))?;
    drop(waiting);
    demo.screen.seen(&format!("its intent has its tombstone, {} after it was opened", seconds(was_open)));
    Ok(())
}
