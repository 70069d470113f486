//! A node that has a primary shard is killed under load, and comes back.

use std::collections::BTreeSet;

use serde_json::json;
use understudy_tests::{Http, Nodes, eventually};

use crate::{
    corner::{SOON, assert_equal_but_for, found, stage, wait_settled},
    writers::Writers,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_fails_over_while_a_gateway_writes() {
    fails_over_under_load("a shard fails over", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_shards_fails_over_while_a_gateway_writes() {
    fails_over_under_load("one of three shards fails over", 3).await;
}

/// Documents whose writes were all acknowledged are equal without any help. Those in doubt are written once more.
async fn fails_over_under_load(name: &str, shards: usize) {
    let nodes = Nodes::take().await;
    // The index must stand before it is known which node the gateway may be pointed at.
    let stage = stage(name, &nodes, 1);
    let index = stage.index("i");
    nodes.create_index(&index, shards).await;
    let victim = nodes.primary_of(&index, 0).await;
    let node = nodes.others(&[victim])[0];
    let stage = stage.set("clusters.primary.urls", vec![nodes.address(node)]);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);

    let writers = Writers::start(&through, &index);
    writers.more(500).await;
    nodes.kill(victim).await;
    nodes.wait_failed_over(&index, 0, victim).await;
    writers.more(500).await;
    nodes.restart(victim).await;
    nodes.wait_green(&index).await;
    writers.more(500).await;
    let written = writers.end().await;
    eprintln!(
        "{} writes acknowledged, {} requests refused, {} in doubt",
        written.acknowledged, written.refused, written.doubtful
    );

    stage.wait_drained_within(SOON).await;
    let (primary, backup) = (nodes.http(node), stage.backup());
    assert_equal_but_for(&found(&primary, &backup, &index).await, &written.in_doubt);
    write_again(&through, &index, &written.in_doubt).await;
    stage.wait_drained_within(SOON).await;
    assert_equal_but_for(&found(&primary, &backup, &index).await, &BTreeSet::new());
}

/// Nothing is written once more: what the gateway could not answer for, the reconciler finds out.
#[tokio::test(flavor = "multi_thread")]
async fn writes_of_unknown_outcome_are_settled_while_a_shard_fails_over() {
    let nodes = Nodes::take().await;
    let stage = stage("unknown while a shard fails over", &nodes, 1);
    let index = stage.index("i");
    nodes.create_index(&index, 1).await;
    let victim = nodes.primary_of(&index, 0).await;
    let node = nodes.others(&[victim])[0];
    let stage = stage.set("clusters.primary.urls", vec![nodes.address(node)]);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);

    let writers = Writers::start(&stage.through(&gateway), &index);
    writers.more(300).await;
    // Frozen and not killed: the bulks that wait for it are answered by nobody, and time out.
    nodes.freeze(victim);
    let doubt = async || writers.written().doubtful > 0;
    eventually(SOON, "writes are answered as unknown", doubt).await;
    nodes.kill(victim).await;
    nodes.wait_failed_over(&index, 0, victim).await;
    writers.more(300).await;
    nodes.restart(victim).await;
    nodes.wait_green(&index).await;
    writers.end().await;

    wait_settled(&stage).await;
    stage.wait_drained_within(SOON).await;
    assert_equal_but_for(&found(&nodes.http(node), &stage.backup(), &index).await, &BTreeSet::new());
}

async fn write_again(through: &Http, index: &str, ids: &BTreeSet<String>) {
    for id in ids {
        let path = format!("/{index}/_doc/{id}");
        let source = json!({"again": id}).to_string();
        let taken = async || through.put(&path, source.clone()).await.status < 300;
        eventually(SOON, "a document in doubt is written once more", taken).await;
    }
}
