//! Rows g and h: memory, start, and size.

use std::time::Duration;

use bytes::Bytes;
use tokio::{task::JoinSet, time::Instant};
use understudy_tests::programs;

use super::{index, millis, stage};
use crate::{
    Size, cpu,
    documents::Documents,
    null::NullCluster,
    table::{Spread, Table},
};

const MIB: f64 = (1 << 20) as f64;
/// The default of `gateway.bytes_in_flight`, in MiB.
const BUDGET: f64 = 512.0;
const AT_ONCE: usize = 64;
const LARGE: u64 = 10 << 20;
const STARTS: usize = 7;

pub async fn measure(table: &mut Table, size: Size) {
    let stage = stage("bench resources");
    let (primary, backup) = (NullCluster::before(stage.primary()).await, NullCluster::before(stage.backup()).await);
    let stage = stage.with_cluster("primary", primary.address()).with_cluster("backup", backup.address());
    let mut gateway = stage.gateway().await;
    let (through, name) = (stage.through(&gateway), stage.index("bench"));
    index(&through, &name).await;

    let documents = Documents::new();
    let body: Bytes = documents.bulk(LARGE / 1_060);
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (through, path, body) = (through.clone(), format!("/{name}/_bulk"), body.clone());
        clients.spawn(async move { through.post(&path, body).await.status });
    }
    let statuses = clients.join_all().await;
    let taken = statuses.iter().filter(|status| **status == 200).count();
    let most = cpu::most_memory(gateway.pid()) as f64 / MIB;
    table.tell(
        'g',
        "64 bulks of 10 MB at once: taken, and refused with 429",
        format!("{taken}, {}", statuses.iter().filter(|status| **status == 429).count()),
    );
    table.judge('g', "gateway: MiB at most", crate::table::short(most), "≤ 612", most <= BUDGET + 100.0);

    let count = size.thousands * 1_000;
    for _ in 0..count / 1_000 {
        through.post(&format!("/{name}/_bulk"), documents.bulk(1_000)).await.expect(200);
    }
    let consumer = stage.consumer().await;
    let applied = async || consumer.metric("understudy_effects_total", &[]).await as u64;
    let begun = Instant::now();
    while applied().await < count {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} of {count} are applied", applied().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let most = cpu::most_memory(consumer.pid()) as f64 / MIB;
    let what = format!("consumer that drains {} thousand documents: MiB at most", size.thousands);
    table.judge('g', &what, crate::table::short(most), "≤ 300", most <= 300.0);

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        gateway.stop().await;
        let begun = Instant::now();
        gateway.restart().await;
        starts.push(millis(begun.elapsed()));
    }
    let starts = Spread::of(starts);
    table.judge('h', "gateway: ms from start until it takes writes", starts, "≤ 300", starts.median <= 300.0);
    for program in ["understudy-gateway", "understudy-consumer", "understudy"] {
        let bytes = std::fs::metadata(programs().join(program)).expect("it was built").len() as f64 / MIB;
        table.judge('h', &format!("{program}: MiB"), crate::table::short(bytes), "≤ 25", bytes <= 25.0);
    }
}
