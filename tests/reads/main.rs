//! Reads while the primary is down: one test after another, for servers die here.

mod answered;
mod health;
mod lag;

use std::time::Duration;

use understudy_tests::{Http, Process, Reply, Stage, eventually};

/// A cluster that was killed counts as down within this.
const DOWN: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(60);

/// Waits until the gateway has recorded which cluster the backup is, and has found it well.
async fn is_ready(gateway: &Process) {
    let ready = async || gateway.metric("understudy_cluster_up", &[("cluster", "backup")]).await == 1.0;
    eventually(SOON, "the backup may answer reads", ready).await;
}

/// Waits until a cluster answers `path`.
async fn answers(through: &Http, path: &str, cluster: &str, within: Duration) -> Reply {
    let answered = async || {
        let reply = through.get(path).await;
        if reply.header("understudy-cluster") == cluster { Ok(reply) } else { Err(reply.to_string()) }
    };
    eventually(within, &format!("{cluster} answers {path}"), answered).await
}

/// A stage whose only placement has every index.
fn everything(name: &str) -> Stage {
    Stage::new(name)
        .set_raw("placements", "[{name = \"stage\", indices = \"*\", primary = \"primary\", targets = [\"backup\"]}]")
}
