//! The open intents of one partition.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::IntentRecord;
use crate::reconciler::{
    clock::BrokerClock,
    progress::{Progress, Times},
};

pub(super) struct Partition {
    pub generation: u64,
    pub reached_end: bool,
    /// The offset after the last record that was read.
    pub next: Option<i64>,
    pub clock: BrokerClock,
    pub intents: BTreeMap<i64, OpenIntent>,
    offsets: HashMap<Arc<str>, i64>,
}

pub(super) struct OpenIntent {
    pub request: Arc<str>,
    pub at_ms: i64,
    pub size: usize,
    pub progress: Progress,
    /// Who wrote it and how many documents it has, once it was read back.
    pub facts: Option<(Arc<str>, usize)>,
}

impl Partition {
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            reached_end: false,
            next: None,
            clock: BrokerClock::default(),
            intents: BTreeMap::new(),
            offsets: HashMap::new(),
        }
    }

    /// Puts a record in the place of the one before it under the same key.
    pub fn replace(&mut self, record: IntentRecord, times: &Times) {
        if let Some(before) = self.offsets.remove(&record.request) {
            self.intents.remove(&before);
        }
        let Some(size) = record.size else { return };
        self.offsets.insert(record.request.clone(), record.offset);
        let progress = Progress::new(times);
        let (request, at_ms) = (record.request, record.at_ms);
        self.intents.insert(record.offset, OpenIntent { request, at_ms, size, progress, facts: None });
    }

    pub fn remove(&mut self, offset: i64) {
        if let Some(intent) = self.intents.remove(&offset) {
            self.offsets.remove(&intent.request);
        }
    }

    /// Those that are due, the longest first: since when, offset, the age that the look needs, and size.
    pub fn due(&self, times: &Times, now: Duration) -> impl Iterator<Item = (Duration, i64, Duration, usize)> + use<> {
        let mut due: Vec<_> = Vec::new();
        if self.reached_end {
            due.extend(self.intents.iter().filter_map(|(offset, intent)| {
                let (needs, since) = intent.progress.due(times, self.clock.age(intent.at_ms, now), now)?;
                Some((since, *offset, needs, intent.size))
            }));
            due.sort_unstable();
        }
        due.into_iter()
    }

    pub fn commit(&self) -> Option<i64> {
        self.intents.keys().next().copied().or(self.next)
    }
}
