//! Publishing what indices are like, ahead of the effects that need it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{ClientVersions, IndexSchema};
use crate::{
    cluster::{CallError, ClusterClient, path_part},
    kafka::PublishError,
    log::Log,
    record::IndexNeed,
    state::{IndexLookup, IndexState, Metadata, MetadataError},
};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Why a schema is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The primary does not say what the index is like.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The primary does not say what the index is like.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is another index by now.
    #[error("index [{0}] is gone, or was made anew")]
    Gone(Arc<str>),
    /// The primary's answer is none.
    #[error("the primary's answer to GET /{index} cannot be read: {reason}")]
    Unreadable {
        /// Index.
        index: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// Kafka did not take it.
    #[error("the schema is not in the log: {0}")]
    Publish(#[from] PublishError),
}

/// Publishes schemas, each once as long as it stays the same.
pub struct Schemas {
    cluster: ClusterClient,
    log: Log,
    metadata: Arc<Metadata>,
    timeout: Duration,
    /// What is in the log, by UUID.
    published: Mutex<HashMap<Arc<str>, Versions>>,
    /// UUIDs whose client versions are in the log.
    client_versions: Mutex<HashSet<Arc<str>>>,
    /// One reading and publishing at a time: it is rare, and the second waiter mostly finds it done.
    publishing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Versions {
    mapping: u64,
    settings: u64,
    aliases: u64,
}

impl Versions {
    fn of(state: &IndexState) -> Self {
        Self { mapping: state.mapping_version, settings: state.settings_version, aliases: state.aliases_version }
    }
}

const TRIES: usize = 4;
/// UUIDs that are remembered; past it everything is published once more, which is harmless.
const REMEMBERED: usize = 20_000;

/// `GET /{index}?flat_settings=true`.
#[derive(Deserialize)]
struct IndexBody {
    aliases: Box<RawValue>,
    mappings: BTreeMap<String, Box<RawValue>>,
    settings: BTreeMap<String, Value>,
}

impl Schemas {
    /// Reads from `cluster`, writes to `log`.
    #[must_use]
    pub fn new(cluster: ClusterClient, log: Log, metadata: Arc<Metadata>, timeout: Duration) -> Self {
        let (published, publishing) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { cluster, log, metadata, timeout, published, client_versions: Mutex::default(), publishing }
    }

    /// Makes sure that the log has a schema for each index, with the UUID and at least the mapping version that is needed.
    ///
    /// # Errors
    /// When it cannot be read or appended: nothing that needs it may be published.
    pub async fn ensure(&self, epoch: u64, needs: &BTreeMap<Arc<str>, IndexNeed>) -> Result<(), SchemaError> {
        for (index, need) in needs {
            if self.has(need) {
                continue;
            }
            let _one = self.publishing.lock().await;
            if !self.has(need) {
                self.publish(epoch, index, Some(&need.uuid)).await?;
            }
        }
        Ok(())
    }

    /// Makes sure that the log says that clients gave versions of their own to documents of this index: before the first
    /// effect that carries one.
    ///
    /// # Errors
    /// When it cannot be appended: no such effect may be published.
    pub async fn ensure_client_versions(&self, index: &Arc<str>, uuid: &Arc<str>) -> Result<(), SchemaError> {
        let known = || self.client_versions.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(uuid) {
            return Ok(());
        }
        let record = ClientVersions { format: ClientVersions::FORMAT, index: index.clone(), uuid: uuid.clone() };
        self.log.client_versions(&record).await?;
        let mut known = known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(uuid.clone());
        Ok(())
    }

    /// Publishes an index as it is now.
    ///
    /// # Errors
    /// When it cannot be read or appended.
    pub async fn publish_now(&self, epoch: u64, index: &Arc<str>) -> Result<(), SchemaError> {
        let _one = self.publishing.lock().await;
        self.publish(epoch, index, None).await
    }

    fn has(&self, need: &IndexNeed) -> bool {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.get(&need.uuid).is_some_and(|versions| versions.mapping >= need.mapping)
    }

    /// Publishes until what was published is what stands there afterwards: so of several gateways the one that comes last
    /// to the log has published the newest, and compaction keeps it. An index that keeps moving, or a primary that is gone
    /// by then, is no reason to hold effects back: what they need is in the log. It is only not remembered, so that the
    /// next write publishes again.
    async fn publish(&self, epoch: u64, index: &Arc<str>, uuid: Option<&Arc<str>>) -> Result<(), SchemaError> {
        let mut state = self.state(index, uuid).await?;
        for _ in 0..TRIES {
            // Versions first, contents later: contents are at least as new as the versions say.
            let schema = self.read(epoch, index, &state).await?;
            self.log.schema(&schema).await?;
            tracing::debug!(
                index = &**index,
                uuid = &*state.uuid,
                mapping = state.mapping_version,
                "published a schema"
            );
            let now = match self.state(index, Some(&state.uuid)).await {
                Ok(now) => now,
                Err(error) => {
                    tracing::warn!(index = &**index, %error, "a schema was published and could not be compared again");
                    return Ok(());
                }
            };
            if Versions::of(&now) == Versions::of(&state) {
                self.remember(&state);
                return Ok(());
            }
            state = now;
        }
        Ok(())
    }

    fn remember(&self, state: &IndexState) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.len() >= REMEMBERED {
            published.clear();
        }
        published.insert(state.uuid.clone(), Versions::of(state));
    }

    async fn state(&self, index: &Arc<str>, uuid: Option<&Arc<str>>) -> Result<Arc<IndexState>, SchemaError> {
        let sight = self.metadata.read(&BTreeSet::from([index.clone()])).await?;
        match sight.lookup(index) {
            IndexLookup::Concrete(state) if uuid.is_none_or(|uuid| state.uuid == *uuid) => Ok(state.clone()),
            _ => Err(SchemaError::Gone(index.clone())),
        }
    }

    async fn read(&self, epoch: u64, index: &Arc<str>, state: &IndexState) -> Result<IndexSchema, SchemaError> {
        let path = format!("/{}?flat_settings=true", path_part(index));
        let answer = self.cluster.call(Method::GET, &path, None, self.timeout).await?;
        let unreadable = |reason: String| SchemaError::Unreadable { index: index.clone(), reason };
        if !answer.status.is_success() {
            return Err(unreadable(format!("{} {}", answer.status, answer.excerpt())));
        }
        let mut bodies: HashMap<String, IndexBody> = answer.json().map_err(unreadable)?;
        let body = bodies.remove(&**index).ok_or_else(|| SchemaError::Gone(index.clone()))?;
        if body.settings.get("index.uuid").and_then(Value::as_str) != Some(&*state.uuid) {
            return Err(SchemaError::Gone(index.clone()));
        }
        Ok(IndexSchema {
            format: IndexSchema::FORMAT,
            cluster: self.cluster.name().into(),
            epoch,
            index: index.clone(),
            uuid: state.uuid.clone(),
            metadata_version: state.metadata_version,
            mapping_version: state.mapping_version,
            settings_version: state.settings_version,
            aliases_version: state.aliases_version,
            routing_num_shards: u64::from(state.shards.routing),
            settings: body.settings,
            mappings: body.mappings,
            aliases: body.aliases,
        })
    }
}
