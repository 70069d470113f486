//! One primary and two targets, of which one is away for long.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Beside, Stage, eventually};

use crate::{SOON, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_for_long_hurts_no_other() {
    let _alone = alone().await;
    let third = Beside::cluster("opensearch-2.19").await;
    let stage = Stage::new("two targets")
        .with_cluster("third", &third.address())
        .set("clusters.third.index_settings.number_of_replicas", 0)
        .set("protocol.clock_skew", "1s")
        .set("protocol.settle_after", "500ms")
        .set("consumer.reconcile_after", "1s");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let mut consumer = stage.consumer_of("third").await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}"), json!({"settings": {"number_of_replicas": 1}}).to_string()).await.expect(200);
    let write = async |from: u32| {
        for id in from..from + 60 {
            through.put(&format!("/{index}/_doc/{id}"), json!({"n": id}).to_string()).await.expect(201);
            if id % 4 == 0 {
                through.delete(&format!("/{index}/_doc/{id}")).await.expect(200);
            }
        }
    };
    write(0).await;
    for target in ["backup", "third"] {
        stage.assert_target_converges(target, &index).await;
    }
    let replicas = async |target: &str| {
        let shown = stage.cluster(target).get(&format!("/{index}/_settings?flat_settings=true")).await.json();
        shown[&index]["settings"]["index.number_of_replicas"].clone()
    };
    assert_eq!((replicas("backup").await, replicas("third").await), (json!("1"), json!("0")), "each has its own");

    // One is killed: the other follows as if nothing had happened.
    third.kill().await;
    write(100).await;
    stage.assert_target_converges("backup", &index).await;
    let down = async || {
        let metrics = consumer.metrics().await;
        metrics.sum("understudy_target_up", &[("target", "third")]) == 0.0
            && metrics.sum("understudy_lag_records", &[("target", "third")]) >= 60.0
            && metrics.max("understudy_oldest_unapplied_seconds", &[]) > 1.0
    };
    eventually(SOON, "its effects wait", down).await;
    // Its consumer goes as well, and a gateway dies in the middle of a write.
    consumer.stop().await;
    write(200).await;
    let dying = stage.gateway().await;
    stage.freeze_after_the_answer(&dying, &format!("/{index}/_doc/orphan"), "{\"orphan\":true}").await;
    drop(dying);
    let backup = stage.backup();
    let there = async || backup.get(&format!("/{index}/_doc/orphan")).await.status == 200;
    eventually(SOON, "the reconciler brings it to the one that is there", there).await;
    stage.wait_settled().await;
    stage.assert_target_converges("backup", &index).await;

    third.restart().await;
    consumer.restart().await;
    for target in ["third", "backup"] {
        stage.assert_target_converges(target, &index).await;
    }
    stage.cluster("third").get(&format!("/{index}/_doc/orphan")).await.expect(200);
    let caught_up = async || consumer.metric("understudy_lag_records", &[]).await == 0.0;
    eventually(SOON, "no lag", caught_up).await;
    let verify = stage.run("understudy", &["verify", "--json", "--settle", "1s"]).await;
    let report: serde_json::Value = serde_json::from_slice(&verify.stdout).expect("JSON");
    let targets: Vec<_> = report["comparisons"].as_array().into_iter().flatten().map(|one| &one["target"]).collect();
    assert_eq!((&report["result"], targets), (&json!("equal"), vec![&json!("backup"), &json!("third")]), "{report}");
    // Letters are those of a target.
    let list = stage.run("understudy", &["dead-letters", "list"]).await;
    assert!(list.status.code() == Some(64) && String::from_utf8_lossy(&list.stderr).contains("backup, third"));
    let list = stage.run("understudy", &["dead-letters", "list", "--target", "third", "--check"]).await;
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
}

/// Who is a target is a matter of roles, which live in Kafka.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_added_later_is_refused() {
    let _alone = alone().await;
    let stage = Stage::new("a target is added");
    drop(stage.gateway().await);
    let stage = stage.with_cluster("third", "http://127.0.0.1:9");
    let gateway = stage.gateway_that_answers().await;
    let said = async || {
        let reply = stage.through(&gateway).put(&format!("/{}/_doc/1", stage.index("i")), "{}").await.expect(503);
        if reply.text().contains("roles live in Kafka") { Ok(()) } else { Err(reply.text()) }
    };
    eventually(Duration::from_secs(20), "the reason is told", said).await;
}
