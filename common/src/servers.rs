//! Which servers this build was tested with, and which ones a cluster consists of.
//!
//! Servers change what they answer from version to version, so what was not tried is not trusted: neither with the writes
//! of applications nor with the copy that must be equal.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

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

/// What the nodes of a cluster said of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The servers of those that answered.
    pub servers: BTreeSet<Server>,
    /// How many did not answer: any version could be theirs.
    pub silent: u64,
}

/// Judges a cluster by all of its nodes: in the middle of a rolling upgrade it has two versions. `None` while a node does not
/// say its version and no other one is a stranger: what is not known is not tested.
#[must_use]
pub fn judge(name: &str, part: Part, allowed: bool, seen: &Seen) -> Option<Judgement> {
    let list = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join(", ");
    let strangers = list(&mut seen.servers.iter().filter(|server| !server.is_tested(part)).map(Server::to_string));
    if strangers.is_empty() {
        // Where every version is allowed, nobody has to wait for one.
        return (seen.silent == 0 || allowed).then_some(Judgement::Tested);
    }
    let role = if part == Part::Primary { "primary" } else { "target" };
    let known =
        list(&mut TESTED.iter().filter(|row| row.is_for(part)).map(|row| format!("{} {}", row.product, row.release)));
    let found = format!("cluster {name} has nodes of {strangers}, not tested as {role} (tested: {known})");
    if allowed {
        return Some(Judgement::Allowed(found));
    }
    Some(Judgement::Refused(format!(
        "{found}; clusters.{name}.allow_untested_version = true uses it all the same, without a promise"
    )))
}

/// The versions of a cluster's nodes, as they are asked for again and again.
///
/// A node that does not answer may be of any version. So a cluster of which one is silent is not used before all have
/// answered once. From then on the last certain judgement counts until there is another one: a node that hangs is an everyday
/// fault of a cluster that is well without it, and must not stop every write; and a cluster that was refused stays so. What
/// remains is a node of another version that comes while it runs and is silent from its first moment: it is told in the log.
pub struct Versions {
    client: ClusterClient,
    part: Part,
    allowed: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last that was certain.
    judgement: Option<Judgement>,
    /// When nodes last answered.
    at: Option<Instant>,
    /// Whether the silence of a node was told.
    told: bool,
}

impl Versions {
    /// Of the cluster of `client`, as `config` has it. Asks nothing yet.
    #[must_use]
    pub fn new(client: ClusterClient, config: &ClusterConfig, part: Part) -> Self {
        Self { client, part, allowed: config.allow_untested_version, known: Mutex::default() }
    }

    /// Asks a cluster for the servers of its nodes, and judges it. With the service account, which needs `monitor` for that.
    ///
    /// # Errors
    /// When no node says its version within `timeout`, or one does not and nothing certain is known from before.
    pub async fn look(&self, timeout: Duration) -> Result<Judgement, CallError> {
        let seen = seen(&self.client, timeout).await?;
        let name = self.client.name();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.learn(judge(name, self.part, self.allowed, &seen), Instant::now());
        if seen.silent > 0 && !known.told {
            tracing::warn!(cluster = name, nodes = seen.silent, "some nodes do not say their version");
        }
        known.told = seen.silent > 0;
        known.judgement.clone().ok_or_else(|| CallError::Unanswered {
            cluster: name.to_owned(),
            reason: format!("{} of its nodes do not say their version", seen.silent),
        })
    }
}

impl Versions {
    /// Whether the cluster may be read: for whoever does so often. It is asked anew when what is known is as old as five
    /// seconds.
    ///
    /// # Errors
    /// Why it may not, or that its versions are not known.
    pub async fn check(&self, timeout: Duration) -> Result<(), String> {
        let fresh = self.known.lock().unwrap_or_else(PoisonError::into_inner).fresh(Instant::now());
        let judgement = match fresh {
            Some(judgement) => judgement,
            None => self.look(timeout).await.map_err(|error| error.to_string())?,
        };
        match judgement {
            Judgement::Tested | Judgement::Allowed(_) => Ok(()),
            Judgement::Refused(reason) => Err(reason),
        }
    }
}

/// How long a judgement is good for who reads often.
const FRESH: Duration = Duration::from_secs(5);

impl Known {
    fn fresh(&self, now: Instant) -> Option<Judgement> {
        let is_fresh = self.at.is_some_and(|at| now.duration_since(at) < FRESH);
        self.judgement.clone().filter(|_| is_fresh)
    }

    fn learn(&mut self, judgement: Option<Judgement>, now: Instant) {
        if judgement.is_some() {
            self.judgement = judgement;
        }
        self.at = Some(now);
    }
}

/// Asks a cluster for the servers of its nodes. With the service account, which needs `monitor` for that.
///
/// # Errors
/// When no node says its version within `timeout`.
pub async fn seen(client: &ClusterClient, timeout: Duration) -> Result<Seen, CallError> {
    // Not `GET /`: distributions without the main module answer it with 405. A node that does not answer the others is counted
    // as failed after the timeout, and one of them tells of the rest.
    const PATH: &str = "/_nodes/_all/http?timeout=2s&filter_path=_nodes.total,nodes.*.version,nodes.*.build_flavor";
    let seen = client.get_json::<Nodes>(PATH, timeout).await?.seen();
    if seen.servers.is_empty() {
        let (cluster, reason) = (client.name().to_owned(), "none of its nodes says its version".to_owned());
        return Err(CallError::Unanswered { cluster, reason });
    }
    Ok(seen)
}

#[derive(Deserialize)]
struct Nodes {
    #[serde(default)]
    _nodes: Counts,
    #[serde(default)]
    nodes: std::collections::BTreeMap<String, Node>,
}

/// How many were asked (`NodesResponse`).
#[derive(Default, Deserialize)]
struct Counts {
    #[serde(default)]
    total: u64,
}

impl Nodes {
    fn seen(self) -> Seen {
        let silent = self._nodes.total.saturating_sub(self.nodes.len() as u64);
        Seen { servers: self.nodes.into_values().map(Node::server).collect(), silent }
    }
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

    fn seen(nodes: &str) -> Seen {
        serde_json::from_str::<Nodes>(nodes).unwrap().seen()
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
        assert_eq!(judge("b", Part::Target, false, &seen(one)), Some(Judgement::Tested));
        let Some(Judgement::Refused(reason)) = judge("b", Part::Target, false, &seen(two)) else { panic!() };
        assert!(reason.contains("Elasticsearch 9.1.0") && !reason.contains("8.19.0,"), "{reason}");
        assert!(reason.contains("OpenSearch 2.19") && reason.contains("clusters.b.allow_untested_version"), "{reason}");
        assert!(matches!(judge("b", Part::Target, true, &seen(two)), Some(Judgement::Allowed(_))));
    }

    #[test]
    fn who_has_no_flavor_is_opensearch() {
        let found = seen(r#"{"nodes":{"a":{"version":"2.19.1"},"b":{"version":"7.10.2","build_flavor":"unknown"}}}"#);
        assert_eq!(
            found.servers.iter().map(Server::to_string).collect::<Vec<_>>(),
            ["Elasticsearch 7.10.2", "OpenSearch 2.19.1"]
        );
        assert!(seen("{}").servers.is_empty());
    }

    /// Of two nodes one hangs.
    #[test]
    fn a_silent_node_is_not_tested() {
        let node = |version: &str| {
            format!(r#"{{"_nodes":{{"total":2}},"nodes":{{"a":{{"version":"{version}","build_flavor":"default"}}}}}}"#)
        };
        let (tested, other) = (seen(&node("8.19.0")), seen(&node("9.1.0")));
        assert_eq!((tested.silent, seen(r#"{"_nodes":{"total":0}}"#).silent), (1, 0));
        assert_eq!(judge("b", Part::Target, false, &tested), None);
        assert_eq!(judge("b", Part::Target, true, &tested), Some(Judgement::Tested));
        assert!(matches!(judge("b", Part::Target, false, &other), Some(Judgement::Refused(_))));
        // What was certain counts until something else is.
        let mut known = Known::default();
        for (learned, counts) in [
            (None, None),
            (Some(Judgement::Tested), Some(Judgement::Tested)),
            (None, Some(Judgement::Tested)),
            (Some(Judgement::Refused("x".into())), Some(Judgement::Refused("x".into()))),
            (None, Some(Judgement::Refused("x".into()))),
        ] {
            known.learn(learned, Instant::now());
            assert_eq!(known.judgement, counts);
        }
    }
}
