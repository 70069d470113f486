//! Documents whose state a write's answer does not tell: read back, within the write's own ticket.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use understudy_common::{
    cluster::CallError,
    document::DocumentKey,
    effect::{DocumentState, Effect},
    observe::{DOCUMENTS, Observation, Observed, Observer},
    record::IndexNeed,
    shard::ShardLayout,
};

use crate::write::decide::{Decision, Doubtful, Written};

/// Looks at documents of the primary.
pub trait Look {
    /// Reads these documents back. They are concrete, and no more than [`DOCUMENTS`].
    ///
    /// # Errors
    /// When the cluster does not say what its state is.
    fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> impl Future<Output = Result<Observation, CallError>>;
    /// The routing of documents, and under which sequence number they have it.
    ///
    /// # Errors
    /// When there is no answer.
    fn routings(&self, keys: &[&DocumentKey]) -> impl Future<Output = Result<Vec<Option<Routed>>, String>>;
    /// The time.
    fn now(&self) -> Instant;
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// A sequence number, and the routing that a document has under it.
pub type Routed = (u64, Option<Arc<str>>);

impl Look for Observer {
    async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Result<Observation, CallError> {
        Self::observe(self, epoch, keys).await
    }

    async fn routings(&self, keys: &[&DocumentKey]) -> Result<Vec<Option<Routed>>, String> {
        Self::routings(self, keys).await
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What was read back.
#[derive(Debug, Default)]
pub struct Resolved {
    /// To be published.
    pub effects: Vec<Effect>,
    /// What they need of their indices.
    pub indices: BTreeMap<Arc<str>, IndexNeed>,
    /// Why the state of a document could not be told.
    pub unknown: Option<String>,
    /// An index that was made anew between two looks: nothing of it is published.
    pub torn: Option<String>,
}

/// How long a document that cannot be told at once is looked at again.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// Gives effects of updates the routing that their documents have. What was written again since, or cannot be told, is taken
/// out of them and observed instead.
pub async fn route(observer: &impl Look, decision: &mut Decision) {
    let places = std::mem::take(&mut decision.unrouted);
    if places.is_empty() {
        return;
    }
    let keys: Vec<&DocumentKey> = places.iter().map(|place| &decision.effects[*place].key).collect();
    let found = observer.routings(&keys).await.unwrap_or_else(|error| {
        tracing::warn!(error, "the routing of updated documents is not known");
        vec![None; places.len()]
    });
    let mut unknown = BTreeSet::new();
    for (place, found) in places.into_iter().zip(found) {
        let effect = &mut decision.effects[place];
        match found {
            Some((seq_no, routing)) if seq_no == effect.version.seq_no() => effect.key.routing = routing,
            _ => {
                unknown.insert(place);
                let reason = "an update of a document that was written again".to_owned();
                decision.observe.push(Doubtful { key: effect.key.clone(), reason, written: Some(Written::Here) });
            }
        }
    }
    let mut place = 0;
    decision.effects.retain(|_| {
        place += 1;
        !unknown.contains(&(place - 1))
    });
}

/// Reads documents back, again for a moment where they cannot be told.
pub async fn resolve(observer: &impl Look, epoch: u64, doubtful: &[Doubtful]) -> Resolved {
    let mut resolved = Resolved::default();
    let begun = observer.now();
    for chunk in doubtful.chunks(DOCUMENTS) {
        let mut waiting: Vec<Wanted> = chunk.iter().map(|doubtful| (doubtful.key.clone(), doubtful.written)).collect();
        loop {
            let mut again = Vec::new();
            // Other shards of the same documents may have come to be waited for.
            for some in waiting.chunks(DOCUMENTS) {
                again.extend(look(observer, epoch, some.to_vec(), &mut resolved).await);
            }
            waiting = again;
            if waiting.is_empty() {
                break;
            }
            if observer.now() - begun >= PATIENCE {
                return resolved;
            }
            observer.sleep(PAUSE).await;
            resolved.unknown = None;
        }
    }
    resolved
}

/// A document, and what was done to it.
type Wanted = (DocumentKey, Option<Written>);

/// Looks once; what cannot be told is given back, and the reason noted.
async fn look(observer: &impl Look, epoch: u64, wanted: Vec<Wanted>, resolved: &mut Resolved) -> Vec<Wanted> {
    let keys: Vec<DocumentKey> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let observation = match observer.observe(epoch, &keys).await {
        Ok(observation) => observation,
        Err(error) => {
            resolved.unknown = Some(error.to_string());
            return wanted;
        }
    };
    let mut again = Vec::new();
    let mut elsewhere = Vec::new();
    for ((key, written), found) in wanted.into_iter().zip(observation.found) {
        let is_it = match (&found, written) {
            (_, None | Some(Written::Here | Written::Perhaps)) => true,
            (Observed::Effect(effect), Some(Written::Put(seq_no))) => {
                effect.state != DocumentState::Deleted && effect.version.seq_no() == seq_no
            }
            (Observed::Nothing | Observed::Unknown(_), Some(Written::Put(_))) => false,
        };
        let reason = match &found {
            Observed::Unknown(reason) => Some(reason.clone()),
            // It was written, and the master does not show its index yet, or no more.
            Observed::Nothing if written.is_some() && !observation.shards.contains_key(&key.index) => {
                Some(format!("{}: its index is not there", key.record_key()))
            }
            Observed::Nothing | Observed::Effect(_) => None,
        };
        if let Some(reason) = reason {
            resolved.unknown = Some(reason);
            again.push((key, written));
            continue;
        }
        if let Some(shards) = observation.shards.get(&key.index).filter(|_| !is_it) {
            elsewhere.extend(other_shards(&key, *shards));
        }
        match found {
            Observed::Effect(effect) if written == Some(Written::Perhaps) && effect.state == DocumentState::Deleted => {
            }
            Observed::Effect(effect) => resolved.effects.push(effect),
            Observed::Nothing | Observed::Unknown(_) => {}
        }
    }
    merge_or_doubt(resolved, observation.indices);
    if let Err(reason) = look_elsewhere(observer, epoch, &elsewhere, resolved).await {
        resolved.unknown = Some(reason);
        again.extend(elsewhere.into_iter().map(|key| (key, Some(Written::Perhaps))));
    }
    again
}

/// A pipeline may have given a document another routing, which no answer names: it is looked for in the other shards.
async fn look_elsewhere(
    observer: &impl Look,
    epoch: u64,
    keys: &[DocumentKey],
    resolved: &mut Resolved,
) -> Result<(), String> {
    for keys in keys.chunks(DOCUMENTS) {
        let observation = observer.observe(epoch, keys).await.map_err(|error| error.to_string())?;
        for found in observation.found {
            match found {
                Observed::Effect(effect) if effect.state != DocumentState::Deleted => resolved.effects.push(effect),
                Observed::Effect(_) | Observed::Nothing => {}
                Observed::Unknown(reason) => return Err(reason),
            }
        }
        merge_or_doubt(resolved, observation.indices);
    }
    Ok(())
}

/// Adds needs of indices; of two needs of one index the later mapping holds for both. Answers an index of which they name two
/// incarnations.
pub fn merge(known: &mut BTreeMap<Arc<str>, IndexNeed>, more: BTreeMap<Arc<str>, IndexNeed>) -> Option<Arc<str>> {
    let mut torn = None;
    for (index, need) in more {
        let known = known.entry(index.clone()).or_insert_with(|| need.clone());
        if known.uuid != need.uuid {
            torn = Some(index);
        } else if known.mapping < need.mapping {
            *known = need;
        }
    }
    torn
}

fn merge_or_doubt(resolved: &mut Resolved, more: BTreeMap<Arc<str>, IndexNeed>) {
    if let Some(index) = merge(&mut resolved.indices, more) {
        resolved.effects.retain(|effect| effect.key.index != index);
        resolved.indices.remove(&index);
        resolved.torn = Some(format!("index [{index}] was made anew during the look"));
    }
}

/// The document's name in every shard but its own: under a routing that leads there.
fn other_shards(key: &DocumentKey, shards: ShardLayout) -> impl Iterator<Item = DocumentKey> {
    /// Routings that are tried for each shard; hashes spread well enough.
    const TRIES: u32 = 64;
    let own = shards.shard_of(key);
    let mut by_shard: BTreeMap<u32, DocumentKey> = BTreeMap::new();
    for routing in 0..TRIES * shards.number {
        let routed = DocumentKey { routing: Some(routing.to_string().into()), ..key.clone() };
        by_shard.entry(shards.shard_of(&routed)).or_insert(routed);
        if by_shard.len() == shards.number as usize {
            break;
        }
    }
    by_shard.remove(&own);
    by_shard.into_values()
}

#[cfg(test)]
mod tests {
    use understudy_common::version::PackedVersion;

    use super::*;

    #[test]
    fn two_incarnations_of_an_index_are_told_apart() {
        let need = |uuid: &str, mapping| IndexNeed {
            uuid: uuid.into(),
            mapping,
            shards: ShardLayout { number: 1, routing: 1024, partition: 1 },
        };
        let one = |uuid, mapping| BTreeMap::from([(Arc::from("i"), need(uuid, mapping))]);
        let mut known = one("a", 3);
        assert_eq!(merge(&mut known, one("a", 5)), None);
        assert_eq!(merge(&mut known, one("a", 4)), None);
        assert_eq!(known["i"].mapping, 5);
        assert_eq!(merge(&mut known, one("b", 1)), Some("i".into()));
    }

    /// A primary that answers the looks as it is told to: the number of the look, and what is asked.
    struct Primary<A> {
        asked: std::cell::Cell<usize>,
        answer: A,
    }

    impl<A: Fn(usize, &[DocumentKey]) -> Result<Observation, CallError>> Look for Primary<A> {
        async fn observe(&self, _: u64, keys: &[DocumentKey]) -> Result<Observation, CallError> {
            assert!(keys.len() <= DOCUMENTS);
            self.asked.set(self.asked.get() + 1);
            (self.answer)(self.asked.get(), keys)
        }

        async fn routings(&self, keys: &[&DocumentKey]) -> Result<Vec<Option<Routed>>, String> {
            Ok(vec![None; keys.len()])
        }

        fn now(&self) -> Instant {
            Instant::now()
        }

        async fn sleep(&self, _: Duration) {}
    }

    fn primary<A: Fn(usize, &[DocumentKey]) -> Result<Observation, CallError>>(answer: A) -> Primary<A> {
        Primary { asked: std::cell::Cell::new(0), answer }
    }

    /// It has none of the documents, and does not answer the second look.
    fn absent(look: usize, keys: &[DocumentKey]) -> Result<Observation, CallError> {
        if look == 2 {
            return Err(CallError::NotSent { cluster: "primary".into(), reason: "away".into() });
        }
        let version = PackedVersion::pack(1, 1, 9).unwrap();
        let found = |key: &DocumentKey| Observed::Effect(Effect::claimed(key.clone(), version, DocumentState::Deleted));
        let shards = BTreeMap::from([(Arc::from("i"), ShardLayout { number: 3, routing: 768, partition: 1 })]);
        Ok(Observation { found: keys.iter().map(found).collect(), shards, ..Observation::default() })
    }

    #[tokio::test]
    async fn that_a_document_is_not_in_other_shards_is_not_published() {
        let key = DocumentKey { index: "i".into(), id: "7".into(), routing: None };
        let doubtful = Doubtful { key: key.clone(), reason: String::new(), written: Some(Written::Put(5)) };
        let absent = primary(absent);
        let resolved = resolve(&absent, 1, &[doubtful]).await;
        assert_eq!((absent.asked.get(), resolved.unknown), (3, None));
        assert_eq!(resolved.effects.iter().map(|effect| &effect.key).collect::<Vec<_>>(), [&key]);
    }

    #[tokio::test]
    async fn no_look_asks_for_more_than_it_may() {
        let doubtful = |id: usize| Doubtful {
            key: DocumentKey { index: "i".into(), id: id.to_string().into(), routing: None },
            reason: String::new(),
            written: Some(Written::Put(5)),
        };
        let doubtful: Vec<Doubtful> = (0..DOCUMENTS).map(doubtful).collect();
        let absent = primary(absent);
        let resolved = resolve(&absent, 1, &doubtful).await;
        // One look, one that fails, and each document in two other shards.
        assert_eq!((absent.asked.get(), resolved.unknown), (4, None));
        assert_eq!(resolved.effects.len(), DOCUMENTS);
    }

    #[tokio::test]
    async fn what_was_written_is_not_nothing_because_its_index_is_not_shown() {
        let key = DocumentKey { index: "i".into(), id: "7".into(), routing: None };
        let mut resolved = Resolved::default();
        let [put, here] = [Some(Written::Put(5)), Some(Written::Here)].map(|written| (key.clone(), written));
        // The master does not show the index.
        let unshown =
            primary(|_, keys| Ok(Observation { found: vec![Observed::Nothing; keys.len()], ..Observation::default() }));
        let again = look(&unshown, 1, vec![put.clone(), here.clone(), (key, None)], &mut resolved).await;
        assert_eq!(again, [put, here]);
        assert!(resolved.unknown.is_some());
    }

    #[test]
    fn a_document_is_looked_for_in_every_other_shard() {
        let shards = ShardLayout { number: 5, routing: 640, partition: 1 };
        let key = DocumentKey { index: "i".into(), id: "7".into(), routing: Some("r".into()) };
        let mut found: Vec<u32> = other_shards(&key, shards).map(|key| shards.shard_of(&key)).collect();
        found.push(shards.shard_of(&key));
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3, 4]);
    }
}
