//! A gateway that stops between the primary's answer and the publish, for longer than anybody waits for it.

use std::time::Duration;

use understudy_tests::{Process, Stage, eventually};

use crate::{PATIENCE, source, stage};

/// Sends a write, and stops the gateway (with SIGSTOP) when the primary has answered and nothing is published.
async fn freeze_after_the_answer(stage: &Stage, gateway: &mut Process, path: &str, body: &'static str) {
    let held = stage.folder().join("answered.held");
    std::fs::write(stage.folder().join("answered"), "").unwrap();
    let call = stage.through(gateway).request("PUT", path).body(body);
    // Its answer comes long after this test's patience.
    tokio::spawn(call.reply());
    eventually(Duration::from_secs(10), "the write is held", async || held.exists()).await;
    gateway.freeze();
    std::fs::remove_file(stage.folder().join("answered")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_frozen_past_its_ticket_changes_nothing_and_its_documents_get_another_intent() {
    let stage = stage("frozen past its ticket");
    let (mut gateway, other) = (stage.gateway().await, stage.gateway().await);
    let _consumer = stage.consumer().await;
    let index = stage.index("i");
    let through = stage.through(&other);
    through.put(&format!("/{index}/_doc/other"), "{}").await.expect(201);
    freeze_after_the_answer(&stage, &mut gateway, &format!("/{index}/_doc/1"), "{\"old\":true}").await;
    // The reconciler settles what the frozen gateway left.
    stage.wait_settled().await;
    assert_eq!(source(&stage.backup(), &index, "1").await["old"], true);
    // Meanwhile the document is deleted.
    through.delete(&format!("/{index}/_doc/1")).await.expect(200);
    stage.wait_settled().await;
    gateway.thaw();
    let reopened = async || gateway.metric("understudy_intents_reopened_total", &[]).await == 1.0;
    eventually(PATIENCE, "the late write opens another intent", reopened).await;
    assert_eq!(gateway.metric("understudy_void_effects_total", &[]).await, 1.0);
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    assert!(source(&stage.backup(), &index, "1").await.is_null(), "a deleted document stays deleted");
}
