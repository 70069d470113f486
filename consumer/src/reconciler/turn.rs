//! One turn: some open intents of one partition, worked off chunk by chunk. Pure.
//!
//! ```text
//! intents (read back) ─► chunk under a ticket ─► known / unknown of each document ─► … ─► what is left of each intent
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use understudy_common::{intent::Intent, observe::SeenCopy};

use super::{
    clock::age,
    progress::{Pass, Remaining},
};

/// An intent that is to be looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its request.
    pub request: Arc<str>,
    /// Where it stands.
    pub offset: i64,
    /// Append time.
    pub at_ms: i64,
    /// The age that it must have by the ticket.
    pub needs: Duration,
    /// Its documents that are left.
    pub remaining: Remaining,
}

/// A document of an intent of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which intent of the turn.
    pub intent: usize,
    /// Which document of it.
    pub document: u32,
}

/// What came of an intent in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its record is no longer where it stood: a settlement or another record follows.
    Gone,
    /// It stays open until somebody acts.
    SetAside(String),
    /// By the ticket's time it is too young.
    TooEarly,
    /// It was looked at, wholly or in part.
    Looked(Box<Seen>),
}

/// What was seen of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What was seen, and what is left.
    pub pass: Pass,
    /// Whether nothing is left.
    pub whole: bool,
    /// Who wrote it.
    pub gateway: Arc<str>,
    /// How many documents it has.
    pub documents: usize,
}

/// Unknown documents that are remembered of one intent; with more of them the rest waits for its next turn.
const UNKNOWN: usize = 4_096;

/// A turn.
pub struct Turn {
    /// Partition of the intents.
    pub partition: i32,
    /// Generation of its assignment.
    pub generation: u64,
    intents: Vec<Looking>,
}

struct Looking {
    wanted: Wanted,
    read: Read,
    too_early: bool,
    /// Places in `wanted.remaining.unknown` that were taken.
    repeated: usize,
    from: usize,
    unknown: Vec<u32>,
    oldest_ticket_ms: Option<i64>,
    copies: BTreeSet<SeenCopy>,
}

enum Read {
    NotYet,
    Whole(Intent),
    SetAside(String),
}

impl Turn {
    /// One of these intents.
    #[must_use]
    pub fn new(partition: i32, generation: u64, wanted: Vec<Wanted>) -> Self {
        let looking = |wanted: Wanted| Looking {
            from: wanted.remaining.from as usize,
            wanted,
            read: Read::NotYet,
            too_early: false,
            repeated: 0,
            unknown: Vec::new(),
            oldest_ticket_ms: None,
            copies: BTreeSet::new(),
        };
        Self { partition, generation, intents: wanted.into_iter().map(looking).collect() }
    }

    /// Offsets of its intents.
    pub fn offsets(&self) -> impl Iterator<Item = i64> {
        self.intents.iter().map(|intent| intent.wanted.offset)
    }

    /// Its intents that are to be read back: offset and request.
    #[cfg(test)]
    pub fn requests(&self) -> Vec<(i64, Arc<str>)> {
        self.intents.iter().map(|intent| (intent.wanted.offset, intent.wanted.request.clone())).collect()
    }

    /// The record at `offset` was read back.
    pub fn read(&mut self, offset: i64, request: &[u8], intent: Result<Intent, String>) {
        let found = self.intents.iter_mut().find(|intent| intent.wanted.offset == offset);
        // A topic that was made anew has another record there.
        if let Some(found) = found.filter(|found| found.wanted.request.as_bytes() == request) {
            found.read = match intent {
                Ok(intent) => Read::Whole(intent),
                Err(reason) => Read::SetAside(reason),
            };
        }
    }

    /// The intent of a place, and its request.
    #[must_use]
    pub fn intent(&self, intent: usize) -> Option<(&Arc<str>, &Intent)> {
        let looking = self.intents.get(intent)?;
        match &looking.read {
            Read::Whole(intent) => Some((&looking.wanted.request, intent)),
            Read::NotYet | Read::SetAside(_) => None,
        }
    }

    /// The next documents, at most `limit`, to be looked at under a ticket of this time; none when the turn is over. An
    /// intent that is younger than it must be by the ticket is left out (`ticket_first`).
    pub fn chunk(&mut self, ticket_ms: i64, limit: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for (place, intent) in self.intents.iter_mut().enumerate() {
            let Read::Whole(read) = &intent.read else { continue };
            intent.too_early |= age(intent.wanted.at_ms, ticket_ms) < intent.wanted.needs;
            if intent.too_early {
                continue;
            }
            let before = places.len();
            while places.len() < limit && intent.unknown.len() + (places.len() - before) < UNKNOWN {
                let document = if let Some(again) = intent.wanted.remaining.unknown.get(intent.repeated) {
                    intent.repeated += 1;
                    *again
                } else if let Some(next) =
                    u32::try_from(intent.from).ok().filter(|_| intent.from < read.documents.len())
                {
                    intent.from += 1;
                    next
                } else {
                    break;
                };
                places.push(Place { intent: place, document });
            }
            if places.len() > before || intent.oldest_ticket_ms.is_none() && read.documents.is_empty() {
                intent.oldest_ticket_ms = Some(intent.oldest_ticket_ms.map_or(ticket_ms, |at_ms| at_ms.min(ticket_ms)));
            }
        }
        places
    }

    /// Whether nothing is left to be looked at.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.intents.iter().any(Looking::is_open)
    }

    /// A document of the last chunk was not known, or not published.
    pub fn unknown(&mut self, place: Place) {
        if let Some(intent) = self.intents.get_mut(place.intent) {
            intent.unknown.push(place.document);
        }
    }

    /// These copies answered for documents of an intent.
    pub fn answered(&mut self, intent: usize, copies: &BTreeSet<SeenCopy>) {
        if let Some(intent) = self.intents.get_mut(intent) {
            intent.copies.extend(copies.iter().cloned());
        }
    }

    /// What came of each intent, by offset. What was not reached is left for the next turn.
    #[must_use]
    pub fn end(self) -> Vec<(i64, Outcome)> {
        let outcome = |looking: Looking| {
            let offset = looking.wanted.offset;
            let intent = match looking.read {
                Read::NotYet => return (offset, Outcome::Gone),
                Read::SetAside(reason) => return (offset, Outcome::SetAside(reason)),
                Read::Whole(_) if looking.too_early && looking.oldest_ticket_ms.is_none() => {
                    return (offset, Outcome::TooEarly);
                }
                Read::Whole(intent) => intent,
            };
            let mut unknown = looking.unknown;
            unknown.extend_from_slice(&looking.wanted.remaining.unknown[looking.repeated..]);
            let whole =
                unknown.is_empty() && looking.from >= intent.documents.len() && looking.oldest_ticket_ms.is_some();
            let remaining = Remaining { unknown, from: u32::try_from(looking.from).unwrap_or(u32::MAX) };
            let pass = Pass { remaining, oldest_ticket_ms: looking.oldest_ticket_ms, copies: looking.copies };
            let seen = Seen { pass, whole, gateway: intent.gateway, documents: intent.documents.len() };
            (offset, Outcome::Looked(Box::new(seen)))
        };
        self.intents.into_iter().map(outcome).collect()
    }
}

impl Looking {
    fn is_open(&self) -> bool {
        let Read::Whole(read) = &self.read else { return false };
        let left = self.repeated < self.wanted.remaining.unknown.len() || self.from < read.documents.len();
        !self.too_early && self.unknown.len() < UNKNOWN && (left || self.oldest_ticket_ms.is_none())
    }
}

#[cfg(test)]
mod tests;
