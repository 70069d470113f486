//! References: effects whose source was too large for the log. Whoever applies them reads it from the primary.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OnceCell, Semaphore, watch};
use understudy_common::{
    config::KafkaConfig,
    control::check_cluster,
    effect::{DocumentState, Effect},
    observe::{Observed, Observer},
    record::IndexNeed,
    servers::Versions,
};

use crate::{
    backoff::{Backoff, dice},
    engine::{Reference, Sighting},
    identity,
};

/// Sources that are read at once: each is larger than a record.
const AT_ONCE: usize = 2;
/// How long the primary may take to say who it is.
const ASK: Duration = Duration::from_secs(5);

/// Reads what references stand for. Cheap to clone.
#[derive(Clone)]
pub struct References {
    observer: Observer,
    versions: Arc<Versions>,
    recorded: Recorded,
    places: Arc<Semaphore>,
    max_backoff: Duration,
}

/// Which cluster the primary was when replication began, by the control topic.
#[derive(Clone)]
pub struct Recorded {
    kafka: KafkaConfig,
    control: String,
    primary: String,
    cluster_uuid: Arc<OnceCell<String>>,
}

impl Recorded {
    /// Of this cluster, as the topic `control` says. It is read when it is asked for.
    #[must_use]
    pub fn new(kafka: KafkaConfig, control: String, primary: String) -> Self {
        Self { kafka, control, primary, cluster_uuid: Arc::default() }
    }

    async fn cluster_uuid(&self) -> Result<&str, String> {
        let read = || async {
            let (kafka, control, primary) = (self.kafka.clone(), self.control.clone(), self.primary.clone());
            let read = tokio::task::spawn_blocking(move || identity::recorded(&kafka, &control, &primary)).await;
            let unknown = || format!("which cluster {} was when replication began is not known", self.primary);
            read.map_err(|error| error.to_string())?.ok_or_else(unknown)
        };
        self.cluster_uuid.get_or_try_init(read).await.map(String::as_str)
    }
}

impl References {
    /// By an observer that makes no references of its own. What it sees counts where the cluster is the recorded one, of
    /// tested `versions`.
    #[must_use]
    pub fn new(observer: Observer, versions: Versions, recorded: Recorded, max_backoff: Duration) -> Self {
        Self {
            observer,
            versions: Arc::new(versions),
            recorded,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            max_backoff: max_backoff.max(Duration::from_secs(1)),
        }
    }

    /// Reads the document of a reference, for as long as its partition is assigned. Tries until the primary says what is
    /// there: the partition waits, also while the primary is away.
    pub async fn read(&self, reference: &Reference, assigned: watch::Receiver<Vec<(i32, u64)>>) -> Option<Sighting> {
        let ticket = reference.ticket;
        let document = reference.effect.key.record_key();
        let mut backoff = Backoff::new(self.max_backoff);
        let mut warned = false;
        while assigned.borrow().contains(&(ticket.partition, ticket.generation)) {
            let reason = match self.look(reference).await {
                Ok(sighting) => {
                    if warned {
                        tracing::info!(document, "the document of a reference was read");
                    }
                    return Some(sighting);
                }
                Err(reason) => reason,
            };
            if !std::mem::replace(&mut warned, true) {
                let partition = ticket.partition;
                tracing::warn!(partition, document, reason, "a reference waits until the primary can be read");
            }
            tokio::time::sleep(backoff.next(dice())).await;
        }
        None
    }

    async fn look(&self, reference: &Reference) -> Result<Sighting, String> {
        let _place = self.places.acquire().await;
        let keys = [reference.effect.key.clone()];
        let recorded = self.recorded.cluster_uuid().await?;
        self.check_cluster(recorded).await?;
        self.versions.check(ASK).await?;
        let observation = self.observer.observe(reference.effect.version.epoch(), &keys).await;
        let mut observation = observation.map_err(|error| error.to_string())?;
        // Another cluster behind the primary's address would say that nothing is there, and that would become a delete.
        self.check_cluster(recorded).await?;
        let found = observation.found.pop().unwrap_or(Observed::Unknown("nothing was looked at".into()));
        sighting(reference, found, observation.indices.get(&reference.effect.key.index))
    }

    async fn check_cluster(&self, recorded: &str) -> Result<(), String> {
        let seen = self.observer.cluster().cluster_uuid(ASK).await.map_err(|error| error.to_string())?;
        check_cluster(&self.recorded.primary, recorded, &seen)
    }
}

/// What an observation means for a reference; an error where it does not count yet.
fn sighting(reference: &Reference, found: Observed, need: Option<&IndexNeed>) -> Result<Sighting, String> {
    let (effect, need) = match (found, need) {
        (Observed::Effect(effect), Some(need)) if need.uuid == reference.index.uuid => (effect, need),
        // Its index is gone, or was made anew: of the one that it belonged to nothing is left.
        (Observed::Effect(_) | Observed::Nothing, _) => {
            let gone = Effect {
                client_version: None,
                observed: true,
                state: DocumentState::Deleted,
                ..reference.effect.clone()
            };
            return Ok(Sighting { effect: gone, mapping: 0 });
        }
        (Observed::Unknown(reason), _) => return Err(reason),
    };
    if effect.version < reference.effect.version {
        return Err(format!(
            "the primary has version {}, which is older than {}",
            effect.version, reference.effect.version
        ));
    }
    if effect.state == DocumentState::Reference {
        return Err("its source was not read".to_owned());
    }
    // The very write that the reference is of: it keeps the version that its client gave.
    let client_version = reference.effect.client_version.filter(|_| effect.version == reference.effect.version);
    Ok(Sighting { effect: Effect { client_version, ..effect }, mapping: need.mapping })
}

#[cfg(test)]
mod tests {
    use understudy_common::{document::DocumentKey, shard::ShardLayout, version::PackedVersion};

    use super::*;
    use crate::engine::{IndexId, ReferenceTicket};

    fn reference() -> Reference {
        let key = DocumentKey { index: "i".into(), id: "1".into(), routing: None };
        let version = PackedVersion::pack(1, 1, 7).unwrap();
        let effect = Effect::claimed(key, version, DocumentState::Reference);
        Reference {
            ticket: ReferenceTicket { partition: 0, generation: 1, item: 0 },
            effect: Effect { client_version: Some(5), ..effect },
            index: IndexId { index: "i".into(), uuid: "u".into() },
        }
    }

    fn observed(seq_no: u64, state: DocumentState) -> Effect {
        let version = PackedVersion::pack(1, 1, seq_no).unwrap();
        Effect { observed: true, ..Effect::claimed(reference().effect.key, version, state) }
    }

    fn need(uuid: &str) -> IndexNeed {
        IndexNeed { uuid: uuid.into(), mapping: 3, shards: ShardLayout { number: 1, routing: 1024, partition: 1 } }
    }

    #[test]
    fn what_the_primary_has_now_counts_unless_it_is_older() {
        let put = |seq_no| observed(seq_no, DocumentState::Put("{}".into()));
        let read = |effect, uuid| sighting(&reference(), Observed::Effect(effect), Some(&need(uuid)));
        let same = read(put(7), "u").unwrap();
        assert_eq!((same.effect.client_version, same.mapping), (Some(5), 3), "the write itself");
        assert_eq!(read(put(9), "u").unwrap().effect, put(9));
        let deleted = observed(9, DocumentState::Deleted);
        assert_eq!(read(deleted.clone(), "u").unwrap().effect, deleted);
        assert!(read(put(6), "u").is_err());
        assert!(read(observed(9, DocumentState::Reference), "u").is_err());
        assert!(sighting(&reference(), Observed::Unknown("x".into()), None).is_err());
    }

    #[test]
    fn a_document_whose_index_is_gone_is_gone() {
        let gone = Sighting { effect: observed(7, DocumentState::Deleted), mapping: 0 };
        assert_eq!(sighting(&reference(), Observed::Nothing, None), Ok(gone.clone()));
        let other = observed(2, DocumentState::Put("{}".into()));
        assert_eq!(sighting(&reference(), Observed::Effect(other), Some(&need("v"))), Ok(gone));
    }
}
