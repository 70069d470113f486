//! Works a turn off, chunk by chunk: the sequence alone, over whatever reads and publishes. The consumer's own means are in
//! `look`; the simulation has others, and its turns are worked off by the very same sequence.
//!
//! ```text
//! records (Kafka) ─► ticket ─► names ─► primary copies ─► schemas ─► effects ─► what is unknown
//!                      ▲                                                            │
//!                      └──────────────── next chunk ◄───────────────────────────────┘
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use understudy_common::{
    config::IndexPattern,
    control::Roles,
    document::DocumentKey,
    effect::Effect,
    kafka::PublishError,
    log::Ticket,
    observe::{DOCUMENTS, Observation, Observed},
    state::Sight,
};

use super::{
    metrics::Found,
    resolve::{names, reached},
    turn::{Place, Turn},
};

/// An effect, with its place among the documents of a look and its intent in the turn.
pub type Sighted = ((usize, usize), Effect);

/// What a turn works with.
pub trait Means {
    /// The indices that are replicated.
    fn placed(&self) -> &IndexPattern;
    /// Whether nothing more is to be begun.
    fn is_stopped(&self) -> bool;
    /// Documents of the next look.
    fn documents(&self) -> usize;
    /// A look at so many documents held so many bytes.
    fn learn(&self, documents: usize, bytes: usize);
    /// A look begins.
    fn looks(&self);
    /// Something was found of a document.
    fn found(&self, found: Found);
    /// Reads the intents of a turn back into it.
    ///
    /// # Errors
    /// When Kafka does not answer.
    fn read_back(&self, turn: &mut Turn) -> impl Future<Output = Result<(), String>>;
    /// Who is the primary.
    ///
    /// # Errors
    /// When that is not known.
    fn roles(&self) -> impl Future<Output = Result<Arc<Roles>, String>>;
    /// A ticket for a look.
    ///
    /// # Errors
    /// When Kafka does not acknowledge it.
    fn ticket(&self, partition: i32) -> impl Future<Output = Result<Ticket, PublishError>>;
    /// What stands behind names now.
    ///
    /// # Errors
    /// When the primary does not say.
    fn sight(&self, names: &BTreeSet<Arc<str>>) -> impl Future<Output = Result<Sight, String>>;
    /// Reads documents back.
    ///
    /// # Errors
    /// When the primary does not answer.
    fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> impl Future<Output = Result<Observation, String>>;
    /// Whether the primary is still the cluster that is recorded.
    ///
    /// # Errors
    /// When it is not, or does not say.
    fn check_cluster(&self, roles: &Roles) -> impl Future<Output = Result<(), String>>;
    /// Publishes effects; says of each whether it is in the log of every target, in time.
    ///
    /// # Errors
    /// When the primary or Kafka does not answer.
    fn publish(
        &self,
        roles: &Roles,
        ticket: &Ticket,
        turn: &Turn,
        observation: &Observation,
        effects: &[Sighted],
    ) -> impl Future<Output = Result<Vec<bool>, String>>;
}

/// Works a turn off, until it is over or stopped. Notes the last ticket's time.
///
/// # Errors
/// When the primary or Kafka does not answer.
pub async fn work_off<M: Means>(means: &M, turn: &mut Turn, ticket_ms: &mut Option<i64>) -> Result<(), String> {
    means.read_back(turn).await?;
    let roles = means.roles().await?;
    while !turn.is_over() && !means.is_stopped() {
        // `ticket_first`: what is seen is dated before it is seen.
        let ticket = means.ticket(turn.partition).await;
        let ticket = ticket.map_err(|error| format!("no ticket for a look: {error}"))?;
        *ticket_ms = Some(ticket.at_ms);
        let places = turn.chunk(ticket.at_ms, means.documents());
        if places.is_empty() {
            continue;
        }
        means.looks();
        match look(means, &roles, &ticket, turn, &places).await {
            Ok(found) => learn(means, turn, &places, &found),
            Err(reason) => {
                learn(means, turn, &places, &vec![Found::Unknown; places.len()]);
                return Err(reason);
            }
        }
    }
    Ok(())
}

fn learn(means: &impl Means, turn: &mut Turn, places: &[Place], found: &[Found]) {
    for (place, found) in places.iter().zip(found) {
        means.found(*found);
        if *found == Found::Unknown {
            turn.unknown(*place);
        }
    }
}

/// Looks at documents, and publishes those that are found; what became of each, in order.
async fn look<M: Means>(
    means: &M,
    roles: &Roles,
    ticket: &Ticket,
    turn: &mut Turn,
    places: &[Place],
) -> Result<Vec<Found>, String> {
    let mut found = vec![Found::Nothing; places.len()];
    let asked = resolve(means, roles, turn, places, &mut found).await?;
    for batch in asked.chunks(DOCUMENTS) {
        let keys: Vec<DocumentKey> = batch.iter().map(|(_, key)| key.clone()).collect();
        let mut observation = means.observe(roles.epoch, &keys).await?;
        means.check_cluster(roles).await?;
        let effects = sort(batch, places, &mut observation, &mut found);
        means.learn(batch.len(), effects.iter().map(|(_, effect)| effect.source_len()).sum());
        let published = means.publish(roles, ticket, turn, &observation, &effects).await?;
        for ((place, intent), is_published) in effects.iter().map(|(at, _)| *at).zip(published) {
            debug_assert_eq!(places[place].intent, intent);
            if !is_published {
                found[place] = Found::Unknown;
            }
        }
        let mut indices: BTreeMap<usize, BTreeSet<&Arc<str>>> = BTreeMap::new();
        for (place, key) in batch {
            indices.entry(places[*place].intent).or_default().insert(&key.index);
        }
        for (intent, indices) in indices {
            let copies = observation.copies.iter().filter(|copy| indices.contains(&copy.index)).cloned().collect();
            turn.answered(intent, &copies);
        }
    }
    Ok(found)
}

/// The documents of concrete indices that these may be by now, each with its place among them.
async fn resolve<M: Means>(
    means: &M,
    roles: &Roles,
    turn: &Turn,
    places: &[Place],
    found: &mut [Found],
) -> Result<Vec<(usize, DocumentKey)>, String> {
    let mut named_there = Vec::with_capacity(places.len());
    let mut wanted = BTreeSet::new();
    for place in places {
        let (_, intent) = turn.intent(place.intent).ok_or("an intent was not read back")?;
        let key = DocumentKey::from(intent.documents[place.document as usize].clone());
        wanted.extend(names(&key, &intent.aliases).cloned());
        named_there.push((key, &intent.aliases));
    }
    let sight = means.sight(&wanted).await?;
    if sight.state.cluster_uuid != roles.cluster_uuid {
        return Err(other_cluster(roles, &sight.state.cluster_uuid));
    }
    let mut asked = Vec::with_capacity(places.len());
    for (place, (key, aliases)) in named_there.into_iter().enumerate() {
        match reached(&key, aliases, &sight, means.placed()) {
            Ok(keys) => asked.extend(keys.into_iter().map(|key| (place, key))),
            Err(reason) => {
                tracing::debug!(document = key.record_key(), reason, "a document of an open intent is not known");
                found[place] = Found::Unknown;
            }
        }
    }
    Ok(asked)
}

/// Another cluster stands behind the primary's name.
pub(super) fn other_cluster(roles: &Roles, seen: &str) -> String {
    format!(
        "behind the name {} stands the cluster {seen}, and it was {} when replication began",
        roles.primary, roles.cluster_uuid
    )
}

/// Takes the effects out of an observation, each with its place and the intent there; notes what is known of the others.
fn sort(
    batch: &[(usize, DocumentKey)],
    places: &[Place],
    observation: &mut Observation,
    found: &mut [Found],
) -> Vec<Sighted> {
    let mut effects = Vec::new();
    for ((place, _), observed) in batch.iter().zip(std::mem::take(&mut observation.found)) {
        match observed {
            Observed::Effect(effect) => {
                effects.push(((*place, places[*place].intent), effect));
                if found[*place] == Found::Nothing {
                    found[*place] = Found::Effect;
                }
            }
            Observed::Nothing => {}
            Observed::Unknown(reason) => {
                tracing::debug!(reason, "a document of an open intent is not known");
                found[*place] = Found::Unknown;
            }
        }
    }
    effects
}
