//! What is published of a write, and what must be observed before its client may be told.
//!
//! An effect is taken from the request only when what it assumes of its index was true while the primary applied it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use understudy_common::{
    bulk::Action,
    document::DocumentKey,
    effect::{DocumentState, Effect},
    record::IndexNeed,
    state::{IndexLookup, IndexState, Sight},
    version::PackedVersion,
};

use super::{
    answer::{Answer, Done, Outcome},
    plan::PlannedItem,
};
use crate::refusal::Refusal;

/// What follows from an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is published as the primary's answer claims it, whatever else is in doubt.
    pub effects: Vec<Effect>,
    /// Which of them carry the routing of their request, and the document may have one of its own: an update keeps it, and no
    /// answer tells it.
    pub unrouted: Vec<usize>,
    /// What the effects need of their indices.
    pub indices: BTreeMap<Arc<str>, IndexNeed>,
    /// What must be read back from the primary, because the request may not hold what was stored.
    pub observe: Vec<Doubtful>,
    /// Why the outcome of an item is unknown: such an intent is settled by the reconciler alone (`unknown_waits`).
    pub unknown: Option<String>,
}

/// A document whose state the request and its answer do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// Where it is looked for.
    pub key: DocumentKey,
    /// Why.
    pub reason: String,
    /// What the primary says that it did to it; `None` where it may have done nothing.
    pub written: Option<Written>,
}

/// What the primary says that it did to a document. Its index is there then, whether the master shows it yet or not
/// (`index_shown`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was put, under this sequence number, and perhaps with another routing by a pipeline: when the look finds another
    /// number, the document is looked for in the other shards too.
    Put(u64),
    /// It was put where it is looked for, or deleted.
    Here,
    /// It was put, and nobody knows under which routing: perhaps where it is looked for. When it is not there, that says
    /// nothing.
    Perhaps,
}

/// Refuses what is known not to be replicable before anything is written.
///
/// # Errors
/// For data streams.
pub fn check_before(items: &[PlannedItem], before: &Sight) -> Result<(), Refusal> {
    for (name, item) in once_each(items) {
        if *before.lookup(name) == IndexLookup::Other {
            return Err(refuse(item, &format!("[{name}] is a data stream, which is not replicated yet")));
        }
    }
    Ok(())
}

/// Refuses what could lead from an index that is not replicated into one that is.
///
/// # Errors
/// For aliases, data streams and pipelines.
pub fn check_unplaced(items: &[PlannedItem], before: &Sight) -> Result<(), Refusal> {
    if let Some(item) = items.iter().find(|item| item.pipeline) {
        return Err(refuse(item, "a pipeline may lead to an index that is replicated"));
    }
    for (name, item) in once_each(items) {
        match before.lookup(name) {
            IndexLookup::Other | IndexLookup::Alias(_) => {
                let what = format!(
                    "[{name}] is an alias or a data stream, which may lead to an index that is replicated: write to the concrete index"
                );
                return Err(refuse(item, &what));
            }
            IndexLookup::Concrete(state) if state.has_pipeline => {
                let what = format!(
                    "index [{name}] has a default or final pipeline, which may lead to an index that is replicated"
                );
                return Err(refuse(item, &what));
            }
            IndexLookup::Concrete(_) | IndexLookup::Absent => {}
        }
    }
    Ok(())
}

fn once_each(items: &[PlannedItem]) -> BTreeMap<&Arc<str>, &PlannedItem> {
    items.iter().rev().map(|item| (&item.key.index, item)).collect()
}

fn refuse(item: &PlannedItem, what: &str) -> Refusal {
    Refusal::not_replicated(format!("{}nothing was executed: {what}", item.place()))
}

/// Decides what is published of a write that the primary answered.
///
/// `after` is what a look at the cluster state showed that began after the answer: `None` when the look failed. `slow`: the
/// answer took so long that a node may have waited for a shard, and tried again.
#[must_use]
pub fn decide(
    epoch: u64,
    items: &[PlannedItem],
    before: &Sight,
    answer: Answer<'_>,
    after: Option<&Sight>,
    slow: bool,
) -> Decision {
    let (outcomes, pipeline_ran) = match answer {
        Answer::Refused(_) => return Decision::default(),
        Answer::Unknown(reason) => return Decision { unknown: Some(reason), ..Decision::default() },
        Answer::Items { outcomes, pipeline_ran } => (outcomes, pipeline_ran),
    };
    let moved = slow || after.is_none_or(|after| after.state != before.state);
    let mut decision = Decision::default();
    let mut trusted: BTreeMap<&Arc<str>, Result<Arc<IndexState>, String>> = BTreeMap::new();
    for (item, outcome) in items.iter().zip(outcomes) {
        let mut doubt = |key: DocumentKey, reason: String, written: Option<Written>| {
            decision.observe.push(Doubtful { key, reason, written });
        };
        let done = match outcome {
            // A coordinating node that lost a shard tries again by itself: its second try meets the first one's work, or is
            // refused where the first one was done (`observe_409`).
            Outcome::Conflict if moved => {
                let reason = "a version conflict while the cluster state moved";
                meant(item, before, after).into_iter().for_each(|key| doubt(key, reason.to_owned(), None));
                continue;
            }
            Outcome::Refused { status, .. } if moved => {
                let reason = format!("refused with {status} while the cluster state moved");
                meant(item, before, after).into_iter().for_each(|key| doubt(key, reason.clone(), None));
                continue;
            }
            Outcome::Conflict | Outcome::Refused { .. } | Outcome::Unrouted => continue,
            Outcome::Unknown(reason) => {
                decision.unknown = Some(reason);
                continue;
            }
            // It acknowledges that the document is not there, which another gateway may not have published.
            Outcome::NothingThere => {
                let reason = "an update that left nothing";
                meant(item, before, after).into_iter().for_each(|key| doubt(key, reason.to_owned(), None));
                continue;
            }
            Outcome::Done(done) => done,
        };
        let asked = before.resolve(&item.key);
        let stores_request = matches!(item.action, Action::Index | Action::Create);
        let state = trusted.entry(&item.key.index).or_insert_with(|| trust(&item.key.index, before, after)).clone();
        let has_pipeline = state.as_ref().is_ok_and(|state| state.has_pipeline);
        if stores_request && (pipeline_ran || item.pipeline || has_pipeline) {
            doubt(landed(item, &asked, &done), "an ingest pipeline ran".to_owned(), Some(Written::Put(done.seq_no)));
            continue;
        }
        match state.and_then(|state| {
            let key = claimed_key(&asked, &done)?;
            Ok((effect(epoch, item, key, &done)?, state))
        }) {
            Ok((effect, state)) => {
                decision.indices.insert(
                    effect.key.index.clone(),
                    IndexNeed { uuid: state.uuid.clone(), mapping: state.mapping_version, shards: state.shards },
                );
                if item.action == Action::Update && matches!(&*done.result, "updated" | "noop") {
                    decision.unrouted.push(decision.effects.len());
                }
                decision.effects.push(effect);
            }
            Err(reason) => {
                let deleted = matches!(&*done.result, "deleted" | "not_found");
                let written = if deleted { Written::Here } else { Written::Put(done.seq_no) };
                // An alias may lead elsewhere, or give another routing, than it did.
                let landed = landed(item, &asked, &done);
                let mut places = meant(item, before, after);
                places.remove(&landed);
                places.into_iter().for_each(|key| doubt(key, reason.clone(), None));
                doubt(landed, reason, Some(written));
            }
        }
    }
    decision
}

/// Where the request was stored, and not what an update made of it.
fn landed(item: &PlannedItem, asked: &DocumentKey, done: &Done<'_>) -> DocumentKey {
    let keeps_routing = done.index == *asked.index || item.key.routing.is_some();
    let routing = if keeps_routing { asked.routing.clone() } else { None };
    DocumentKey { index: (&*done.index).into(), id: (&*done.id).into(), routing }
}

/// The documents that an item may have reached: the aliases may have turned meanwhile.
fn meant(item: &PlannedItem, before: &Sight, after: Option<&Sight>) -> BTreeSet<DocumentKey> {
    std::iter::once(before).chain(after).map(|sight| sight.resolve(&item.key)).collect()
}

/// The state of the index behind a name that its effects may assume, or why none may be assumed.
fn trust(name: &Arc<str>, before: &Sight, after: Option<&Sight>) -> Result<Arc<IndexState>, String> {
    let Some(after) = after else {
        return Err("the cluster state could not be looked at after the write".to_owned());
    };
    if before.state.cluster_uuid != after.state.cluster_uuid {
        return Err("another cluster stands behind the primary's address".to_owned());
    }
    match (before.lookup(name), after.lookup(name)) {
        (_, IndexLookup::Concrete(after)) if !after.shards.is_valid() => {
            Err(format!("the shards of index [{name}] cannot be understood"))
        }
        (IndexLookup::Concrete(before), IndexLookup::Concrete(after)) => unchanged(name, before, after),
        (IndexLookup::Alias(before), IndexLookup::Alias(after)) => match (&before.write, &after.write) {
            (Some(before), Some(after)) if before.index == after.index && before.routing == after.routing => {
                if !after.state.shards.is_valid() {
                    return Err(format!("the shards of index [{}] cannot be understood", after.index));
                }
                unchanged(&after.index, &before.state, &after.state)
            }
            _ => Err(format!("the alias [{name}] changed during the write")),
        },
        // The write itself, or another one at that time, created it; its settings are still those it was created with.
        (IndexLookup::Absent, IndexLookup::Concrete(after)) if after.settings_version == 1 => Ok(after.clone()),
        (IndexLookup::Absent, IndexLookup::Concrete(_)) => {
            Err(format!("index [{name}] was created during the write, and its settings changed"))
        }
        _ => Err(format!("index [{name}] is not what it was before the write")),
    }
}

/// `settings_version` is compared and not the names of pipelines, which may come and go.
fn unchanged(index: &str, before: &IndexState, after: &Arc<IndexState>) -> Result<Arc<IndexState>, String> {
    if before.uuid != after.uuid {
        Err(format!("index [{index}] was made anew during the write"))
    } else if before.settings_version != after.settings_version {
        Err(format!("the settings of index [{index}] changed during the write"))
    } else {
        Ok(after.clone())
    }
}

/// The document that was written, when it is the one that was meant.
fn claimed_key(asked: &DocumentKey, done: &Done<'_>) -> Result<DocumentKey, String> {
    if done.index != *asked.index || done.id != *asked.id {
        let (index, id) = (&done.index, &done.id);
        return Err(format!("the primary wrote [{index}/{id}] where [{}] was meant", asked.record_key()));
    }
    Ok(asked.clone())
}

fn effect(epoch: u64, item: &PlannedItem, key: DocumentKey, done: &Done<'_>) -> Result<Effect, String> {
    let state = match (item.action, &*done.result, &item.source, &done.source) {
        // Of an update the plan holds a part only where a test planted that.
        (Action::Index | Action::Create, "created" | "updated", Some(source), _)
        | (Action::Update, "created" | "updated" | "noop", Some(source), Some(_))
        | (Action::Update, "created" | "updated" | "noop", _, Some(source)) => DocumentState::Put(source.clone()),
        (Action::Delete, "deleted" | "not_found", None, _) | (Action::Update, "deleted", _, _) => {
            DocumentState::Deleted
        }
        (action, result, ..) => return Err(format!("the primary answered [{result}] to [{}]", action.name())),
    };
    let version = PackedVersion::pack(epoch, done.primary_term, done.seq_no).map_err(|error| error.to_string())?;
    Ok(Effect { client_version: item.client_version, ..Effect::claimed(key, version, state) })
}

#[cfg(test)]
mod tests;
