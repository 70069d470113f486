//! Kafka: topics of effects, intents and schemas; appends whose acknowledgement is lost or late, brokers' clocks, groups.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use understudy_common::{intent::Intent, record::EffectsRecord};
use understudy_consumer::offsets::CommitMetadata;

use crate::executor::Owner;

/// Partitions of the intents topic here; the real one has more.
pub(crate) const INTENT_PARTITIONS: i32 = 2;
/// What brokers' clocks show at the beginning.
const EPOCH_MS: i64 = 1_000_000;

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Intents(i32),
    Effects { target: usize, partition: i32 },
    Schema,
}

#[derive(Clone)]
pub(crate) struct EffectsAt {
    pub(crate) at_ms: i64,
    pub(crate) record: Rc<EffectsRecord>,
}

#[derive(Clone)]
pub(crate) struct IntentAt {
    pub(crate) at_ms: i64,
    pub(crate) request: Arc<str>,
    pub(crate) value: Option<Rc<Intent>>,
}

/// What an index is like.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) version: u64,
    pub(crate) mapping: BTreeMap<u64, bool>,
    pub(crate) client_versions: bool,
}

pub(crate) enum Message {
    Effects(Rc<EffectsRecord>),
    Intent(Arc<str>, Option<Rc<Intent>>),
    Schema(Schema),
}

/// What a group knows of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) owner: Option<Owner>,
    pub(crate) generation: u64,
    pub(crate) committed: Option<(i64, CommitMetadata)>,
}

pub(crate) struct Kafka {
    /// By target and partition.
    pub(crate) effects: Vec<Vec<Vec<EffectsAt>>>,
    pub(crate) intents: Vec<Vec<IntentAt>>,
    pub(crate) schemas: Vec<Schema>,
    /// Open intents: what their last records say.
    pub(crate) open: BTreeMap<Arc<str>, Rc<Intent>>,
    pub(crate) skew: BTreeMap<Place, i64>,
    pub(crate) blocked: BTreeMap<Place, u64>,
    /// When the last append of a producer to a partition arrives: its order is kept.
    pub(crate) lanes: BTreeMap<(Owner, Place), u64>,
    pub(crate) groups: BTreeMap<Place, Held>,
    pub(crate) generations: u64,
    pub(crate) requests: u64,
}

impl Kafka {
    pub(crate) fn new(targets: usize, partitions: i32) -> Self {
        Self {
            effects: vec![vec![Vec::new(); partitions as usize]; targets],
            intents: vec![Vec::new(); INTENT_PARTITIONS as usize],
            schemas: Vec::new(),
            open: BTreeMap::new(),
            skew: BTreeMap::new(),
            blocked: BTreeMap::new(),
            lanes: BTreeMap::new(),
            groups: BTreeMap::new(),
            generations: 0,
            requests: 0,
        }
    }

    pub(crate) fn clock(&self, place: Place, now: u64) -> i64 {
        EPOCH_MS + now as i64 + self.skew.get(&place).copied().unwrap_or(0)
    }

    /// Appends, and says when by the broker's clock.
    pub(crate) fn append(&mut self, place: Place, message: &Message, now: u64) -> i64 {
        let at_ms = self.clock(place, now);
        match (place, message) {
            (Place::Effects { target, partition }, Message::Effects(record)) => {
                self.effects[target][partition as usize].push(EffectsAt { at_ms, record: record.clone() });
            }
            (Place::Intents(partition), Message::Intent(request, value)) => {
                match value {
                    Some(intent) if !intent.documents.is_empty() => {
                        self.open.insert(request.clone(), intent.clone());
                    }
                    Some(_) => {}
                    None => drop(self.open.remove(request)),
                }
                let (request, value) = (request.clone(), value.clone());
                self.intents[partition as usize].push(IntentAt { at_ms, request, value });
            }
            (Place::Schema, Message::Schema(schema)) => self.schemas.push(schema.clone()),
            _ => unreachable!("a message of another topic"),
        }
        at_ms
    }
}
