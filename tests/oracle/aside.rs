//! What goes on beside the writers that is no fault: somebody changes what an index is, and the backup forgets its deletes.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{task::JoinSet, time::Instant};
use understudy_tests::{Http, Stage};

use crate::{dice::Dice, settings::Settings, world::World};

/// How long the backup remembers a delete. A restart of a node forgets all of them at once; this is as if each of its nodes
/// were restarted all the time, so that nothing but the window stands between an old effect and what was deleted.
const REMEMBERED: &str = "100ms";

/// Who is at work. They end with the load.
pub struct Aside(JoinSet<()>);

impl Aside {
    /// Starts them.
    pub fn start(seed: u64, settings: &Settings, stage: &Stage, world: &Arc<World>, end: Instant) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(turn_pipelines(Dice::of(seed, "pipelines"), stage.primary(), world.clone(), end));
        if settings.forgetful {
            tasks.spawn(make_forget(stage.backup(), stage.index("*"), end));
        }
        Self(tasks)
    }

    /// Waits for their end.
    ///
    /// # Panics
    /// When one panicked.
    pub async fn ended(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("nothing goes wrong beside");
        }
    }
}

/// An index gets a default pipeline, and loses it again. A server that is away is asked again.
async fn turn_pipelines(mut dice: Dice, primary: Http, world: Arc<World>, end: Instant) {
    let mut on = false;
    while Instant::now() < end {
        on = !on;
        let pipeline = if on { world.pipelines[0].as_str() } else { "_none" };
        let body = json!({"index.default_pipeline": pipeline}).to_string();
        let _ = primary.request("PUT", &format!("/{}/_settings", world.turned)).body(body).send().await;
        tokio::time::sleep(Duration::from_millis(dice.between(200, 1_500))).await;
    }
}

/// Indices come with their first effect, so it is said again and again.
async fn make_forget(backup: Http, indices: String, end: Instant) {
    const PACE: Duration = Duration::from_millis(500);
    while Instant::now() < end {
        forget(&backup, &indices).await;
        tokio::time::sleep(PACE).await;
    }
}

/// Has the backup forget deletes soon after they were done.
pub async fn forget(backup: &Http, indices: &str) {
    let body = json!({"index.gc_deletes": REMEMBERED}).to_string();
    let path = format!("/{indices}/_settings?allow_no_indices=true&ignore_unavailable=true");
    let _ = backup.request("PUT", &path).body(body).send().await;
}
