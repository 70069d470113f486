//! A gateway that stops between the primary's answer and the publish, for longer than anybody waits for it.

use std::time::Duration;

use tokio::time::Instant;
use understudy_tests::{Stage, eventually};

use crate::{PATIENCE, source};

/// With the times that are the defaults.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_stopped_for_two_minutes_changes_nothing() {
    let stage = Stage::new("stopped for two minutes");
    let (frozen, other) = (stage.gateway().await, stage.gateway().await);
    let _consumer = stage.consumer().await;
    let (index, through) = (stage.index("i"), stage.through(&other));
    through.put(&format!("/{index}/_doc/other"), "{}").await.expect(201);
    stage.freeze_after_the_answer(&frozen, &format!("/{index}/_doc/1"), "{\"old\":true}").await;
    let stopped = Instant::now();
    let seen = async || source(&stage.backup(), &index, "1").await["old"] == true;
    eventually(PATIENCE, "the reconciler brings what the stopped gateway had written", seen).await;
    through.delete(&format!("/{index}/_doc/1")).await.expect(200);
    stage.wait_drained().await;
    assert!(source(&stage.backup(), &index, "1").await.is_null());
    tokio::time::sleep_until(stopped + Duration::from_secs(120)).await;
    frozen.thaw();
    let reopened = async || frozen.metric("understudy_intents_reopened_total", &[]).await == 1.0;
    eventually(PATIENCE, "the late write opens another intent", reopened).await;
    assert_eq!(frozen.metric("understudy_void_effects_total", &[]).await, 1.0, "what it published is void");
    stage.assert_converges(&index).await;
    assert!(source(&stage.backup(), &index, "1").await.is_null(), "a deleted document stays deleted");
}
