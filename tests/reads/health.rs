//! What is a reason to ask another cluster, and what is none. Faults that a real cluster does not show on request come from
//! a fake in front of it.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Nodes, Process, Servers, Stage, eventually};

use crate::{DOWN, SOON, answers, is_ready};

fn is_probe(request: &FakeRequest) -> bool {
    request.path.starts_with("/_cluster/state/version,master_node")
}

/// Waits for more probes than it takes to call a cluster down.
async fn probed_often(fake: &Fake) {
    let probes = || fake.requests().iter().filter(|request| is_probe(request)).count();
    let before = probes();
    eventually(SOON, "five more probes", async || probes() >= before + 5).await;
}

/// A gateway with a fake in front of `cluster`, and a document of which both clusters have a state of their own.
async fn behind(name: &str, cluster: &str) -> (Stage, Fake, Process, String) {
    let stage = Stage::new(name);
    let real = if cluster == "primary" { stage.primary() } else { stage.backup() };
    let fake = Fake::before(real, |_| FakeAnswer::real()).await;
    let stage = stage.set(&format!("clusters.{cluster}.urls"), vec![fake.address().to_owned()]);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    is_ready(&gateway).await;
    (stage, fake, gateway, format!("/{index}/_doc/1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_index_is_no_failover() {
    let _servers = Servers::take().await;
    let (stage, fake, gateway, path) = behind("red index", "primary").await;
    let red = stage.index("red");
    let nowhere = json!({"settings": {"index.routing.allocation.require.nowhere": "x"}}).to_string();
    stage.primary().put(&format!("/{red}?wait_for_active_shards=0"), nowhere).await.expect(200);
    let health = stage.primary().get(&format!("/_cluster/health/{red}")).await.expect(200).json();
    assert_eq!(health["status"], "red");
    probed_often(&fake).await;
    let through = stage.through(&gateway);
    let reply = through.get(&path).await.expect(200);
    assert_eq!(reply.header("understudy-cluster"), "primary");
    let reply = through.get(&format!("/{red}/_search")).await.expect(503);
    assert_eq!(reply.header("understudy-cluster"), "primary", "its own answer: {reply}");
    assert_eq!(gateway.metric("understudy_cluster_up", &[("cluster", "primary")]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_refuses_a_client_is_no_failover() {
    let _servers = Servers::take().await;
    let (stage, fake, gateway, path) = behind("refusals", "primary").await;
    for status in [401, 403, 429] {
        fake.now(move |_| FakeAnswer::json(status, "{}"));
        probed_often(&fake).await;
        let reply = stage.through(&gateway).get(&path).await.expect(status);
        assert_eq!(reply.header("understudy-cluster"), "primary", "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_a_master_or_that_is_another_cluster_is_down() {
    let _servers = Servers::take().await;
    let (stage, fake, gateway, path) = behind("no master", "primary").await;
    let through = stage.through(&gateway);
    let probes = |status: u16, body: &'static str| {
        move |request: &FakeRequest| if is_probe(request) { FakeAnswer::json(status, body) } else { FakeAnswer::real() }
    };
    for (status, body) in [
        (200, r#"{"cluster_uuid":"x","master_node":null,"blocks":{"global":{"2":{}}}}"#),
        (503, r#"{"error":{"type":"master_not_discovered_exception"},"status":503}"#),
        (200, r#"{"cluster_uuid":"somebody-else","master_node":"n"}"#),
    ] {
        fake.now(probes(status, body));
        answers(&through, &path, "backup", DOWN * 2).await.expect(200);
        fake.now(|_| FakeAnswer::real());
        answers(&through, &path, "primary", SOON).await.expect(200);
    }
    // One failed probe, again and again: no flapping.
    let mut count = 0;
    fake.now(move |request| {
        count += usize::from(is_probe(request));
        if is_probe(request) && count % 2 == 0 { FakeAnswer::json(503, "{}") } else { FakeAnswer::real() }
    });
    for _ in 0..3 {
        probed_often(&fake).await;
        assert_eq!(through.get(&path).await.expect(200).header("understudy-cluster"), "primary");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_took_the_backups_place_answers_nothing() {
    let servers = Servers::take().await;
    let (stage, fake, gateway, path) = behind("another backup", "backup").await;
    servers.kill("primary").await;
    let through = stage.through(&gateway);
    answers(&through, &path, "backup", DOWN).await.expect(200);
    fake.now(|request| {
        let other = r#"{"cluster_uuid":"somebody-else","master_node":"n"}"#;
        if is_probe(request) { FakeAnswer::json(200, other) } else { FakeAnswer::real() }
    });
    let refused = async || {
        let reply = through.get(&path).await;
        let reason = reply.text();
        if reply.status == 503 && reason.contains("somebody-else") { Ok(()) } else { Err(reason) }
    };
    eventually(Duration::from_secs(10), "it is told apart", refused).await;
    fake.now(|_| FakeAnswer::real());
    answers(&through, &path, "backup", SOON).await.expect(200);
}

/// Connections stand and nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_primary_is_down() {
    let servers = Servers::take().await;
    let stage = Stage::new("frozen primary");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = format!("/{index}/_doc/1");
    through.put(&path, "{}").await.expect(201);
    stage.assert_converges(&index).await;
    is_ready(&gateway).await;
    servers.freeze("primary");
    let down = async || gateway.metric("understudy_cluster_up", &[("cluster", "primary")]).await == 0.0;
    eventually(Duration::from_secs(6), "it counts as down", down).await;
    answers(&through, &path, "backup", DOWN).await.expect(200);
    servers.thaw("primary");
    answers(&through, &path, "primary", SOON).await.expect(200);
}

/// One node of three is left, which answers and has no master.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_master_is_no_primary() {
    let _servers = Servers::take().await;
    let nodes = Nodes::take().await;
    let stage = Stage::new("no elected master").set("clusters.primary.urls", vec![nodes.address(1)]);
    let index = stage.index("i");
    nodes.create_index(&index, 1).await;
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, path) = (stage.through(&gateway), format!("/{index}/_doc/1"));
    through.put(&path, "{}").await.expect(201);
    stage.wait_drained().await;
    is_ready(&gateway).await;
    nodes.kill(2).await;
    nodes.kill(3).await;
    answers(&through, &path, "backup", SOON).await.expect(200);
    nodes.http(1).get("/").await.expect(200);
    let reason = through.get("/_cat/nodes").await.expect(503).text();
    assert!(reason.contains("it has no elected master"), "{reason}");
    nodes.restart(2).await;
    answers(&through, &path, "primary", SOON).await.expect(200);
    nodes.restart(3).await;
}
