//! A target that misbehaves: what it did is never taken for success, and never for the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Stage, eventually};

use crate::SOON;

fn is_bulk(request: &FakeRequest) -> bool {
    request.path.contains("_bulk")
}

/// Answers of a proxy, broken answers and late ones: tried again until the target itself answers.
#[tokio::test(flavor = "multi_thread")]
async fn broken_answers_are_tried_again() {
    let stage = Stage::new("broken answers").set("consumer.target_timeout", "2s").set("kafka.partitions", 1);
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let fake = Fake::before(stage.backup(), move |request| {
        if !is_bulk(request) {
            return FakeAnswer::real();
        }
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => FakeAnswer::html(200),
            1 => FakeAnswer::real().truncated(),
            2 => FakeAnswer::real().reset(),
            3 => FakeAnswer::html(502),
            4 => {
                FakeAnswer::json(503, json!({"error": {"type": "cluster_block_exception"}, "status": 503}).to_string())
            }
            5 => FakeAnswer::json(200, json!({"took": 1, "errors": false, "items": []}).to_string()),
            6 => FakeAnswer::json(200, "{}"),
            7 => FakeAnswer::real().silent(),
            8 => FakeAnswer::json(
                429,
                json!({"error": {"type": "es_rejected_execution_exception"}, "status": 429}).to_string(),
            ),
            _ => FakeAnswer::real(),
        }
    });
    let fake = fake.await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    let bulk: String = (0..20).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
    stage.through(&gateway).post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    stage.wait_drained_within(Duration::from_secs(90)).await;
    assert!(tries.load(Ordering::Relaxed) >= 10);
    stage.assert_equal(&index).await;
    assert!(stage.records("dead.backup").await.is_empty());
    assert!(consumer.metric("understudy_effects_total", &[("verdict", "retried")]).await > 0.0);
}

/// Items that are rejected with 429 inside a 200 come again, in smaller bulks, which grow when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn bulks_shrink_under_429_and_grow_again() {
    let stage = Stage::new("bulks shrink and grow").set("kafka.partitions", 1).set("consumer.batch_actions", 64);
    let storm = Arc::new(AtomicUsize::new(12));
    let left = storm.clone();
    let fake = Fake::before(stage.backup(), move |request| {
        if !is_bulk(request) || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err() {
            return FakeAnswer::real();
        }
        let rejected: Vec<_> = request
            .text()
            .lines()
            .filter(|line| line.contains("\"version_type\""))
            .map(|line| {
                let action: serde_json::Value = serde_json::from_str(line).expect("an action line");
                let (name, fields) = action.as_object().and_then(|action| action.iter().next()).expect("an action");
                json!({name: {"_index": fields["_index"], "_id": fields["_id"], "status": 429,
                    "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}})
            })
            .collect();
        FakeAnswer::json(200, json!({"took": 1, "errors": true, "items": rejected}).to_string())
    });
    let fake = fake.await;
    let stage = stage.set("clusters.backup.urls", vec![fake.address().to_owned()]);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let write = async |part: usize| {
        let bulk: String =
            (0..200).map(|n| format!("{{\"index\":{{\"_id\":\"{part}-{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
        through.post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    };
    write(0).await;
    let shrunk = async || (1.0..=16.0).contains(&consumer.metric("understudy_batch_limit_actions", &[]).await);
    eventually(SOON, "bulks are smaller", shrunk).await;
    for part in 1..20 {
        write(part).await;
    }
    stage.wait_drained_within(Duration::from_secs(90)).await;
    let grown = async || {
        let limit = consumer.metric("understudy_batch_limit_actions", &[]).await;
        if limit < 64.0 {
            write(100).await;
            return Err(format!("the limit is {limit}"));
        }
        Ok(())
    };
    eventually(Duration::from_secs(60), "bulks are as large as before", grown).await;
    stage.assert_converges(&index).await;
}

/// What a person has to mend is waited for: nothing is dropped, and it goes on by itself afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_index_waits_and_goes_on() {
    let stage = Stage::new("a blocked index waits").set("consumer.max_backoff", "500ms");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, backup, index) = (stage.through(&gateway), stage.backup(), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    let block = |value: serde_json::Value| json!({"index.blocks.write": value}).to_string();
    backup.put(&format!("/{index}/_settings"), block(json!(true))).await.expect(200);
    through.put(&format!("/{index}/_doc/2"), "{}").await.expect(201);
    let blocked = async || consumer.metric("understudy_effects_total", &[("verdict", "blocked")]).await > 0.0;
    eventually(SOON, "it is blocked", blocked).await;
    assert!(stage.lag().await > 0);
    backup.put(&format!("/{index}/_settings"), block(json!(null))).await.expect(200);
    stage.assert_converges(&index).await;
    assert!(stage.records("dead.backup").await.is_empty());
}

/// An index that the backup already has, from before, is taken for the primary's.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_a_label_is_adopted() {
    let stage = Stage::new("an index is adopted");
    let (backup, index) = (stage.backup(), stage.index("i"));
    backup
        .put(
            &format!("/{index}"),
            json!({"mappings": {"_meta": {"mine": 1}, "properties": {"old": {"type": "keyword"}}}}).to_string(),
        )
        .await
        .expect(200);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.wait_drained().await;
    let made = backup.get(&format!("/{index}?flat_settings=true")).await.expect(200).json();
    let meta = &made[&index]["mappings"]["_meta"];
    assert_eq!(meta["understudy"]["uuid"], crate::uuid(&stage.primary(), &index).await);
    assert_eq!(made[&index]["settings"]["index.gc_deletes"], "1d");
    assert_eq!(backup.get(&format!("/{index}/_doc/1")).await.json()["_source"]["n"], 1);
    assert!(consumer.log().contains("WARN") && consumer.log().contains("old"), "the warning names what differs");
}
