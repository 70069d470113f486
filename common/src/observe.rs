//! Observation: reading documents back from the primary, as effects.
//!
//! ```text
//! ticket (the caller's, before) ─► cluster state ─► max_seq_no of each shard ─► get from the primary copies ─► cluster state ─► decide
//! ```
//!
//! A get goes to the very node that holds the primary copy of the document's shard (`preference=_only_nodes`), and counts
//! only when the cluster state before and after it shows the same copy there, started, under the same primary term, and
//! when that term is old enough (see [`Terms`]). It tells the document's own routing, writes nothing, creates no index, and
//! works on indices that are blocked for writes; a bulk of updates that change nothing does none of that.

mod conclude;
mod decide;
mod look;
mod sight;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use conclude::{Around, Greatest, conclude, still};
pub use decide::{Looked, Observed, Question, decide};
pub use sight::{ClusterSight, IndexSight, PrimaryCopy};
pub use terms::Terms;
use tokio::time::Instant;

use crate::{
    cluster::{CallError, ClusterClient},
    document::DocumentKey,
    record::IndexNeed,
    shard::ShardLayout,
};

/// Documents of one look.
pub const DOCUMENTS: usize = 500;

/// Reads documents of one cluster back. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    cluster: ClusterClient,
    terms: Arc<Terms>,
    timeout: Duration,
    /// A source that is larger becomes a reference.
    largest_source: usize,
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// For each document that was asked for, in order.
    pub found: Vec<Observed>,
    /// What the effects among them need of their indices.
    pub indices: BTreeMap<Arc<str>, IndexNeed>,
    /// How the indices of the documents spread them; those that do not exist are not here.
    pub shards: BTreeMap<Arc<str>, ShardLayout>,
    /// The primary copies that answered, for [`Observer::still`].
    pub copies: BTreeSet<SeenCopy>,
}

/// A primary copy that answered a look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenCopy {
    /// Index.
    pub index: Arc<str>,
    /// Its UUID.
    pub uuid: Arc<str>,
    /// Shard.
    pub shard: u32,
    /// Primary term.
    pub term: u64,
}

impl Observer {
    /// Looks at `cluster`; a primary term must be as old as `terms` says. Sources above `largest_source` bytes become
    /// references.
    #[must_use]
    pub fn new(cluster: ClusterClient, terms: Arc<Terms>, timeout: Duration, largest_source: usize) -> Self {
        Self { cluster, terms, timeout, largest_source }
    }

    /// The cluster that it looks at.
    #[must_use]
    pub fn cluster(&self) -> &ClusterClient {
        &self.cluster
    }

    /// Reads these documents (at most [`DOCUMENTS`] at once are held in memory; give no more). Keys name concrete indices.
    ///
    /// Whoever publishes what is found has taken a ticket before this call (`ticket_first`).
    ///
    /// # Errors
    /// When the cluster does not say what its state is. What is wrong with single documents is said of them.
    pub async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Result<Observation, CallError> {
        let names: BTreeSet<Arc<str>> = keys.iter().map(|key| key.index.clone()).collect();
        let before = self.sight(&names).await?;
        let (greatest, looked) = self.look(&before, keys).await;
        let after = self.sight(&names).await?;
        let now = Instant::now();
        let seen = Around { epoch, before: &before, after: &after, terms: &self.terms, now };
        Ok(conclude(&seen, keys, &greatest, looked, self.largest_source))
    }

    /// Whether those copies are still the primaries of their shards (`second_look`). An index that is gone is as good:
    /// nothing of it is there to be replicated.
    ///
    /// # Errors
    /// When the cluster does not say what its state is.
    pub async fn still(&self, copies: &BTreeSet<SeenCopy>) -> Result<bool, CallError> {
        let names: BTreeSet<Arc<str>> = copies.iter().map(|copy| copy.index.clone()).collect();
        if names.is_empty() {
            return Ok(true);
        }
        Ok(still(copies, &self.sight(&names).await?))
    }

    async fn sight(&self, names: &BTreeSet<Arc<str>>) -> Result<ClusterSight, CallError> {
        let sight = sight::read(&self.cluster, names, self.timeout).await?;
        let now = Instant::now();
        for index in sight.indices.values() {
            self.terms.note(&index.state.uuid, &index.state.terms, now);
        }
        Ok(sight)
    }
}
