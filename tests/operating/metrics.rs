//! What gateways and consumers show at `/metrics`: just what the manual says, and it moves with what happens.

use std::time::Duration;

use rcgen::date_time_ymd;
use serde_json::json;
use understudy_tests::{Process, Stage, eventually};

use crate::manual::{Manual, Shown};

const SOON: Duration = Duration::from_secs(30);

async fn shown(who: &'static str, whole: &'static [&'static str], process: &Process) -> Shown {
    Shown { who, whole, text: process.admin().get("/metrics").await.expect(200).text().to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_what_the_manual_says_and_move() {
    let stage = Stage::new("metrics").set("kafka.partitions", 2);
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = |rest: &str| format!("/{index}/{rest}");

    // One of each class, and some that are refused.
    through.put(&path(""), json!({"mappings": {"dynamic": false}}).to_string()).await.expect(200);
    through.put(&path("_doc/1"), "{}").await.expect(201);
    through.put(&path("_doc/2"), "{}").await.expect(201);
    through.delete(&path("_doc/2")).await.expect(200);
    let bulk = "{\"index\":{\"_id\":\"3\"}}\n{}\n{\"delete\":{\"_id\":\"1\"}}\n";
    through.post(&path("_bulk"), bulk).await.expect(200);
    through.get(&path("_doc/3")).await.expect(200);
    through.post(&path("_bulk"), "{\"index\":\n").await.expect(400);
    through.post(&path("_delete_by_query"), "{}").await.expect(501);
    let metrics = gateway.metrics().await;
    for (name, labels, count) in [
        ("understudy_requests_total", &[("class", "document"), ("status", "201")][..], 2.0),
        ("understudy_requests_total", &[("class", "bulk"), ("status", "400")], 1.0),
        ("understudy_requests_total", &[("class", "refused"), ("status", "501")], 1.0),
        ("understudy_request_seconds_count", &[("class", "index"), ("status", "2xx")], 1.0),
        ("understudy_request_seconds_count", &[("class", "pass"), ("status", "2xx")], 1.0),
        ("understudy_refusals_total", &[("reason", "illegal_argument_exception")], 1.0),
        ("understudy_refusals_total", &[("reason", "not_replicated_exception")], 1.0),
        ("understudy_effects_published_total", &[("kind", "put")], 3.0),
        ("understudy_effects_published_total", &[("kind", "delete")], 2.0),
        ("understudy_publish_seconds_count", &[("target", "backup")], 4.0),
        ("understudy_ticket_seconds_count", &[], 4.0),
        ("understudy_guard_seconds_count", &[], 4.0),
        ("understudy_primary_seconds_count", &[], 4.0),
        ("understudy_publish_failures_total", &[], 0.0),
        ("understudy_void_effects_total", &[("target", "backup")], 0.0),
        ("understudy_kafka_up", &[], 1.0),
    ] {
        assert_eq!(metrics.sum(name, labels), count, "{name} {labels:?}");
    }
    assert!(metrics.sum("understudy_schemas_published_total", &[]) >= 1.0);
    let settled = async || {
        let metrics = gateway.metrics().await;
        metrics.sum("understudy_open_intents", &[]) == 0.0
            && metrics.sum("understudy_oldest_open_intent_seconds", &[]) == 0.0
    };
    eventually(SOON, "no intent of the gateway is open", settled).await;

    // What the target got.
    stage.wait_drained().await;
    let applied = async || {
        let metrics = consumer.metrics().await;
        let effects = |verdicts: &[&str]| -> f64 {
            let done = |verdict| metrics.sum("understudy_effects_total", &[("target", "backup"), ("verdict", verdict)]);
            verdicts.iter().map(|verdict| done(*verdict)).sum()
        };
        let known = |name| metrics.sum(name, &[("target", "backup")]);
        let said = [
            // Of several effects of a document in one batch the greatest is enough.
            ("done", effects(&["applied", "collapsed", "superseded", "stale"]) == 5.0),
            ("applied", effects(&["applied"]) >= 1.0),
            ("retried", effects(&["retried", "blocked", "void", "dead_letter"]) == 0.0),
            ("bulks", metrics.sum("understudy_bulks_total", &[("outcome", "answered")]) >= 1.0),
            ("latency", known("understudy_bulk_seconds_count") >= 1.0),
            ("sizes", known("understudy_bulk_bytes_sum") > 50.0 && known("understudy_bulk_actions_sum") >= 3.0),
            ("window", known("understudy_window_documents") >= 3.0),
            ("partitions", known("understudy_partitions_assigned") == 2.0),
            // The two effects of the bulk may share a record.
            ("end", (4.0..=5.0).contains(&known("understudy_end_offset"))),
            ("committed", known("understudy_committed_offset") == known("understudy_end_offset")),
            ("headroom", metrics.sum("understudy_retention_headroom_seconds", &[("partition", "1")]) > 3_600.0),
            ("lag", known("understudy_lag_records") == 0.0 && known("understudy_oldest_unapplied_seconds") == 0.0),
        ];
        let missing: Vec<_> = said.into_iter().filter(|(_, holds)| !holds).map(|(what, _)| what).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} do not hold")) }
    };
    eventually(SOON, "the consumer says what became of them", applied).await;

    let stage = stage.with_certificate(|params| params.not_after = date_time_ymd(2031, 1, 1));
    let encrypted = stage.gateway_that_answers().await;
    let end = encrypted.metric("understudy_certificate_not_after_seconds", &[("section", "gateway.tls")]).await;
    assert_eq!(end, 1_924_992_000.0);

    let of_gateways = &["of gateways", "of gateways and consumers"];
    let all = [
        shown("gateway", of_gateways, &gateway).await,
        shown("gateway", of_gateways, &encrypted).await,
        shown("consumer", &["of consumers", "of gateways and consumers"], &consumer).await,
    ];
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("the README");
    let faults = Manual::read(&readme).faults(
        &all,
        &[
            ("target", &["backup"]),
            ("cluster", &["primary", "backup"]),
            ("partition", &["0", "1"]),
            ("section", &["gateway.tls", "clusters.primary", "clusters.backup"]),
            ("version", &[env!("CARGO_PKG_VERSION")]),
        ],
    );
    assert!(faults.is_empty(), "{faults:#?}");
}
