//! Which servers this build was tested with, and which ones a cluster consists of.
//!
//! Servers change what they answer from version to version, so what was not tried is not trusted: neither with the writes
//! of applications nor with the copy that must be equal.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::Deserialize;

use crate::{
    cluster::{CallError, ClusterClient},
    config::ClusterConfig,
};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Elastic's.
    Elasticsearch,
    /// The fork of its 7.10.
    OpenSearch,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        })
    }
}

/// What a cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Clients write to it.
    Primary,
    /// It follows.
    Target,
}

/// A product and one of its minor versions that the tests run with.
#[derive(Clone, Copy, Debug)]
struct Tested {
    product: Product,
    /// Major and minor version; patches count alike.
    release: &'static str,
    primary: bool,
    target: bool,
}

/// The one table of tested versions. `tests/targets/versions.rs` tries each row.
const TESTED: [Tested; 4] = [
    Tested { product: Product::Elasticsearch, release: "7.10", primary: true, target: true },
    Tested { product: Product::Elasticsearch, release: "7.17", primary: true, target: true },
    Tested { product: Product::Elasticsearch, release: "8.19", primary: true, target: true },
    Tested { product: Product::OpenSearch, release: "2.19", primary: true, target: true },
];

impl Tested {
    fn is_for(&self, part: Part) -> bool {
        match part {
            Part::Primary => self.primary,
            Part::Target => self.target,
        }
    }
}

/// The server of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Whose it is.
    pub product: Product,
    /// Its version, such as `7.10.2`.
    pub version: String,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)
    }
}

impl Server {
    /// Whether it was tested as this part.
    #[must_use]
    pub fn is_tested(&self, part: Part) -> bool {
        let is_release = |release: &str| self.version.strip_prefix(release).is_some_and(|rest| rest.starts_with('.'));
        TESTED.iter().any(|row| row.product == self.product && row.is_for(part) && is_release(row.release))
    }
}

/// Whether a cluster may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All of its nodes are of tested versions.
    Tested,
    /// Some are not, and the configuration allows it; the text says which.
    Allowed(String),
    /// Some are not; the text says which, and what can be done.
    Refused(String),
}

/// Judges a cluster by all of its nodes: in the middle of a rolling upgrade it has two versions.
#[must_use]
pub fn judge(name: &str, part: Part, allowed: bool, servers: &BTreeSet<Server>) -> Judgement {
    let list = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join(", ");
    let strangers = list(&mut servers.iter().filter(|server| !server.is_tested(part)).map(Server::to_string));
    if strangers.is_empty() {
        return Judgement::Tested;
    }
    let role = if part == Part::Primary { "primary" } else { "target" };
    let known =
        list(&mut TESTED.iter().filter(|row| row.is_for(part)).map(|row| format!("{} {}", row.product, row.release)));
    let found = format!("cluster {name} has nodes of {strangers}, not tested as {role} (tested: {known})");
    if allowed {
        return Judgement::Allowed(found);
    }
    Judgement::Refused(format!(
        "{found}; clusters.{name}.allow_untested_version = true uses it all the same, without a promise"
    ))
}

/// Asks a cluster for the servers of its nodes, and judges it. With the service account, which needs `monitor` for that.
///
/// # Errors
/// When no node says its version within `timeout`.
pub async fn look(
    client: &ClusterClient,
    config: &ClusterConfig,
    part: Part,
    timeout: Duration,
) -> Result<Judgement, CallError> {
    Ok(judge(client.name(), part, config.allow_untested_version, &seen(client, timeout).await?))
}

/// Asks a cluster for the servers of its nodes. With the service account, which needs `monitor` for that.
///
/// # Errors
/// When no node says its version within `timeout`.
pub async fn seen(client: &ClusterClient, timeout: Duration) -> Result<BTreeSet<Server>, CallError> {
    // Not `GET /`: distributions without the main module answer it with 405. A node that does not answer the others is left
    // out after the timeout, and one of them tells of the rest.
    const PATH: &str = "/_nodes/_all/http?timeout=2s&filter_path=nodes.*.version,nodes.*.build_flavor";
    let nodes: Nodes = client.get_json(PATH, timeout).await?;
    let servers: BTreeSet<Server> = nodes.nodes.into_values().map(Node::server).collect();
    if servers.is_empty() {
        let (cluster, reason) = (client.name().to_owned(), "none of its nodes says its version".to_owned());
        return Err(CallError::Unanswered { cluster, reason });
    }
    Ok(servers)
}

#[derive(Deserialize)]
struct Nodes {
    #[serde(default)]
    nodes: std::collections::BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    version: String,
    build_flavor: Option<String>,
}

impl Node {
    /// OpenSearch has no flavors (`NodeInfo.toXContent` of both).
    fn server(self) -> Server {
        let product = if self.build_flavor.is_some() { Product::Elasticsearch } else { Product::OpenSearch };
        Server { product, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(nodes: &str) -> BTreeSet<Server> {
        serde_json::from_str::<Nodes>(nodes).unwrap().nodes.into_values().map(Node::server).collect()
    }

    #[test]
    fn patches_count_alike_and_other_releases_do_not() {
        for (product, version, tested) in [
            (Product::Elasticsearch, "7.10.2", true),
            (Product::Elasticsearch, "7.10.0", true),
            (Product::Elasticsearch, "7.1.0", false),
            (Product::Elasticsearch, "7.101.0", false),
            (Product::Elasticsearch, "7.10", false),
            (Product::Elasticsearch, "2.19.1", false),
            (Product::OpenSearch, "2.19.1", true),
            (Product::OpenSearch, "7.10.2", false),
        ] {
            let server = Server { product, version: version.to_owned() };
            assert_eq!(server.is_tested(Part::Target), tested, "{server}");
        }
    }

    #[test]
    fn a_cluster_counts_by_all_of_its_nodes() {
        let one = r#"{"nodes":{"a":{"version":"8.19.0","build_flavor":"default"}}}"#;
        let two = r#"{"nodes":{"a":{"version":"8.19.0","build_flavor":"default"},"b":{"version":"9.1.0","build_flavor":"default"}}}"#;
        assert_eq!(judge("b", Part::Target, false, &servers(one)), Judgement::Tested);
        let Judgement::Refused(reason) = judge("b", Part::Target, false, &servers(two)) else { panic!() };
        assert!(reason.contains("Elasticsearch 9.1.0") && !reason.contains("8.19.0,"), "{reason}");
        assert!(reason.contains("OpenSearch 2.19") && reason.contains("clusters.b.allow_untested_version"), "{reason}");
        assert!(matches!(judge("b", Part::Target, true, &servers(two)), Judgement::Allowed(_)));
    }

    #[test]
    fn who_has_no_flavor_is_opensearch() {
        let found =
            servers(r#"{"nodes":{"a":{"version":"2.19.1"},"b":{"version":"7.10.2","build_flavor":"unknown"}}}"#);
        assert_eq!(
            found.iter().map(Server::to_string).collect::<Vec<_>>(),
            ["Elasticsearch 7.10.2", "OpenSearch 2.19.1"]
        );
        assert!(servers("{}").is_empty());
    }
}
