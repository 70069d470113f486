//! What is measured, by subject.

pub mod consumers;
pub mod latency;
pub mod proxies;
pub mod resources;

use std::time::Duration;

use understudy_tests::{Http, Stage};

/// Settings that are to be tried beside those of production: a line of TOML each.
const SETTINGS: &str = "SETTINGS";

/// A stage as in production, but for its servers and for what `SETTINGS` says.
pub fn stage(name: &str) -> Stage {
    // A log of every request would be most of the work; and partitions of a topic are written by one broker.
    let stage = Stage::new(name).set("log.level", "warn").set("protocol.linger", "60s").set("unplaced_writes", "pass");
    let settings = std::env::var(SETTINGS).unwrap_or_default();
    let settings = settings.lines().filter_map(|line| line.split_once('='));
    settings.fold(stage, |stage, (key, value)| stage.set_raw(key.trim(), value.trim()))
}

/// Makes an index of one shard, without copies, that is never refreshed by itself.
pub async fn index(of: &Http, name: &str) {
    let body = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"-1"},
        "mappings":{"properties":{"number":{"type":"long"},"text":{"type":"keyword","index":false,"doc_values":false}}}}"#;
    of.put(&format!("/{name}"), body).await.expect(200);
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Microseconds for each of so many.
pub fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1_000_000.0 / count as f64
}
