//! A gateway is restarted under load: its clients notice nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, Process, Stage, eventually};

use crate::wellbehaved::nothing_leaks;

/// A load balancer in a few lines: round robin over those whose `/readyz` says that they are ready.
struct Balancer {
    nodes: Vec<Node>,
    turn: AtomicUsize,
}

struct Node {
    http: Http,
    admin: Http,
    ready: AtomicBool,
}

impl Balancer {
    fn over(gateways: [&Process; 2]) -> Arc<Self> {
        let node = |gateway: &Process| Node {
            http: Http::new(gateway.address()),
            admin: gateway.admin(),
            ready: AtomicBool::new(true),
        };
        Arc::new(Self { nodes: gateways.map(node).into(), turn: AtomicUsize::new(0) })
    }

    /// Asks each node every 100 ms.
    async fn probe(&self) {
        loop {
            for node in &self.nodes {
                let asked = node.admin.request("GET", "/readyz").within(Duration::from_secs(1)).send().await;
                node.ready.store(asked.is_ok_and(|reply| reply.status == 200), Ordering::Release);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn next(&self) -> &Http {
        loop {
            let node = &self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len()];
            if node.ready.load(Ordering::Acquire) {
                return &node.http;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_no_request() {
    let stage = Stage::new("a restart under load");
    let (mut one, other) = (stage.gateway().await, stage.gateway().await);
    let index = stage.index("i");
    stage.through(&one).put(&format!("/{index}"), "{\"mappings\":{\"dynamic\":false}}").await.expect(200);
    let (balancer, stop) = (Balancer::over([&one, &other]), CancellationToken::new());
    let probing = tokio::spawn({
        let balancer = balancer.clone();
        async move { balancer.probe().await }
    });
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (balancer, stop, index) = (balancer.clone(), stop.clone(), index.clone());
        clients.spawn(async move {
            let mut written = 0;
            while !stop.is_cancelled() {
                let path = format!("/{index}/_doc/{client}-{written}");
                let reply = balancer.next().request("PUT", &path).body("{\"n\":1}").reply().await.expect(201);
                assert!(!reply.header("understudy-request-id").is_empty());
                balancer.next().get(&path).await.expect(200);
                written += 1;
            }
            written
        });
    }
    for _ in 0..2 {
        let before = other.metric("understudy_requests_total", &[]).await;
        let goes_on = async || other.metric("understudy_requests_total", &[]).await > before + 50.0;
        eventually(Duration::from_secs(20), "there is load", goes_on).await;
        assert!(one.stop().await.success(), "it drains and ends well");
        one.restart().await;
        let served = async || one.metric("understudy_requests_total", &[("status", "200")]).await > 50.0;
        eventually(Duration::from_secs(20), "it serves again", served).await;
    }
    stop.cancel();
    let mut written = 0;
    while let Some(client) = clients.join_next().await {
        written += client.expect("no request of it failed");
    }
    probing.abort();
    assert!(written > 100, "{written} documents are not much of a load");
    drop(balancer);
    // What was told to its clients is in the log, and nothing waits to be looked after.
    stage.wait_settled().await;
    let count = stage.primary().get(&format!("/{index}/_refresh")).await;
    count.expect(200);
    let counted = stage.primary().get(&format!("/{index}/_count")).await.expect(200).json();
    assert_eq!(counted["count"], written);
    nothing_leaks(&one).await;
}
