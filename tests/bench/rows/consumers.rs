//! Rows d and e: what a consumer takes, against a bulk of the same documents.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use understudy_tests::{Http, Stage};

use super::{index, micros_each, stage};
use crate::{
    Size, cpu,
    documents::Documents,
    null::NullCluster,
    table::{Spread, Table, short},
};

const BULK: u64 = 500;
/// Clients that write bulks of the same documents: of 1 to 4, two were quickest on two processors.
const CLIENTS: u64 = 2;
const DRAINED: Duration = Duration::from_secs(300);
/// Documents a second that arrive meanwhile.
const ARRIVE: u64 = 500;
const ARRIVE_BULK: u64 = 50;

pub async fn measure(table: &mut Table, size: Size) {
    let count = (size.thousands / 10).max(10) * 1_000;
    let (mut direct, mut drained, mut caught) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds.min(3) {
        let stage = stage(&format!("bench consumer {round}"));
        let name = stage.index("direct");
        index(&stage.backup(), &name).await;
        direct.push(written(&stage.backup(), &name, count).await);
        stage.backup().delete(&format!("/{name}")).await.expect(200);
        drained.push(drain(&stage, count, false).await);
        let stage = self::stage(&format!("bench catch-up {round}"));
        caught.push(drain(&stage, count, true).await);
    }
    let (direct, drained, caught) = (Spread::of(direct), Spread::of(drained), Spread::of(caught));
    table.tell('d', "direct bulks: documents a second", direct);
    table.tell('d', "consumer: documents a second", drained);
    let ratio = drained.median / direct.median;
    table.judge('d', "consumer : direct", short(ratio), "≥ 0.95", ratio >= 0.95);
    table.tell('e', "catch-up while 500 a second arrive: documents a second", caught);
    let ratio = caught.median / drained.median;
    table.judge('e', "catch-up : consumer alone", short(ratio), "≥ 0.8", ratio >= 0.8);

    let micros = Spread::of(to_null(size).await);
    table.judge('d', "consumer to a null target: µs of processor time a document", micros, "≤ 8", micros.median <= 8.0);
}

/// Bulks of new documents, as quick as a server takes them: documents a second.
async fn written(http: &Http, index: &str, count: u64) -> f64 {
    let documents = Arc::new(Documents::new());
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (http, documents, path) = (http.clone(), documents.clone(), format!("/{index}/_bulk"));
        clients.spawn(async move {
            for _ in 0..count / BULK / CLIENTS {
                http.post(&path, documents.bulk(BULK)).await.expect(200);
            }
        });
    }
    clients.join_all().await;
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Has a consumer drain a backlog: documents a second.
async fn drain(stage: &Stage, count: u64, more_arrive: bool) -> f64 {
    let gateway = stage.gateway().await;
    let (through, name) = (stage.through(&gateway), stage.index("bench"));
    index(&through, &name).await;
    written(&through, &name, count).await;
    // Its first document makes the index there.
    let consumer = stage.consumer().await;
    let begun = Instant::now();
    let (mut arrived, documents) = (0, Documents::from(count));
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(ARRIVE / ARRIVE_BULK).expect("small"));
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let applied = async || consumer.metric("understudy_effects_total", &[]).await as u64;
    while applied().await < count + arrived {
        assert!(begun.elapsed() < DRAINED, "{} of {} are applied", applied().await, count + arrived);
        pace.tick().await;
        // At the end it keeps up with what arrives.
        if more_arrive && applied().await + ARRIVE < count {
            through.post(&format!("/{name}/_bulk"), documents.bulk(ARRIVE_BULK)).await.expect(200);
            arrived += ARRIVE_BULK;
        }
    }
    let rate = (count + arrived) as f64 / begun.elapsed().as_secs_f64();
    for cluster in [stage.primary(), stage.backup()] {
        cluster.delete(&format!("/{name}")).await;
    }
    rate
}

/// Processor time of a consumer for each document, where the target takes none.
async fn to_null(size: Size) -> Vec<f64> {
    let stage = stage("bench consumer null");
    let (primary, backup) = (NullCluster::before(stage.primary()).await, NullCluster::before(stage.backup()).await);
    let stage = stage.with_cluster("primary", primary.address()).with_cluster("backup", backup.address());
    let gateway = stage.gateway().await;
    let (through, name) = (stage.through(&gateway), stage.index("bench"));
    index(&through, &name).await;
    let count = size.thousands * 1_000 / 5;
    let mut micros = Vec::new();
    let mut consumer = stage.consumer().await;
    for _ in 0..size.rounds.min(3) {
        consumer.stop().await;
        let before = backup.documents();
        written(&through, &name, count).await;
        consumer.restart().await;
        let begun = (Instant::now(), cpu::time(&[consumer.pid()]));
        while backup.documents() - before < count {
            assert!(begun.0.elapsed() < DRAINED, "{} of {count} are applied", backup.documents() - before);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        micros.push(micros_each(cpu::time(&[consumer.pid()]) - begun.1, count));
    }
    micros
}
