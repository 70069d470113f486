//! Bulks that reach the backup late: of a consumer that is gone, or of one that waited no longer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, Process, Stage, eventually};

use crate::SOON;

/// The shortest that brokers let a member be silent.
const SESSION: (&str, &str) = ("kafka.options.\"session.timeout.ms\"", "6000");

/// A stage with one partition, whose members are missed soon.
fn stage(name: &str, linger: &str) -> Stage {
    Stage::new(name).set("kafka.partitions", 1).set("protocol.linger", linger).set(SESSION.0, SESSION.1)
}

/// The backup behind a fake that keeps one bulk to itself: the first one with `n` of 1, once `keeps` is set.
async fn backup_that_keeps(stage: &Stage, keeps: &Arc<AtomicBool>) -> Fake {
    let keeps = keeps.clone();
    let script = move |request: &understudy_tests::FakeRequest| {
        let kept = request.path.contains("_bulk") && request.text().contains("{\"n\":1}");
        if kept && keeps.swap(false, Ordering::AcqRel) {
            FakeAnswer::json(200, "{}").silent()
        } else {
            FakeAnswer::real()
        }
    };
    Fake::before(stage.backup(), script).await
}

/// The bulk that the fake kept reaches the backup now.
async fn let_it_arrive(stage: &Stage, fake: &Fake) {
    let kept =
        fake.requests().into_iter().find(|request| request.text().contains("{\"n\":1}")).expect("a bulk is kept");
    let sent = stage.backup().request("POST", "/_bulk").header("content-type", "application/x-ndjson").body(kept.body);
    sent.reply().await.expect(200);
}

async fn status(stage: &Stage, index: &str, id: &str) -> u16 {
    stage.backup().get(&format!("/{index}/_doc/{id}")).await.status
}

async fn unsettled(consumer: &Process) -> f64 {
    consumer.metric("understudy_partitions_unsettled", &[]).await
}

/// Has the target forget its deletes, as when its nodes are started anew.
async fn forget_deletes(stage: &Stage, index: &str) {
    let forget = json!({"index.gc_deletes": "0s"}).to_string();
    stage.backup().put(&format!("/{index}/_settings"), forget).await.expect(200);
    // Its clock ticks in steps, and it looks at what it may forget when it refreshes.
    tokio::time::sleep(Duration::from_millis(600)).await;
    stage.backup().post(&format!("/{index}/_refresh"), "").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_from_a_killed_consumer_applies_at_once_and_commits_later() {
    let stage = stage("takeover commits later", "8s");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let mut first = stage.consumer().await;
    through.put(&format!("/{index}/_doc/1"), "{\"n\":0}").await.expect(201);
    stage.assert_converges(&index).await;
    first.kill();
    through.put(&format!("/{index}/_doc/2"), "{\"n\":0}").await.expect(201);
    let second = stage.consumer().await;
    eventually(SOON, "it is applied", async || status(&stage, &index, "2").await == 200).await;
    let applied = Instant::now();
    assert!(stage.lag().await > 0, "and not committed");
    eventually(SOON, "it says so", async || unsettled(&second).await == 1.0).await;
    assert!(second.log().contains("did not let it go in good order"));
    stage.wait_drained().await;
    assert!(applied.elapsed() > Duration::from_secs(4), "{:?}", applied.elapsed());
    eventually(SOON, "it says so", async || unsettled(&second).await == 0.0).await;
    stage.assert_equal(&index).await;
}

/// What was let go in good order is gone on with at once, also where nothing was new at the end.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_orderly_end_nothing_is_held_back() {
    let stage = stage("orderly ends", "60s");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let mut consumer = stage.consumer().await;
    for round in 0..3 {
        through.put(&format!("/{index}/_doc/{round}"), "{\"n\":0}").await.expect(201);
        stage.wait_drained_within(Duration::from_secs(25)).await;
        consumer.stop().await;
        consumer.restart().await;
    }
    through.delete(&format!("/{index}/_doc/1")).await.expect(200);
    stage.wait_drained_within(Duration::from_secs(25)).await;
    stage.assert_equal(&index).await;
    assert!(!consumer.log().contains("in good order"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_that_arrives_after_it_was_given_up_resurrects_nothing_for_long() {
    let stage = stage("a bulk given up", "6s").set("consumer.target_timeout", "1s");
    let keeps = Arc::new(AtomicBool::new(false));
    let fake = backup_that_keeps(&stage, &keeps).await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/other"), "{\"n\":0}").await.expect(201);
    stage.wait_drained().await;
    keeps.store(true, Ordering::Release);
    through.put(&format!("/{index}/_doc/a"), "{\"n\":1}").await.expect(201);
    eventually(SOON, "it is sent again", async || status(&stage, &index, "a").await == 200).await;
    assert!(unsettled(&consumer).await == 1.0 || consumer.log().contains("may still arrive"));
    through.delete(&format!("/{index}/_doc/a")).await.expect(200);
    eventually(SOON, "it is deleted", async || status(&stage, &index, "a").await == 404).await;
    forget_deletes(&stage, &index).await;
    let_it_arrive(&stage, &fake).await;
    assert_eq!(status(&stage, &index, "a").await, 200, "the late bulk undoes the delete");
    assert!(stage.lag().await > 0, "nothing is committed before that is repeated");
    stage.wait_drained().await;
    assert_eq!(status(&stage, &index, "a").await, 404);
    stage.assert_equal(&index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_of_a_killed_consumer_resurrects_nothing_for_long() {
    let stage = stage("a bulk of the dead", "10s");
    let keeps = Arc::new(AtomicBool::new(false));
    let fake = backup_that_keeps(&stage, &keeps).await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let mut first = stage.consumer().await;
    through.put(&format!("/{index}/_doc/other"), "{\"n\":0}").await.expect(201);
    stage.wait_drained().await;
    keeps.store(true, Ordering::Release);
    through.put(&format!("/{index}/_doc/a"), "{\"n\":1}").await.expect(201);
    eventually(SOON, "it is on its way", async || !keeps.load(Ordering::Acquire)).await;
    first.kill();
    through.delete(&format!("/{index}/_doc/a")).await.expect(200);
    through.put(&format!("/{index}/_doc/last"), "{\"n\":0}").await.expect(201);
    let _second = stage.consumer().await;
    eventually(SOON, "the next one follows", async || status(&stage, &index, "last").await == 200).await;
    assert_eq!(status(&stage, &index, "a").await, 404);
    forget_deletes(&stage, &index).await;
    let_it_arrive(&stage, &fake).await;
    assert_eq!(status(&stage, &index, "a").await, 200, "the late bulk undoes the delete");
    stage.wait_drained().await;
    assert_eq!(status(&stage, &index, "a").await, 404);
    stage.assert_equal(&index).await;
}

/// A consumer that stood still loses its partitions without hearing of it. What it had sent by then it reports, and
/// others look at these documents.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_stood_still_reports_what_it_had_sent() {
    let stage = stage("stood still", "4s");
    let keeps = Arc::new(AtomicBool::new(false));
    let fake = backup_that_keeps(&stage, &keeps).await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let first = stage.consumer().await;
    through.put(&format!("/{index}/_doc/other"), "{\"n\":0}").await.expect(201);
    stage.wait_drained().await;
    keeps.store(true, Ordering::Release);
    through.put(&format!("/{index}/_doc/a"), "{\"n\":1}").await.expect(201);
    eventually(SOON, "it is on its way", async || !keeps.load(Ordering::Acquire)).await;
    first.freeze();
    let second = stage.consumer().await;
    through.delete(&format!("/{index}/_doc/a")).await.expect(200);
    let owns = async || second.metric("understudy_partitions_assigned", &[]).await == 1.0;
    eventually(Duration::from_secs(60), "another one has the partition", owns).await;
    stage.wait_drained().await;
    forget_deletes(&stage, &index).await;
    // Long after the next owner believed that nothing can arrive any more.
    let_it_arrive(&stage, &fake).await;
    assert_eq!(status(&stage, &index, "a").await, 200, "the late bulk undoes the delete");
    first.thaw();
    let reported = async || {
        let intents = stage.records("intents").await;
        let of_first = |record: &understudy_tests::Record| {
            record.value.is_some()
                && record.text().contains("\"gateway\":\"consumer-1\"")
                && record.text().contains("\"a\"")
        };
        intents.iter().any(of_first)
    };
    eventually(SOON, "it reports", reported).await;
    eventually(Duration::from_secs(60), "it is set right", async || status(&stage, &index, "a").await == 404).await;
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
}
