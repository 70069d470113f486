//! Writes that nobody finished: consumers read their documents back, publish them, and settle their intents. One test after
//! another, for some kill the servers.

mod documents;
mod many;
mod owners;
mod primary;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use understudy_tests::{Record, Stage, eventually};

/// Long enough for every time below.
const SOON: Duration = Duration::from_secs(60);
/// The linger time, the time within which a request is sent, and what clocks may differ: no intent is settled by what was
/// seen before it is as old.
const LAST_LOOK_MS: i64 = 6_000;

/// A stage of short times. A gateway ran: the primary is recorded.
async fn stage(name: &str) -> Stage {
    let stage = with_short_times(Stage::new(name));
    drop(stage.gateway().await);
    stage
}

fn with_short_times(stage: Stage) -> Stage {
    stage
        .set("protocol.linger", "3s")
        .set("protocol.stale_primary", "3s")
        .set("protocol.ticket_lifetime", "20s")
        .set("protocol.clock_skew", "1s")
        .set("protocol.settle_after", "500ms")
        .set("gateway.intent_timeout", "2s")
        .set("gateway.primary_timeout", "5s")
        .set("gateway.publish_timeout", "5s")
        .set("consumer.reconcile_after", "1s")
        // A member that died is missed as soon as Kafka allows.
        .set("kafka.options.\"session.timeout.ms\"", "6000")
}

/// An intent as a gateway leaves it that dies after its ticket.
fn intent(documents: Value) -> Value {
    json!({
        "format": 1,
        "gateway": "gateway-that-died",
        "epoch": 1,
        "primary": "primary",
        "targets": ["backup"],
        "documents": documents,
    })
}

async fn leave_open(stage: &Stage, request: &str, intent: &Value) {
    stage.append("intents", request, intent.to_string().as_bytes(), &[]).await;
}

/// The records of each intent, in order; without tickets for looks.
async fn intents(stage: &Stage) -> BTreeMap<String, Vec<Record>> {
    let mut intents: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in stage.records("intents").await {
        if !record.key_text().starts_with("look/") {
            intents.entry(record.key_text()).or_default().push(record);
        }
    }
    intents
}

/// The age at which each intent was settled, in milliseconds of the broker's clock.
async fn ages(stage: &Stage) -> BTreeMap<String, i64> {
    let intents = intents(stage).await;
    let age = |records: Vec<Record>| {
        let settled = records.iter().find(|record| record.value.is_none())?;
        Some(settled.timestamp - records[0].timestamp)
    };
    intents.into_iter().filter_map(|(request, records)| Some((request, age(records)?))).collect()
}

/// What was published for a request: `put` or `delete`, index and id, in order; all of it by observation.
async fn published(stage: &Stage, request: &str) -> Vec<String> {
    let mut published = Vec::new();
    for record in stage.records("target.backup").await {
        if record.headers["understudy-request"] != request {
            continue;
        }
        let lines: Value = serde_json::from_str(&record.headers["understudy-lines"]).expect("lines of the record");
        let actions = record.lines();
        let mut actions = actions.iter();
        let mut line = 0;
        while let Some(action) = actions.next() {
            assert_eq!(lines[line.to_string()]["observed"], true, "{lines}");
            line += 1;
            let (name, target) = action.as_object().and_then(|action| action.iter().next()).expect("an action");
            if name == "index" {
                actions.next();
            }
            published.push(format!("{name} {}", target["_id"].as_str().unwrap_or_default()));
        }
    }
    published
}

/// Waits until the reconcilers' group has committed everything: nothing is open in Kafka's own account.
async fn wait_committed(stage: &Stage) {
    let (group, topic) = (stage.topic("reconciler"), stage.topic("intents"));
    let committed = async || match stage.kafka().lag(&group, &topic).await {
        Ok(0) => Ok(()),
        Ok(lag) => Err(format!("{lag} records of intents are not committed")),
        Err(error) => Err(format!("{error:#}")),
    };
    eventually(SOON, "the group has committed everything", committed).await;
}
