//! Chance from a seed: the same numbers on every machine.

use std::cell::Cell;

/// SplitMix64. One stream for each purpose, so that what is left out of one does not move the others.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let random = Self(Cell::new(seed ^ stream.wrapping_mul(0xd605_1a4b_1f7c_9e3d)));
        random.next();
        random
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to just below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        // The bias is far below what a schedule could show.
        ((u128::from(self.next()) * u128::from(end.max(1))) >> 64) as u64
    }

    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).max(1))
    }

    pub(crate) fn unit(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
