//! What is found of documents, and what becomes of it.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Servers, Stage, eventually};

use super::{LAST_LOOK_MS, SOON, ages, intent, leave_open, published, stage, wait_committed, with_short_times};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_left_is_published_and_settled() {
    let _servers = Servers::take().await;
    let stage = stage("left open").await;
    let (primary, index, gone) = (stage.primary(), stage.index("i"), stage.index("never-made"));
    let shards = json!({"settings": {"number_of_shards": 3, "number_of_replicas": 0}}).to_string();
    primary.put(&format!("/{index}"), shards).await.expect(200);
    for id in ["put", "deleted", "late"] {
        primary.put(&format!("/{index}/_doc/{id}"), json!({"id": id}).to_string()).await.expect(201);
    }
    primary.delete(&format!("/{index}/_doc/deleted")).await.expect(200);
    primary.put(&format!("/{index}/_doc/routed?routing=r"), "{\n \"n\": 1.50 }").await.expect(201);
    let documents = json!([
        [index, "put"],
        [index, "deleted"],
        [index, "absent"],
        [index, "routed", "r"],
        [gone, "1"],
        [index, "late"]
    ]);
    leave_open(&stage, "request-1", &intent(documents)).await;
    let consumer = stage.consumer().await;

    // Early, for freshness: the backup has it long before the intent may be settled.
    let fresh = async || stage.backup().get(&format!("/{index}/_doc/put")).await.status == 200;
    eventually(SOON, "the backup has what was written", fresh).await;
    assert!(stage.open_intents().await.contains_key("request-1"), "`linger`: it may still be under way");
    // And so it is: a request that lingers arrives at last.
    primary.put(&format!("/{index}/_doc/late"), json!({"id": "later"}).to_string()).await.expect(200);

    stage.wait_settled().await;
    assert!(ages(&stage).await["request-1"] >= LAST_LOOK_MS, "{:?}", ages(&stage).await);
    let published = published(&stage, "request-1").await;
    for effect in ["index put", "delete deleted", "index routed", "index late"] {
        assert!(published.iter().filter(|found| **found == effect).count() >= 2, "twice each: {published:?}");
    }
    assert!(!published.contains(&"delete 1".to_owned()), "where there is no index there is nothing: {published:?}");
    stage.assert_converges(&index).await;
    let late = stage.backup().get(&format!("/{index}/_doc/late")).await.expect(200).json();
    assert_eq!(late["_source"]["id"], "later");
    wait_committed(&stage).await;
    let metrics = consumer.metrics().await;
    assert_eq!(metrics.sum("understudy_reconciler_settled_total", &[]), 1.0);
    assert_eq!(metrics.sum("understudy_reconciler_open_intents", &[]), 0.0);
    assert!(metrics.sum("understudy_reconciler_documents_total", &[("found", "effect")]) >= 8.0);
    assert!(metrics.sum("understudy_reconciler_documents_total", &[("found", "nothing")]) >= 2.0);
    assert!(consumer.log().contains("settled an intent that was left open"), "{}", consumer.log());
}

/// An alias has turned to another index before the write arrived.
#[tokio::test(flavor = "multi_thread")]
async fn documents_are_looked_for_behind_the_aliases_that_they_were_named_by() {
    let _servers = Servers::take().await;
    let stage = stage("aliases that turn").await;
    let (primary, old, new, alias) = (stage.primary(), stage.index("1"), stage.index("2"), stage.index("alias"));
    for index in [&old, &new] {
        primary.put(&format!("/{index}"), json!({"settings": {"number_of_replicas": 0}}).to_string()).await.expect(200);
    }
    let turn = json!({"actions": [{"add": {"index": new, "alias": alias, "is_write_index": true}}]}).to_string();
    primary.post("/_aliases", turn).await.expect(200);
    primary.put(&format!("/{alias}/_doc/1"), "{\"n\":1}").await.expect(201);
    let mut by_alias = intent(json!([[old, "1"]]));
    by_alias["aliases"] = json!({&old: [&alias]});
    leave_open(&stage, "by-concrete-index", &by_alias).await;
    leave_open(&stage, "by-alias", &intent(json!([[alias, "2"]]))).await;
    let _consumer = stage.consumer().await;
    stage.wait_settled().await;
    stage.assert_converges(&new).await;
    stage.backup().get(&format!("/{new}/_doc/1")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_settled_here_stays_open_and_is_told() {
    let _servers = Servers::take().await;
    let stage = stage("of another epoch").await;
    let (index, mut other_epoch) = (stage.index("i"), intent(json!([])));
    other_epoch["epoch"] = json!(2);
    leave_open(&stage, "other-epoch", &other_epoch).await;
    leave_open(&stage, "no-intent", &json!({"format": 7, "what": "ever"})).await;
    leave_open(&stage, "good", &intent(json!([[index, "1"]]))).await;
    let consumer = stage.consumer().await;
    eventually(SOON, "the good one is settled", async || ages(&stage).await.contains_key("good")).await;
    let told = async || consumer.metric("understudy_reconciler_unreadable_intents", &[]).await == 2.0;
    eventually(SOON, "both are told", told).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.open_intents().await.len(), 2);
    assert_eq!(consumer.log().matches("somebody must act").count(), 2, "once each: {}", consumer.log());
    // Whoever acts settles them.
    for request in ["other-epoch", "no-intent"] {
        stage.kafka().append(&stage.topic("intents"), None, request.as_bytes(), None, &[]).await.unwrap();
    }
    let none = async || consumer.metric("understudy_reconciler_open_intents", &[]).await == 0.0;
    eventually(SOON, "none is open", none).await;
}

/// A gateway that lives does not know what became of its write: that is for the reconciler, after the linger time.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_unknown_outcome_is_settled_after_the_linger_time() {
    let _servers = Servers::take().await;
    let stage = with_short_times(Stage::new("outcome unknown"));
    let broken = |request: &FakeRequest| {
        let is_write = request.method == "PUT" && request.path.contains("/_doc/");
        if is_write { FakeAnswer::real().reset() } else { FakeAnswer::real() }
    };
    let fake = Fake::before(stage.primary(), broken).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    let settings = json!({"settings": {"number_of_replicas": 0}}).to_string();
    stage.primary().put(&format!("/{index}"), settings).await.expect(200);
    let reply = stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(500);
    let request = reply.header("understudy-request-id").to_owned();
    stage.wait_settled().await;
    assert!(ages(&stage).await[&request] >= LAST_LOOK_MS, "{:?}", ages(&stage).await);
    stage.assert_converges(&index).await;
    stage.backup().get(&format!("/{index}/_doc/1")).await.expect(200);
}
