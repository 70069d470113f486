//! Blocks on a whole cluster, as its state shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use crate::cluster::CallError;

/// `blocks` of a cluster state, by the ids of blocks.
#[derive(Default, Deserialize)]
pub(crate) struct Blocks {
    #[serde(default)]
    global: BTreeMap<String, IgnoredAny>,
}

/// `GatewayService.STATE_NOT_RECOVERED_BLOCK`.
const NOT_RECOVERED: &str = "1";
/// `NoMasterBlockService`.
const NO_MASTER: &str = "2";

impl Blocks {
    /// A cluster that was started a moment ago (or waits for more of its nodes) shows its own id, and no index at all, until
    /// it has read them from its disks. Who believed that would take every index for absent.
    ///
    /// # Errors
    /// When what the state says of indices means nothing.
    pub(crate) fn check(&self, cluster: &str) -> Result<(), CallError> {
        if self.global.contains_key(NOT_RECOVERED) || self.global.contains_key(NO_MASTER) {
            let reason = "it was started a short while ago and does not know its indices yet".to_owned();
            return Err(CallError::Unanswered { cluster: cluster.to_owned(), reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(blocks: &str) -> bool {
        serde_json::from_str::<Blocks>(blocks).unwrap().check("primary").is_ok()
    }

    #[test]
    fn a_cluster_that_has_not_recovered_says_nothing_of_its_indices() {
        assert!(check("{}") && check(r#"{"indices":{"i":{"8":{}}}}"#));
        assert!(check(r#"{"global":{"6":{"description":"cluster read-only (api)","levels":["write"]}}}"#));
        let blocked = r#"{"global":{"1":{"description":"state not recovered / initialized","retryable":true,"levels":["read"]}}}"#;
        assert!(!check(blocked) && !check(r#"{"global":{"2":{"description":"no master"}}}"#));
    }
}
