//! What was read back from the primary, and what is to be read from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use understudy_common::effect::{DocumentState, Effect};
use understudy_tests::{Fake, FakeAnswer, Process, Stage, eventually};

use crate::{SOON, effect, publish, uuid};

const NOW: Duration = Duration::ZERO;

async fn prepared(stage: &Stage) -> (Process, String, String) {
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/first"), "{\"n\":1}").await.expect(201);
    let uuid = uuid(&stage.primary(), &index).await;
    (gateway, index, uuid)
}

async fn source(stage: &Stage, index: &str, id: &str) -> serde_json::Value {
    stage.backup().get(&format!("/{index}/_doc/{id}")).await.json()["_source"].clone()
}

/// A reference to what the primary has under this id now.
async fn reference(stage: &Stage, index: &str, id: &str) -> Effect {
    let found = stage.primary().get(&format!("/{index}/_doc/{id}")).await.expect(200).json();
    let seq_no = found["_seq_no"].as_u64().expect("a sequence number");
    Effect { state: DocumentState::Reference, ..effect(index, id, seq_no, None) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observation_stands_above_a_claim_of_the_same_version() {
    let stage = Stage::new("observations win");
    let (_gateway, index, uuid) = prepared(&stage).await;
    let _consumer = stage.consumer().await;
    let observed = |id: &str, source| Effect { observed: true, ..effect(&index, id, 20, source) };
    for id in ["gone", "changed"] {
        publish(&stage, &uuid, 1, &[effect(&index, id, 20, Some("{\"n\":20}"))], NOW).await;
    }
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "gone").await, json!({"n": 20}));
    publish(&stage, &uuid, 1, &[observed("gone", None)], NOW).await;
    publish(&stage, &uuid, 1, &[observed("changed", Some("{\"n\":21}"))], NOW).await;
    publish(&stage, &uuid, 1, &[effect(&index, "changed", 20, Some("{\"n\":20}"))], NOW).await;
    stage.wait_drained().await;
    assert!(source(&stage, &index, "gone").await.is_null(), "it was read back as absent");
    assert_eq!(source(&stage, &index, "changed").await, json!({"n": 21}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_read_from_the_primary_as_it_is_now() {
    let stage = Stage::new("references are read");
    let (_gateway, index, uuid) = prepared(&stage).await;
    let consumer = stage.consumer().await;
    let primary = stage.primary();
    for id in ["kept", "changed", "deleted"] {
        primary.put(&format!("/{index}/_doc/{id}"), "{\"n\": 7}").await.expect(201);
    }
    let mut references = Vec::new();
    for id in ["kept", "changed", "deleted"] {
        references.push(reference(&stage, &index, id).await);
    }
    primary.put(&format!("/{index}/_doc/changed"), "{\"n\":8}").await.expect(200);
    primary.delete(&format!("/{index}/_doc/deleted")).await.expect(200);
    publish(&stage, &uuid, 1, &references, NOW).await;
    stage.assert_converges(&index).await;
    assert_eq!(source(&stage, &index, "kept").await, json!({"n": 7}));
    assert_eq!(source(&stage, &index, "changed").await, json!({"n": 8}));
    assert!(source(&stage, &index, "deleted").await.is_null());
    assert!(!consumer.log().contains("ERROR"), "no reference is sent as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_waits_while_the_primary_is_away() {
    let stage = Stage::new("references wait");
    let (_gateway, index, uuid) = prepared(&stage).await;
    let away = Arc::new(AtomicBool::new(true));
    let seen = away.clone();
    let fake = Fake::before(stage.primary(), move |_| {
        if seen.load(Ordering::Acquire) { FakeAnswer::json(503, "{}") } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    stage.primary().put(&format!("/{index}/_doc/large"), "{\"n\":7}").await.expect(201);
    let reference = reference(&stage, &index, "large").await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let consumer = stage.consumer().await;
    publish(&stage, &uuid, 1, &[reference], NOW).await;
    eventually(SOON, "it says so", async || consumer.log().contains("a reference waits")).await;
    assert!(stage.lag().await > 0, "the partition waits");
    assert!(source(&stage, &index, "large").await.is_null());
    away.store(false, Ordering::Release);
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "large").await, json!({"n": 7}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_waits_while_the_primary_has_an_untested_version() {
    let stage = Stage::new("references of strangers");
    let (_gateway, index, uuid) = prepared(&stage).await;
    let fake = Fake::before(stage.primary(), |request| {
        let other = r#"{"_nodes":{"total":1},"nodes":{"a":{"version":"9.3.0","build_flavor":"default"}}}"#;
        if request.path.starts_with("/_nodes") { FakeAnswer::json(200, other) } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    stage.primary().put(&format!("/{index}/_doc/large"), "{\"n\":7}").await.expect(201);
    let reference = reference(&stage, &index, "large").await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let consumer = stage.consumer().await;
    publish(&stage, &uuid, 1, &[reference], NOW).await;
    let told = async || consumer.log().contains("a reference waits") && consumer.log().contains("9.3.0");
    eventually(SOON, "it says so", told).await;
    assert!(stage.lag().await > 0 && source(&stage, &index, "large").await.is_null());
    fake.now(|_| FakeAnswer::real());
    stage.wait_drained().await;
    assert_eq!(source(&stage, &index, "large").await, json!({"n": 7}));
}

/// What the log has no room for (an update that grew, say) arrives in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_outgrew_the_log_arrives() {
    let stage = Stage::new("outgrown").set("kafka.partitions", 1).set("kafka.max_message_bytes", "1MiB");
    let (gateway, index, _) = prepared(&stage).await;
    let _consumer = stage.consumer().await;
    let through = stage.through(&gateway);
    let half = "x".repeat(600 << 10);
    through.put(&format!("/{index}/_doc/grown"), json!({"one": half}).to_string()).await.expect(201);
    let update = json!({"doc": {"other": half}}).to_string();
    through.post(&format!("/{index}/_update/grown"), update).await.expect(200);
    stage.assert_converges(&index).await;
    let text = source(&stage, &index, "grown").await;
    assert_eq!(text["other"].as_str().map(str::len), Some(600 << 10));
}
