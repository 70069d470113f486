//! Which cluster stands behind the target's address. A target that is the primary itself is never written.

use std::time::Duration;

use tokio::sync::mpsc;
use understudy_common::{cluster::ClusterClient, config::KafkaConfig, control::Facts};

/// What a look at the target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Another cluster than the primary: it may be written.
    Target(String),
    /// The primary itself.
    Primary(String),
    /// The primary's identity is not recorded yet; no gateway has run, so there is nothing to apply.
    Unrecorded,
    /// The target does not say who it is.
    Silent(String),
}

const EVERY: Duration = Duration::from_secs(2);
const ASK: Duration = Duration::from_secs(5);

/// Says what a target is, from what was found.
#[must_use]
pub fn judge(primary: Option<&str>, target: Result<String, String>) -> Identity {
    match (primary, target) {
        (_, Err(reason)) => Identity::Silent(reason),
        (None, Ok(_)) => Identity::Unrecorded,
        (Some(primary), Ok(target)) if primary == target => Identity::Primary(target),
        (Some(_), Ok(target)) => Identity::Target(target),
    }
}

/// Looks at the target every now and then, until nobody listens.
pub async fn watch(
    kafka: KafkaConfig,
    control: String,
    primary: String,
    client: ClusterClient,
    found: mpsc::Sender<Identity>,
) {
    let mut known = None;
    let mut last = None;
    while !found.is_closed() {
        // The record is read anew for as long as it keeps the target from being written.
        if !matches!(last, Some(Identity::Target(_) | Identity::Silent(_))) || known.is_none() {
            let (kafka, control, primary) = (kafka.clone(), control.clone(), primary.clone());
            let read = tokio::task::spawn_blocking(move || recorded(&kafka, &control, &primary)).await;
            if let Ok(Some(uuid)) = read {
                known = Some(uuid);
            }
        }
        let target = client.cluster_uuid(ASK).await.map_err(|error| error.to_string());
        let identity = judge(known.as_deref(), target);
        last = Some(identity.clone());
        if found.send(identity).await.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Which cluster is recorded as `name` in the control topic. Blocks.
pub(crate) fn recorded(kafka: &KafkaConfig, control: &str, name: &str) -> Option<String> {
    let read = Facts::read(kafka, control).map_err(|error| error.to_string());
    match read.and_then(|facts| facts.cluster_uuid(name).map_err(|error| error.to_string())) {
        Ok(cluster_uuid) => cluster_uuid,
        Err(error) => {
            tracing::debug!(error, control, "the control topic cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_cluster_is_a_target() {
        assert_eq!(judge(Some("a"), Ok("b".into())), Identity::Target("b".into()));
        assert_eq!(judge(Some("a"), Ok("a".into())), Identity::Primary("a".into()));
        assert_eq!(judge(None, Ok("b".into())), Identity::Unrecorded);
        assert_eq!(judge(Some("a"), Err("x".into())), Identity::Silent("x".into()));
    }
}
