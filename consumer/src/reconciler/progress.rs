//! How far an open intent is looked after, and what is due next. Pure.

use std::{collections::BTreeSet, time::Duration};

use understudy_common::observe::SeenCopy;

use super::clock::age;
use crate::backoff::Backoff;

/// When intents are looked after.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The age of an intent at which its documents are looked at for the first time, for freshness.
    pub early: Duration,
    /// The age from which on nothing of it can be under way in the primary any more: only what is seen then settles it.
    pub last: Duration,
    /// From the last look to the second one that makes sure of it.
    pub settle_after: Duration,
    /// The longest pause between two looks at what was not known.
    pub max_pause: Duration,
}

/// Which documents of an intent are still to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Those that were looked at and not known.
    pub unknown: Vec<u32>,
    /// All from this one on.
    pub from: u32,
}

/// What was seen of an intent in all looks of one pass over its documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// What is left.
    pub remaining: Remaining,
    /// Append time of the oldest ticket that was looked under.
    pub oldest_ticket_ms: Option<i64>,
    /// The primary copies that answered.
    pub copies: BTreeSet<SeenCopy>,
}

/// What is going on with an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing: it waits for its time.
    Waiting,
    /// A look is under way.
    Looking,
    /// Everything was seen after the linger time; the second look comes at this time.
    Settling(Duration),
    /// The second look is under way, or its tombstone.
    Confirming,
    /// It cannot be read, or is not ours to settle.
    SetAside,
}

/// How far an intent is looked after.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is going on.
    pub doing: Doing,
    /// Whether everything was seen once already.
    early_done: bool,
    pass: Option<Box<Pass>>,
    not_before: Duration,
    backoff: Backoff,
}

impl Progress {
    /// Of an intent that was read just now.
    #[must_use]
    pub fn new(times: &Times) -> Self {
        let backoff = Backoff::new(times.max_pause);
        Self { doing: Doing::Waiting, early_done: false, pass: None, not_before: Duration::ZERO, backoff }
    }

    /// The age that the next look needs, once `age` has reached it, and since when it was due.
    #[must_use]
    pub fn due(&self, times: &Times, age: Duration, now: Duration) -> Option<(Duration, Duration)> {
        if self.doing != Doing::Waiting || now < self.not_before {
            return None;
        }
        let needs = if age >= times.last || self.early_done { times.last } else { times.early };
        let over = age.checked_sub(needs)?;
        Some((needs, now.saturating_sub(over).max(self.not_before)))
    }

    /// Begins a look: what is left of the pass. One that began before the linger time was over does not settle, so it begins
    /// anew.
    pub fn look(&mut self, times: &Times, at_ms: i64, needs: Duration) -> Remaining {
        self.doing = Doing::Looking;
        if needs >= times.last && !self.pass.as_deref().is_some_and(|pass| is_last(pass, times, at_ms)) {
            self.pass = None;
        }
        self.pass.as_ref().map(|pass| pass.remaining.clone()).unwrap_or_default()
    }

    /// Takes over what a look saw. `whole`: nothing is left.
    pub fn looked(&mut self, times: &Times, at_ms: i64, seen: Pass, whole: bool, now: Duration, dice: f64) {
        let mut pass = self.pass.take().unwrap_or_default();
        pass.oldest_ticket_ms = match (pass.oldest_ticket_ms, seen.oldest_ticket_ms) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        pass.copies.extend(seen.copies);
        pass.remaining = seen.remaining;
        self.doing = Doing::Waiting;
        if !whole {
            if !pass.remaining.unknown.is_empty() {
                self.pause(now, dice);
            }
            self.pass = Some(pass);
        } else if is_last(&pass, times, at_ms) {
            self.doing = Doing::Settling(now + times.settle_after);
            self.pass = Some(pass);
        } else {
            self.early_done = true;
            self.backoff.reset();
        }
    }

    /// Waits before the next look.
    pub fn pause(&mut self, now: Duration, dice: f64) {
        self.doing = Doing::Waiting;
        self.not_before = now + self.backoff.next(dice);
    }

    /// The second look saw other primary copies than the last one: everything is looked at again.
    pub fn moved(&mut self, now: Duration, dice: f64) {
        self.pass = None;
        self.pause(now, dice);
    }

    /// The second look, or the settlement, did not come about: it is tried again.
    pub fn not_confirmed(&mut self, now: Duration, dice: f64) {
        self.doing = Doing::Settling(now + self.backoff.next(dice));
    }

    /// The copies that answered in the last pass.
    #[must_use]
    pub fn copies(&self) -> BTreeSet<SeenCopy> {
        self.pass.as_ref().map(|pass| pass.copies.clone()).unwrap_or_default()
    }
}

/// Whether all of it was seen after the linger time (`linger`).
fn is_last(pass: &Pass, times: &Times, at_ms: i64) -> bool {
    pass.oldest_ticket_ms.is_some_and(|ticket_ms| age(at_ms, ticket_ms) >= times.last)
}
