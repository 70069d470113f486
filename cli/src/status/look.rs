//! Looks at everything at once. What cannot be reached hides nothing else.
//!
//! ```text
//! kafka      roles first, then for each target lag, consumers, dead letters, retention; intents
//! clusters   each: is it there, which one is it, health, versions
//! processes  each admin port: readiness and metrics
//! ```

mod clusters;
mod kafka;
mod processes;

use std::time::Duration;

use understudy_common::config::{Config, PlacementConfig};

use super::picture::Picture;

/// How long all of it may take.
pub const PATIENCE: Duration = Duration::from_millis(4_500);

/// Looks at everything, within [`PATIENCE`].
pub async fn look(config: &Config, placements: &[PlacementConfig], admin: &[String]) -> Picture {
    let mut names: Vec<&String> = Vec::new();
    for name in placements.iter().flat_map(|placement| std::iter::once(&placement.primary).chain(&placement.targets)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let ((kafka, placements, intents), clusters, processes) = tokio::join!(
        kafka::look(config, placements, deadline),
        futures::future::join_all(names.into_iter().map(|name| clusters::look(name, config, placements, deadline))),
        futures::future::join_all(admin.iter().map(|address| processes::look(address, deadline))),
    );
    let brokers = config.kafka.bootstrap_servers.clone();
    Picture { kafka, brokers, placements, clusters, intents, processes }
}
