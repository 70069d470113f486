//! The one rule by which an effect comes too late, for those who publish and for those who apply.

use std::time::Duration;

use crate::planted::{Bug, planted};

/// Whether an effect that was appended at `at_ms` comes too late after its ticket to count. Both times are the broker's, so
/// gateways and consumers decide alike.
#[must_use]
pub fn is_void(at_ms: i64, ticket_ms: i64, ticket_lifetime: Duration) -> bool {
    !planted(Bug::LateNotVoid)
        && at_ms.saturating_sub(ticket_ms) >= i64::try_from(ticket_lifetime.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const L: Duration = Duration::from_secs(60);

    #[test]
    fn void_begins_exactly_at_the_lifetime() {
        assert!(!is_void(59_999, 0, L));
        assert!(is_void(60_000, 0, L));
        assert!(!is_void(0, 5_000, L), "a broker whose clock is behind");
    }
}
