//! A gateway whose grace is shorter than what it was given to do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;
use understudy_tests::{Process, Stage, eventually};

use crate::{bulk::Upload, ledger::Ledger, table::Table};

/// Shorter than what waits below.
const NOTICE: &str = "300ms";
const TIMEOUT: &str = "2s";
const BYTES: usize = 8 << 20;
const SOON: Duration = Duration::from_secs(30);

/// What is still on its way in is refused, what was sent to the primary is told to be of unknown outcome, and both sides end
/// equal.
pub async fn too_short(table: &mut Table) {
    let stage = Stage::new("grace too short");
    let config = short(&stage);
    let index = stage.index("i");
    let _consumer = stage.consumer().await;
    let settings = "{\"settings\":{\"number_of_shards\":1,\"number_of_replicas\":0},\"mappings\":{\"dynamic\":false}}";

    // Of the body only half is there when the time is over.
    let gateway = stage.gateway_with(&config).await;
    takes_writes(&gateway).await;
    stage.through(&gateway).put(&format!("/{index}"), settings).await.expect(200);
    let upload = Upload::begin(gateway.address(), &index, "half", BYTES).await;
    holds(&gateway, upload.held()).await;
    let (answer, code) = tokio::join!(upload.answer(), stopped(gateway));
    let written = count(&stage, &index).await;
    let open = stage.open_intents().await.len();
    table.row(
        "grace ends while a bulk is read",
        format!("{} {}, exit {code}, {written} written", answer.status, kind(&answer.body)),
        "503, exit 0, nothing written",
        answer.status == 503 && code == 0 && written == 0 && open == 0,
    );

    // The primary has it, and it is not in the log.
    let gateway = stage.gateway_with(&config).await;
    takes_writes(&gateway).await;
    let (wanted, held) = (stage.folder().join("answered"), stage.folder().join("answered.held"));
    std::fs::write(&wanted, "").expect("the stage's folder can be written");
    let upload = Upload::begin(gateway.address(), &index, "whole", BYTES).await;
    let documents = upload.len();
    let ledger = Arc::<Ledger>::default();
    let answering = tokio::spawn(async move { upload.finish(&ledger).await });
    eventually(SOON, "the primary has answered", async || held.exists()).await;
    let code = stopped(gateway).await;
    std::fs::remove_file(&wanted).expect("it was made");
    let answer = answering.await.expect("nobody panics");
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    let written = count(&stage, &index).await;
    table.row(
        "grace ends while a bulk is published",
        format!("{} {}, exit {code}", answer.status, kind(&answer.body)),
        "500, unknown, exit 0",
        answer.status == 500 && kind(&answer.body) == "outcome_unknown_exception" && code == 0,
    );
    table.row(
        "  settled by a consumer",
        format!("{written} of {documents} on both sides"),
        "all, both sides equal",
        written == documents,
    );
}

/// The stage's configuration with little patience.
fn short(stage: &Stage) -> PathBuf {
    const KEYS: [(&str, &str); 2] = [("gateway.drain_notice", NOTICE), ("gateway.drain_timeout", TIMEOUT)];
    let text = std::fs::read_to_string(stage.config()).expect("it was written");
    let others = text.lines().filter(|line| !KEYS.iter().any(|(key, _)| line.starts_with(key)));
    let lines: Vec<String> = KEYS.iter().map(|(key, value)| format!("{key} = \"{value}\"")).collect();
    // Keys outside of tables are all that a stage has.
    let text = others.map(str::to_owned).chain(lines).collect::<Vec<_>>().join("\n");
    let path = stage.folder().join("short.toml");
    std::fs::write(&path, text).expect("the stage's folder can be written");
    path
}

async fn takes_writes(gateway: &Process) {
    eventually(SOON, "it takes writes", async || gateway.metric("understudy_writes_open", &[]).await > 0.0).await;
}

/// Waits until a gateway holds so much.
pub async fn holds(gateway: &Process, bytes: usize) {
    let holds = async || gateway.metric("understudy_bytes_in_flight", &[]).await >= bytes as f64;
    eventually(SOON, "the gateway holds what was sent", holds).await;
}

async fn stopped(mut gateway: Process) -> i32 {
    gateway.stop().await.code().unwrap_or(-1)
}

fn kind(body: &Value) -> &str {
    body["error"]["type"].as_str().unwrap_or("no answer")
}

async fn count(stage: &Stage, index: &str) -> usize {
    let primary = stage.primary();
    primary.post(&format!("/{index}/_refresh"), "").await.expect(200);
    let counted = primary.get(&format!("/{index}/_count")).await.expect(200).json();
    usize::try_from(counted["count"].as_u64().expect("a number")).expect("not many")
}
