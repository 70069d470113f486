//! A target: external versions, tombstones that a restart forgets, and fields whose type it guesses where nobody said it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use understudy_common::{
    effect::{DocumentState, Effect},
    shard::ShardLayout,
};
use understudy_consumer::force::decide::{Condition, Copy};

use crate::world::number;

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    version: u64,
    seq: u64,
    /// `None` is a tombstone.
    pub(crate) source: Option<Bytes>,
    pub(crate) routing: Option<Arc<str>>,
}

#[derive(Default)]
struct Shard {
    docs: BTreeMap<u64, Stored>,
    next: u64,
}

pub(crate) struct Target {
    layout: ShardLayout,
    shards: Vec<Shard>,
    /// Whether each field is a date.
    pub(crate) mapping: BTreeMap<u64, bool>,
}

/// How a write is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// By versions; `external` off: not at all.
    Versions {
        external: bool,
    },
    Condition(Condition),
}

/// By shard and id: source and routing.
pub(crate) type Documents = BTreeMap<(u32, u64), (Bytes, Option<Arc<str>>)>;

/// Status, result, sequence number.
pub(crate) type Took = (u16, &'static str, u64);

impl Target {
    pub(crate) fn new(layout: ShardLayout) -> Self {
        let shards = (0..layout.number).map(|_| Shard::default()).collect();
        Self { layout, shards, mapping: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, effect: &Effect, check: Check) -> Took {
        let put = match &effect.state {
            DocumentState::Put(source) => Some(source),
            DocumentState::Deleted => None,
            DocumentState::Reference => unreachable!("no source is that large"),
        };
        if let Some((field, date)) = put.and_then(field) {
            // What nobody said is guessed.
            let known = *self.mapping.entry(field).or_insert(date);
            if known && !date {
                return (400, "", 0);
            }
        }
        let shard = &mut self.shards[self.layout.shard_of(&effect.key) as usize];
        let id = number(&effect.key.id);
        let known = shard.docs.get(&id);
        let there = known.is_some_and(|known| known.source.is_some());
        let version = match check {
            Check::Versions { external: true } => {
                let (given, gte) = (effect.stored_version(), effect.version_type() == "external_gte");
                let newer = known.is_some_and(|known| if gte { known.version > given } else { known.version >= given });
                if newer {
                    return (409, "", 0);
                }
                given
            }
            Check::Versions { external: false } => known.map_or(1, |known| known.version + 1),
            Check::Condition(condition) => {
                let holds = match condition {
                    Condition::Missing => !there,
                    Condition::Is { seq_no, .. } => there && known.is_some_and(|known| known.seq == seq_no),
                };
                if !holds {
                    return (409, "", 0);
                }
                known.map_or(1, |known| known.version + 1)
            }
        };
        let (status, result) = match (put.is_some(), there) {
            (true, true) => (200, "updated"),
            (true, false) => (201, "created"),
            (false, true) => (200, "deleted"),
            (false, false) => (404, "not_found"),
        };
        let seq = shard.next;
        shard.next += 1;
        let routing = effect.key.routing.clone();
        shard.docs.insert(id, Stored { version, seq, source: put.cloned(), routing });
        (status, result, seq)
    }

    pub(crate) fn copy(&self, effect: &Effect) -> Copy {
        let shard = &self.shards[self.layout.shard_of(&effect.key) as usize];
        match shard.docs.get(&number(&effect.key.id)) {
            Some(Stored { version, seq, source: Some(source), routing }) => Copy::There {
                version: *version,
                seq_no: *seq,
                term: 1,
                routing: routing.as_deref().map(str::to_owned),
                source: Some(String::from_utf8_lossy(source).into_owned()),
            },
            _ => Copy::Missing,
        }
    }

    /// A node restarts: its tombstones are gone.
    pub(crate) fn forget(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.docs.retain(|_, stored| stored.source.is_some()));
    }

    /// Its documents: shard, id, and what stands there.
    pub(crate) fn documents(&self) -> Documents {
        let of = |(number, shard): (usize, &Shard)| {
            let there = |(id, stored): (&u64, &Stored)| {
                Some(((number as u32, *id), (stored.source.clone()?, stored.routing.clone())))
            };
            shard.docs.iter().filter_map(there).collect::<Vec<_>>()
        };
        self.shards.iter().enumerate().flat_map(of).collect()
    }
}

/// The field in a source, and whether it looks like a date.
fn field(source: &Bytes) -> Option<(u64, bool)> {
    let text = std::str::from_utf8(source).ok()?;
    let (_, rest) = text.split_once(",\"f")?;
    let (number, value) = rest.split_once("\":\"")?;
    Some((number.parse().ok()?, value.starts_with("2026")))
}
