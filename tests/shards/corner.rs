//! What these tests share: a stage in front of three nodes, and the comparison with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use understudy_tests::{Difference, Http, Nodes, Stage, differences, eventually};

/// How long whatever follows may take: linger times are part of it.
pub const SOON: Duration = Duration::from_secs(90);

/// The longest that a request lingers, as these tests have it.
const LINGER: &str = "6s";
/// The longest that a former primary shard goes on answering.
const STALE_PRIMARY: &str = "5s";

/// A stage whose primary is a node of the three, with deadlines that a test can wait for.
pub fn stage(name: &str, nodes: &Nodes, node: usize) -> Stage {
    Stage::new(name)
        .set("clusters.primary.urls", vec![nodes.address(node)])
        .set("protocol.ticket_lifetime", "20s")
        .set("protocol.clock_skew", "1s")
        .set("protocol.linger", LINGER)
        .set("protocol.stale_primary", STALE_PRIMARY)
        .set("protocol.settle_after", "500ms")
        .set("gateway.intent_timeout", "2s")
        .set("gateway.primary_timeout", "4s")
        .set("gateway.publish_timeout", "5s")
        .set("consumer.reconcile_after", "1s")
}

/// The stage's configuration with another node as its primary, for a second gateway.
pub fn config_with_node(stage: &Stage, nodes: &Nodes, node: usize) -> PathBuf {
    let path = stage.folder().join(format!("node-{node}.toml"));
    let text = std::fs::read_to_string(stage.config()).expect("the stage has a configuration");
    let line = |line: &str| match line.starts_with("clusters.primary.urls") {
        true => format!("clusters.primary.urls = [\"{}\"]\n", nodes.address(node)),
        false => format!("{line}\n"),
    };
    std::fs::write(&path, text.lines().map(line).collect::<String>()).expect("the stage's folder can be written");
    path
}

/// What differs between the primary, as a node of it tells, and the backup.
///
/// An observation has the term of its shard at that time, which is later than that of the write it found: a version with a
/// greater term and the same sequence number is no difference.
pub async fn found(node: &Http, backup: &Http, index: &str) -> Vec<Difference> {
    let found = differences(node, backup, index).await.unwrap_or_else(|error| panic!("{index}: {error:#}"));
    found.into_iter().filter(|difference| !is_observed_later(difference)).collect()
}

fn is_observed_later(difference: &Difference) -> bool {
    let version = |text: &str| text.strip_prefix("version ")?.parse::<u64>().ok();
    let (Some(primary), Some(target)) = (version(&difference.primary), version(&difference.target)) else {
        return false;
    };
    let seq_no = (1u64 << 40) - 1;
    primary & seq_no == target & seq_no && target > primary
}

/// Asserts that nothing differs, but for documents whose last write nobody answered for.
#[track_caller]
pub fn assert_equal_but_for(found: &[Difference], in_doubt: &BTreeSet<String>) {
    let doubted =
        |difference: &&Difference| difference.what.strip_prefix("document ").is_some_and(|id| in_doubt.contains(id));
    let wrong: Vec<String> = found.iter().filter(|found| !doubted(found)).map(|found| format!("\n  {found}")).collect();
    assert!(wrong.is_empty(), "{} differences:{}", wrong.len(), wrong.concat());
}

/// Intents that are not settled, by request id. What gateways note of their looks is none.
pub async fn open_intents(stage: &Stage) -> BTreeMap<String, String> {
    let mut open = BTreeMap::new();
    for record in stage.records("intents").await {
        let key = record.key_text();
        if record.value.is_none() {
            open.remove(&key);
        } else if !key.starts_with("look/") {
            open.insert(key, record.text());
        }
    }
    open
}

/// Waits until every intent is settled, by its gateway or by the reconciler.
pub async fn wait_settled(stage: &Stage) {
    let settled = async || {
        let open = open_intents(stage).await;
        if open.is_empty() { Ok(()) } else { Err(format!("{} open intents: {open:?}", open.len())) }
    };
    eventually(SOON, "every intent is settled", settled).await;
}
