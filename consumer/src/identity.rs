//! What stands behind the target's address. A target that is the primary itself is never written, and neither is one of a
//! version that was not tested, unless the configuration allows it.

use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::mpsc;
use understudy_common::{
    cluster::{CallError, ClusterClient},
    config::KafkaConfig,
    control::Facts,
    servers::{Judgement, Versions},
};

/// What a look at the target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Another cluster than the primary: it may be written.
    Target(String),
    /// The primary itself.
    Primary(String),
    /// It has nodes of a version that was not tested: it is not written.
    Untested(String),
    /// The primary's identity is not recorded yet; no gateway has run, so there is nothing to apply.
    Unrecorded,
    /// The target does not say who it is.
    Silent(String),
}

const EVERY: Duration = Duration::from_secs(2);
const ASK: Duration = Duration::from_secs(5);
/// Of so many looks one asks for the versions of all nodes, where nothing was wrong.
const VERSIONS: u32 = 5;

/// Says what a target is, from what was found.
#[must_use]
pub fn judge(primary: Option<&str>, target: Result<String, String>, untested: Option<String>) -> Identity {
    match (primary, target, untested) {
        (_, Err(reason), _) => Identity::Silent(reason),
        (None, Ok(_), _) => Identity::Unrecorded,
        (Some(primary), Ok(target), _) if primary == target => Identity::Primary(target),
        (Some(_), Ok(_), Some(reason)) => Identity::Untested(reason),
        (Some(_), Ok(target), None) => Identity::Target(target),
    }
}

/// A target, as it is looked at.
pub struct Watched {
    /// The way to it.
    pub client: ClusterClient,
    /// What its nodes are.
    pub versions: Versions,
    /// 1 while it has nodes of an untested version.
    pub untested: IntGauge,
}

impl Watched {
    /// Why its version must not be written; `None` where it may.
    async fn version(&self) -> Result<Option<String>, CallError> {
        let judgement = self.versions.look(ASK).await?;
        let known = self.untested.get() != 0;
        self.untested.set(i64::from(judgement != Judgement::Tested));
        match judgement {
            Judgement::Tested => Ok(None),
            Judgement::Allowed(what) => {
                if !known {
                    tracing::warn!(what, "an untested version is used, as the configuration allows");
                }
                Ok(None)
            }
            Judgement::Refused(reason) => Ok(Some(reason)),
        }
    }
}

/// Looks at the target every now and then, until nobody listens.
pub async fn watch(
    kafka: KafkaConfig,
    control: String,
    primary: String,
    target: Watched,
    found: mpsc::Sender<Identity>,
) {
    let mut known = None;
    let mut last = None;
    let mut looks = 0;
    while !found.is_closed() {
        // The record is read anew for as long as it keeps the target from being written.
        if !matches!(last, Some(Identity::Target(_) | Identity::Silent(_))) || known.is_none() {
            let (kafka, control, primary) = (kafka.clone(), control.clone(), primary.clone());
            let read = tokio::task::spawn_blocking(move || recorded(&kafka, &control, &primary)).await;
            if let Ok(Some(uuid)) = read {
                known = Some(uuid);
            }
        }
        let mut uuid = target.client.cluster_uuid(ASK).await.map_err(|error| error.to_string());
        let mut untested = None;
        if uuid.is_ok() && (looks % VERSIONS == 0 || !matches!(last, Some(Identity::Target(_)))) {
            match target.version().await {
                Ok(found) => untested = found,
                Err(error) => uuid = Err(error.to_string()),
            }
        }
        looks += 1;
        let identity = judge(known.as_deref(), uuid, untested);
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
    fn only_another_cluster_of_a_tested_version_is_a_target() {
        let old = || Some("old".to_owned());
        assert_eq!(judge(Some("a"), Ok("b".into()), None), Identity::Target("b".into()));
        assert_eq!(judge(Some("a"), Ok("b".into()), old()), Identity::Untested("old".into()));
        assert_eq!(judge(Some("a"), Ok("a".into()), old()), Identity::Primary("a".into()));
        assert_eq!(judge(None, Ok("b".into()), None), Identity::Unrecorded);
        assert_eq!(judge(Some("a"), Err("x".into()), None), Identity::Silent("x".into()));
    }
}
