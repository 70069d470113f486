//! Lag from Kafka alone, beside what Kafka's own tools would say.

use std::{collections::HashMap, time::Duration};

use understudy_common::{
    config::Config,
    lag::{TargetLag, measure},
};
use understudy_tests::{Servers, Stage, eventually};

use crate::SOON;

async fn lag(stage: &Stage) -> TargetLag {
    let config = Config::load_with(&stage.config(), HashMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
    let (topic, group) = (stage.topic("target.backup"), stage.group());
    let measured = tokio::task::spawn_blocking(move || measure(&config.kafka, &topic, &group)).await;
    measured.expect("no panic").unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_is_what_kafka_says() {
    // No other test of this binary kills servers meanwhile.
    let _servers = Servers::take().await;
    let stage = Stage::new("lag from Kafka");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let none = lag(&stage).await;
    assert_eq!((none.records, none.seconds, none.partitions.len()), (0, 0.0, 3));
    for id in 0..9 {
        through.put(&format!("/{index}/_doc/{id}"), "{}").await.expect(201);
    }
    let all = lag(&stage).await;
    assert_eq!((all.records, all.records), (9, stage.lag().await));
    assert!(all.partitions.values().all(|partition| partition.committed.is_none() && !partition.has_gap()), "{all:?}");
    let older = async || lag(&stage).await.seconds > all.seconds + 1.0;
    eventually(SOON, "it grows older", older).await;

    let mut consumer = stage.consumer().await;
    stage.wait_drained().await;
    let done = lag(&stage).await;
    assert_eq!((done.records, done.seconds), (0, 0.0), "{done:?}");
    consumer.stop().await;
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(200);
    let late = lag(&stage).await;
    assert!(late.records == 1 && late.seconds < 10.0, "only what is not applied counts: {late:?}");
    let (partition, behind) = late.partitions.iter().find(|(_, lag)| lag.records > 0).expect("one is behind");
    let record = stage.records("target.backup").await.into_iter().rfind(|record| record.partition == *partition);
    assert_eq!(behind.oldest_ms, record.map(|record| record.timestamp));

    // What retention took is a gap.
    let topic = stage.topic("target.backup");
    stage.kafka().delete_records(&topic, *partition, behind.high).await.expect("they are deleted");
    let gap = async || lag(&stage).await.partitions[partition].has_gap();
    eventually(Duration::from_secs(20), "the gap is told", gap).await;
}
