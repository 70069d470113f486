//! Bugs that a test plants, to see that the oracle catches them. Only builds with the feature `planted` have them, which no
//! release has; in all others every question here is answered with a constant `false`.
//!
//! `UNDERSTUDY_PLANTED` names one of them for a process.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` is for tests, and no release has it");

/// What can be planted. Each is a mistake that would look harmless in a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A target stores its own versions instead of the primary's.
    InternalVersions,
    /// An offset counts as done when its effects are taken, and not when the target has them.
    CommitBeforeApplying,
    /// A write is sent without an acknowledged ticket.
    NoTicket,
    /// Effects count however late they come.
    LateNotVoid,
    /// Nothing is remembered of a partition's log.
    NoWindow,
    /// A version conflict on the target is a failure.
    ConflictIsFailure,
    /// A write that the primary did not answer was not written.
    UnknownIsNotWritten,
    /// The next bulk of a partition does not wait for the one before.
    Concurrent,
    /// An update is replicated as its request has it.
    UpdateFromRequest,
    /// Whether the index changed during a write is not looked at.
    NoGuard,
    /// Documents do not wait for the mapping.
    GuessedMapping,
}

impl Bug {
    /// All of them, by their names.
    pub const ALL: [(&str, Self); 11] = [
        ("internal-versions", Self::InternalVersions),
        ("commit-before-applying", Self::CommitBeforeApplying),
        ("no-ticket", Self::NoTicket),
        ("late-not-void", Self::LateNotVoid),
        ("no-window", Self::NoWindow),
        ("conflict-is-failure", Self::ConflictIsFailure),
        ("unknown-is-not-written", Self::UnknownIsNotWritten),
        ("concurrent", Self::Concurrent),
        ("update-from-request", Self::UpdateFromRequest),
        ("no-guard", Self::NoGuard),
        ("guessed-mapping", Self::GuessedMapping),
    ];

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
    }
}

/// Whether this process has it.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var(crate::config::PLANTED).ok()?;
        let bug = Bug::named(&name);
        tracing::error!(name, known = bug.is_some(), "a test planted a bug in this process");
        bug
    });
    *PLANTED == Some(bug)
}

/// No.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// A `_bulk` body as it is, or with the versions taken out of its action lines.
#[must_use]
pub fn versioned(body: Vec<u8>) -> Vec<u8> {
    if planted(Bug::InternalVersions) { without_versions(&body) } else { body }
}

fn without_versions(body: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let is_action = line.starts_with(b"{\"index\":{\"_index\"") || line.starts_with(b"{\"delete\":{\"_index\"");
        match memchr::memmem::find(line, b",\"version\":").filter(|_| is_action) {
            Some(at) => {
                kept.extend_from_slice(&line[..at]);
                kept.extend_from_slice(b"}}\n");
            }
            None => kept.extend_from_slice(line),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_nothing_is_planted_unasked() {
        assert!(Bug::ALL.iter().all(|(name, bug)| Bug::named(name) == Some(*bug) && !planted(*bug)));
        assert_eq!(Bug::named("meteor"), None);
    }

    #[test]
    fn versions_are_taken_out_of_action_lines_alone() {
        let body = b"{\"index\":{\"_index\":\"i\",\"_id\":\"1\",\"version\":7,\"version_type\":\"external\"}}\n{\"a\":1,\"version\":2}\n";
        let kept = without_versions(body);
        assert_eq!(kept, b"{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{\"a\":1,\"version\":2}\n");
    }
}
