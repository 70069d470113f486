//! Bytes that writes under way may take together, every copy of them counted.
//!
//! A write pays before it takes: for what came of its body, for what that decompresses to, for its plan, its records, and
//! what librdkafka copies of them. What nobody can know before, the primary's answer, is counted when it is there: then
//! others wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::IntGauge;

use crate::refusal::{Limit, Refusal};

/// Bytes that writes under way may take together. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Purse>);

struct Purse {
    max: u64,
    used: AtomicU64,
    gauge: IntGauge,
}

/// A part of the budget, which is given back when it is dropped.
pub struct Hold {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `max` bytes; the gauge shows what is used of it.
    #[must_use]
    pub fn new(max: u64, gauge: IntGauge) -> Self {
        Self(Arc::new(Purse { max, used: AtomicU64::new(0), gauge }))
    }

    /// Whether so many bytes are left; others may take them meanwhile.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.0.used.load(Ordering::Acquire).saturating_add(bytes) <= self.0.max
    }

    /// A hold of nothing yet.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold { budget: self.clone(), bytes: 0 }
    }

    /// Counts what is there already, also beyond the budget.
    #[must_use]
    pub fn count(&self, bytes: usize) -> Hold {
        let bytes = bytes as u64;
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        self.show(bytes, true);
        Hold { budget: self.clone(), bytes }
    }

    fn take(&self, bytes: u64) -> bool {
        let within = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.0.max);
        let taken = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).is_ok();
        if taken {
            self.show(bytes, true);
        }
        taken
    }

    fn give(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::AcqRel);
        self.show(bytes, false);
    }

    fn show(&self, bytes: u64, more: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.0.gauge.add(if more { bytes } else { -bytes });
    }
}

impl Hold {
    /// Takes more.
    ///
    /// # Errors
    /// 429 when there is not so much left; 413 when there never will be.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = bytes as u64;
        if self.budget.take(bytes) {
            self.bytes += bytes;
            return Ok(());
        }
        let max = self.budget.0.max;
        if self.bytes.saturating_add(bytes) > max {
            return Err(Refusal::too_large(format!(
                "with the copies that are made of it this write alone needs more than the {max} bytes that all writes in this gateway may take (gateway.max_bytes_in_flight): send less at once"
            )));
        }
        let reason =
            "too many bytes of writes are under way in this gateway (gateway.max_bytes_in_flight); try again later";
        Err(Refusal::overloaded(Limit::Bytes, reason))
    }

    /// Gives some of it back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = (bytes as u64).min(self.bytes);
        self.bytes -= bytes;
        self.budget.give(bytes);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let budget = Budget::new(100, gauge.clone());
        let (mut one, mut other) = (budget.hold(), budget.hold());
        one.grow(60).unwrap();
        let refused = |hold: &mut Hold, bytes| hold.grow(bytes).unwrap_err();
        assert_eq!(refused(&mut other, 41).status, 429);
        assert!(refused(&mut other, 41).reason.contains("try again later"));
        // Nobody's patience makes room for it.
        assert_eq!(refused(&mut other, 101).status, 413);
        assert_eq!(refused(&mut one, 41).status, 413);
        assert!(refused(&mut one, usize::MAX).reason.contains("alone"));
        other.grow(40).unwrap();
        // What is there is counted, and nobody gets more before it is gone.
        let answer = budget.count(50);
        assert_eq!(gauge.get(), 150);
        one.shrink(20);
        assert!(one.grow(1).is_err());
        drop(answer);
        one.grow(20).unwrap();
        drop((one, other));
        assert_eq!((gauge.get(), budget.0.used.load(Ordering::Acquire)), (0, 0));
    }
}
