//! Makes an index of the target ready for effects.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use understudy_common::{
    cluster::{Answer, ClusterClient, path_part},
    schema::IndexSchema,
};

use super::{
    SchemaStore,
    plan::{self, Plan, TargetIndex},
};
use crate::{
    backoff::{Backoff, dice},
    engine::IndexId,
    metrics::Metrics,
};

/// Makes indices of one target ready.
pub struct Preparer {
    /// The target.
    pub client: ClusterClient,
    /// What indices are like on the primary.
    pub store: SchemaStore,
    /// Settings of this target's own.
    pub overrides: BTreeMap<String, String>,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The longest pause between two tries.
    pub max_backoff: Duration,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Indices that were as they must be, in this process.
    pub made: Mutex<HashSet<IndexId>>,
}

/// What came of it.
#[derive(Debug)]
pub enum Prepared {
    /// The index is as the primary had it at this mapping version.
    Ready(u64),
    /// It was made from the incarnation with this UUID.
    Differs(String),
}

/// Why an index is not ready yet.
enum Trouble {
    /// Look again, now.
    Again,
    /// The target does not answer, or has no time.
    Passing(String),
    /// The target refuses, and somebody may have to act.
    Refused(String),
}

/// A missing schema is normal for as long as another process needs to publish it.
const PATIENCE: Duration = Duration::from_secs(5);
/// In the place of a UUID.
const NOBODY: &str = "(none: it was deleted on the target, and made anew without a label)";

impl Preparer {
    /// Makes an index ready for effects that need this mapping version. Tries for ever.
    pub async fn prepare(&self, id: &IndexId, mapping: u64) -> Prepared {
        let mut backoff = Backoff::new(self.max_backoff.max(Duration::from_secs(1)));
        let mut refused = String::new();
        // Counted until it is ready, also while it is tried once more: an alert must not see it come and go.
        let mut waiting = None;
        loop {
            let schema = self.schema(id, mapping).await;
            let mut changes = self.store.changes();
            match self.once(&schema).await {
                Ok(prepared) => {
                    if matches!(prepared, Prepared::Ready(_)) {
                        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
                    }
                    return prepared;
                }
                Err(Trouble::Again) => {}
                Err(Trouble::Passing(reason)) => {
                    tracing::debug!(index = %id, reason, "the index is not ready yet");
                    tokio::time::sleep(backoff.next(dice())).await;
                }
                Err(Trouble::Refused(reason)) => {
                    if reason != refused {
                        tracing::error!(index = %id, reason, "the target refuses the index as the primary has it; its effects wait");
                        refused = reason;
                    }
                    waiting.get_or_insert_with(|| self.metrics.index_waits());
                    // A newer schema may be taken.
                    let _ = tokio::time::timeout(backoff.next(dice()), changes.changed()).await;
                }
            }
        }
    }

    /// Waits until what is needed is known.
    async fn schema(&self, id: &IndexId, mapping: u64) -> Arc<IndexSchema> {
        let loaded = || self.store.is_loaded();
        let enough = || self.store.get(id).filter(|schema| loaded() && schema.mapping_version >= mapping);
        let mut changes = self.store.changes();
        let (begun, mut warned) = (Instant::now(), false);
        let mut waiting = None;
        loop {
            if let Some(schema) = enough() {
                if warned {
                    tracing::info!(index = %id, "the schema is there");
                }
                return schema;
            }
            waiting.get_or_insert_with(|| self.metrics.index_waits());
            if begun.elapsed() >= PATIENCE && !warned {
                warned = true;
                let known = self.store.get(id).map(|schema| schema.mapping_version);
                tracing::warn!(index = %id, needed = mapping, ?known, "effects wait for the schema of their index");
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    }

    async fn once(&self, schema: &IndexSchema) -> Result<Prepared, Trouble> {
        let Some(target) = self.look(&schema.index).await? else {
            self.create(schema).await?;
            return Ok(Prepared::Ready(schema.mapping_version));
        };
        match plan::plan(&target, schema) {
            Plan::Differs(label) => return Ok(Prepared::Differs(label)),
            Plan::Extend => self.put(schema, "_mapping", plan::mapping_body(schema)).await?,
            // It was ours a moment ago: somebody deleted it on the target, and the next bulk made it anew, as the target
            // guessed. Nothing of that is to be trusted.
            Plan::Adopt(_) if self.was_made(schema) => return Ok(Prepared::Differs(NOBODY.to_owned())),
            Plan::Adopt(differences) => {
                self.put(schema, "_settings", plan::adopted_settings_body(&self.overrides)).await?;
                self.put(schema, "_mapping", plan::mapping_body(schema)).await?;
                let differences = if differences.is_empty() { "none".to_owned() } else { differences.join("; ") };
                tracing::warn!(index = %schema.index, uuid = %schema.uuid, differences, "adopted an index that was there without a label; what differed from the primary is named");
            }
        }
        tracing::debug!(index = %schema.index, mapping = schema.mapping_version, "brought an index up to date");
        Ok(Prepared::Ready(schema.mapping_version))
    }

    fn was_made(&self, schema: &IndexSchema) -> bool {
        let id = IndexId { index: schema.index.clone(), uuid: schema.uuid.clone() };
        self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// Brings those of the indices that the target has, made from the same incarnation, to their newest mapping; answers
    /// what needs no second look. An index that is not there is made with its first effect, and not before: what is only
    /// in the schema topic may be gone on the primary.
    pub async fn extend(&self, indices: Vec<(IndexId, u64)>) -> Vec<(IndexId, u64)> {
        let mut done = Vec::new();
        for (id, _) in indices {
            let Some(schema) = self.store.get(&id) else { continue };
            let extended = match self.look(&schema.index).await {
                Ok(None) => Ok(()),
                Ok(Some(target)) if plan::plan(&target, &schema) == Plan::Extend => {
                    self.put(&schema, "_mapping", plan::mapping_body(&schema)).await
                }
                Ok(Some(_)) => Ok(()),
                Err(trouble) => Err(trouble),
            };
            match extended {
                Ok(()) => done.push((id, schema.mapping_version)),
                // A refusal is told by whoever needs the mapping for an effect.
                Err(Trouble::Refused(reason)) => {
                    tracing::warn!(index = %id, reason, "the target refuses the primary's newest mapping");
                    done.push((id, schema.mapping_version));
                }
                Err(Trouble::Passing(_) | Trouble::Again) => break,
            }
        }
        done
    }

    async fn look(&self, index: &str) -> Result<Option<TargetIndex>, Trouble> {
        let path = format!("/{}?flat_settings=true", path_part(index));
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.status {
            StatusCode::OK => {
                let mut indices: BTreeMap<String, TargetIndex> = answer.json().map_err(Trouble::Passing)?;
                match indices.remove(index) {
                    Some(target) => Ok(Some(target)),
                    None => {
                        let names = indices.into_keys().collect::<Vec<_>>().join(", ");
                        Err(Trouble::Refused(format!("[{index}] is no index on the target but a name for [{names}]")))
                    }
                }
            }
            StatusCode::NOT_FOUND if error_type(&answer).as_deref() == Some("index_not_found_exception") => Ok(None),
            _ => Err(trouble(&answer)),
        }
    }

    async fn create(&self, schema: &IndexSchema) -> Result<(), Trouble> {
        let path = format!("/{}?timeout={}ms", path_part(&schema.index), (self.timeout * 2 / 3).as_millis());
        let mut left_out = Vec::new();
        let answer = loop {
            let body = plan::create_body(schema, &self.overrides, &left_out);
            let answer = self.call(Method::PUT, &path, Some(body)).await?;
            // Servers of other versions know other settings. One is named at a time.
            let reason = error_of(&answer).and_then(|error| error.reason).unwrap_or_default();
            match plan::unknown_setting(&reason, schema, &self.overrides) {
                Some(name) if !left_out.contains(&name) => left_out.push(name),
                _ => break answer,
            }
        };
        if error_type(&answer).as_deref() == Some("resource_already_exists_exception") {
            // Somebody else was faster.
            return Err(Trouble::Again);
        }
        acknowledged(&answer)?;
        if !left_out.is_empty() {
            let settings = left_out.join(", ");
            tracing::warn!(index = %schema.index, settings, "settings of the primary's index that the target does not know were left out");
        }
        tracing::info!(index = %schema.index, uuid = %schema.uuid, mapping = schema.mapping_version, "created an index on the target");
        Ok(())
    }

    async fn put(&self, schema: &IndexSchema, what: &str, body: Bytes) -> Result<(), Trouble> {
        let path = format!("/{}/{what}", path_part(&schema.index));
        acknowledged(&self.call(Method::PUT, &path, Some(body)).await?)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, Trouble> {
        self.client.call(method, path, body, self.timeout).await.map_err(|error| Trouble::Passing(error.to_string()))
    }
}

fn acknowledged(answer: &Answer) -> Result<(), Trouble> {
    #[derive(Deserialize)]
    struct Acknowledged {
        acknowledged: bool,
    }
    if !answer.status.is_success() {
        return Err(trouble(answer));
    }
    match answer.json::<Acknowledged>() {
        Ok(Acknowledged { acknowledged: true }) => Ok(()),
        _ => Err(Trouble::Passing(format!("not acknowledged: {}", answer.excerpt()))),
    }
}

fn trouble(answer: &Answer) -> Trouble {
    let reason = format!("{} {}", answer.status, answer.excerpt());
    match answer.status.as_u16() {
        400 | 401 | 403 | 405 if error_type(answer).is_some() => Trouble::Refused(reason),
        _ => Trouble::Passing(reason),
    }
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
}

fn error_of(answer: &Answer) -> Option<Error> {
    #[derive(Deserialize)]
    struct Whole {
        error: Error,
    }
    answer.json::<Whole>().ok().map(|whole| whole.error)
}

fn error_type(answer: &Answer) -> Option<String> {
    error_of(answer).map(|error| error.kind)
}
