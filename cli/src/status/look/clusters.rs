//! What a cluster says of itself, asked with its service account.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use tokio::time::Instant;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, PlacementConfig},
    servers::{self, Judgement, Part as Role},
};

use crate::status::picture::{ClusterSeen, ClusterState, Part};

/// How long each question may take.
const ASK: Duration = Duration::from_millis(3_500);

/// Without a master it answers 503 after a second.
const HEALTH: &str =
    "/_cluster/health?timeout=1s&master_timeout=1s&filter_path=status,number_of_nodes,unassigned_shards";

#[derive(Deserialize)]
struct Health {
    status: String,
    number_of_nodes: u64,
    unassigned_shards: u64,
}

/// Looks at one cluster.
pub async fn look(name: &str, config: &Config, placements: &[PlacementConfig], deadline: Instant) -> ClusterSeen {
    let cluster = &config.clusters[name];
    let client = ClusterClient::new(name, cluster);
    let asked = async { tokio::join!(health(&client), client.cluster_uuid(ASK), servers::seen(&client, ASK)) };
    let mut seen = ClusterSeen {
        cluster: name.to_owned(),
        urls: cluster.urls.clone(),
        service_account: cluster.credentials.as_ref().map(|credentials| credentials.username.clone()),
        seen: Part::unknown("it did not answer in time"),
        refused_version: None,
        untested_version: None,
    };
    let Ok((health, uuid, versions)) = tokio::time::timeout_at(deadline, asked).await else { return seen };
    let role = if placements.iter().any(|placement| placement.primary == name) { Role::Primary } else { Role::Target };
    if let Ok(versions) = &versions {
        match servers::judge(name, role, cluster.allow_untested_version, versions) {
            // Who is silent is asked again by whoever uses it.
            None | Some(Judgement::Tested) => {}
            Some(Judgement::Allowed(text)) => seen.untested_version = Some(text),
            Some(Judgement::Refused(text)) => seen.refused_version = Some(text),
        }
    }
    let versions =
        versions.map(|versions| versions.servers.iter().map(ToString::to_string).collect()).unwrap_or_default();
    seen.seen = health.map(|health| ClusterState { cluster_uuid: uuid.ok(), versions, ..health }).into();
    seen
}

/// Health, or what was refused; else why there is none.
async fn health(client: &ClusterClient) -> Result<ClusterState, String> {
    let answer = client.call(Method::GET, HEALTH, None, ASK).await.map_err(|error| error.to_string())?;
    match answer.status.as_u16() {
        200 => {
            let health: Health = answer.json()?;
            Ok(ClusterState {
                health: Some(health.status),
                nodes: Some(health.number_of_nodes),
                unassigned_shards: Some(health.unassigned_shards),
                ..ClusterState::default()
            })
        }
        401 | 403 => Ok(ClusterState { denied: Some(answer.status.to_string()), ..ClusterState::default() }),
        503 => Err("it has no elected master (503)".to_owned()),
        _ => Err(format!("it answers {} to GET /_cluster/health: {}", answer.status, answer.excerpt())),
    }
}
