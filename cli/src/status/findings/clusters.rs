//! What is wrong with clusters.

use super::{Findings, Severity};
use crate::status::picture::{ClusterSeen, ClusterState, Part, Picture};

/// A cluster in its part: what concerns the primary leaves the standby ready.
struct Cast<'a> {
    cluster: &'a ClusterSeen,
    /// The standby that it is.
    target: Option<&'a str>,
}

impl Cast<'_> {
    fn add(&self, found: &mut Findings, bad: Severity, code: [&'static str; 2], text: String, advice: String) {
        let [of_primary, of_target] = code;
        match self.target {
            Some(target) => found.add(bad, of_target, target, Some(target), text, advice),
            None => found.add(Severity::Warning, of_primary, &self.cluster.cluster, None, text, advice),
        }
    }
}

pub(super) fn judge(picture: &Picture, found: &mut Findings) {
    for cluster in &picture.clusters {
        let is_target = |name: &str| {
            picture.placements.iter().any(|placement| placement.targets.iter().any(|target| target.target == name))
        };
        let is_primary = picture.placements.iter().any(|placement| placement.primary == cluster.cluster);
        let target = is_target(&cluster.cluster).then_some(cluster.cluster.as_str());
        if let Some(target) = target.filter(|_| is_primary) {
            found.add(
                Severity::NotReady,
                "target_is_primary",
                target,
                Some(target),
                format!("{target} is the primary by what Kafka records, and a target by the configuration"),
                "name the primary in the configuration that Kafka has",
            );
            continue;
        }
        let cast = Cast { cluster, target };
        match &cluster.seen {
            Part::Unknown { error } => down(&cast, error, found),
            Part::Known(state) => up(&cast, state, picture, found),
        }
    }
}

fn down(cast: &Cast<'_>, error: &str, found: &mut Findings) {
    let name = &cast.cluster.cluster;
    let (text, advice) = if cast.target.is_some() {
        (
            format!("{name} is down: {error}"),
            "start it: Kafka keeps what it misses, for as long as its topic does, and it catches up by itself"
                .to_owned(),
        )
    } else {
        (
            format!("the primary {name} is down, so writes are refused: {error}"),
            "start it. Reads are answered by a standby meanwhile. If it is lost: this version does not switch over; stop the gateways before applications write to a standby that is READY".to_owned(),
        )
    };
    cast.add(found, Severity::NotReady, ["primary_down", "target_down"], text, advice);
}

fn up(cast: &Cast<'_>, state: &ClusterState, picture: &Picture, found: &mut Findings) {
    let name = &cast.cluster.cluster;
    let recorded = picture.kafka.known().and_then(|seen| seen.recorded_clusters.get(name));
    if let (Some(recorded), Some(uuid)) = (recorded, &state.cluster_uuid)
        && recorded != uuid
    {
        cast.add(
            found,
            Severity::NotReady,
            ["primary_is_another", "target_is_another"],
            format!("behind the name {name} stands the cluster {uuid}, and it was {recorded} when replication began"),
            format!("mend clusters.{name}.urls; a cluster that was made anew needs a name of its own"),
        );
    }
    if let Some(denied) = &state.denied {
        let account = cast.cluster.service_account.as_deref().unwrap_or("nobody (there is no username)");
        cast.add(
            found,
            Severity::Unknown,
            ["primary_denies", "target_denies"],
            format!("{name} refuses the service account {account}: {denied}"),
            format!("mend clusters.{name}.username and its password, and grant it `monitor` on the cluster"),
        );
    }
    if let Some(text) = &cast.cluster.refused_version {
        let advice = if cast.target.is_some() { "nothing is written to it" } else { "writes are refused" };
        cast.add(
            found,
            Severity::NotReady,
            ["primary_version", "target_version"],
            text.clone(),
            format!("{advice} until it has a tested version, or that is allowed"),
        );
    }
    if let Some(text) = &cast.cluster.untested_version {
        cast.add(
            found,
            Severity::Warning,
            ["primary_untested", "target_untested"],
            text.clone(),
            "it is used because the configuration allows it; compare often (understudy verify)".to_owned(),
        );
    }
    if state.health.as_deref() == Some("red") {
        let shards = state.unassigned_shards.unwrap_or_default();
        cast.add(
            found,
            Severity::NotReady,
            ["primary_red", "target_red"],
            format!("{name} is red: {shards} shards are assigned nowhere, some of them without any copy"),
            "GET /_cluster/allocation/explain on it says why".to_owned(),
        );
    }
}
