//! Writes whose requests do not hold what the primary stored, and gateways that stop in the middle of one: what the targets
//! get is what the primary has.

mod frozen;
mod pipelines;
mod settled;
mod written;

use std::time::Duration;

use serde_json::{Value, json};
use understudy_tests::{Http, Stage};

/// A stage whose times are short enough for a test to see an intent's whole life.
fn stage(name: &str) -> Stage {
    Stage::new(name)
        .set("protocol.ticket_lifetime", "12s")
        .set("protocol.clock_skew", "1s")
        .set("protocol.linger", "4s")
        .set("protocol.stale_primary", "4s")
        .set("protocol.settle_after", "1s")
        .set("gateway.intent_timeout", "2s")
        .set("gateway.primary_timeout", "5s")
        .set("gateway.publish_timeout", "4s")
        .set("consumer.reconcile_after", "1s")
}

/// An ingest pipeline of this stage.
async fn pipeline(stage: &Stage, name: &str, processors: Value) -> String {
    let name = stage.index(name);
    let body = json!({"processors": processors}).to_string();
    stage.primary().put(&format!("/_ingest/pipeline/{name}"), body).await.expect(200);
    name
}

/// The source of a document, or null.
async fn source(cluster: &Http, index: &str, id: &str) -> Value {
    cluster.get(&format!("/{index}/_doc/{id}")).await.json()["_source"].take()
}

/// The headers `understudy-lines` of every record of effects.
async fn lines(stage: &Stage) -> Vec<String> {
    let records = stage.records("target.backup").await.into_iter();
    records.map(|record| record.headers.get("understudy-lines").cloned().unwrap_or_default()).collect()
}

/// Long enough for anything that must not happen before to be seen, had it happened.
const PATIENCE: Duration = Duration::from_secs(40);
