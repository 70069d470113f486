//! Where a consumer must not go on, it stops the partition and says so.

use std::time::Duration;

use understudy_tests::{Stage, eventually};

use crate::{SOON, effect, publish, uuid};

const LONG_ENOUGH: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_the_primary_itself_is_refused() {
    let stage = Stage::new("the primary is no target");
    let address = format!("{}/", stage.primary().base().replace("127.0.0.1", "localhost"));
    let stage = stage.set("clusters.backup.urls", vec![address]);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    eventually(SOON, "it says so", async || consumer.log().contains("ERROR")).await;
    // What it refuses it goes on refusing.
    tokio::time::sleep(LONG_ENOUGH).await;
    assert!(stage.lag().await > 0, "nothing is applied, nothing is committed");
    let document = stage.primary().get(&format!("/{index}/_doc/1")).await.json();
    assert_eq!(document["_version"], 1, "the primary's own document is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_incarnation_of_an_index_stops_its_partition_alone() {
    let stage = Stage::new("another incarnation stops");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index, other) = (stage.through(&gateway), stage.index("i"), stage.index("other"));
    through.put(&format!("/{index}/_doc/1"), "{\"old\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    stage.primary().delete(&format!("/{index}")).await.expect(200);
    through.put(&format!("/{index}/_doc/1"), "{\"new\":1}").await.expect(201);
    let stopped = async || consumer.metric("understudy_partition_stopped", &[("reason", "incarnation")]).await > 0.0;
    eventually(SOON, "the partition stops", stopped).await;
    assert!(consumer.log().contains("ERROR"));
    assert_eq!(stage.backup().get(&format!("/{index}/_doc/1")).await.json()["_source"]["old"], 1);
    // Documents of other partitions go on.
    for id in 0..30 {
        through.put(&format!("/{other}/_doc/{id}"), "{}").await.expect(201);
    }
    let backup = stage.backup();
    let some = async || (0..30).any(|_| true) && count(&backup, &other).await >= 5;
    eventually(SOON, "other partitions go on", some).await;
    assert!(stage.lag().await > 0);
}

async fn count(cluster: &understudy_tests::Http, index: &str) -> u64 {
    cluster.post(&format!("/{index}/_refresh"), "").await;
    cluster.get(&format!("/{index}/_count")).await.json()["count"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_stops_its_partition() {
    let stage = Stage::new("newer records stop");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.wait_drained().await;
    stage.append("target.backup", "x", b"{}\n", &[("understudy-format", "2")]).await;
    let stopped = async || consumer.metric("understudy_partition_stopped", &[("reason", "newer")]).await > 0.0;
    eventually(SOON, "the partition stops", stopped).await;
    assert_eq!(stage.lag().await, 1);
    assert!(stage.records("dead.backup").await.is_empty());
}

/// Offsets that the log no longer has are never passed over in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_log_stops_the_partition() {
    let stage = Stage::new("a gap stops").set("kafka.partitions", 1);
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    for id in 0..5 {
        through.put(&format!("/{index}/_doc/{id}"), "{}").await.expect(201);
    }
    // Nobody has read them, and they are gone.
    stage.kafka().delete_records(&stage.topic("target.backup"), 0, 3).await.expect("records are deleted");
    let consumer = stage.consumer().await;
    let stopped = async || consumer.metric("understudy_partition_stopped", &[("reason", "gap")]).await > 0.0;
    eventually(SOON, "the partition stops", stopped).await;
    assert!(consumer.log().contains("ERROR"));
    assert!(stage.lag().await > 0);
    assert_eq!(stage.backup().request("HEAD", &format!("/{index}")).reply().await.status, 404);
}

/// A mapping that nobody published yet is waited for, and never guessed.
#[tokio::test(flavor = "multi_thread")]
async fn an_effect_waits_for_the_mapping_that_it_needs() {
    let stage = Stage::new("an effect waits for its mapping");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    let uuid = uuid(&stage.primary(), &index).await;
    let schema = stage.records("schema").await.pop().expect("a schema").json();
    let needed = schema["mapping_version"].as_u64().expect("a version") + 1;
    publish(&stage, &uuid, needed, &[effect(&index, "2", 40, Some("{\"ip\":\"::1\"}"))], Duration::ZERO).await;
    tokio::time::sleep(LONG_ENOUGH).await;
    assert_eq!(stage.backup().get(&format!("/{index}/_doc/2")).await.status, 404);
    let extend = serde_json::json!({"properties": {"ip": {"type": "ip"}}}).to_string();
    through.put(&format!("/{index}/_mapping"), extend).await.expect(200);
    stage.wait_drained().await;
    let mapping = stage.backup().get(&format!("/{index}/_mapping")).await.json();
    assert_eq!(mapping[&index]["mappings"]["properties"]["ip"]["type"], "ip");
}

/// A topic that is deleted takes its group's offsets along; made anew, it must not look as if nobody had ever read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_a_gap() {
    let stage = Stage::new("a topic made anew").set("kafka.partitions", 1);
    let gateway = stage.gateway().await;
    let mut consumer = stage.consumer().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    let noted = async || stage.records("control").await.iter().any(|record| record.key_text().starts_with("begun/"));
    eventually(SOON, "it is noted that the partition has begun", noted).await;
    consumer.stop().await;
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    let topic = stage.topic("target.backup");
    stage.kafka().delete_topic(&topic).await.expect("it is deleted");
    // Neither gateway nor consumer makes it anew by themselves.
    consumer.restart().await;
    let said = async || consumer.log().contains("was there and is gone");
    eventually(SOON, "the consumer says so", said).await;
    let another = stage.gateway_that_answers().await;
    let refused = async || {
        let reply = stage.through(&another).put(&format!("/{index}/_doc/3"), "{}").await.expect(503);
        if reply.text().contains("was there and is gone") { Ok(()) } else { Err(reply.text()) }
    };
    eventually(SOON, "the gateway says so", refused).await;
    // Somebody else makes it.
    stage.kafka().create_topic(&topic, 1).await.expect("it is made");
    let stopped = async || consumer.metric("understudy_partition_stopped", &[("reason", "gap")]).await > 0.0;
    eventually(Duration::from_secs(60), "the partition stops", stopped).await;
    assert!(consumer.log().contains("made anew"));
}

/// An index that is deleted on the target is made anew by the next bulk, as the target guesses: that is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_deleted_on_the_target_stops_its_partitions() {
    let stage = Stage::new("deleted on the target").set("kafka.partitions", 1);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    stage.backup().delete(&format!("/{index}")).await.expect(200);
    through.put(&format!("/{index}/_doc/2"), "{\"n\":2}").await.expect(201);
    let stopped = async || consumer.metric("understudy_partition_stopped", &[("reason", "incarnation")]).await > 0.0;
    eventually(SOON, "the partition stops", stopped).await;
    assert!(consumer.log().contains("deleted on the target"));
    assert_eq!(stage.lag().await, 1, "nothing is committed that went into an index of the target's own");
}
