//! A node with a primary shard stands still, loses its part to another one, and goes on with all that it believed.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use understudy_tests::{Nodes, eventually};

use crate::corner::{SOON, assert_equal_but_for, config_with_node, found, open_intents, stage, wait_settled};

/// The reconciler looks through the very node that was frozen: when it thaws, it answers for a moment as the primary that
/// it is no more, with a write that the new primary has overtaken.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_primary_that_thaws_makes_nothing_stale() {
    let nodes = Nodes::take().await;
    let stage = stage("a frozen primary thaws", &nodes, 1);
    let index = stage.index("i");
    nodes.create_index(&index, 1).await;
    let frozen = nodes.primary_of(&index, 0).await;
    let node = nodes.others(&[frozen])[0];
    let stage = stage.set("clusters.primary.urls", vec![nodes.address(frozen)]);
    let before = stage.gateway().await;
    let after = stage.gateway_with(&config_with_node(&stage, &nodes, node)).await;
    let _consumer = stage.consumer().await;
    let (before, after) = (stage.through(&before), stage.through(&after));
    let put = async |through: &understudy_tests::Http, id: &str, n: u32| {
        through.put(&format!("/{index}/_doc/{id}"), json!({"n": n}).to_string()).await.status
    };
    for id in ["1", "2", "3"] {
        assert_eq!(put(&before, id, 1).await, 201);
    }

    // One bulk after the other, so that one is under way when it stands still: answered by nobody, applied when it thaws or
    // never.
    let late = tokio::spawn({
        let (before, path) = (before.clone(), format!("/{index}/_bulk"));
        let body: String =
            (0..2_000).map(|n| format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{{\"n\":2}}\n", n % 3 + 1)).collect();
        async move {
            loop {
                let reply = before.request("POST", &path).body(body.clone()).within(SOON).send().await;
                if !reply.as_ref().is_ok_and(|reply| reply.status == 200) {
                    break reply;
                }
            }
        }
    });
    let sent = async || !open_intents(&stage).await.is_empty();
    eventually(SOON, "a bulk is under way", sent).await;
    nodes.freeze(frozen);
    nodes.wait_failed_over(&index, 0, frozen).await;
    for id in ["1", "2"] {
        let taken = async || put(&after, id, 3).await < 300;
        eventually(SOON, "the new primary takes writes", taken).await;
    }
    let late = late.await.expect("it does not panic");
    assert!(late.as_ref().is_ok_and(|reply| reply.status >= 500), "{late:?}");

    nodes.thaw(frozen);
    for id in ["1", "3"] {
        let taken = async || put(&before, id, 4).await < 300;
        eventually(SOON, "the thawed node takes writes", taken).await;
    }
    nodes.wait_green(&index).await;
    wait_settled(&stage).await;
    stage.wait_drained_within(SOON).await;
    assert_equal_but_for(&found(&nodes.http(node), &stage.backup(), &index).await, &BTreeSet::new());
    // What a node does late it does soon after it thaws; a linger time later nothing has changed.
    let begun = std::time::Instant::now();
    eventually(SOON, "a linger time passes", async || begun.elapsed() > Duration::from_secs(6)).await;
    wait_settled(&stage).await;
    stage.wait_drained_within(SOON).await;
    assert_equal_but_for(&found(&nodes.http(node), &stage.backup(), &index).await, &BTreeSet::new());
}
