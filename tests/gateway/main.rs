//! A gateway in front of a real primary: what passes, what is replicated, what is refused, and what a write assumes.

mod guarded;
mod hostile;
mod passing;
mod refused;
mod twins;
mod updates;
mod versions;
mod written;

use serde_json::Value;
use understudy_tests::Stage;

/// The action lines of every effect in the log.
async fn effects(stage: &Stage) -> Vec<Value> {
    let lines = stage.records("target.backup").await.into_iter().flat_map(|record| record.lines());
    lines
        .filter(|line| {
            line.as_object().is_some_and(|fields| fields.values().any(|field| !field["version_type"].is_null()))
        })
        .collect()
}
