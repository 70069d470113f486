//! What is known of the target, and what operators are told.

use super::{Done, Driver};
use crate::{
    engine::{IndexId, StopReason},
    identity::Identity,
};

impl Driver {
    pub(super) fn identified(&mut self, found: Identity) {
        let changed = self.identity.as_ref() != Some(&found);
        match &found {
            Identity::Target(uuid) => {
                if let Some(Identity::Target(before)) = &self.identity
                    && before != uuid
                {
                    tracing::warn!(before, now = uuid, "another cluster stands behind the target's address");
                    self.engine.target_changed();
                    self.extended.clear();
                }
                self.engine.permit(true);
                self.set_up(true, "");
            }
            Identity::Primary(uuid) => {
                if changed {
                    tracing::error!(
                        uuid,
                        target = self.target,
                        "the target is the primary itself: nothing is applied. Correct the addresses of the clusters"
                    );
                }
                self.engine.permit(false);
            }
            Identity::Untested(reason) => {
                if changed {
                    tracing::error!(reason, target = self.target, "nothing is applied; its effects wait in Kafka");
                }
                self.engine.permit(false);
                self.set_up(true, "");
            }
            Identity::Unrecorded => {
                if changed {
                    tracing::info!("no gateway has recorded who the primary is; waiting");
                }
                self.engine.permit(false);
                self.set_up(true, "");
            }
            Identity::Silent(reason) => self.set_up(false, reason),
        }
        self.metrics.target_is_primary.set(i64::from(matches!(found, Identity::Primary(_))));
        // A target that was silent may come back as another one, so the last known one is kept.
        if !matches!(found, Identity::Silent(_)) || self.identity.is_none() {
            self.identity = Some(found);
        }
    }

    /// Brings indices that the target has to the newest mapping of the primary, also when no effect needs it.
    pub(super) fn extend(&mut self) {
        if self.extending || !matches!(self.identity, Some(Identity::Target(_))) || self.target_up != Some(true) {
            return;
        }
        let newer: Vec<(IndexId, u64)> = self
            .preparer
            .store
            .versions()
            .into_iter()
            .filter(|(index, mapping)| self.extended.get(index).is_none_or(|known| known < mapping))
            .collect();
        if newer.is_empty() {
            return;
        }
        self.extending = true;
        let preparer = self.preparer.clone();
        self.spawn(async move { Done::Extended(preparer.extend(newer).await) });
    }

    /// Said once a change, whoever notices it.
    pub(super) fn set_up(&mut self, up: bool, reason: &str) {
        if self.target_up == Some(up) {
            return;
        }
        if up {
            self.engine.target_answers();
            tracing::info!(target = self.target, "the target is up");
        } else {
            tracing::warn!(target = self.target, reason, "the target is down; its effects wait in Kafka");
        }
        self.target_up = Some(up);
        self.metrics.target_up.set(if up { 1.0 } else { 0.0 });
    }
}

/// What to do is said with the reason.
pub(super) fn stopped(partition: i32, reason: StopReason, detail: &str) {
    let advice = match reason {
        StopReason::Gap => {
            "effects may be lost: compare the clusters (understudy verify), repair the target where it differs, then set the group's offset with Kafka's own tools and restart the consumer"
        }
        StopReason::Incarnation => "the target's index must go first",
        StopReason::Newer => "run a newer build of the consumer",
    };
    tracing::error!(partition, reason = reason.name(), detail, advice, "the partition is stopped");
}
