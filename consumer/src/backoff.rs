//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);

/// Jittered exponential backoff without an end. Randomness comes from the caller.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// One that never waits longer than `max`.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self { max, tries: 0 }
    }

    /// The pause after one more failure: between half of a doubling span and all of it. `dice` is from 0 to 1.
    pub fn next(&mut self, dice: f64) -> Duration {
        let span = FIRST.saturating_mul(1 << self.tries.min(20)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        span.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number from 0 to 1, for those who do I/O: this module's own decisions take theirs from the caller.
#[must_use]
pub fn dice() -> f64 {
    // Each `RandomState` has keys of its own, which is all the randomness that a pause needs.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_begins_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.next(0.0).as_millis(), 500);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 25);
        for _ in 0..1000 {
            assert!(backoff.next(0.5) <= Duration::from_secs(1));
        }
    }
}
