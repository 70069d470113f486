//! Versions that clients give: the backup keeps them where it takes them, and the data is right in any case.

use std::time::Duration;

use serde_json::{Value, json};
use understudy_tests::{Http, Process, Stage, eventually};

use crate::{SOON, effect, publish, uuid};

/// An index whose primary forgets deletes at once, so that clients' versions may fall.
async fn forgetful(stage: &Stage, through: &Http) -> String {
    let index = stage.index("versions");
    let body = json!({"settings": {"index.gc_deletes": "0s"}, "mappings": {"properties": {"n": {"type": "long"}}}});
    through.put(&format!("/{index}"), body.to_string()).await.expect(200);
    index
}

async fn put(through: &Http, index: &str, id: &str, version: Option<u64>, n: u64) {
    let version = version.map_or(String::new(), |version| format!("?version={version}&version_type=external"));
    let reply = through.put(&format!("/{index}/_doc/{id}{version}"), json!({"n": n}).to_string()).await;
    assert!([200, 201].contains(&reply.status), "{reply}");
}

async fn delete(through: &Http, index: &str, id: &str, version: u64) {
    through.delete(&format!("/{index}/_doc/{id}?version={version}&version_type=external")).await.expect(200);
    // A write makes the primary look at what it may forget.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    put(through, index, "another", None, 0).await;
}

async fn document(cluster: &Http, index: &str, id: &str) -> (Value, Value) {
    let found = cluster.get(&format!("/{index}/_doc/{id}")).await.json();
    (found["_source"].clone(), found["_version"].clone())
}

/// Sources alone: versions of the backup are the client's only where it takes them.
async fn assert_same(stage: &Stage, index: &str, ids: &[&str]) {
    stage.wait_drained().await;
    for id in ids {
        let (primary, backup) =
            (document(&stage.primary(), index, id).await, document(&stage.backup(), index, id).await);
        assert_eq!(primary.0, backup.0, "{id}: primary {primary:?}, backup {backup:?}");
    }
}

async fn forced(consumer: &Process) -> f64 {
    consumer.metric("understudy_effects_total", &[("verdict", "forced")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_rise_are_kept_and_those_that_fall_are_followed() {
    let stage = Stage::new("clients' versions").set("kafka.partitions", 1);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    let index = forgetful(&stage, &through).await;
    put(&through, &index, "rising", Some(5), 1).await;
    put(&through, &index, "rising", Some(9), 2).await;
    put(&through, &index, "falling", Some(50), 3).await;
    assert_same(&stage, &index, &["rising", "falling"]).await;
    assert_eq!(document(&stage.backup(), &index, "rising").await, (json!({"n": 2}), json!(9)));
    delete(&through, &index, "falling", 60).await;
    put(&through, &index, "falling", Some(7), 4).await;
    assert_same(&stage, &index, &["falling", "another"]).await;
    eventually(SOON, "it is counted", async || forced(&consumer).await > 0.0).await;
    // And a delete below what stands there.
    delete(&through, &index, "falling", 8).await;
    assert_same(&stage, &index, &["falling"]).await;
    assert!(document(&stage.backup(), &index, "falling").await.0.is_null());
    assert!(stage.records("dead.backup").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_clients_and_of_the_primary_take_turns() {
    let stage = Stage::new("versions take turns").set("kafka.partitions", 1);
    let gateway = stage.gateway().await;
    let mut consumer = stage.consumer().await;
    let through = stage.through(&gateway);
    let index = forgetful(&stage, &through).await;
    for round in 0..4 {
        put(&through, &index, "mixed", Some(100 * (round + 1)), 2 * round).await;
        put(&through, &index, "mixed", None, 2 * round + 1).await;
        put(&through, &index, "turned", None, 2 * round).await;
        put(&through, &index, "turned", Some(100 * (round + 1)), 2 * round + 1).await;
        assert_same(&stage, &index, &["mixed", "turned"]).await;
        // Another process learns of the clients' versions from the log.
        consumer.stop().await;
        consumer.restart().await;
    }
    // What the backup has now is greater than any version of a client.
    put(&through, &index, "mixed", Some(1_000), 20).await;
    assert_same(&stage, &index, &["mixed"]).await;
    eventually(SOON, "it is counted", async || forced(&consumer).await > 0.0).await;
}

/// Of a record that is delivered again nothing is written anew where it stands already.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_again_keeps_its_version() {
    let stage = Stage::new("delivered again");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    let index = forgetful(&stage, &through).await;
    put(&through, &index, "1", Some(5), 1).await;
    assert_same(&stage, &index, &["1"]).await;
    let uuid = uuid(&stage.primary(), &index).await;
    let again =
        understudy_common::effect::Effect { client_version: Some(5), ..effect(&index, "1", 0, Some("{\"n\":1}")) };
    publish(&stage, &uuid, 1, &[again], Duration::ZERO).await;
    assert_same(&stage, &index, &["1"]).await;
    eventually(SOON, "it is counted", async || forced(&consumer).await > 0.0).await;
    assert_eq!(document(&stage.backup(), &index, "1").await, (json!({"n": 1}), json!(5)));
}
