//! A Kafka of three brokers: what the death of one costs, and that of two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;
use understudy_tests::{Brokers, Http, Stage, eventually};

const WITHIN: Duration = Duration::from_secs(60);
/// More than a broker's session (3 s) and the election that follows.
const DEADLINE: &str = "12s";
const WRITERS: usize = 6;

/// What the writers were told: ids of acknowledged documents, and everything that was no acknowledgement.
struct Told {
    acknowledged: Vec<String>,
    otherwise: Vec<String>,
}

/// Applications that write one document after the other.
struct Writers {
    tasks: JoinSet<Told>,
    end: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
}

impl Writers {
    fn start(through: &Http, index: &str, name: &str) -> Self {
        let (mut tasks, end, written) = (JoinSet::new(), Arc::new(AtomicBool::new(false)), Arc::default());
        for writer in 0..WRITERS {
            let (through, index, name) = (through.clone(), index.to_owned(), name.to_owned());
            let (end, written): (Arc<AtomicBool>, Arc<AtomicUsize>) = (end.clone(), Arc::clone(&written));
            tasks.spawn(async move {
                let mut told = Told { acknowledged: Vec::new(), otherwise: Vec::new() };
                for number in 0.. {
                    if end.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("{name}-{writer}-{number}");
                    let call = through.request("PUT", &format!("/{index}/_doc/{id}")).within(WITHIN);
                    match call.body(json!({"w": id}).to_string()).send().await {
                        Ok(reply) if reply.status == 201 => told.acknowledged.push(id),
                        Ok(reply) => told.otherwise.push(format!("{} to {id}: {reply}", reply.status)),
                        Err(error) => told.otherwise.push(format!("{id}: {error}")),
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                told
            });
        }
        Self { tasks, end, written }
    }

    /// Waits until so many more documents were answered.
    async fn more(&self, documents: usize) {
        let until = self.written.load(Ordering::Relaxed) + documents;
        let reached = async || self.written.load(Ordering::Relaxed) >= until;
        eventually(WITHIN, "the writers go on", reached).await;
    }

    async fn ended(mut self) -> Told {
        self.end.store(true, Ordering::Relaxed);
        let mut all = Told { acknowledged: Vec::new(), otherwise: Vec::new() };
        while let Some(told) = self.tasks.join_next().await {
            let told = told.expect("a writer ends well");
            all.acknowledged.extend(told.acknowledged);
            all.otherwise.extend(told.otherwise);
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_of_three_costs_nothing_and_two_no_acknowledged_write() {
    let brokers = Brokers::start().await;
    let stage = Stage::new("three brokers")
        .with_brokers(&brokers.addresses())
        .set("kafka.replication_factor", 3)
        .set("kafka.min_insync_replicas", 2)
        .set("gateway.intent_timeout", DEADLINE)
        .set("gateway.publish_timeout", DEADLINE)
        .set("gateway.primary_timeout", "20s")
        .set("consumer.reconcile_after", "2s");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/first"), "{\"n\":1}").await.expect(201);

    // What it led is led by another one.
    let writers = Writers::start(&through, &index, "one");
    writers.more(60).await;
    brokers.kill(2).await;
    writers.more(300).await;
    brokers.restart(2).await;
    writers.more(60).await;
    let told = writers.ended().await;
    assert!(told.otherwise.is_empty(), "a broker was killed: {:?}", told.otherwise);
    stage.assert_converges(&index).await;
    there(&stage, &index, &told.acknowledged).await;

    // The two others: what is not acknowledged by two is not acknowledged at all.
    let writers = Writers::start(&through, &index, "two");
    writers.more(60).await;
    brokers.kill(1).await;
    brokers.kill(3).await;
    let refused = async || {
        let reply = through.request("PUT", &format!("/{index}/_doc/late")).within(WITHIN).body("{}").send().await?;
        let text = reply.text();
        if reply.status == 503 && text.contains("nothing was written") { Ok(()) } else { Err(text) }
    };
    eventually(WITHIN, "writes are refused", refused).await;
    let told = writers.ended().await;
    assert!(told.otherwise.iter().all(|other| other.starts_with('5')), "{:?}", told.otherwise);
    assert!(!told.otherwise.is_empty(), "two brokers are missing, and nobody noticed");
    let primary = stage.primary();
    primary.get(&format!("/{index}/_doc/late")).await.expect(404);

    brokers.restart_all().await;
    let taken = async || {
        let reply = through.request("PUT", &format!("/{index}/_doc/again")).within(WITHIN).body("{}").send().await?;
        if reply.status < 300 { Ok(()) } else { Err(reply.to_string()) }
    };
    eventually(WITHIN, "writes are taken again", taken).await;
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    there(&stage, &index, &told.acknowledged).await;
}

/// Every one of these documents is on the backup.
async fn there(stage: &Stage, index: &str, ids: &[String]) {
    assert!(!ids.is_empty());
    for some in ids.chunks(500) {
        let reply =
            stage.backup().post(&format!("/{index}/_mget?_source=false"), json!({"ids": some}).to_string()).await;
        let found = reply.expect(200).json();
        let documents = found["docs"].as_array().cloned().unwrap_or_default();
        let missing: Vec<_> = documents.iter().filter(|one| one["found"] != true).map(|one| &one["_id"]).collect();
        assert!(documents.len() == some.len() && missing.is_empty(), "acknowledged and missing: {missing:?}");
    }
}
