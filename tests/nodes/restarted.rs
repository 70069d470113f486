//! A rolling restart of a primary of three nodes under load.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use understudy_tests::{Http, Nodes};

use crate::{
    TURN,
    corner::{SOON, assert_equal_but_for, found, stage, wait_settled},
    load::{Done, Load, WRITERS},
};

/// Every node once, one after the other, each only when the cluster is whole again. The load is of many kinds, and nothing
/// of it is repeated by its clients: no read fails, what was acknowledged is there, and both sides are equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_nothing_doubles_nothing_and_fails_no_read() {
    let _turn = TURN.lock().await;
    let nodes = Nodes::take().await;
    let stage = stage("rolling restart", &nodes, 1).set("clusters.primary.urls", nodes.addresses());
    let index = stage.index("i");
    nodes.create_index(&index, 2).await;
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = stage.through(&gateway);
    through.put(&format!("/{index}/_doc/seed?refresh=true"), json!({"mark": "seed"}).to_string()).await.expect(201);

    let load = Load::start(&through, &index);
    load.more(50).await;
    for node in 1..=3 {
        nodes.stop(node).await;
        load.more(50).await;
        nodes.restart(node).await;
        nodes.wait_green(&index).await;
        load.more(50).await;
    }
    let done = load.end().await;
    eprintln!(
        "{} marks and {:?} additions acknowledged (, in doubt), {} marks in doubt, {} writes refused, {} reads",
        done.marks.len(),
        done.additions,
        done.doubtful_marks.len(),
        done.refused,
        done.reads
    );
    assert!(done.failed_reads.is_empty(), "{} reads failed: {:#?}", done.failed_reads.len(), done.failed_reads);
    let log = gateway.log();
    assert!(log.contains("a node is out") && log.contains("a node is back"), "the gateway noticed nothing");

    wait_settled(&stage).await;
    stage.wait_drained_within(SOON).await;
    let primary = nodes.http(1);
    assert_equal_but_for(&found(&primary, &stage.backup(), &index).await, &BTreeSet::new());
    for side in [&primary, &stage.backup()] {
        assert_all_there_once(side, &index, &done).await;
    }
}

/// Restarts in the test. A node that loses the one with an update's shard begins the update anew by itself
/// (`TransportInstanceSingleOperationAction`), also one that was done: of each writer at most the one under way, at each
/// restart. What the gateway does is shown without a cluster, in `common/src/cluster/client/tests.rs`.
const OF_THE_PRIMARY: u64 = 3;

async fn assert_all_there_once(side: &Http, index: &str, done: &Done) {
    const ALL: usize = 10_000;
    side.post(&format!("/{index}/_refresh"), "").await.expect(200);
    let path = format!("/{index}/_search?size={ALL}");
    let answer = side.get(&path).await.expect(200).json();
    let hits = answer["hits"]["hits"].as_array().expect("hits");
    assert!(hits.len() < ALL, "too many to be compared");
    let mut marks: BTreeMap<&str, usize> = BTreeMap::new();
    for mark in hits.iter().filter_map(|hit| hit["_source"]["mark"].as_str()) {
        *marks.entry(mark).or_default() += 1;
    }
    for (mark, times) in &marks {
        assert_eq!(*times, 1, "{mark} is there {times} times on {}", side.base());
    }
    let lost: Vec<&String> = done.marks.iter().filter(|mark| !marks.contains_key(mark.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and not on {}: {lost:?}", side.base());
    let (known, doubtful) = (done.marks.len(), done.doubtful_marks.len());
    assert!((known..=known + doubtful).contains(&(marks.len() - 1)), "{} marks, {known} known", marks.len() - 1);
    for writer in 0..WRITERS {
        let id = format!("counter-{writer}");
        let counter = hits.iter().find(|hit| hit["_id"] == *id).expect("a counter");
        let count = counter["_source"]["count"].as_u64().expect("a number");
        let (acknowledged, doubtful) = done.additions[writer];
        let may_be = acknowledged..=acknowledged + doubtful + OF_THE_PRIMARY;
        assert!(may_be.contains(&count), "{id} is {count} on {}, not in {may_be:?}", side.base());
    }
}
