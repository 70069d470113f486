//! A stage that is watched, and faults: everything that is asked is answered, and shows what happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use understudy_tests::{Http, Process, Servers, Stage};

use crate::{SOON, instance, prometheus::Prometheus, questions::Questions};

/// A document every so often, whatever is said to it, until it goes out of scope.
struct Writing(Arc<AtomicBool>);

impl Writing {
    fn to(through: Http, index: &str) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let (goes_on, path) = (on.clone(), format!("/{index}/_doc/"));
        tokio::spawn(async move {
            let mut number = 0;
            while goes_on.load(Ordering::Relaxed) {
                number += 1;
                // It may be refused, and the gateway may be gone: that is what is watched.
                let call = through.request("PUT", &format!("{path}{number}")).body("{}").within(Duration::from_secs(5));
                let _ = call.send().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self(on)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// One of everything that clients ask.
async fn ask_everything(through: &Http, index: &str) {
    through.put(&format!("/{index}"), json!({"mappings": {"dynamic": false}}).to_string()).await.expect(200);
    through.put(&format!("/{index}/_doc/a"), "{}").await.expect(201);
    let bulk = "{\"index\":{\"_id\":\"b\"}}\n{}\n{\"delete\":{\"_id\":\"a\"}}\n";
    through.post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    through.get(&format!("/{index}/_doc/b")).await.expect(200);
    through.post(&format!("/{index}/_delete_by_query"), "{}").await.expect(501);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_answered_and_follows_what_happens() {
    let servers = Servers::take().await;
    let stage = Stage::new("watched")
        .set("kafka.partitions", 2)
        // A target that hangs is noticed soon.
        .set("consumer.target_timeout", "2s");
    let (mut gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let stage = stage.with_certificate(|_| {});
    let mut encrypted = stage.gateway_that_answers().await;
    let prometheus = Prometheus::watch(&stage, &[&gateway, &encrypted], &[&consumer]).await;
    let index = stage.index("i");
    ask_everything(&stage.through(&gateway), &index).await;
    let writing = Writing::to(stage.through(&gateway), &index);

    all_is_answered(&prometheus).await;
    the_target_hangs(&prometheus, &servers).await;
    kafka_dies(&prometheus, &servers).await;
    processes_die(&prometheus, &mut gateway, &mut encrypted, &mut consumer).await;
    drop(writing);
}

async fn all_is_answered(prometheus: &Prometheus) {
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 1.0).await;
    let questions = Questions::all(prometheus).await;
    // Rates want two scrapes, and what is recorded its turn.
    let answered = async || {
        let faults = questions.unanswered(prometheus).await;
        if faults.is_empty() { Ok(()) } else { Err(format!("{faults:#?}")) }
    };
    understudy_tests::eventually(SOON, "all that is asked is answered", answered).await;

    // Whatever name were another one, somebody would ask for nothing.
    let metrics = questions.metrics();
    assert!(metrics.len() > 50, "{metrics:?}");
    for metric in ["understudy_lag_seconds", "understudy_refusals_total", "understudy_certificate_not_after_seconds"] {
        assert!(metrics.contains(metric), "{metric} is not asked for");
        let faults = questions.renamed(metric, &format!("{metric}_of_old")).unanswered(prometheus).await;
        assert!(faults.values().any(|fault| *fault == "is nowhere"), "{metric}: {faults:?}");
    }
    let firing = prometheus.query("ALERTS{alertstate=\"firing\", severity=\"critical\"}").await;
    assert!(firing.is_empty(), "{firing:?}");
}

/// Lag rises by the clock while the target hangs, and is gone when it goes on.
async fn the_target_hangs(prometheus: &Prometheus, servers: &Servers) {
    let lag = "target:understudy_lag_seconds:max{target=\"backup\"}";
    prometheus.becomes(SOON, lag, |lag| lag < 3.0).await;
    servers.freeze("backup");
    prometheus.becomes(SOON, lag, |lag| lag > 6.0).await;
    prometheus.becomes(SOON, &format!("deriv({lag}[4s])"), |rise| (0.5..1.5).contains(&rise)).await;
    prometheus.becomes(SOON, "target:understudy_lag_records:sum", |records| records > 5.0).await;
    prometheus.becomes(SOON, "min(understudy_target_up)", |up| up == 0.0).await;
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 0.0).await;
    prometheus.becomes(SOON, "min(understudy_cluster_up{cluster=\"backup\"})", |up| up == 0.0).await;
    prometheus.alerts(SOON, "UnderstudyTargetDown").await;
    let headroom = "min(understudy_retention_headroom_seconds)";
    prometheus.becomes(SOON, &format!("deriv({headroom}[4s:1s])"), |fall| (-1.5..-0.5).contains(&fall)).await;
    prometheus.becomes(SOON, lag, |lag| lag > 30.0).await;
    prometheus.becomes(SOON, "target:understudy_behind:bool", |behind| behind == 1.0).await;
    prometheus.alerts(SOON, "UnderstudyStandbyBehind").await;
    prometheus.alerts(SOON, "UnderstudyLagNotFalling").await;
    servers.thaw("backup");
    prometheus.becomes(SOON, lag, |lag| lag < 3.0).await;
    prometheus.becomes(SOON, "min(understudy_target_up)", |up| up == 1.0).await;
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 1.0).await;
}

/// Writes are refused while Kafka is down.
async fn kafka_dies(prometheus: &Prometheus, servers: &Servers) {
    let refused = "sum(rate(understudy_refusals_total{reason=\"replication_unavailable_exception\"}[10s]))";
    prometheus.becomes(SOON, refused, |refusals| refusals == 0.0).await;
    servers.kill("kafka").await;
    prometheus.becomes(SOON, "max(understudy_kafka_up)", |up| up == 0.0).await;
    prometheus.becomes(SOON, refused, |refusals| refusals > 0.0).await;
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 0.0).await;
    prometheus.alerts(SOON, "UnderstudyKafkaDown").await;
    prometheus.alerts(SOON, "UnderstudyWritesRefused").await;
    servers.start("kafka").await;
    prometheus.becomes(SOON, "min(understudy_kafka_up)", |up| up == 1.0).await;
    prometheus.becomes(SOON, refused, |refusals| refusals == 0.0).await;
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 1.0).await;
}

/// One gateway, then both, then the only consumer.
async fn processes_die(
    prometheus: &Prometheus,
    gateway: &mut Process,
    encrypted: &mut Process,
    consumer: &mut Process,
) {
    let up = format!("up{{job=\"understudy-gateway\", instance=\"{}\"}}", instance(encrypted));
    prometheus.becomes(SOON, &up, |up| up == 1.0).await;
    encrypted.kill();
    prometheus.becomes(SOON, &up, |up| up == 0.0).await;
    prometheus.alerts(SOON, "UnderstudyProcessDown").await;
    assert_eq!(prometheus.value("absent(up{job=\"understudy-gateway\"} == 1)").await, None, "the other one is up");
    consumer.kill();
    prometheus.becomes(SOON, "target:understudy_partitions_assigned:sum", |partitions| partitions == 0.0).await;
    prometheus.alerts(SOON, "UnderstudyNoConsumers").await;
    prometheus.becomes(SOON, "target:understudy_ready:bool", |ready| ready == 0.0).await;
    gateway.kill();
    prometheus.alerts(SOON, "UnderstudyNoGateway").await;
}
