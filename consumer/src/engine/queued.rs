//! Records that wait for their turn.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use understudy_common::{
    effect::Effect,
    kafka::LogRecord,
    record::{IndexNeed, Unreadable},
    shard::ShardLayout,
};

use super::{IndexId, Origin, Received};

/// The epoch that this build knows.
const EPOCH: u64 = 1;

pub(super) struct Queued {
    pub(super) origin: Arc<Origin>,
    pub(super) content: Content,
    pub(super) bytes: usize,
    pub(super) arrived: Duration,
}

/// What effects need of their index.
pub(super) struct Needed {
    pub(super) index: IndexId,
    pub(super) mapping: u64,
    pub(super) shards: ShardLayout,
}

pub(super) enum Content {
    Effects { indices: HashMap<Arc<str>, Needed>, effects: VecDeque<Effect> },
    Foreign(String),
    Newer(String),
}

impl Queued {
    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::Effects { effects, .. } => effects.len(),
            _ => 0,
        }
    }
}

pub(super) fn queued(now: Duration, received: Received) -> Queued {
    /// What a record takes in memory beside its bytes, about.
    const FIXED: usize = 512;
    let Received { record, content } = received;
    let bytes =
        FIXED + record.value.as_ref().map_or(0, |value| value.len()) + record.key.as_ref().map_or(0, |key| key.len());
    let (request, ticket_ms, content) = match content {
        Ok(record) if record.provenance.epoch != EPOCH => {
            let text = format!("epoch {}, and this build knows {EPOCH}", record.provenance.epoch);
            (record.provenance.request, 0, Content::Newer(text))
        }
        Ok(record) => {
            let need = |(index, need): (Arc<str>, IndexNeed)| {
                let id = IndexId { index: index.clone(), uuid: need.uuid };
                (index, Needed { index: id, mapping: need.mapping, shards: need.shards })
            };
            let indices: HashMap<_, _> = record.indices.into_iter().map(need).collect();
            let unnamed = record.effects.iter().find(|effect| !indices.contains_key(&effect.key.index));
            let content = match unnamed {
                Some(effect) => Content::Foreign(format!("it does not say what [{}] is", effect.key.index)),
                None => Content::Effects { indices, effects: record.effects.into() },
            };
            (record.provenance.request, record.provenance.ticket_ms, content)
        }
        Err(Unreadable::Foreign(text)) => ("".into(), 0, Content::Foreign(text)),
        Err(Unreadable::Newer(text)) => ("".into(), 0, Content::Newer(text)),
    };
    // The effects hold what they need of the value, and may outlive their record.
    let value = record.value.clone().filter(|_| !matches!(content, Content::Effects { .. }));
    let record = LogRecord { value, ..record };
    Queued { origin: Arc::new(Origin { record, request, ticket_ms }), content, bytes, arrived: now }
}
