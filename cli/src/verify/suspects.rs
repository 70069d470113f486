//! What differed and is looked at again, because the replication may only be late. Pure: time comes in.
//!
//! It is late as long as anything on the target moves; when nothing did for a while, what still differs is a difference.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::compare::{DocumentDifference, DocumentKey, Print};

/// The most that are looked at again at a time.
pub const MOST: usize = 10_000;

/// How many states of the primary are remembered for each.
const REMEMBERED: usize = 8;

/// What differed; an index comes before its documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspect {
    /// Its index.
    pub index: Arc<str>,
    /// The document; `None` for the index itself (whether it exists, and its mapping).
    pub document: Option<DocumentKey>,
}

/// What a look at both sides showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What differs; `None`: nothing. Differences of an index are told by its report.
    pub difference: Option<Difference>,
    /// The state of the primary.
    pub primary: Print,
    /// The state of the target.
    pub target: Print,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The index itself.
    Index,
    /// A document.
    Document(DocumentDifference),
}

/// The list.
#[derive(Default)]
pub struct Suspects {
    watched: BTreeMap<Suspect, Watched>,
    last_progress: Option<Instant>,
}

struct Watched {
    difference: Difference,
    /// The last states of the primary, the latest at the end.
    primary: VecDeque<Print>,
    target: Option<Print>,
    since: Instant,
    looked_again: bool,
}

impl Suspects {
    /// Puts one on the list. An extra is found without a look at its content.
    pub fn note(&mut self, suspect: Suspect, difference: Difference, states: Option<(Print, Print)>, now: Instant) {
        self.watched.entry(suspect).or_insert_with(|| Watched {
            difference,
            primary: states.iter().map(|(primary, _)| *primary).collect(),
            target: states.map(|(_, target)| target),
            since: now,
            looked_again: false,
        });
    }

    /// Takes in another look. True: it is off the list, for both are equal, or the target reached a state in which the
    /// primary was seen before (a document that is written all the time is never seen equal).
    pub fn looked(&mut self, suspect: &Suspect, sight: &Sight, now: Instant) -> bool {
        let Some(watched) = self.watched.get_mut(suspect) else { return false };
        let moved = watched.target.is_some_and(|before| before != sight.target);
        let followed = moved && watched.primary.contains(&sight.target);
        let Some(difference) = sight.difference.filter(|_| !followed) else {
            self.watched.remove(suspect);
            self.last_progress = Some(now);
            return true;
        };
        if moved || watched.target.is_none() {
            watched.since = now;
            self.last_progress = Some(now);
        }
        watched.difference = difference;
        watched.target = Some(sight.target);
        watched.looked_again = true;
        if watched.primary.back() != Some(&sight.primary) {
            watched.primary.push_back(sight.primary);
            if watched.primary.len() > REMEMBERED {
                watched.primary.pop_front();
            }
        }
        false
    }

    /// Whether every one was looked at again and nothing on the target moved for `settle`.
    pub fn at_rest(&self, settle: Duration, now: Instant) -> bool {
        let long_ago = |then: Instant| now.duration_since(then) >= settle;
        self.last_progress.is_none_or(long_ago)
            && self.watched.values().all(|watched| watched.looked_again && long_ago(watched.since))
    }

    /// Takes all of them off the list.
    pub fn take(&mut self) -> Vec<(Suspect, Difference)> {
        std::mem::take(&mut self.watched).into_iter().map(|(suspect, watched)| (suspect, watched.difference)).collect()
    }

    /// Takes those of an index off the list.
    pub fn forget_index(&mut self, index: &str) {
        self.watched.retain(|suspect, _| *suspect.index != *index);
    }

    /// All of them, index by index.
    pub fn by_index(&self) -> Vec<(Arc<str>, Vec<Suspect>)> {
        let mut grouped: Vec<(Arc<str>, Vec<Suspect>)> = Vec::new();
        for suspect in self.watched.keys() {
            match grouped.last_mut() {
                Some((index, group)) if *index == suspect.index => group.push(suspect.clone()),
                _ => grouped.push((suspect.index.clone(), vec![suspect.clone()])),
            }
        }
        grouped
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.watched.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);
    const MISSING: Difference = Difference::Document(DocumentDifference::Missing);

    fn suspect(index: &str, id: &str) -> Suspect {
        let index: Arc<str> = Arc::from(index);
        Suspect { document: Some(DocumentKey { index: index.clone(), id: id.to_owned(), routing: None }), index }
    }

    fn sight(difference: Option<Difference>, primary: u32, target: u32) -> Sight {
        Sight { difference, primary: Print::of(&primary), target: Print::of(&target) }
    }

    fn noted(ids: &[&str], now: Instant) -> Suspects {
        let mut suspects = Suspects::default();
        for id in ids {
            suspects.note(suspect("i", id), MISSING, Some((Print::of(&1u32), Print::of(&0u32))), now);
        }
        suspects
    }

    #[test]
    fn what_becomes_equal_was_lag_and_progress_keeps_the_others() {
        let start = Instant::now();
        let mut suspects = noted(&["1", "2"], start);
        assert!(!suspects.at_rest(Duration::ZERO, start), "nothing was looked at again");
        let later = start + SETTLE;
        assert!(suspects.looked(&suspect("i", "1"), &sight(None, 1, 1), later));
        assert!(!suspects.looked(&suspect("i", "2"), &sight(Some(MISSING), 1, 0), later));
        assert!(!suspects.at_rest(SETTLE, later + SETTLE / 2), "another one settled a moment ago");
        assert!(suspects.at_rest(SETTLE, later + SETTLE));
        assert_eq!(suspects.take(), [(suspect("i", "2"), MISSING)]);
    }

    #[test]
    fn a_target_that_moves_is_not_at_rest_and_a_primary_that_moves_alone_is() {
        let start = Instant::now();
        let mut suspects = noted(&["1"], start);
        suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), 5, 4), start + SETTLE);
        assert!(!suspects.at_rest(SETTLE, start + SETTLE));
        suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), 6, 4), start + 2 * SETTLE);
        assert!(suspects.at_rest(SETTLE, start + 2 * SETTLE));
    }

    #[test]
    fn a_document_that_is_written_all_the_time_is_followed() {
        let start = Instant::now();
        let mut suspects = noted(&["1"], start);
        assert!(!suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), 2, 0), start));
        assert!(!suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), 3, 9), start), "no state of the primary");
        assert!(suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), 4, 2), start));
    }

    #[test]
    fn a_target_that_stands_still_does_not_follow() {
        let start = Instant::now();
        let mut suspects = noted(&["1"], start);
        for primary in [0, 1, 0, 1] {
            assert!(!suspects.looked(&suspect("i", "1"), &sight(Some(MISSING), primary, 0), start));
        }
    }

    #[test]
    fn they_are_grouped_by_index_with_the_index_first() {
        let mut suspects = noted(&["2", "1"], Instant::now());
        suspects.note(Suspect { index: "i".into(), document: None }, Difference::Index, None, Instant::now());
        suspects.note(suspect("j", "1"), MISSING, None, Instant::now());
        let groups = suspects.by_index();
        assert_eq!(groups.iter().map(|(_, group)| group.len()).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(groups[0].1[0].document, None);
        suspects.forget_index("i");
        assert_eq!(suspects.len(), 1);
    }
}
