//! What the clock of a partition's broker shows. Pure.

use std::time::Duration;

/// The clock of a partition's broker, by what was appended. Local time comes from the caller, in any count of its own.
///
/// It only says when it is worth to take a ticket; what age an intent has is decided by the ticket.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerClock {
    /// What it showed when the local count was at nothing, at least.
    zero_ms: Option<i64>,
}

impl BrokerClock {
    /// A record was read that was appended at `at_ms`, a while ago perhaps.
    pub fn read(&mut self, at_ms: i64, now: Duration) {
        let zero_ms = at_ms.saturating_sub(millis(now));
        self.zero_ms = Some(self.zero_ms.map_or(zero_ms, |known| known.max(zero_ms)));
    }

    /// A ticket was acknowledged a moment ago: also a clock that was set back is believed.
    pub fn ticket(&mut self, at_ms: i64, now: Duration) {
        self.zero_ms = Some(at_ms.saturating_sub(millis(now)));
    }

    /// How much time has passed since `at_ms`, at least.
    #[must_use]
    pub fn age(&self, at_ms: i64, now: Duration) -> Duration {
        self.zero_ms.map_or(Duration::ZERO, |zero_ms| age(at_ms, zero_ms.saturating_add(millis(now))))
    }
}

/// The time from one append to another one, by the broker's clock.
#[must_use]
pub fn age(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_never_longer_than_what_the_broker_has_shown() {
        let (mut clock, at) = (BrokerClock::default(), Duration::from_secs);
        assert_eq!(clock.age(0, at(50)), at(0), "nothing was heard of it");
        clock.read(10_000, at(5));
        assert_eq!(clock.age(10_000, at(5)), at(0));
        assert_eq!(clock.age(10_000, at(8)), at(3));
        clock.read(30_000, at(8));
        assert_eq!(clock.age(10_000, at(8)), at(20), "a newer record");
        clock.read(5_000, at(9));
        assert_eq!(clock.age(10_000, at(9)), at(21), "an old one says nothing");
        clock.ticket(12_000, at(10));
        assert_eq!(clock.age(10_000, at(11)), at(3), "it was set back");
        assert_eq!(clock.age(90_000, at(11)), at(0), "ahead of it");
    }
}
