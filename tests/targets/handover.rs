//! A consumer that is stopped in good order hands its partitions over at once; and what it shows of itself.

use std::time::{Duration, Instant};

use understudy_tests::{Servers, Stage, eventually};

use crate::{SOON, alone};

/// From SIGTERM on until another consumer applies what was its partitions'.
const HANDED_OVER: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_stopped_hands_over_within_two_seconds() {
    let _alone = alone().await;
    let stage = Stage::new("hand over").set("kafka.partitions", 6);
    let gateway = stage.gateway().await;
    let (mut leaves, stays) = (stage.consumer().await, stage.consumer().await);
    let (through, index, backup) = (stage.through(&gateway), stage.index("i"), stage.backup());
    let shared = async || {
        let of =
            async |consumer| understudy_tests::Process::metric(consumer, "understudy_partitions_assigned", &[]).await;
        of(&leaves).await == 3.0 && of(&stays).await == 3.0
    };
    eventually(SOON, "each has its share", shared).await;
    let write = async |from: u32, to: u32| {
        let bulk: String =
            (from..to).map(|id| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{id}}}\n")).collect();
        through.post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    };
    write(0, 100).await;
    stage.assert_converges(&index).await;
    let begun = Instant::now();
    leaves.terminate();
    // Documents of every partition, while nobody has some of them.
    write(100, 200).await;
    assert!(leaves.ended().await.success());
    let gone = begun.elapsed();
    let body = format!("{{\"ids\":[{}]}}", (100..200).map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(","));
    let applied = async || {
        let found = backup.post(&format!("/{index}/_mget"), body.clone()).await.json();
        found["docs"].as_array().into_iter().flatten().filter(|document| document["found"] == true).count() == 100
    };
    eventually(SOON, "the other one applies everything", applied).await;
    let took = begun.elapsed();
    eprintln!("gone after {gone:?}, handed over after {took:?}");
    assert!(took < HANDED_OVER, "gone after {gone:?}, handed over after {took:?}");
    stage.assert_converges(&index).await;
    let metrics = stays.metrics().await;
    assert_eq!(metrics.sum("understudy_partitions_unsettled", &[]), 0.0, "in good order: nothing is repeated");
    assert_eq!(metrics.sum("understudy_partition_stopped", &[]), 0.0);
}

/// How long until Kafka deletes what is not applied: all of the retention while nothing waits, and less by the second.
#[tokio::test(flavor = "multi_thread")]
async fn retention_headroom_is_shown() {
    let _alone = alone().await;
    let servers = Servers::take().await;
    let stage = Stage::new("headroom").set("kafka.retention", "1h").set("kafka.partitions", 1);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    let headroom = async || consumer.metric("understudy_retention_headroom_seconds", &[]).await;
    eventually(SOON, "all of it", async || headroom().await == 3600.0).await;
    servers.kill("backup").await;
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    eventually(SOON, "less and less", async || (3500.0..3598.0).contains(&headroom().await)).await;
    let metrics = consumer.metrics().await;
    let (age, left) = (metrics.max("understudy_oldest_unapplied_seconds", &[]), headroom().await);
    assert!((age + left - 3600.0).abs() < 3.0, "{age} s old, {left} s left");
    servers.start("backup").await;
    stage.wait_drained_within(Duration::from_secs(60)).await;
    eventually(SOON, "all of it again", async || headroom().await == 3600.0).await;
    for name in [
        "understudy_bulk_bytes_count",
        "understudy_bulk_actions_count",
        "understudy_bulk_seconds_count",
        "understudy_window_documents",
        "understudy_dead_letters_total",
        "understudy_reconciler_open_intents",
        "understudy_reconciler_oldest_open_seconds",
        "understudy_reconciler_looks_total",
    ] {
        assert!(consumer.metrics().await.has(name), "{name}");
    }
}
