//! What is published of a write, and what its client may be told.
//!
//! An effect is taken from the request only when what it assumes of its index was true while the primary applied it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use understudy_common::{
    bulk::Action,
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
    /// What is published, whatever else is in doubt.
    pub effects: Vec<Effect>,
    /// What the effects need of their indices.
    pub indices: BTreeMap<Arc<str>, IndexNeed>,
    /// Why the intent stays open; `None` when every item is settled by its effect or had none.
    pub doubt: Option<Doubt>,
}

/// Why a write is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The primary wrote it, and the request may not hold what it stored.
    Untrusted(String),
    /// The primary may have written it.
    Unknown(String),
}

impl Doubt {
    /// The error that the client gets.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Untrusted(reason) => Refusal::replication_pending(format!(
                "{reason}: the primary has the write and the targets do not have it yet; do not send it again, read it"
            )),
            Self::Unknown(reason) => Refusal::outcome_unknown(format!(
                "{reason}: whether the primary has the write is unknown; read before you send it again"
            )),
        }
    }

    /// Of two doubts the one that says less.
    fn graver(self, other: Option<Self>) -> Self {
        match other {
            Some(unknown @ Self::Unknown(_)) => unknown,
            _ => self,
        }
    }
}

/// Refuses what is known not to be replicable before anything is written.
///
/// # Errors
/// For aliases and data streams, and for indices whose pipelines would change what is stored.
pub fn check_before(items: &[PlannedItem], before: &Sight) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for item in items {
        let index = &item.key.index;
        if !seen.insert((index, item.action == Action::Delete)) {
            continue;
        }
        let refuse = |what: &str| Err(Refusal::not_replicated(format!("{}nothing was executed: {what}", item.place())));
        match before.lookup(index) {
            IndexLookup::Other | IndexLookup::Alias(_) => {
                return refuse(&format!(
                    "[{index}] is an alias or a data stream, through which writes are not replicated yet: write to the concrete index"
                ));
            }
            IndexLookup::Concrete(state) if state.has_pipeline => {
                return refuse(&format!(
                    "index [{index}] has a default or final pipeline, whose results are not replicated yet: remove it (index.default_pipeline, index.final_pipeline) and run it before you write"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Decides what is published of a write that the primary answered.
///
/// `after` is what a look at the cluster state showed that began after the answer: `None` when the look failed.
#[must_use]
pub fn decide(epoch: u64, items: &[PlannedItem], before: &Sight, answer: Answer, after: Option<&Sight>) -> Decision {
    let (outcomes, pipeline_ran) = match answer {
        Answer::Refused(_) => return Decision::default(),
        Answer::Unknown(reason) => return Decision { doubt: Some(Doubt::Unknown(reason)), ..Decision::default() },
        Answer::Items { outcomes, pipeline_ran } => (outcomes, pipeline_ran),
    };
    let moved = after.is_none_or(|after| after.state != before.state);
    let mut decision = Decision::default();
    let mut trusted: BTreeMap<&Arc<str>, Result<Arc<IndexState>, String>> = BTreeMap::new();
    for (item, outcome) in items.iter().zip(outcomes) {
        let doubt = match outcome {
            // A coordinating node that lost a shard tries again by itself and meets its own first try, or an index that was
            // blocked, closed or deleted since.
            Outcome::Conflict if moved => {
                Some(Doubt::Unknown("a version conflict while the cluster state moved".to_owned()))
            }
            Outcome::Refused { by_state: true, status } if moved => {
                Some(Doubt::Unknown(format!("refused with {status} while the cluster state moved")))
            }
            Outcome::Conflict | Outcome::Refused { .. } => None,
            Outcome::Unknown(reason) => Some(Doubt::Unknown(reason)),
            Outcome::Done(_) if pipeline_ran && item.action != Action::Delete => {
                Some(Doubt::Untrusted("an ingest pipeline ran".to_owned()))
            }
            Outcome::Done(done) => {
                let state = trusted.entry(&item.key.index).or_insert_with(|| trust(&item.key.index, before, after));
                match state.clone().and_then(|state| Ok((effect(epoch, item, &done)?, state))) {
                    Ok((effect, state)) => {
                        decision.indices.insert(
                            item.key.index.clone(),
                            IndexNeed {
                                uuid: state.uuid.clone(),
                                mapping: state.mapping_version,
                                shards: state.shards,
                            },
                        );
                        decision.effects.push(effect);
                        None
                    }
                    Err(reason) => Some(Doubt::Untrusted(reason)),
                }
            }
        };
        if let Some(doubt) = doubt {
            decision.doubt = Some(doubt.graver(decision.doubt.take()));
        }
    }
    decision
}

/// The state of an index that its effects may assume, or why none may be assumed.
fn trust(index: &Arc<str>, before: &Sight, after: Option<&Sight>) -> Result<Arc<IndexState>, String> {
    let Some(after) = after else {
        return Err("the cluster state could not be looked at after the write".to_owned());
    };
    if before.state.cluster_uuid != after.state.cluster_uuid {
        return Err("another cluster stands behind the primary's address".to_owned());
    }
    match (before.lookup(index), after.lookup(index)) {
        (_, IndexLookup::Concrete(after)) if !after.shards.is_valid() => {
            Err(format!("the shards of index [{index}] cannot be understood"))
        }
        (IndexLookup::Concrete(before), IndexLookup::Concrete(after)) => {
            if before.uuid != after.uuid {
                Err(format!("index [{index}] was made anew during the write"))
            } else if before.settings_version != after.settings_version || after.has_pipeline {
                Err(format!("the settings of index [{index}] changed during the write"))
            } else {
                Ok(after.clone())
            }
        }
        // The write itself, or another one at that time, created it; its settings are still those it was created with.
        (IndexLookup::Absent, IndexLookup::Concrete(after)) if after.settings_version == 1 && !after.has_pipeline => {
            Ok(after.clone())
        }
        (IndexLookup::Absent, IndexLookup::Concrete(_)) => {
            Err(format!("index [{index}] was created during the write, and its settings changed or name a pipeline"))
        }
        _ => Err(format!("index [{index}] is not what it was before the write")),
    }
}

fn effect(epoch: u64, item: &PlannedItem, done: &Done) -> Result<Effect, String> {
    if done.index != *item.key.index || done.id != *item.key.id {
        return Err(format!(
            "the primary wrote [{}/{}] where [{}] was meant",
            done.index,
            done.id,
            item.key.record_key()
        ));
    }
    let state = match (done.result.as_str(), &item.source) {
        ("created" | "updated", Some(source)) => DocumentState::Put(source.clone()),
        ("deleted" | "not_found", None) => DocumentState::Deleted,
        (result, _) => return Err(format!("the primary answered [{result}] to [{}]", item.action.name())),
    };
    let version = PackedVersion::pack(epoch, done.primary_term, done.seq_no).map_err(|error| error.to_string())?;
    Ok(Effect::claimed(item.key.clone(), version, state))
}

#[cfg(test)]
mod tests;
